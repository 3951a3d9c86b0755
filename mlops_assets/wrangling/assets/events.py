"""The asset ``variance/events``.

Put here its wiring. Keep out how sources become one list, which is `mlops_assets.wrangling.named_events`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.contracts import events as contract
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import compared
from mlops_assets.wrangling import named_events as transform

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.platform.contracts.contract import Contract


def _all_of(table: Contract) -> In:
    return In(table, partition_mapping=dg.AllPartitionMapping(), optional=True)


@asset(
    contract=contract.EVENTS,
    ins={
        "voter_events": _all_of(compared.VOTERS.events()),
        "result_events": _all_of(compared.RESULTS.events()),
        "profile_events": _all_of(compared.PROFILES.events()),
        "registration_events": _all_of(compared.REGISTRATIONS.events()),
    },
    automation_condition=on_new_data(),
)
def events(
    voter_events: ir.Table,
    result_events: ir.Table,
    profile_events: ir.Table,
    registration_events: ir.Table,
    versions: Mapping[str, Mapping[str, str]],
) -> dg.MaterializeResult[pa.Table]:
    """Every named event of every source, with what people said of it."""
    found = (voter_events, result_events, profile_events, registration_events)
    rows = transform.named_events(
        transform.Found(
            events={name: table.to_pyarrow().to_pylist() for name, table in zip(contract.SOURCES, found, strict=True)},
            compared_months=versions["voter_events"].keys(),
        )
    )
    causes = Counter(row["cause"] for row in rows.to_pylist() if not row["same_as"])
    return dg.MaterializeResult(value=rows, metadata=dict(causes))
