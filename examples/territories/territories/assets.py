"""Assets: what three sources give, customers and territories without anybody's name, and what is served of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

import mlops_assets as ma
from territories.contracts import CHURN_LABELS, CURATED, CUSTOMER_EXPORT, MONTHS, ORDERS
from territories.schemas import Customer, Territory

if TYPE_CHECKING:
    import ibis.expr.types as ir

CUSTOMERS: Final = ma.FileSource(
    contract=CUSTOMER_EXPORT,
    path=dg.EnvVar("TERRITORIES_SOURCES"),
    file="customers/{month}.csv",
    whole=ma.Checksum(),
    cron="0 6 2 * *",
)
SHOP: Final = ma.RestSource(
    contract=ORDERS,
    url=dg.EnvVar("TERRITORIES_ORDERS_URL"),
    query={"month": "{month}"},
    auth=ma.Bearer(secret=ma.Secret(env="TERRITORIES_ORDERS_TOKEN")),
    paginate=ma.PageNumber(total="total"),
    rows="items",
    cron="0 6 2 * *",
)
SERVICE: Final = ma.SqlSource(
    contract=CHURN_LABELS,
    database=ma.Sqlite(path=dg.EnvVar("TERRITORIES_LABELS")),
    table="churn",
    where="month = :month",
    cron="0 6 2 * *",
)


@ma.asset(
    key="wrangled/customers",
    schema=Customer,
    lake=CURATED,
    partitions_def=MONTHS,
    metadata={"partition_expr": "month"},
    owners=["team:wrangling"],
    subject={"customer_token": "customer_token"},
    ins={"export": ma.In("raw/customer_export")},
    automation_condition=ma.on_new_data(),
)
def customers(export: ir.Table, settings: ma.Settings) -> ir.Table:
    """Who the customers of a month are, by pseudonym, and what they spend; each once, however often he was exported."""
    rows = export.group_by("month", "customer_id", "address", "territory", "segment", "monthly_spend").aggregate(
        copies=export.count()
    )
    return ma.pseudonymised(rows, settings, {"customer_token": "customer_id", "address_token": "address"})


COMPARED: Final = ma.Compare(
    table=customers,
    entity="customer_token",
    unit="territory",
    address=["address_token"],
    attributes=["segment"],
    copies="copies",
    called="customer",
)
_GATE: Final = COMPARED.gate()


@ma.asset(
    key="wrangled/territories",
    schema=Territory,
    lake=CURATED,
    partitions_def=MONTHS,
    metadata={"partition_expr": "month"},
    owners=["team:wrangling"],
    ins={"customers": ma.In("wrangled/customers"), "events": _GATE.input},
    check_specs=_GATE.checks("wrangled/territories"),
    automation_condition=ma.on_new_data(needs=[_GATE.events.key]),
)
def territories(customers: ir.Table, events: ir.Table, settings: ma.Settings) -> dg.MaterializeResult[ir.Table]:
    """How many customers each territory has in each segment, and what they spend; unless segments were redefined."""
    rows = customers.group_by("month", "territory", "segment").aggregate(
        customers=customers.count(), monthly_spend=customers.monthly_spend.sum()
    )
    return dg.MaterializeResult(value=rows, check_results=_GATE.judged(events, settings.entry_policy))


SERVED_CUSTOMERS: Final = ma.Served(
    table="wrangled/customers",
    limit_by=["territory"],
    latest="month",
    columns=["month", "customer_token", "territory", "segment", "monthly_spend"],
)
SERVED_TERRITORIES: Final = ma.Served(
    table="wrangled/territories", limit_by=["territory"], filters=["month", "territory", "segment"], latest="month"
)
