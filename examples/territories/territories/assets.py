"""Assets: the customers as exported, and their territories without anybody's name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
from pyarrow import csv

import mlops_assets as ma
from territories.schemas import CustomerExport, Territory

if TYPE_CHECKING:
    import ibis.expr.types as ir

RESTRICTED = ma.Lake("restricted", personal=True)
CURATED = ma.Lake("curated")
MONTHS = dg.StaticPartitionsDefinition([f"2024-{month:02}" for month in range(1, 9)])
BY_MONTH = {"partition_expr": "month"}


def sources() -> Path:
    """The folder that the sales department exports to: TERRITORIES_SOURCES, or ``sources`` where the project runs."""
    return Path(os.environ.get("TERRITORIES_SOURCES", "sources"))


@ma.asset(
    key="raw/customer_export",
    schema=CustomerExport,
    lake=RESTRICTED,
    partitions_def=MONTHS,
    metadata=BY_MONTH,
    owners=["team:plumbing"],
)
def customer_export(partition: ma.Partition) -> pa.Table:
    """The customers at the end of a month, as the sales department exports them: one CSV file a month."""
    file = sources() / "customers" / f"{partition.key}.csv"
    if not file.is_file():
        raise ma.PlatformError(
            source=f"The export {file}",
            culprit="the file is not there.",
            remedy="Make the sources with territories-sources, or name their folder in TERRITORIES_SOURCES.",
        )
    return csv.read_csv(file)


@ma.asset(
    key="wrangled/territories",
    schema=Territory,
    lake=CURATED,
    partitions_def=MONTHS,
    metadata=BY_MONTH,
    owners=["team:wrangling"],
    ins={"export": ma.In("raw/customer_export")},
    automation_condition=ma.on_new_data(),
)
def territories(export: ir.Table) -> ir.Table:
    """How many customers each territory has in each segment, and what they spend."""
    return export.group_by("month", "territory", "segment").aggregate(
        customers=export.count(), monthly_spend=export.monthly_spend.sum()
    )
