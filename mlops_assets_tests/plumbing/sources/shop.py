"""A shop: the table that sources of every kind fill in these tests, and how one is run.

Put here the contracts and the runs. Keep out any source's server or files, and assertions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.plumbing.sources.source import Source

MONTHS: Final = dg.MonthlyPartitionsDefinition("2024-01", end_date="2025-01", fmt="%Y-%m")
MONTH: Final = "2024-01"
LAKE: Final = Lake("shop")


class Sale(pa.DataFrameModel):
    """One row for each sale."""

    month: dt.String
    sale: dt.Int64
    day: dt.Date
    amount: dt.Float64 = pa.Field(ge=0)
    note: dt.String = pa.Field(nullable=True)

    class Config:
        """No sale twice."""

        unique = ("month", "sale")


class RegionalSale(Sale):
    """With its region."""

    region: dt.String


class Customer(pa.DataFrameModel):
    """One row for each customer of a month."""

    month: dt.String
    name: dt.String = pa.Field(metadata={"personal": True})
    visits: dt.Int32

    class Config:
        """No customer twice."""

        unique = ("month", "name")


def contract(table: str, model: Any, *, lake: Lake = LAKE, **options: Any) -> Contract:  # noqa: ANN401
    """A contract by months, unless the options say otherwise."""
    given = {"partitions_def": MONTHS, "partition_columns": {"month": "month"}, **options}
    return Contract(
        layer="raw",
        table=table,
        model=model,
        lake=lake,
        description="For tests.",
        owners=["team:plumbing"],
        **given,
    )


SALES: Final = contract("sales", Sale)
CUSTOMERS: Final = contract("customers", Customer, lake=Lake("people", personal=True))


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What came of a run.

    Attributes:
        success: whether it published.
        told: why not, as Dagster was told.
        metadata: of the materialization.
        checks: by name whether each passed.
        descriptions: what they tell.
    """

    success: bool
    told: str
    metadata: Mapping[str, Any]
    checks: Mapping[str, bool]
    descriptions: Sequence[str]


def run(
    source: Source,
    partition: str | None = MONTH,
    *,
    instance: dg.DagsterInstance | None = None,
    tags: Mapping[str, str] | None = None,
) -> Ran:
    """Run a source's asset for one partition."""
    done = dg.materialize(
        [source.asset()],
        partition_key=partition,
        raise_on_error=False,
        instance=instance or dg.DagsterInstance.ephemeral(),
        tags=tags,
    )
    failures = [event.step_failure_data for event in done.all_events if event.is_step_failure]
    told = " ".join(
        str(failed.user_failure_data.description if failed.user_failure_data else failed.error) for failed in failures
    )
    published = done.get_asset_materialization_events()
    return Ran(
        success=done.success,
        told=told,
        metadata={name: value.value for each in published for name, value in each.materialization.metadata.items()},
        checks={each.check_name: each.passed for each in done.get_asset_check_evaluations()},
        descriptions=[str(each.description) for each in done.get_asset_check_evaluations()],
    )


def rows(table: Contract = SALES) -> list[tuple[Any, ...]]:
    """The published rows, sorted."""
    with LakeSession(Settings.load()) as session:
        return sorted(session.rows(current_table(session, table)))
