"""What somebody would try who wants more than the role: other ways to ask, other people's things beside one's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorStatus
from dagster._core.test_utils import create_run_for_test

from mlops_assets_tests.deploy.stack import ROLES
from mlops_assets_tests.deployment.pages import changes
from mlops_assets_tests.deployment.pages.changes import LAUNCH, execution, materialization, run_of

if TYPE_CHECKING:
    from mlops_assets_tests.deployment.pages.asking import Person, Served

TERMINATE = (
    """mutation($r: String!) { terminateRun(runId: $r) { __typename ... on TerminateRunFailure { message } } }"""
)
DELETE = "mutation($r: String!) { deleteRun(runId: $r) { __typename } }"
AGAIN = """mutation($p: ReexecutionParams) { launchRunReexecution(reexecutionParams: $p) { __typename } }"""
CANCEL = "mutation($b: String!) { cancelPartitionBackfill(backfillId: $b) { __typename } }"
WIPE = "mutation($w: [PartitionsByAssetSelector!]!) { wipeAssets(assetPartitionRanges: $w) { __typename } }"


@pytest.fixture(name="plumber", scope="module")
def _plumber(served: Served) -> Person:
    return served.person("plumber")


def _launched(person: Person, parameters: dict[str, Any]) -> bool:
    answer = json.dumps(person.ask(LAUNCH % "", p=parameters))
    assert "LaunchRunSuccess" in answer or "You may not" in answer or "UnauthorizedError" in answer, answer
    return "LaunchRunSuccess" in answer


class TestRuns:
    def test_own_assets_are_materialized(self, plumber: Person) -> None:
        assert _launched(plumber, materialization("plumbing", ["plumbing", "plain"]))

    @pytest.mark.parametrize(
        ("location", "assets"),
        [
            ("plumbing", ["modeling"]),
            ("plumbing", ["plumbing", "modeling"]),
            # Observed in modeling, made in plumbing.
            ("modeling", ["plumbing"]),
            # All of the location, which Dagster takes for all of the workspace.
            ("plumbing", []),
        ],
    )
    def test_others_assets_and_locations_are_not(self, plumber: Person, location: str, assets: list[str]) -> None:
        assert not _launched(plumber, materialization(location, *([each, "plain"] for each in assets)))

    def test_one_of_several_launches_that_is_not_ones_own_stops_all(self, served: Served, plumber: Person) -> None:
        document = "mutation($p: [ExecutionParams!]!) { launchMultipleRuns(executionParamsList: $p) { __typename } }"
        before = served.instance.get_runs_count()
        answer = plumber.ask(document, p=[execution("plumbing"), execution("modeling")])
        assert "You may not" in json.dumps(answer)
        assert served.instance.get_runs_count() == before

    def test_a_run_of_ones_own_asset_that_another_location_does_is_that_locations(
        self, served: Served, plumber: Person
    ) -> None:
        run = run_of(served, materialization("modeling", ["plumbing", "plain"]))
        for document, variables in (
            (TERMINATE, {"r": run}),
            (AGAIN, {"p": {"parentRunId": run, "strategy": "ALL_STEPS"}}),
            (DELETE, {"r": run}),
        ):
            assert "You may not" in json.dumps(plumber.ask(document, **variables))
        assert served.instance.get_run_by_id(run) is not None

    def test_anothers_run_is_no_parent_of_ones_own(self, served: Served, plumber: Person) -> None:
        parent = run_of(served, execution("modeling"))
        metadata = {"executionMetadata": {"parentRunId": parent, "rootRunId": parent}}
        assert not _launched(plumber, {**execution("plumbing"), **metadata})

    def test_a_run_of_no_known_location_is_ended_by_who_oversees_and_by_nobody_else(
        self, served: Served, plumber: Person
    ) -> None:
        code = GrpcServerCodeLocationOrigin(host="localhost", socket="/gone.sock", location_name="gone")
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(code, "__repository__"), "gone_job")
        queued = {"status": dg.DagsterRunStatus.QUEUED, "remote_job_origin": origin}
        run = create_run_for_test(served.instance, job_name="gone_job", **queued).run_id
        assert "You may not" in json.dumps(plumber.ask(TERMINATE, r=run))
        for role in ("plumber", "viewer", "architect"):
            assert "You may not" in json.dumps(served.person(role).ask(DELETE, r=run))
        assert served.person("architect").asked(TERMINATE, r=run)["__typename"] == "TerminateRunSuccess"

    def test_a_run_without_an_origin_is_nobodys_to_delete(self, served: Served) -> None:
        run = create_run_for_test(served.instance).run_id
        for role in ROLES:
            assert served.person(role).asked(DELETE, r=run) == {"__typename": "UnauthorizedError"}

    def test_of_several_fields_in_one_question_only_ones_own_are_done(self, served: Served, plumber: Person) -> None:
        own, other = run_of(served, execution("plumbing")), run_of(served, execution("modeling"))
        document = """mutation($own: String!, $other: String!) { ...both }
        fragment both on Mutation {
          one: deleteRun(runId: $own) { __typename } two: deleteRun(runId: $other) { __typename } }"""
        plumber.ask(document, own=own, other=other)
        assert served.instance.get_run_by_id(own) is None
        assert served.instance.get_run_by_id(other) is not None


class TestTags:
    """Dagster and its launchers steer by tags: the web server stops the container that a run's tags name."""

    @pytest.mark.parametrize("tag", ["docker/container_id", "dagster/backfill", "dagster/image", ".dagster/grpc_info"])
    def test_a_tag_of_control_is_nobodys_to_give(self, served: Served, plumber: Person, tag: str) -> None:
        tags = [{"key": tag, "value": "another's"}]
        parent = run_of(served, execution("plumbing"))
        again = "mutation($p: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $p) { __typename } }"
        backfill = "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename } }"
        table = {"assetSelection": [{"path": ["plumbing", "table"]}], "partitionNames": ["a"], "tags": tags}
        before = served.instance.get_runs_count()
        for document, given in (
            (LAUNCH % "", {**execution("plumbing"), "executionMetadata": {"tags": tags}}),
            (LAUNCH % "", {**execution("plumbing"), "executionMetadata": {"parentRunId": parent, "tags": tags}}),
            (again, {"parentRunId": parent, "strategy": "ALL_STEPS", "extraTags": tags}),
            (backfill, table),
        ):
            assert f"with the tag {tag}" in json.dumps(plumber.ask(document, p=given))
        assert served.instance.get_runs_count() == before

    def test_tags_of_ones_own_and_of_what_is_run_are_given(self, plumber: Person) -> None:
        keys = (
            "team",
            "dagster/priority",
            "dagster/max_retries",
            "dagster/partition",
            "dagster/sensor_name",
            "dagster/from_ui",
        )
        tags = [{"key": key, "value": "1"} for key in keys]
        assert _launched(plumber, {**execution("plumbing"), "executionMetadata": {"tags": tags}})

    def test_chosen_steps_of_a_run_are_done_again_with_all_its_tags_as_the_pages_ask_for_it(
        self, served: Served, plumber: Person
    ) -> None:
        parent = run_of(served, execution("plumbing"))
        served.instance.add_run_tags(parent, {"docker/container_id": "its own", "dagster/image": "x"})
        had = {"docker/container_id": "its own", "dagster/image": "x"}
        links = {"dagster/parent_run_id": parent, "dagster/root_run_id": parent, "dagster/step_selection": "*"}
        tags = [{"key": key, "value": value} for key, value in {**had, **links}.items()]
        metadata = {"parentRunId": parent, "rootRunId": parent, "tags": tags}
        assert _launched(plumber, {**execution("plumbing"), "executionMetadata": metadata})
        tags[0] = {"key": "docker/container_id", "value": "another's"}
        assert not _launched(plumber, {**execution("plumbing"), "executionMetadata": metadata})

    def test_a_run_is_not_told_to_be_of_anothers(self, served: Served, plumber: Person) -> None:
        other = run_of(served, execution("modeling"))
        metadata = {"tags": [{"key": "dagster/parent_run_id", "value": other}]}
        assert not _launched(plumber, {**execution("plumbing"), "executionMetadata": metadata})


class TestBackfillsAndAssets:
    def test_a_backfill_over_two_locations_is_nobodys_who_operates_one(self, served: Served, plumber: Person) -> None:
        document = "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename } }"
        both = {
            "assetSelection": [{"path": [each, "table"]} for each in ("plumbing", "modeling")],
            "partitionNames": ["a"],
        }
        assert plumber.asked(document, p=both) == {"__typename": "UnauthorizedError"}
        backfill = changes.backfill_of(served, "plumbing", "modeling")
        assert plumber.asked(CANCEL, b=backfill) == {"__typename": "UnauthorizedError"}
        assert served.person("architect").asked(CANCEL, b=backfill) == {"__typename": "CancelBackfillSuccess"}

    @pytest.mark.parametrize("other", [["modeling", "plain"], ["none"]])
    def test_anothers_or_an_unknown_asset_is_not_wiped_beside_ones_own(self, plumber: Person, other: list[str]) -> None:
        both = [{"assetKey": {"path": key}} for key in (["plumbing", "plain"], other)]
        assert plumber.asked(WIPE, w=both) == {"__typename": "UnauthorizedError"}


class TestStopping:
    """Half of one's own id and half of another's: see `test_upstream`."""

    def test_a_sensor_is_not_stopped_by_half_of_ones_own_id(self, served: Served, plumber: Person) -> None:
        document = "mutation($i: String!) { stopSensor(id: $i) { __typename } }"
        own, other = changes.sensor_id(served, "plumbing"), changes.sensor_id(served, "modeling")
        start = changes.CHANGES["startSensor"]
        served.everything.ask(start.document("startSensor"), **start.given(served, "modeling"))
        mixed = f"{own.split('::')[0]}::{other.split('::')[1]}"
        assert "Give the id" in json.dumps(plumber.ask(document, i=mixed))
        halves = (
            """mutation($o: String!, $s: String!) { stopSensor(jobOriginId: $o, jobSelectorId: $s) { __typename } }"""
        )
        answer = plumber.ask(halves, o=own.split("::")[0], s=other.split("::")[1])
        assert "Give the id" in json.dumps(answer)
        [state] = [each for each in served.instance.all_instigator_state() if each.instigator_name == "modeling_sensor"]
        assert state.status == InstigatorStatus.RUNNING

    def test_a_schedule_is_not_stopped_by_half_of_ones_own_id(self, served: Served, plumber: Person) -> None:
        document = "mutation($i: String!) { stopRunningSchedule(id: $i) { __typename } }"
        own, other = changes.schedule_id(served, "plumbing"), changes.schedule_id(served, "modeling")
        assert "Give the id" in json.dumps(plumber.ask(document, i=f"{own.split('::')[0]}::{other.split('::')[1]}"))
