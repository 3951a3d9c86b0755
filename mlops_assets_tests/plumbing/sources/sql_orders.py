"""Orders of a shop in a SQL database: the contracts that the tests of SQL sources fill, and how they are asked.

Put here what the tests of several databases share. Keep out assertions, and how a database is filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.delivered import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops_assets.plumbing.sources.sql.source import SqlSource

INT: Final = dt.int64
SHOP: Final = Lake("shop", personal=True)
MONTHS: Final = dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m", end_offset=0)


def orders(
    types: Mapping[str, dt.DataType] | None = None,
    *,
    partitions: dg.PartitionsDefinition[str] | None = None,
    column: str = "month",
    personal: bool = False,
) -> Contract:
    """A contract of those columns, by default of orders with their amounts."""
    types = types or {"order_id": dt.int64, "amount": dt.Decimal(10, 2)}
    metadata = {"personal": True} if personal else None
    fields = {name: pa.Column(kind, nullable=True, metadata=metadata) for name, kind in types.items()}
    if partitions is not None:
        fields[column] = pa.Column(dt.string)
    return Contract(
        layer="raw",
        table="orders",
        model=pa.DataFrameSchema(fields),
        lake=SHOP,
        description="What was ordered.",
        owners=["team:sales"],
        partitions_def=partitions,
        partition_columns={} if partitions is None else {"partition": column},
    )


ORDERS: Final = orders()
MONTHLY: Final = orders(partitions=MONTHS)


def asked(
    source: SqlSource, key: str | None = None, *, while_read: Callable[[Request], None] | None = None
) -> tuple[dict[str, list[Any]], dict[str, str], Mapping[str, Any]]:
    """What the source delivers: the values of each column, its types, and the facts."""
    with LakeSession(Settings.load()) as session:
        request = Request(
            contract=source.contract,
            partition=Partition(key, source.contract.partition_values(key)),
            connection=session.connection,
            scratch=session.scratch,
            raw=session.scratch / "raw",
            settings=session.settings,
        )
        if while_read is not None:
            while_read(request)
        delivered = source.read(request)
        found = delivered.rows.fetchall()
        names = delivered.rows.columns
        return (
            {name: [row[place] for row in found] for place, name in enumerate(names)},
            dict(zip(names, map(str, delivered.rows.types), strict=True)),
            delivered.facts,
        )


def published(source: SqlSource, key: str | None = None) -> list[dict[str, Any]]:
    """The rows that a run of the source's asset publishes."""
    done = dg.materialize([source.asset()], partition_key=key)
    assert done.success
    with LakeSession(Settings.load()) as session:
        table = current_table(session, source.contract)
        rows: list[dict[str, Any]] = table.order_by(table.columns).to_pyarrow().to_pylist()
        return rows
