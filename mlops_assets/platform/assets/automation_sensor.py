"""The automation sensor: evaluates the conditions of a code location's assets, and asks for runs.

Put here what Dagster is asked for at a tick. Keep out conditions (``automation``) and which partitions are made in one
run (``ranges``).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster._utils.warnings import BetaWarning, PreviewWarning

from mlops_assets.platform.assets.ranges import in_ranges
from mlops_assets.platform.contracts import rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.platform.contracts.contract import Contract

TICK_SECONDS: Final = 5


class AutomationSensor(dg.AutomationConditionSensorDefinition):
    """The running sensor that evaluates the conditions of these assets, and asks for their partitions in few runs.

    Dagster's own starts stopped and asks for a run for each partition, or for a backfill, at which another daemon looks
    every half minute. Conditions are evaluated in the code location, since only there the runs can be put together.

    Args:
        name: the sensor's.
        assets: those that it asks for.
        elsewhere: tables that these assets read and other code locations make. Their checks hold consumers back too.
        metadata: the sensor's.
    """

    def __init__(
        self,
        name: str,
        assets: Sequence[dg.AssetsDefinition],
        elsewhere: Sequence[Contract] = (),
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._assets = {key: definition for definition in assets for key in definition.keys}
        self._elsewhere = {contract.key: contract for contract in elsewhere}
        self._whole: tuple[dg.RepositoryDefinition, frozenset[dg.AssetCheckKey], dg.RepositoryDefinition] | None = None
        with warnings.catch_warnings():
            # Automation sensors that are evaluated in the code location are in beta, as is a name of their own.
            warnings.simplefilter("ignore", BetaWarning)
            super().__init__(
                name,
                target=dg.AssetSelection.assets(*sorted(self._assets)),
                default_status=dg.DefaultSensorStatus.RUNNING,
                minimum_interval_seconds=TICK_SECONDS,
                emit_backfills=False,
                use_user_code_server=True,
                metadata=metadata,
            )

    def with_attributes(
        self,
        *,
        jobs: Sequence[object] | None = None,  # noqa: ARG002  Dagster's signature
        metadata: Mapping[str, Any] | None = None,
    ) -> AutomationSensor:
        """The sensor with other metadata; Dagster's would be one of its own class."""
        given = self.metadata if metadata is None else metadata
        return AutomationSensor(self.name, list(self._assets.values()), list(self._elsewhere.values()), metadata=given)

    def evaluate_tick(self, context: dg.SensorEvaluationContext) -> Any:  # noqa: ANN401  no public class
        """What is asked for now."""
        # Without log_key: Dagster would keep a file of each tick's log for ever.
        with dg.SensorEvaluationContext(
            instance_ref=context.instance_ref,
            instance=context.instance,
            last_tick_completion_time=context.last_tick_completion_time,
            last_run_key=context.last_run_key,
            cursor=context.cursor,
            log_key=None,
            repository_name=None,
            repository_def=self._with_checks_elsewhere(context.repository_def, context.instance),
            sensor_name=self.name,
        ) as whole:
            return super().evaluate_tick(whole)

    def resolve_run_requests(
        self,
        run_requests: Sequence[dg.RunRequest],
        context: dg.SensorEvaluationContext,
        *rest: Any,  # noqa: ANN401
    ) -> Sequence[dg.RunRequest]:
        """The runs for these requests."""
        resolved = super().resolve_run_requests(run_requests, context, *rest)
        location = context.repository_def
        return in_ranges(resolved, location.assets_defs_by_key if location is not None else {}, context.instance)

    def _with_checks_elsewhere(
        self, location: dg.RepositoryDefinition | None, instance: dg.DagsterInstance
    ) -> dg.RepositoryDefinition | None:
        """The code location, with the tables that others make as if they were made here.

        It knows them as specs alone, which have no checks. A check that was never told of is left out: the other
        location may have the contract in another version, and nobody would ever pass it.
        """
        if location is None or not self._elsewhere:
            return location
        specs = {contract.key: _check_specs(contract) for contract in self._elsewhere.values()}
        told = frozenset(
            instance.event_log_storage.get_latest_asset_check_execution_by_key(
                [spec.key for of_one in specs.values() for spec in of_one]
            )
        )
        if self._whole is None or self._whole[0] is not location or self._whole[1] != told:
            own = {*location.assets_defs_by_key.values()}
            whole = dg.Definitions(
                assets=[
                    *(each for each in own if self._elsewhere.keys().isdisjoint(each.keys)),
                    *location.source_assets_by_key.values(),
                    *(
                        _as_if_made_here(contract, [spec for spec in specs[key] if spec.key in told])
                        for key, contract in self._elsewhere.items()
                    ),
                ],
                asset_checks=[*{*location.asset_checks_defs_by_key.values()}],
            ).get_repository_def()
            self._whole = (location, told, whole)
        return self._whole[2]


def _check_specs(contract: Contract) -> list[dg.AssetCheckSpec]:
    with warnings.catch_warnings():
        # Partitioned checks are in preview.
        warnings.simplefilter("ignore", PreviewWarning)
        return rules.check_specs(contract)


def _as_if_made_here(contract: Contract, checks: Sequence[dg.AssetCheckSpec]) -> dg.AssetsDefinition:
    @dg.asset(key=contract.key, partitions_def=contract.partitions_def, check_specs=checks)
    def made_elsewhere():  # type: ignore[no-untyped-def]  # noqa: ANN202  Dagster reads the annotation
        """Never called."""

    return made_elsewhere
