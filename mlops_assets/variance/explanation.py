"""Explanation: the exact split of two snapshots in files, from linking to one table.

Put here how files are laid out and linked for the split. Keep out the split itself and the recognition of causes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb
import ibis

from mlops_assets.variance.crosswalk import flows
from mlops_assets.variance.events import events
from mlops_assets.variance.kinds import condense
from mlops_assets.variance.linked import PARTS, changes
from mlops_assets.variance.panels import PanelError, quoted, relation_of
from mlops_assets.variance.snapshots import Layout, link

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

_COPIES: Final = "copies_of_this_entity"


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What happened between two snapshots.

    Attributes:
        split: the table of ``linked.changes`` by unit, attribute and category: ``before``, the seven parts, ``after``.
        events: the table of ``events.events``.
        flows: the table of ``crosswalk.flows``.
    """

    split: pa.Table
    events: pa.Table
    flows: pa.Table


def explain(
    before: Path, after: Path, *, entity: str, unit: str, attributes: Sequence[str], address: Sequence[str] = ()
) -> Explained:
    """Split the change of every count of entities by unit and class exactly by cause, and name what happened.

    Args:
        before: CSV or Parquet file of the earlier snapshot, one row per entity. An identifier that repeats counts
            once, with its first row in the order of all columns; rows without identifier are linked to none.
        after: the later one, with the same columns.
        entity: the column that identifies an entity.
        unit: the column of the unit.
        attributes: columns of classes; each stands for its own code as well.
        address: columns that together say where an entity is. Without any, whoever changed the unit was redrawn.

    Returns:
        The split, the events and the flows between units.

    Raises:
        PanelError: a file cannot be read, or lacks a column.
        SnapshotError: an attribute has a reserved name.
    """
    connection = duckdb.connect()
    engine = ibis.duckdb.from_connection(connection)
    try:
        columns = tuple(dict.fromkeys((entity, unit, *attributes, *address)))
        for name, path in (("earlier", before), ("later", after)):
            _load(connection, name, path, entity, columns)
        layout = Layout(
            entity=entity,
            unit=unit,
            # Without an address each entity is where it always was, so that a new unit is another map or number.
            address=tuple(address) or (entity,),
            attributes={name: name for name in attributes},
            copies=_COPIES,
        )
        pairs = link(engine.table("earlier"), engine.table("later"), layout)
        kinds = engine.create_table("kinds", condense(pairs, layout), temp=True)
        split = changes(kinds, layout).order_by("unit", "attribute", "category")
        return Explained(
            split=split.select("unit", "attribute", "category", "before", *PARTS, "after").to_pyarrow(),
            events=events(kinds, layout).order_by("cause", "name").to_pyarrow(),
            flows=flows(kinds).order_by("unit_before", "unit_after").to_pyarrow(),
        )
    finally:
        connection.close()


def _load(connection: duckdb.DuckDBPyConnection, name: str, path: Path, entity: str, columns: Sequence[str]) -> None:
    relation = relation_of(connection, path)
    missing = [column for column in columns if column not in relation.columns]
    if missing:
        raise PanelError(
            f"File {path} has no column {', '.join(missing)}; it has {', '.join(relation.columns)}. Name others."
        )
    plain = ", ".join(f"CAST({quoted(column)} AS VARCHAR) AS {quoted(column)}" for column in columns)
    key, order = quoted(entity), ", ".join(quoted(column) for column in columns)
    connection.execute(f"CREATE TEMP TABLE given_{name} AS {relation.project(plain).sql_query()}")
    # Rows without identifier are entities of their own.
    connection.execute(
        f"""CREATE TEMP TABLE {name} AS SELECT *,
              CASE WHEN {key} IS NULL THEN 1 ELSE count(*) OVER (PARTITION BY {key}) END AS {_COPIES}
            FROM given_{name}
            QUALIFY {key} IS NULL OR row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"""  # noqa: S608  identifiers are quoted
    )
