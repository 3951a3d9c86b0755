"""Orders of a shop: the table that the tests of REST sources fill, and how they read it alone.

Put here the shared contract and reading. Keep out servers (``api``) and expectations.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import duckdb
import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.delivered import Delivered, Request
from mlops_assets.plumbing.sources.http.limits import Limits
from mlops_assets.plumbing.sources.http.rest import RestSource

if TYPE_CHECKING:
    from pathlib import Path

SECRET: Final = "s3cr3t/+token&value=1"  # noqa: S105  a made one
QUICK: Final = Limits(
    connect_seconds=0.5,
    answer_seconds=1.0,
    idle_seconds=0.5,
    total_seconds=4.0,
    attempts=2,
    first_delay_seconds=0.01,
    longest_delay_seconds=1.0,
)
"""Limits under which a fault ends in seconds."""


class Order(pa.DataFrameModel):
    """One row for each order."""

    month: dt.String
    order_id: dt.String
    amount: dt.Float64
    paid: dt.Boolean = pa.Field(nullable=True)

    class Config:
        """Keyed by month and order."""

        unique = ("month", "order_id")


ORDERS: Final = Contract(
    layer="raw",
    table="orders",
    model=Order,
    lake=Lake("shop"),
    description="What was ordered in a month.",
    owners=["team:sales"],
    partitions_def=dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m"),
    partition_columns={"month": "month"},
)


def order(number: int) -> dict[str, object]:
    return {"order_id": str(number), "amount": number + 0.5, "paid": number % 2 == 0}


def source(url: str, **options: Any) -> RestSource:  # noqa: ANN401  options of a declaration
    """A declaration that gives up soon."""
    return RestSource(**{"contract": ORDERS, "url": url, "retries": 0, "snapshot": True, "limits": QUICK, **options})


def read(declared: RestSource, folder: Path, month: str = "2024-01") -> Delivered:
    """What it delivers of a month."""
    folder.mkdir(exist_ok=True)
    return declared.read(
        Request(
            contract=declared.contract,
            partition=Partition(month, {"month": month}),
            connection=duckdb.connect(),
            scratch=folder,
            raw=folder / "raw",
            settings=Settings.load(),
        )
    )


def ids(delivered: Delivered) -> list[int]:
    """The numbers of the orders, as they came."""
    return [int(number) for (number,) in delivered.rows.project("order_id").fetchall()]


def personal() -> Contract:
    """The same table in a lake of persons, the number of an order being one."""

    class PersonalOrder(Order):
        """One row for each order."""

        order_id: dt.String = pa.Field(metadata={"personal": True})

    return dataclasses.replace(ORDERS, model=PersonalOrder, lake=Lake("persons", personal=True))


def pages_of(rows: list[dict[str, object]], size: int) -> list[list[dict[str, object]]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def texts(delivered: Delivered) -> list[tuple[object, ...]]:
    """The rows, in the columns' alphabetical order."""
    return delivered.rows.project(", ".join(f'"{name}"' for name in sorted(delivered.rows.columns))).fetchall()
