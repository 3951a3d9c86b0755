"""Schemas: the columns of each table, and the rules that its rows keep."""

from __future__ import annotations

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa

TERRITORIES = tuple(f"T{number:02}" for number in range(1, 13))
SEGMENTS = ("SMB", "MID", "ENT")


class CustomerExport(pa.DataFrameModel):
    """One row for each customer at the end of a month, as the sales department exports them."""

    month: dt.String
    customer_id: dt.String = pa.Field(str_matches=r"^C[0-9]{6}$", metadata={"personal": True})
    name: dt.String = pa.Field(metadata={"personal": True})
    email: dt.String = pa.Field(metadata={"personal": True})
    address: dt.String = pa.Field(metadata={"personal": True})
    territory: dt.String = pa.Field(isin=TERRITORIES)
    segment: dt.String
    monthly_spend: dt.Float64 = pa.Field(ge=0, description="Dollars in the month.")

    class Config:
        """No customer twice in a month."""

        unique = ("month", "customer_id")

    @pa.dataframe_check(name="known_segment", raise_warning=True)
    @classmethod
    def known_segment(cls, data: pa.IbisData) -> ir.BooleanValue:
        """A segment that nobody has heard of is worth a look, and no reason to hold the month back."""
        return data.table.segment.isin(SEGMENTS)


class Order(pa.DataFrameModel):
    """One row for each order of a month."""

    month: dt.String
    order_id: dt.Int64
    customer_id: dt.String = pa.Field(str_matches=r"^C[0-9]{6}$", metadata={"personal": True})
    amount: dt.Float64 = pa.Field(ge=0, description="Dollars.")

    class Config:
        """No order twice."""

        unique = ("month", "order_id")


class ChurnLabel(pa.DataFrameModel):
    """One row for each customer of a month, and whether he left in it."""

    month: dt.String
    customer_id: dt.String = pa.Field(str_matches=r"^C[0-9]{6}$", metadata={"personal": True})
    churned: dt.Boolean

    class Config:
        """No customer twice in a month."""

        unique = ("month", "customer_id")


class Territory(pa.DataFrameModel):
    """One row for each month, territory and segment: how many customers, and what they spend."""

    month: dt.String
    territory: dt.String = pa.Field(isin=TERRITORIES)
    segment: dt.String
    customers: dt.Int64 = pa.Field(ge=1)
    monthly_spend: dt.Float64 = pa.Field(
        ge=0, description="Dollars of all of them in the month.", metadata={"decimals": 2}
    )

    class Config:
        """One row for each of these."""

        unique = ("month", "territory", "segment")


class Customer(pa.DataFrameModel):
    """One row for each customer at the end of a month, by pseudonym."""

    month: dt.String
    customer_token: dt.String = pa.Field(str_matches=r"^[0-9a-f]{32}$", description="Stands for a customer.")
    address_token: dt.String = pa.Field(str_matches=r"^[0-9a-f]{32}$", description="Stands for an address.")
    territory: dt.String = pa.Field(isin=TERRITORIES)
    segment: dt.String
    monthly_spend: dt.Float64 = pa.Field(ge=0, description="Dollars in the month.")
    copies: dt.Int64 = pa.Field(ge=1, description="How often the export has the customer.")

    class Config:
        """No customer twice in a month."""

        unique = ("month", "customer_token")
