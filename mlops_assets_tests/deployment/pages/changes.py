"""Everything that can be asked to change: for each mutation of the schema the question, and who may ask it.

Put here a mutation and what it is asked about. Keep out asking as a role.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dagster._core.execution.backfill import BulkActionStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.deployment.pages.asking import Served

_REPOSITORY: Final = "__repository__"
_NUMBERS: Final = itertools.count(1)

LAUNCH: Final = "mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename %s } }"


def execution(location: str) -> dict[str, Any]:
    """Parameters of a run of the location's named job."""
    selector = {
        "repositoryLocationName": location,
        "repositoryName": _REPOSITORY,
        "jobName": f"{location}_job",
    }
    return {"selector": selector, "mode": "default", "runConfigData": {}}


def materialization(location: str, *keys: list[str]) -> dict[str, Any]:
    """Parameters of a run of assets that is started in that location."""
    selector = {
        "repositoryLocationName": location,
        "repositoryName": _REPOSITORY,
        "jobName": "__ASSET_JOB",
        "assetSelection": [{"path": key} for key in keys],
        "assetCheckSelection": [],
    }
    return {"selector": selector, "mode": "default", "runConfigData": {}}


def run_of(served: Served, parameters: dict[str, Any]) -> str:
    """The id of a run that was launched and waits in the queue."""
    launched = served.everything.asked(LAUNCH % "... on LaunchRunSuccess { run { runId } }", p=parameters)
    return str(launched["run"]["runId"])


def backfill_of(served: Served, *locations: str) -> str:
    """The id of a backfill of one asset in each of these locations."""
    document = """mutation($p: LaunchBackfillParams!) {
      launchPartitionBackfill(backfillParams: $p) { ... on LaunchBackfillSuccess { backfillId } } }"""
    return str(served.everything.asked(document, p=_backfill(*locations))["backfillId"])


def sensor_id(served: Served, location: str) -> str:
    """The id by which the location's sensor is stopped."""
    document = "query($s: SensorSelector!) { sensorOrError(sensorSelector: $s) { ... on Sensor { id } } }"
    return str(served.everything.asked(document, s=_sensor(location))["id"])


def schedule_id(served: Served, location: str) -> str:
    """The id by which the location's schedule is stopped."""
    document = "query($s: ScheduleSelector!) { scheduleOrError(scheduleSelector: $s) { ... on Schedule { id } } }"
    return str(served.everything.asked(document, s=_schedule(location))["id"])


def _sensor(location: str) -> dict[str, str]:
    return {"repositoryLocationName": location, "repositoryName": _REPOSITORY, "sensorName": f"{location}_sensor"}


def _schedule(location: str) -> dict[str, str]:
    return {"repositoryLocationName": location, "repositoryName": _REPOSITORY, "scheduleName": f"{location}_schedule"}


def _repository(location: str) -> dict[str, str]:
    return {"repositoryLocationName": location, "repositoryName": _REPOSITORY}


def _backfill(*locations: str) -> dict[str, Any]:
    return {"assetSelection": [{"path": [each, "table"]} for each in locations], "partitionNames": ["a"]}


def _run(served: Served, location: str) -> str:
    return run_of(served, execution(location))


def _ended_backfill(served: Served, location: str) -> str:
    backfill = served.instance.get_backfill(backfill_of(served, location))
    assert backfill is not None
    served.instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_FAILED))  # type: ignore[no-untyped-call]
    return backfill.backfill_id


@dataclass(frozen=True)
class Change:
    """One mutation, and which of the roles may ask for it.

    Attributes:
        arguments: names and types of its variables, as GraphQL writes them: ``runId: String!``.
        given: their values, of something in that location.
        operates: whether it is allowed to who operates the location.
        oversees: whether it is allowed to who oversees.
        looks: whether it is allowed to everybody.
        answer: what is asked of the answer; empty for a plain value.
        done: type of the answer when it was done; ``None`` where nothing of the kind exists in these locations.
    """

    arguments: str
    given: Callable[[Served, str], dict[str, Any]]
    operates: bool = True
    oversees: bool = False
    looks: bool = False
    answer: str = "{ __typename }"
    done: str | None = None

    def document(self, mutation: str) -> str:
        """The question as GraphQL."""
        names = [each.split(":")[0].strip() for each in self.arguments.split(",") if each]
        variables = f"({', '.join(f'${each.strip()}' for each in self.arguments.split(',') if each)})" if names else ""
        passed = f"({', '.join(f'{name}: ${name}' for name in names)})" if names else ""
        return f"mutation{variables} {{ {mutation}{passed} {self.answer} }}"


_LAUNCHED = Change(
    "executionParams: ExecutionParams!", lambda _, at: {"executionParams": execution(at)}, done="LaunchRunSuccess"
)
_AGAIN = Change(
    "reexecutionParams: ReexecutionParams",
    lambda served, at: {"reexecutionParams": {"parentRunId": _run(served, at), "strategy": "ALL_STEPS"}},
    done="LaunchRunSuccess",
)
_ENDED = Change(
    "runId: String!",
    lambda served, at: {"runId": _run(served, at)},
    oversees=True,
    answer="{ __typename ... on TerminateRunFailure { message } }",
    done="TerminateRunSuccess",
)
_DELETED = Change("runId: String!", lambda served, at: {"runId": _run(served, at)}, done="DeletePipelineRunSuccess")
_SLOTS_FREED = Change(
    "runId: String!", lambda _served, _at: {"runId": "none"}, operates=False, oversees=True, answer=""
)

CHANGES: Final[dict[str, Change]] = {
    "launchPipelineExecution": _LAUNCHED,
    "launchRun": _LAUNCHED,
    "launchMultipleRuns": Change(
        "executionParamsList: [ExecutionParams!]!",
        lambda _, at: {"executionParamsList": [execution(at)]},
        answer="{ __typename ... on LaunchMultipleRunsResult { launchMultipleRunsResult { __typename } } }",
        done="LaunchRunSuccess",
    ),
    "launchPipelineReexecution": _AGAIN,
    "launchRunReexecution": _AGAIN,
    "terminatePipelineExecution": _ENDED,
    "terminateRun": _ENDED,
    "terminateRuns": Change(
        "runIds: [String!]!",
        lambda served, at: {"runIds": [_run(served, at)]},
        oversees=True,
        answer="""{ __typename ... on TerminateRunsResult {
          terminateRunResults { __typename ... on TerminateRunFailure { message } } } }""",
        done="TerminateRunSuccess",
    ),
    "deletePipelineRun": _DELETED,
    "deleteRun": _DELETED,
    "launchPartitionBackfill": Change(
        "backfillParams: LaunchBackfillParams!",
        lambda _, at: {"backfillParams": _backfill(at)},
        done="LaunchBackfillSuccess",
    ),
    "resumePartitionBackfill": Change(
        "backfillId: String!", lambda served, at: {"backfillId": backfill_of(served, at)}, done="ResumeBackfillSuccess"
    ),
    "reexecutePartitionBackfill": Change(
        "reexecutionParams: ReexecutionParams",
        lambda served, at: {"reexecutionParams": {"parentRunId": _ended_backfill(served, at), "strategy": "ALL_STEPS"}},
        done="LaunchBackfillSuccess",
    ),
    "cancelPartitionBackfill": Change(
        "backfillId: String!",
        lambda served, at: {"backfillId": backfill_of(served, at)},
        oversees=True,
        done="CancelBackfillSuccess",
    ),
    "startSchedule": Change(
        "scheduleSelector: ScheduleSelector!",
        lambda _, at: {"scheduleSelector": _schedule(at)},
        oversees=True,
        done="ScheduleStateResult",
    ),
    "stopRunningSchedule": Change(
        "id: String", lambda served, at: {"id": schedule_id(served, at)}, oversees=True, done="ScheduleStateResult"
    ),
    "resetSchedule": Change(
        "scheduleSelector: ScheduleSelector!",
        lambda _, at: {"scheduleSelector": _schedule(at)},
        oversees=True,
        done="ScheduleStateResult",
    ),
    "scheduleDryRun": Change(
        "selectorData: ScheduleSelector!, timestamp: Float",
        lambda _, at: {"selectorData": _schedule(at), "timestamp": 1.0},
        done="DryRunInstigationTick",
    ),
    "startSensor": Change(
        "sensorSelector: SensorSelector!", lambda _, at: {"sensorSelector": _sensor(at)}, oversees=True, done="Sensor"
    ),
    "stopSensor": Change(
        "id: String", lambda served, at: {"id": sensor_id(served, at)}, oversees=True, done="StopSensorMutationResult"
    ),
    "resetSensor": Change(
        "sensorSelector: SensorSelector!", lambda _, at: {"sensorSelector": _sensor(at)}, oversees=True, done="Sensor"
    ),
    "setSensorCursor": Change(
        "sensorSelector: SensorSelector!, cursor: String",
        lambda _, at: {"sensorSelector": _sensor(at), "cursor": "1"},
        done="Sensor",
    ),
    "sensorDryRun": Change(
        "selectorData: SensorSelector!, cursor: String",
        lambda _, at: {"selectorData": _sensor(at), "cursor": None},
        done="DryRunInstigationTick",
    ),
    "wipeAssets": Change(
        "assetPartitionRanges: [PartitionsByAssetSelector!]!",
        lambda _, at: {"assetPartitionRanges": [{"assetKey": {"path": [at, "plain"]}}]},
        done="AssetWipeSuccess",
    ),
    "reportRunlessAssetEvents": Change(
        "eventParams: ReportRunlessAssetEventsParams!",
        lambda _, at: {"eventParams": {"eventType": "ASSET_MATERIALIZATION", "assetKey": {"path": [at, "plain"]}}},
        done="ReportRunlessAssetEventsSuccess",
    ),
    "reportAssetCheckEvaluations": Change(
        "eventParams: ReportAssetCheckEvaluationsParams!",
        lambda _, at: {"eventParams": {"assetKey": {"path": [at, "plain"]}, "checkName": "whole", "passed": True}},
        done="ReportAssetCheckEvaluationsSuccess",
    ),
    "addDynamicPartition": Change(
        "repositorySelector: RepositorySelector!, partitionsDefName: String!, partitionKey: String!",
        lambda _, at: {
            "repositorySelector": _repository(at),
            "partitionsDefName": "keys",
            "partitionKey": f"key{next(_NUMBERS)}",
        },
        done="AddDynamicPartitionSuccess",
    ),
    "deleteDynamicPartitions": Change(
        "repositorySelector: RepositorySelector!, partitionsDefName: String!, partitionKeys: [String!]!",
        lambda _, at: {"repositorySelector": _repository(at), "partitionsDefName": "keys", "partitionKeys": ["none"]},
        done="DeleteDynamicPartitionsSuccess",
    ),
    "reloadRepositoryLocation": Change(
        "repositoryLocationName: String!",
        lambda _, at: {"repositoryLocationName": at},
        oversees=True,
        done="WorkspaceLocationEntry",
    ),
    "reloadWorkspace": Change("", lambda _served, _at: {}, operates=False, oversees=True, done="Workspace"),
    "setAppManagedComponent": Change(
        "locationName: String!, componentId: String!, componentType: String!, attributes: String!",
        lambda _, at: {"locationName": at, "componentId": "one", "componentType": "one", "attributes": "{}"},
        operates=False,
    ),
    "deleteAppManagedComponent": Change(
        "locationName: String!, componentId: String!",
        lambda _, at: {"locationName": at, "componentId": "one"},
        operates=False,
    ),
    # There is no component whose state could be refreshed.
    "refreshComponentState": Change(
        "locationName: String!, defsStateKey: String!", lambda _, at: {"locationName": at, "defsStateKey": "one"}
    ),
    "setAutoMaterializePaused": Change(
        "paused: Boolean!", lambda _served, _at: {"paused": False}, operates=False, oversees=True, answer=""
    ),
    "setConcurrencyLimit": Change(
        "concurrencyKey: String!, limit: Int!",
        lambda _served, _at: {"concurrencyKey": "pool", "limit": 3},
        operates=False,
        oversees=True,
        answer="",
    ),
    "deleteConcurrencyLimit": Change(
        "concurrencyKey: String!",
        lambda _served, _at: {"concurrencyKey": "pool"},
        operates=False,
        oversees=True,
        answer="",
    ),
    "freeConcurrencySlots": _SLOTS_FREED,
    "freeConcurrencySlotsForRun": _SLOTS_FREED,
    "logTelemetry": Change(
        "action: String!, clientId: String!, clientTime: String!, metadata: String!",
        lambda _served, _at: {"action": "x", "clientId": "x", "clientTime": "0", "metadata": "{}"},
        oversees=True,
        looks=True,
        done="LogTelemetrySuccess",
    ),
    "setNuxSeen": Change("", lambda _served, _at: {}, oversees=True, looks=True, answer=""),
    "shutdownRepositoryLocation": Change(
        "repositoryLocationName: String!", lambda _, at: {"repositoryLocationName": at}, oversees=True
    ),
}
"""Each mutation of the schema."""
