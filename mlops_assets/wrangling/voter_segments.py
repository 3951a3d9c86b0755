"""Voter segments: registered persons in the finest cells, on maps of known vintage, and the choice of a segmentation.

Put here which classes of persons are candidates and which map their districts are of. Keep out how candidates are
judged (``variance``) and what follows from the choice (``segment_turnout``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from mlops_assets.contracts import segmentation as contract
from mlops_assets.contracts.partitions import SNAPSHOT_MONTHS, elections_before
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.contract import PARTITION_SEPARATOR
from mlops_assets.variance.linked.crosswalk import shares
from mlops_assets.variance.segmentation.choice import segmentation
from mlops_assets.variance.segmentation.segments import Cells
from mlops_assets.wrangling.named_events import LINKED
from mlops_assets.wrangling.person_turnout import snapshots_in_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.variance.linked.crosswalk import Shares

FEWEST_ELECTIONS: Final = 2
NOT_FOLLOWED: Final = ("race",)
"""Persons are described by it; neither features nor models tell them apart by it."""

_COLUMNS: Final = {"age_group": "age_group", "race": "race", "party": "party_last", "county": "county"}
DIMENSIONS: Final = tuple(_COLUMNS)
"""Beside the district; the county is the region."""
FOLLOWED: Final = tuple(name for name in DIMENSIONS if name not in NOT_FOLLOWED)


def earlier_elections(forecast: str, elections_by_state: Sequence[str]) -> Sequence[str]:
    """Of the features of persons those of elections before the forecast's."""
    return elections_before(forecast, elections_by_state)


def snapshots_used(forecast: str, snapshots: Sequence[str]) -> Sequence[str]:
    """The snapshots that features of earlier elections are made from: of each state the first, and the latest in time.

    Args:
        forecast: the election to be forecast.
        snapshots: partitions ``month|state`` that exist.
    """
    chosen = set()
    for election in (str(year) for year in range(int(forecast) - 2, 2008, -2)):
        in_time = snapshots_in_time(election) or SNAPSHOT_MONTHS[:1]
        for state in {key.split(PARTITION_SEPARATOR)[1] for key in snapshots}:
            own = [key for key in snapshots if key in {f"{month}{PARTITION_SEPARATOR}{state}" for month in in_time}]
            chosen.update(own[-1:])
    return sorted(chosen)


def voter_segmentation(
    person_turnout: ir.Table,
    voters: ir.Table,
    flows: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    *,
    election: str,
) -> pa.Table:
    """Compare ways of telling registered persons apart by how they turned out before an election.

    Args:
        person_turnout: ``features/person_turnout`` of earlier elections; later ones are ignored.
        voters: ``wrangled/voters`` of the snapshots that those were made from.
        flows: rows of ``variance/voter_flows``.
        events: rows of ``variance/events``.
        election: the election to be forecast.

    Returns:
        Rows of ``variance/segmentation``; none where fewer than two earlier elections are known.
    """
    known = person_turnout.filter(person_turnout.voted.notnull(), person_turnout.election < election)
    people = voters.select("state", "person_token", "race", snapshot_month="month")
    cells = cells_of(known.inner_join(people, ["state", "person_token", "snapshot_month"]), DIMENSIONS, flows, events)
    if len(set(cells.table.column("time").to_pylist())) < FEWEST_ELECTIONS:
        return no_rows(contract.SEGMENTATION)
    found = segmentation(cells, barred=NOT_FOLLOWED)
    named = [name.replace("unit", "district") for name in found.column("candidate").to_pylist()]
    found = found.set_column(0, "candidate", pa.array(named, pa.string()))
    return found.append_column("election", pa.array([election] * found.num_rows, pa.string()))


def cells_of(
    persons: ir.Table,
    dimensions: Sequence[str],
    flows: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
) -> Cells:
    """Count persons in the finest cells of those dimensions.

    Args:
        persons: rows of ``features/person_turnout``, with ``race`` if that is one of the dimensions.
        dimensions: some of :data:`DIMENSIONS`.
        flows: rows of ``variance/voter_flows``.
        events: rows of ``variance/events``.
    """
    counted = persons.group_by(
        time=persons.election,
        group=persons.state,
        unit=persons.district,
        snapshot=persons.snapshot_month,
        **{name: persons[_COLUMNS[name]] for name in dimensions},
    ).agg(cases=persons.count(), successes=persons.voted.sum().fill_null(0).cast("int64"))
    table: pa.Table = counted.order_by("time", "group", "unit", "snapshot", *dimensions).to_pyarrow()
    cuts = _cuts(events)
    vintages = [
        sum(month <= snapshot for month in cuts.get(state, ()))
        for state, snapshot in zip(table.column("group").to_pylist(), table.column("snapshot").to_pylist(), strict=True)
    ]
    return Cells(
        table=table.drop_columns(["snapshot"]).append_column("vintage", pa.array(vintages, pa.int64())),
        dimensions=tuple(dimensions),
        crosswalks=_crosswalks(cuts, flows),
    )


def no_rows(table: Contract) -> pa.Table:
    """An empty table of that contract."""
    return pa.schema([(name, kind.to_pyarrow()) for name, kind in rules.columns_of(table).items()]).empty_table()


def _cuts(events: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """For each state the months in which its series are cut. Labels of elections before the first snapshot are its."""
    found: dict[str, set[str]] = {}
    for event in events:
        if event["cuts"] and event["source"] == LINKED:
            found.setdefault(event["state"], set()).add(event["time"])
    return {state: sorted(months) for state, months in found.items()}


def _crosswalks(cuts: Mapping[str, Sequence[str]], flows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], Shares]:
    found = {}
    for state, months in cuts.items():
        for vintage, month in enumerate(months, start=1):
            own = [
                (row["district_before"], row["district_after"], row["entities"])
                for row in flows
                if (row["state"], row["month"]) == (state, month)
            ]
            if own:
                found[state, vintage] = shares(own)
    return found
