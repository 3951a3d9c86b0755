"""The asset ``variance/events``.

Put here its wiring. Keep out how sources become one list, which is `mlops_assets.wrangling.named_events`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.contracts import events as contract
from mlops_assets.contracts import variance
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
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
        "voter_events": _all_of(variance.VOTER_EVENTS),
        "result_changes": _all_of(variance.RESULT_CHANGES),
        "profile_changes": _all_of(variance.PROFILE_CHANGES),
        "registration_changes": _all_of(variance.REGISTRATION_CHANGES),
        "voter_verdicts": _all_of(contract.VOTER_VERDICTS),
        "result_verdicts": _all_of(contract.RESULT_VERDICTS),
        "profile_verdicts": _all_of(contract.PROFILE_VERDICTS),
        "registration_verdicts": _all_of(contract.REGISTRATION_VERDICTS),
    },
    automation_condition=on_new_data(),
)
def events(
    voter_events: ir.Table,
    result_changes: ir.Table,
    profile_changes: ir.Table,
    registration_changes: ir.Table,
    voter_verdicts: ir.Table,
    result_verdicts: ir.Table,
    profile_verdicts: ir.Table,
    registration_verdicts: ir.Table,
    versions: Mapping[str, Mapping[str, str]],
) -> dg.MaterializeResult[pa.Table]:
    """Every named event of every source, with what people said of it."""
    detected = {
        variance.RESULT_CHANGES.table: result_changes,
        variance.PROFILE_CHANGES.table: profile_changes,
        variance.REGISTRATION_CHANGES.table: registration_changes,
    }
    verdicts = (voter_verdicts, result_verdicts, profile_verdicts, registration_verdicts)
    rows = transform.named_events(
        transform.Found(
            voter_events=voter_events.to_pyarrow().to_pylist(),
            detected={name: table.to_pyarrow().to_pylist() for name, table in detected.items()},
            verdicts=[row for table in verdicts for row in table.to_pyarrow().to_pylist()],
            compared_months=versions["voter_events"].keys(),
        )
    )
    causes = Counter(row["cause"] for row in rows.to_pylist() if not row["same_as"])
    return dg.MaterializeResult(value=rows, metadata={cause: causes[cause] for cause in variance.EVENT_CAUSES})
