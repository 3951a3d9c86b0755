"""The contract of the orders that ``bench/audit.py`` audits.

Put here the sixteen rules as the platform is told them. Keep out their words and the rows (``audit_orders``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis.expr.datatypes as dt
import pandera.ibis as pandera
from audit_orders import COUNTRIES, EMAIL, SKU, STATES

from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake

if TYPE_CHECKING:
    import ibis.expr.types as ir


class OrderModel(pandera.DataFrameModel):
    """One row per order."""

    order_id: dt.Int64 = pandera.Field(nullable=False)
    customer: dt.String = pandera.Field(nullable=False, str_length={"min_value": 6, "max_value": 12})
    country: dt.String = pandera.Field(nullable=False, isin=COUNTRIES)
    status: dt.String = pandera.Field(nullable=False, isin=STATES)
    sku: dt.String = pandera.Field(nullable=True, str_matches=SKU)
    email: dt.String = pandera.Field(nullable=True, str_matches=EMAIL)
    quantity: dt.Int64 = pandera.Field(nullable=True, in_range={"min_value": 1, "max_value": 100})
    amount: dt.Float64 = pandera.Field(nullable=False, in_range={"min_value": 0, "max_value": 100_000})
    discount: dt.Float64 = pandera.Field(nullable=True, in_range={"min_value": 0, "max_value": 1})
    ordered_at: dt.Timestamp = pandera.Field(nullable=False)
    shipped_at: dt.Timestamp = pandera.Field(nullable=True)

    class Config:
        """Strict, keyed by order."""

        strict = True
        unique = ("order_id",)

    @pandera.dataframe_check(name="shipped_after_ordered")
    @classmethod
    def shipped_after_ordered(cls, data: pandera.IbisData) -> ir.BooleanValue:
        """Nothing is shipped before it was ordered."""
        orders = data.table
        return orders.shipped_at.isnull() | orders.ordered_at.isnull() | (orders.shipped_at >= orders.ordered_at)


ORDERS: Final = Contract(
    layer="raw",
    table="orders",
    model=OrderModel,
    lake=Lake("curated"),
    description="What was ordered.",
    owners=["team:sales"],
)
