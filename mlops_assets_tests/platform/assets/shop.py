"""The shop: a small table of sales, that the tests of assets in Dagster's habits share.

Put here what they publish and how they look at it. Keep out assertions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pandera

from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from mlops_assets.platform.contracts.contract import Contract


SHOP: Final = Lake("shop")


class Sales(pandera.DataFrameModel):
    """One row for each day and till."""

    day: dt.String
    till: dt.String
    amount: dt.Float64 = pandera.Field(ge=0)

    class Config:
        """Keyed by day and till."""

        unique = ("day", "till")


class Total(pandera.DataFrameModel):
    """One row."""

    amount: dt.Float64


def sold(day: str, till: str = "north", amount: float = 1.0) -> ir.Table:
    """One sale."""
    return ibis.memtable({"day": [day], "till": [till], "amount": [amount]})


def contract_of(definition: dg.AssetsDefinition) -> Contract:
    """The contract that the decorator has made."""
    from mlops_assets.platform.assets.inputs import contract_of as found  # noqa: PLC0415  the same name

    contract = found(definition)
    assert contract is not None
    return contract


def rows(definition: dg.AssetsDefinition) -> list[dict[str, Any]]:
    """What is published of the asset's table, sorted by its columns."""
    with LakeSession(Settings.load()) as session:
        table = current_table(session, contract_of(definition))
        found: list[dict[str, Any]] = table.order_by(table.columns).to_pyarrow().to_pylist()
        return found
