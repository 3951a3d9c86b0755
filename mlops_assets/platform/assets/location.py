"""Code locations: putting the assets of one pipeline together with what every pipeline needs.

Put here what all locations share. Keep out any pipeline's own assets, schedules and sensors.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import dagster as dg
from dagster._utils.warnings import BetaWarning

from mlops_assets.platform.assets.alerts import alert_sensor
from mlops_assets.platform.assets.automation import automation_sensor
from mlops_assets.platform.assets.published import contract_of, reads_of
from mlops_assets.platform.assets.reconciler import reconciler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.platform.contracts.contract import Contract


def location(
    *,
    name: str,
    assets: Sequence[dg.AssetsDefinition],
    schedules: Sequence[dg.ScheduleDefinition] = (),
    sensors: Sequence[dg.SensorDefinition] = (),
    jobs: Sequence[dg.JobDefinition] = (),
    by_hand: Sequence[Contract] = (),
) -> dg.Definitions:
    """The definitions of one code location.

    Tables written by hand (``addition``) are made by no asset here; their specs are added and their publishes reported.

    Adds the specs of upstream tables that other locations make (without their partitions Dagster could not map ours),
    the automation sensor, the reconciler of lost events and the alert sensor of these assets.
    """
    own = {key for definition in assets for key in definition.keys}
    contracts = [contract for definition in assets if (contract := contract_of(definition)) is not None]
    foreign = {
        read.contract.key: read.contract.spec()
        for definition in assets
        for read in reads_of(definition)
        if read.contract.key not in own
    }
    described = {contract.key: contract.described_spec() for contract in by_hand}
    with warnings.catch_warnings():
        # Automation sensors with a name of their own are in beta; Dagster's default one would start stopped.
        warnings.simplefilter("ignore", BetaWarning)
        automation = automation_sensor(f"{name}_automation", sorted(own))
    return dg.Definitions(
        assets=[*assets, *{**foreign, **described}.values()],
        # Runs have one step or a few short ones; a process for each would cost more than it gives.
        executor=dg.in_process_executor,
        schedules=list(schedules),
        jobs=list(jobs),
        sensors=[
            automation,
            reconciler(f"{name}_reconciler", [*contracts, *by_hand]),
            alert_sensor(f"{name}_alerts", [spec for definition in assets for spec in definition.specs]),
            *sensors,
        ],
    )
