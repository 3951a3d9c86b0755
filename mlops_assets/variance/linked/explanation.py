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
from mlops_assets.variance.files import quoted, relation_of
from mlops_assets.variance.linked.attribution import split
from mlops_assets.variance.linked.crosswalk import flows
from mlops_assets.variance.linked.events import events
from mlops_assets.variance.linked.kinds import condense
from mlops_assets.variance.linked.orders import sequence, shapley
from mlops_assets.variance.linked.snapshots import ALL, Layout, link
from mlops_assets.variance.linked.ways import cells, ways

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_assets.variance.linked.attribution import Measure

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
    """

    split: pa.Table
    events: pa.Table
    flows: pa.Table


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
) -> Explained:
    """Split the change of every count or share of a unit and class exactly by cause, and name what happened.

    Args:
        before: CSV or Parquet file of the earlier snapshot, one row per entity. An identifier that repeats counts
            once, with its first row in the order of all columns; rows without identifier are linked to none.
        after: the later one, with the same columns.
        entity: the column that identifies an entity.
        unit: the column of the unit.
        attributes: columns of classes; each stands for its own code as well.
        address: columns that together say where an entity is. Without any, whoever changed the unit was redrawn.
        weight: the column of how many people a row stands for, if the files are samples. They must be of the same
            people, as in a panel: whoever is in one only has joined or left.
        measure: the statistic.
        order: one sequence of causes, or the mean over their orders.

    Returns:
        The split, the events and the flows between units. The last two are of rows, whatever they weigh.

    Raises:
        ComparisonError: a file cannot be read, or lacks a column.
        ComparisonError: an attribute has a reserved name, or a weight is not a number of 0 or more.
    """
    connection = duckdb.connect()
    engine = ibis.duckdb.from_connection(connection)
    try:
        columns = tuple(dict.fromkeys((entity, unit, *attributes, *address)))
        for name, path in (("earlier", before), ("later", after)):
            _load(connection, name, path, entity, columns, weight)
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
        )
    finally:
        connection.close()


def _load(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    path: Path,
    entity: str,
    columns: Sequence[str],
    weight: str | None,
) -> None:
    relation = relation_of(connection, path)
    asked = columns if weight is None else (*columns, weight)
    missing = [column for column in asked if column not in relation.columns]
    if missing:
        raise ComparisonError(
            f"File {path} has no column {', '.join(missing)}; it has {', '.join(relation.columns)}. Name others."
        )
    plain = [f"CAST({quoted(column)} AS VARCHAR) AS {quoted(column)}" for column in columns]
    order = [quoted(column) for column in columns]
    if weight is not None:
        _require_weights(relation, path, weight)
        plain.append(f"CAST({quoted(weight)} AS DOUBLE) AS {_WEIGHT}")
        order.append(_WEIGHT)
    key = quoted(entity)
    connection.execute(f"CREATE TEMP TABLE given_{name} AS {relation.project(', '.join(plain)).sql_query()}")
    # Rows without identifier are entities of their own.
    connection.execute(
        f"""CREATE TEMP TABLE {name} AS SELECT *,
              CASE WHEN {key} IS NULL THEN 1 ELSE count(*) OVER (PARTITION BY {key}) END AS {_COPIES}
            FROM given_{name}
            QUALIFY {key} IS NULL OR row_number() OVER (PARTITION BY {key} ORDER BY {", ".join(order)}) = 1"""  # noqa: S608  identifiers are quoted
    )


def _require_weights(relation: duckdb.DuckDBPyRelation, path: Path, weight: str) -> None:
    number, said = f"TRY_CAST({quoted(weight)} AS DOUBLE)", f"CAST({quoted(weight)} AS VARCHAR)"
    for what, condition in (
        ("is empty", f"{said} IS NULL OR trim({said}) = ''"),
        ("is no number", f"{number} IS NULL OR NOT isfinite({number})"),
        ("is negative", f"{number} < 0"),
    ):
        row = relation.filter(condition).aggregate(f"count(*), min({said})").fetchone() or (0, None)
        if row[0]:
            such = f", such as {row[1]}" if row[1] and row[1].strip() else ""
            rows = "row" if row[0] == 1 else "rows"
            raise ComparisonError(
                f"File {path}: column {weight} {what} in {row[0]:,} {rows}{such}; it must say how many people each row "
                "stands for, 0 or more. Mend these rows, or name another column as weight."
            )
