"""A made domain for tests of comparisons: customers of shops in regions by day, and the takings of shops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis.expr.datatypes as dt
import pandera.ibis as pandera
import pyarrow as pa

import mlops_assets as ma

if TYPE_CHECKING:
    from collections.abc import Callable

CURATED: Final = ma.Lake("curated")
DAYS: Final = dg.DailyPartitionsDefinition("2026-01-30", end_date="2026-02-10")
CUSTOMERS: Final = ma.Contract(
    layer="wrangled",
    table="customers",
    model=pandera.DataFrameSchema(
        {
            **{name: pandera.Column(dt.String) for name in ("day", "customer", "shop", "place", "plan")},
            "copies": pandera.Column(dt.Int64),
        },
        unique=["day", "customer"],
        strict=True,
    ),
    lake=CURATED,
    description="Customers by day.",
    owners=["team:shops"],
    partitions_def=DAYS,
    partition_columns={"day": "day"},
)
TAKINGS: Final = ma.Contract(
    layer="wrangled",
    table="takings",
    model=pandera.DataFrameSchema(
        {
            **{name: pandera.Column(dt.String) for name in ("day", "region", "shop")},
            "customers": pandera.Column(dt.Int64),
            "sales": pandera.Column(dt.Float64),
        },
        unique=["day", "region", "shop"],
        strict=True,
    ),
    lake=CURATED,
    description="What each shop took in a day.",
    owners=["team:shops"],
    partitions_def=DAYS,
    partition_columns={"day": "day"},
)


def compared(**changes: Any) -> ma.Compare:  # noqa: ANN401  any field
    """Customers, linked from day to day."""
    fields = {
        "table": CUSTOMERS,
        "entity": "customer",
        "unit": "shop",
        "address": ["place"],
        "attributes": ["plan"],
        "copies": "copies",
        "called": "customer",
    }
    return ma.Compare(**{**fields, **changes})


def measured(**changes: Any) -> ma.Compare:  # noqa: ANN401  any field
    """Takings, a panel of shops by region."""
    fields = {"table": TAKINGS, "unit": "shop", "group": "region", "measures": ["customers", "sales"]}
    return ma.Compare(**{**fields, **changes})


def customers(day: str, *, count: int = 300) -> list[dict[str, Any]]:
    """As many customers as that, in three shops, each at an address of its own."""
    return [
        {
            "day": day, "customer": f"c{number}", "shop": f"s{number % 3}", "place": f"p{number}",
            "plan": "basic" if number % 2 else "gold", "copies": 1,
        }
        for number in range(count)
    ]  # fmt: skip


def made(contract: ma.Contract, rows: Callable[[str], list[dict[str, Any]]]) -> dg.AssetsDefinition:
    """The asset of a table whose rows of each day are those."""
    kinds = {"copies": pa.int64(), "customers": pa.int64(), "sales": pa.float64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in contract.schema.columns])

    @ma.asset(contract=contract)
    def table(partition: ma.Partition) -> pa.Table:
        return pa.Table.from_pylist(rows(str(partition.key)), schema=schema)

    return table
