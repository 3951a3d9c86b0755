"""Explanation: the exact split of two snapshots in files, from linking to one table.

Put here how files are laid out and linked for the split. Keep out the split itself and the recognition of causes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import duckdb
import ibis
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files.delimited import quoted
from mlops_assets.variance.files.numbers import counted, numbers
from mlops_assets.variance.files.opening import AS_DELIVERED, Opened, Reading, opened
from mlops_assets.variance.linked.attribution import split
from mlops_assets.variance.linked.crosswalk import flows
from mlops_assets.variance.linked.events import events
from mlops_assets.variance.linked.findings import Words
from mlops_assets.variance.linked.health import examine
from mlops_assets.variance.linked.kinds import condense
from mlops_assets.variance.linked.orders import sequence, shapley
from mlops_assets.variance.linked.snapshots import ALL, Layout, link
from mlops_assets.variance.linked.ways import cells, ways

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from mlops_assets.variance.linked.attribution import Measure
    from mlops_assets.variance.linked.findings import Finding

OrderName = Literal["sequence", "shapley"]
"""How causes are ordered, as a user names it."""

ORDERS: Final = {"sequence": sequence, "shapley": shapley}
"""The orders by their names."""

_COPIES: Final = "copies_of_this_entity"
_WEIGHT: Final = "weight_of_this_entity"


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What happened between two snapshots.

    Attributes:
        split: the table of ``attribution.split`` by unit, attribute and category: ``before``, the parts, ``after``, and
            for samples their standard errors.
        events: the table of ``events.events``.
        flows: the table of ``crosswalk.flows``.
        notes: what was left out or put together, in sentences.
        findings: what is wrong with the comparison and was put up with.
    """

    split: pa.Table
    events: pa.Table
    flows: pa.Table
    findings: Sequence[Finding]
    notes: tuple[str, ...] = ()


def explain(
    before: Path,
    after: Path,
    *,
    entity: str,
    unit: str,
    attributes: Sequence[str],
    address: Sequence[str] = (),
    weight: str | None = None,
    measure: Measure = "count",
    order: OrderName = "sequence",
    reading: Reading = AS_DELIVERED,
    despite: Collection[str] = (),
) -> Explained:
    """Split the change of every count or share of a unit and class exactly by cause, and name what happened.

    Args:
        before: CSV or Parquet file of the earlier snapshot, one row per entity. An identifier that repeats counts
            once, with its first row in the order of all columns; rows without identifier are linked to none; ``notes``
            tell how many. Identifiers, units, classes and addresses are texts exactly as delivered.
        after: the later one, with the same columns.
        entity: the column that identifies an entity.
        unit: the column of the unit.
        attributes: columns of classes; each stands for its own code as well.
        address: columns that together say where an entity is. Without any, whoever changed the unit was redrawn.
        weight: the column of how many people a row stands for, if the files are samples. They must be of the same
            people, as in a panel: whoever is in one only has joined or left.
        measure: the statistic.
        order: one sequence of causes, or the mean over their orders.
        reading: what the files do not say themselves.
        despite: names of ``findings.NAMES`` that do not keep the two from being compared.

    Returns:
        The split, the events and the flows between units. The last two are of rows, whatever they weigh.

    Raises:
        ComparisonError: a file cannot be read, is empty, or lacks a column; it is named.
        ComparisonError: an attribute has a reserved name, or a weight is not a number of 0 or more.
        ComparisonError: the two cannot be compared, see `health.examine`.
    """
    connection = duckdb.connect()
    engine = ibis.duckdb.from_connection(connection)
    try:
        columns = tuple(dict.fromkeys((entity, unit, *attributes, *address)))
        with opened(connection, before, reading) as one, opened(connection, after, reading) as other:
            sides = {"earlier": one, "later": other}
            for side in sides.values():
                side.require(columns if weight is None else (*columns, weight))
            weights = [None, None] if weight is None else _weights(tuple(sides.values()), weight, reading)
            notes = [
                note
                for (name, side), number in zip(sides.items(), weights, strict=True)
                for note in _load(connection, name, side, columns, number)
            ]
        layout = Layout(
            entity=entity,
            unit=unit,
            # Without an address each entity is where it always was, so that a new unit is another map or number.
            address=tuple(address) or (entity,),
            attributes={name: name for name in attributes},
            copies=_COPIES,
            weight=None if weight is None else _WEIGHT,
        )
        pairs = link(engine.table("earlier"), engine.table("later"), layout)
        kinds = engine.create_table("kinds", condense(pairs, layout), temp=True)
        words = Words(unit=unit, earlier=before.name, later=after.name)
        findings = examine(engine.table("earlier"), engine.table("later"), layout, kinds=kinds, words=words).findings
        _require_health(after, [finding for finding in findings if finding.name not in despite])
        chosen = ORDERS[order](weighting=weight is not None)
        found = ways(kinds, layout).to_pyarrow()
        numbered = ibis.memtable(found.append_column("way", pa.array(range(found.num_rows), pa.int64())))
        everybody = pc.sum(found.filter(pc.equal(found["attribute"], ALL))["entities"]).as_py() or 0
        return Explained(
            split=split(
                engine.to_pyarrow(cells(numbered, chosen.worlds)),
                chosen,
                measure=measure,
                sample=None if weight is None else everybody,
            ),
            events=events(kinds, layout).order_by("cause", "name").to_pyarrow(),
            flows=flows(kinds).order_by("unit_before", "unit_after").to_pyarrow(),
            notes=tuple(notes),
            findings=findings,
        )
    finally:
        connection.close()


def _require_health(after: Path, findings: Sequence[Finding]) -> None:
    if findings:
        told = " ".join(finding.text for finding in findings)
        raise ComparisonError(f"File {after} cannot be compared with the one before it: {told}")


def _load(
    connection: duckdb.DuckDBPyConnection, name: str, side: Opened, columns: Sequence[str], weight: str | None
) -> Iterator[str]:
    """Keep one row of each entity, and tell of the others.

    Args:
        connection: where the table is made.
        name: of the table.
        side: the file.
        columns: to be kept, the identifier first.
        weight: SQL of a row's weight.
    """
    plain = [f"{side.text(column)} AS {quoted(column)}" for column in columns]
    order = [quoted(column) for column in columns]
    if weight is not None:
        plain.append(f"{weight} AS {_WEIGHT}")
        order.append(_WEIGHT)
    key = order[0]
    with side.guarded():
        connection.execute(f"CREATE TEMP TABLE given_{name} AS {side.relation.project(', '.join(plain)).sql_query()}")
    # Rows without identifier are entities of their own.
    connection.execute(
        f"""CREATE TEMP TABLE {name} AS SELECT *,
              CASE WHEN {key} IS NULL THEN 1 ELSE count(*) OVER (PARTITION BY {key}) END AS {_COPIES}
            FROM given_{name}
            QUALIFY {key} IS NULL OR row_number() OVER (PARTITION BY {key} ORDER BY {", ".join(order)}) = 1"""  # noqa: S608  identifiers are quoted
    )
    told = f"SELECT count(*) FILTER ({key} IS NULL), coalesce(sum({_COPIES} - 1), 0)::BIGINT FROM {name}"  # noqa: S608  likewise
    ((nameless, repeated),) = connection.execute(told).fetchall()
    if nameless:
        yield f"{side.source}: {counted(nameless, 'row')} without {columns[0]}, linked to none."
    if repeated:
        yield f"{side.source}: {counted(repeated, 'row')} repeated an identifier; it counts once."


def _weights(sides: Sequence[Opened], weight: str, reading: Reading) -> list[str]:
    """SQL of the weights of each side, which are numbers of 0 or more."""
    found = [parsed[weight] for parsed in numbers(sides, [weight], reading.decimal)]
    for side, number in zip(sides, found, strict=True):
        with side.guarded():
            ((empty, negative, least),) = side.relation.aggregate(
                f"count(*) FILTER ({number} IS NULL), count(*) FILTER ({number} < 0), coalesce(min({number}), 0)"
            ).fetchall()
        for what, count, such in (("is empty", empty, ""), ("is negative", negative, f", such as {least:g}")):
            if count:
                raise ComparisonError(
                    f"column {weight} {what} in {counted(count, 'row')}{such}; it must say how many people each row "
                    "stands for, 0 or more. Mend these rows, or name another column as weight.",
                    source=side.source,
                )
    return found
