"""Contracts: the tables that sources fill, each with its lake, its partitions and the columns of its schema.

A source is declared in ``assets`` and names the contract of the table that it fills.
"""

from __future__ import annotations

from typing import Any, Final

import dagster as dg

import mlops_assets as ma
from territories.schemas import ChurnLabel, CustomerExport, Order

RESTRICTED: Final = ma.Lake("restricted", personal=True)
CURATED: Final = ma.Lake("curated")
MONTHS: Final = dg.MonthlyPartitionsDefinition("2024-01", end_date="2024-09", fmt="%Y-%m")

_MONTHLY: Final[dict[str, Any]] = {
    "layer": "raw",
    "lake": RESTRICTED,
    "owners": ["team:plumbing"],
    "partitions_def": MONTHS,
    "partition_columns": {"month": "month"},
    "subject": {"customer": "customer_id"},
}

CUSTOMER_EXPORT: Final = ma.Contract(
    table="customer_export",
    model=CustomerExport,
    description="The customers at the end of a month, as the sales department exports them: one CSV file a month.",
    # Kept as it came; whoever is there twice is counted once further on, and the comparison says so.
    duplicate_keys_warn=True,
    **_MONTHLY,
)
ORDERS: Final = ma.Contract(
    table="orders", model=Order, description="What was ordered in a month, by the shop's REST API.", **_MONTHLY
)
CHURN_LABELS: Final = ma.Contract(
    table="churn_labels",
    model=ChurnLabel,
    description="Who left in a month, from the database of the customer service.",
    **_MONTHLY,
)
