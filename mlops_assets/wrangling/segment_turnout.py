"""Segment turnout: the segments that the segmentation follows, and what earlier elections let expect of each.

Put here what follows from the choice of segments. Keep out the choice, and anything known only after an election.

A segment's turnout is expected to differ from its state's as it did before, exactly as the comparison predicts it; the
state's is that of the last election of the same kind, presidential or not. A history ends where the map changed, or is
carried over the crosswalk. Segments of fewer persons than the smallest cell are one: with the next smallest ones, if
they are too few together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from mlops_assets.contracts import segmentation as contract
from mlops_assets.contracts.features import SMALLEST_CELL
from mlops_assets.contracts.partitions import election_itself, elections_before
from mlops_assets.variance.segmentation.segments import AS_LABELLED, BRIDGED, Candidate, expected
from mlops_assets.wrangling.voter_segments import FOLLOWED, cells_of, no_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir

    Row = Mapping[str, Any]

_WHOLE_STATE: Final = "whole state"
_COLUMNS: Final = {"unit": "district", "age_group": "age_group", "party": "party_last", "county": "county"}
_TERM: Final = 4


def elections_used(forecast: str, elections_by_state: Sequence[str]) -> Sequence[str]:
    """Of the features of persons those of the forecast's election and of earlier ones."""
    return [*elections_before(forecast, elections_by_state), *election_itself(forecast, elections_by_state)]


def segment_turnout(
    person_turnout: ir.Table,
    compared: Sequence[Row],
    flows: Sequence[Row],
    events: Sequence[Row],
    *,
    forecast: str,
) -> pa.Table:
    """What earlier elections say of each segment, at the forecast's election and, as it was then, at those before.

    Args:
        person_turnout: ``features/person_turnout``; later elections are ignored, and votes of the forecast's own.
        compared: rows of ``variance/segmentation`` of that forecast.
        flows: rows of ``variance/voter_flows``.
        events: rows of ``variance/events``.
        forecast: the election to be forecast.

    Returns:
        Rows of ``features/segment_turnout``; none where no segmentation is followed.
    """
    followed = next((row for row in compared if row["followed"]), None)
    if followed is None:
        return no_rows(contract.SEGMENT_TURNOUT)
    known = person_turnout.filter(
        ((person_turnout.election < forecast) & person_turnout.voted.notnull()) | (person_turnout.election == forecast)
    )
    cells = cells_of(known, FOLLOWED, flows, events)
    candidate = _candidate(followed)
    by_place: dict[tuple[str, str], list[Row]] = {}
    for row in expected(cells, candidate).to_pylist():
        by_place.setdefault((row["time"], row["group"]), []).append(row)
    turnout = _turnout(cells.table)
    words = f"{followed['candidate']} {followed['series']}".strip() + f": {followed['reason']}"
    rows = []
    for (election, state), own in sorted(by_place.items()):
        level = _level(turnout, election, state)
        rows += [
            {"forecast": forecast, "election": election, "state": state, "segmentation": words, **row}
            for row in _rows(own, candidate.dimensions, level)
        ]
    return pa.Table.from_pylist(rows, schema=no_rows(contract.SEGMENT_TURNOUT).schema)


def _candidate(followed: Row) -> Candidate:
    """The candidate of that row. Labels that meant the same so far may not any more: the way over a change is taken."""
    found = Candidate.named(followed["candidate"].replace("district", "unit"), followed["series"])
    return found if found.series != AS_LABELLED else Candidate(dimensions=found.dimensions, series=BRIDGED)


def _turnout(cells: pa.Table) -> dict[tuple[str, str], float]:
    """The turnout of each election and state."""
    sums = cells.group_by(["time", "group"]).aggregate([("cases", "sum"), ("successes", "sum")]).to_pylist()
    return {(row["time"], row["group"]): row["successes_sum"] / row["cases_sum"] for row in sums}


def _level(turnout: Mapping[tuple[str, str], float], election: str, state: str) -> float | None:
    """The state's turnout at the last election of the same kind before that one, else at the last at all."""
    before = sorted(year for year, place in turnout if place == state and year < election)
    alike = [year for year in before if (int(election) - int(year)) % _TERM == 0]
    return turnout[(alike or before)[-1], state] if before else None


def _rows(cells: Sequence[Row], dimensions: Sequence[str], level: float | None) -> list[dict[str, Any]]:
    """The segments of one election and state, the small ones as one."""
    ordered = sorted(cells, key=lambda cell: (-cell["cases"], *(cell[name] for name in dimensions)))
    small: list[Row] = []
    while ordered and (ordered[-1]["cases"] < SMALLEST_CELL or 0 < _persons(small) < SMALLEST_CELL):
        small.append(ordered.pop())
    rows = []
    for cell in ordered:
        classes = {_COLUMNS[name]: cell[name] for name in dimensions}
        past = int(cell["past_cases"] + 0.5)
        enough = past >= SMALLEST_CELL
        rows.append(
            {
                "segment": ", ".join(f"{name}={value}" for name, value in classes.items()) or _WHOLE_STATE,
                **classes,
                "persons": int(cell["cases"]),
                "past_persons": past if enough else None,
                **_expectation(level, cell["difference"] if enough else 0.0),
            }
        )
    if _persons(small) >= SMALLEST_CELL:
        rows.append({"segment": contract.POOLED, "persons": _persons(small), **_expectation(level, 0.0)})
    return rows


def _persons(cells: Sequence[Row]) -> int:
    return int(sum(cell["cases"] for cell in cells))


def _expectation(level: float | None, above: float) -> dict[str, float | None]:
    turnout = None if level is None else min(max(level + above, 0.0), 1.0)
    return {"state_turnout": level, "above_state": above, "turnout": turnout}
