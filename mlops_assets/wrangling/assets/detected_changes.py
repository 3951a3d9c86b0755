"""The assets ``variance/result_changes``, ``variance/profile_changes`` and ``variance/registration_changes``.

Put here their wiring. Keep out the comparison, which is `mlops_assets.wrangling.detected_changes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.contracts import partitions, variance, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.wrangling import detected_changes as transform

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir
    import pyarrow as pa

    from mlops_assets.platform.assets.step import Partition


def _compared(versions: Mapping[str, str]) -> dict[str, str]:
    return {"compared": ", ".join(sorted(versions)) or "none"}


@asset(
    contract=variance.RESULT_CHANGES,
    ins={
        "house_results": In(
            wrangled.HOUSE_RESULTS,
            partition_mapping=partitions.RESULTS_TO_CHANGES,
            also=partitions.RESULTS_OF_THE_PAST,
            optional=True,
        )
    },
    code_version="2",
    automation_condition=on_new_data(),
)
def result_changes(
    house_results: ir.Table, partition: Partition, versions: Mapping[str, Mapping[str, str]]
) -> dg.MaterializeResult[pa.Table]:
    """What happened to each state's districts since the election before; no rows where too few are known."""
    rows = transform.result_changes(house_results, election=partition.values["election"])
    return dg.MaterializeResult(value=rows, metadata=_compared(versions["house_results"]))


@asset(
    contract=variance.PROFILE_CHANGES,
    ins={
        "profiles": In(
            wrangled.DISTRICT_PROFILES,
            partition_mapping=partitions.PROFILES_TO_CHANGES,
            also=partitions.PROFILES_OF_THE_PAST,
            optional=True,
        )
    },
    automation_condition=on_new_data(),
)
def profile_changes(
    profiles: ir.Table, partition: Partition, versions: Mapping[str, Mapping[str, str]]
) -> dg.MaterializeResult[pa.Table]:
    """What happened to each state's districts since the profile before; no rows where too few are known."""
    rows = transform.profile_changes(profiles, year=partition.values["year"])
    return dg.MaterializeResult(value=rows, metadata=_compared(versions["profiles"]))


@asset(
    contract=variance.REGISTRATION_CHANGES,
    ins={
        "registrations": In(
            wrangled.COUNTY_REGISTRATIONS,
            partition_mapping=partitions.REGISTRATIONS_TO_CHANGES,
            also=partitions.REGISTRATIONS_OF_THE_PAST,
            optional=True,
        )
    },
    automation_condition=on_new_data(),
)
def registration_changes(
    registrations: ir.Table, partition: Partition, versions: Mapping[str, Mapping[str, str]]
) -> dg.MaterializeResult[pa.Table]:
    """What happened to each state's counties since the statistic before; no rows where too few are known."""
    rows = transform.registration_changes(registrations, month=partition.values["month"])
    return dg.MaterializeResult(value=rows, metadata=_compared(versions["registrations"]))
