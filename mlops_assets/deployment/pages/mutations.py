"""Mutations: all that can be asked to change, with the permission that each needs, and three gaps closed.

Put here what is decided about a mutation of Dagster's schema. Keep out who has which permission (``permissions``).

Dagster checks permissions itself. Beside its checks

- a mutation that is not in the table is refused: an upgrade that brings one brings it closed;
- whoever names a code location, or a run of one, needs the permission there. Dagster judges a run of assets by the
  assets alone, wherever it is started: of an asset that two locations know, one is asked;
- a tag that Dagster or the launcher steers by is nobody's to give (``run_tags``);
- a schedule or sensor is stopped by the two halves of one id. Dagster judges the first half and stops what the second
  names, so that one's own first half would stop anybody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from dagster._core.workspace.permissions import LOCATION_SCOPED_PERMISSIONS, Permissions
from graphql import GraphQLError

from mlops_assets.deployment.pages.run_tags import refused_tag

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from dagster._core.remote_representation.external import RemoteRepository, RemoteSchedule, RemoteSensor
    from dagster._core.workspace.context import WorkspaceRequestContext
    from graphql import GraphQLResolveInfo

PERMISSIONS: Final[Mapping[str, Permissions | None]] = {
    "launchPipelineExecution": Permissions.LAUNCH_PIPELINE_EXECUTION,
    "launchRun": Permissions.LAUNCH_PIPELINE_EXECUTION,
    "launchMultipleRuns": Permissions.LAUNCH_PIPELINE_EXECUTION,
    "launchPipelineReexecution": Permissions.LAUNCH_PIPELINE_REEXECUTION,
    "launchRunReexecution": Permissions.LAUNCH_PIPELINE_REEXECUTION,
    "terminatePipelineExecution": Permissions.TERMINATE_PIPELINE_EXECUTION,
    "terminateRun": Permissions.TERMINATE_PIPELINE_EXECUTION,
    "terminateRuns": Permissions.TERMINATE_PIPELINE_EXECUTION,
    "deletePipelineRun": Permissions.DELETE_PIPELINE_RUN,
    "deleteRun": Permissions.DELETE_PIPELINE_RUN,
    "launchPartitionBackfill": Permissions.LAUNCH_PARTITION_BACKFILL,
    "resumePartitionBackfill": Permissions.LAUNCH_PARTITION_BACKFILL,
    "reexecutePartitionBackfill": Permissions.LAUNCH_PARTITION_BACKFILL,
    "cancelPartitionBackfill": Permissions.CANCEL_PARTITION_BACKFILL,
    "startSchedule": Permissions.START_SCHEDULE,
    "stopRunningSchedule": Permissions.STOP_RUNNING_SCHEDULE,
    "resetSchedule": Permissions.START_SCHEDULE,
    "scheduleDryRun": Permissions.SCHEDULE_DRY_RUN,
    "startSensor": Permissions.EDIT_SENSOR,
    "stopSensor": Permissions.EDIT_SENSOR,
    "resetSensor": Permissions.EDIT_SENSOR,
    "setSensorCursor": Permissions.UPDATE_SENSOR_CURSOR,
    "sensorDryRun": Permissions.SENSOR_DRY_RUN,
    "wipeAssets": Permissions.WIPE_ASSETS,
    "reportRunlessAssetEvents": Permissions.REPORT_RUNLESS_ASSET_EVENTS,
    "reportAssetCheckEvaluations": Permissions.REPORT_RUNLESS_ASSET_EVENTS,
    "addDynamicPartition": Permissions.EDIT_DYNAMIC_PARTITIONS,
    "deleteDynamicPartitions": Permissions.EDIT_DYNAMIC_PARTITIONS,
    "reloadRepositoryLocation": Permissions.RELOAD_REPOSITORY_LOCATION,
    "shutdownRepositoryLocation": Permissions.RELOAD_REPOSITORY_LOCATION,
    "reloadWorkspace": Permissions.RELOAD_WORKSPACE,
    "setAppManagedComponent": Permissions.EDIT_APP_MANAGED_COMPONENTS,
    "deleteAppManagedComponent": Permissions.EDIT_APP_MANAGED_COMPONENTS,
    "refreshComponentState": Permissions.REFRESH_COMPONENT_STATE,
    "setAutoMaterializePaused": Permissions.TOGGLE_AUTO_MATERIALIZE,
    "setConcurrencyLimit": Permissions.EDIT_CONCURRENCY_LIMIT,
    "deleteConcurrencyLimit": Permissions.EDIT_CONCURRENCY_LIMIT,
    "freeConcurrencySlots": Permissions.EDIT_CONCURRENCY_LIMIT,
    "freeConcurrencySlotsForRun": Permissions.EDIT_CONCURRENCY_LIMIT,
    # The pages ask for these by themselves, whoever looks: telemetry is off, and the other one ends a greeting.
    "logTelemetry": None,
    "setNuxSeen": None,
}
"""Each mutation, with the permission that it needs in the location that it concerns; ``None`` if anybody may."""

_INSTIGATORS: Final[Mapping[str, Callable[[RemoteRepository], list[RemoteSchedule] | list[RemoteSensor]]]] = {
    "stopRunningSchedule": lambda repository: list(repository.get_schedules()),
    "stopSensor": lambda repository: list(repository.get_sensors()),
}
_LOCATION_ARGUMENTS: Final = frozenset({"repositoryLocationName", "locationName"})
_RUN_ARGUMENTS: Final = frozenset({"runId", "runIds", "parentRunId", "rootRunId"})
_FREE_ARGUMENT: Final = "runConfigData"


def guarded(mutation: str, resolve: Callable[..., Any]) -> Callable[..., Any]:
    """The mutation's resolver, for those who may ask for it.

    Args:
        mutation: its name in the schema.
        resolve: Dagster's own resolver, which checks permissions as well.

    Returns:
        A resolver that raises ``GraphQLError`` where the mutation is not decided on or the asker lacks the permission.
    """

    def judged(root: object, info: GraphQLResolveInfo, **given: object) -> object:
        if (fault := _fault(mutation, given, info.context)) is not None:
            # With the place it is told as it is, and not as a fault of the server.
            raise GraphQLError(fault, nodes=info.field_nodes, path=info.path.as_list())
        return resolve(root, info, **given)

    return judged


def _fault(mutation: str, given: Mapping[str, object], context: WorkspaceRequestContext) -> str | None:
    if mutation not in PERMISSIONS:
        return f"Nobody may {mutation}: what it needs is not decided."
    permission = PERMISSIONS[mutation]
    if permission is None:
        return None
    if permission not in LOCATION_SCOPED_PERMISSIONS:
        return None if context.has_permission(permission) else f"You may not {mutation}."
    for location in _locations(given, context.instance):
        if not context.has_permission_for_location(permission, location):
            return f"You may not {mutation} in {location}."
    if (tag := refused_tag(given, context.instance)) is not None:
        return f"You may not {mutation} with the tag {tag}: Dagster sets it itself."
    return _fault_of_id(mutation, permission, given, context)


def _fault_of_id(
    mutation: str, permission: Permissions, given: Mapping[str, object], context: WorkspaceRequestContext
) -> str | None:
    if mutation not in _INSTIGATORS or context.has_permission(permission):
        return None
    own = {
        each.get_compound_id().to_string()
        for location in context.code_locations
        if context.has_permission_for_location(permission, location.name)
        for repository in location.get_repositories().values()
        for each in _INSTIGATORS[mutation](repository)
    }
    if set(given) != {"id"} or given["id"] not in own:
        return "Give the id of a schedule or sensor that you may stop, and nothing else."
    return None


def _locations(given: object, instance: DagsterInstance) -> Iterator[str]:
    """The code locations that a mutation's arguments name, and those of the runs that they name."""
    if isinstance(given, Mapping):
        for name, value in given.items():
            if name in _LOCATION_ARGUMENTS:
                yield value
            elif name in _RUN_ARGUMENTS:
                for run_id in [value] if isinstance(value, str) else value or []:
                    run = instance.get_run_by_id(run_id)
                    if run is not None and run.remote_job_origin is not None:
                        yield run.remote_job_origin.location_name
            elif name != _FREE_ARGUMENT:
                yield from _locations(value, instance)
    elif isinstance(given, list):
        for value in given:
            yield from _locations(value, instance)
