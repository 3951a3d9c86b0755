"""The reaper on a real engine: every difference between containers and runs is settled, and nothing is left."""

from __future__ import annotations

import shutil
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dagster as dg
import docker
import pytest
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.test_utils import create_run_for_test
from dagster_docker.docker_run_launcher import DOCKER_CONTAINER_ID_TAG

from mlops_assets.demo.waiting import wait_until
from mlops_assets.deployment.containers import RUN_LABEL
from mlops_assets.deployment.reaper import Patience, Reaper
from mlops_assets.deployment.run_launcher import DEPLOYMENT_LABEL
from mlops_assets_tests.docker_engine import base_image, require_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from docker.models.containers import Container

pytestmark = [pytest.mark.docker]

_IMPATIENT = Patience(launching=0.5, vanished=0.2, finished=0.5, canceling=0.5, silent=3600)


class Yard:
    """An instance, an engine, and a reaper between them."""

    def __init__(self, folder: Path) -> None:
        self.deployment = f"test-{uuid.uuid4().hex[:8]}"
        self.engine = docker.from_env()
        folder.mkdir(exist_ok=True)
        self.instance = dg.DagsterInstance.local_temp(str(folder))
        self.failures = 0
        self.reaper = self.fresh_reaper()

    def fresh_reaper(self, patience: Patience = _IMPATIENT) -> Reaper:
        """A reaper that remembers nothing, as after a restart."""

        def failed() -> None:
            self.failures += 1

        return Reaper(
            instance=self.instance,
            engine=self.engine,
            deployment=self.deployment,
            patience=patience,
            after_failure=failed,
        )

    def container(self, run_id: str, command: str, *, start: bool = True, **settings: Any) -> Container:  # noqa: ANN401
        """A container of a run, as the launcher makes them."""
        made = self.engine.containers.create(
            base_image(),
            ["python3", "-c", command],
            init=True,
            network_mode="none",
            labels={RUN_LABEL: run_id, DEPLOYMENT_LABEL: self.deployment},
            **settings,
        )
        if start:
            made.start()
        return made

    def run(
        self, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED, tags: dict[str, str] | None = None
    ) -> dg.DagsterRun:
        """A run in that state."""
        run: dg.DagsterRun = create_run_for_test(self.instance, job_name="job", status=status, tags=tags)
        return run

    def settle_until(self, status: dg.DagsterRunStatus, run: dg.DagsterRun) -> None:
        """Settle as the process does, until the run is in that state and no container is left."""
        self.settle_until_empty(run)
        assert self.status(run) is status, self.messages(run)

    def settle_until_empty(self, *runs: dg.DagsterRun, settle: Callable[[], None] | None = None) -> None:
        """Settle, by this reaper if nothing else is given, until these runs have ended and no container is left."""

        def look() -> tuple[list[Any], list[tuple[dg.DagsterRunStatus, str]]]:
            (settle or self.reaper.settle)()
            return [each.id for each in self.left()], [(self.status(run), self.messages(run)) for run in runs]

        wait_until(
            lambda seen: not seen[0] and all(status in FINISHED_STATUSES for status, _ in seen[1]),
            look,
            what="The reaper",
            remedy="Look at what is left.",
            pause=0.1,
        )

    def settle_for_a_while(self) -> None:
        """Settle often, and longer than any patience lasts."""
        for _ in range(8):
            self.reaper.settle()
            time.sleep(0.15)

    def status(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found.status

    def left(self) -> list[Container]:
        """Containers of this deployment that are still there."""
        found: list[Container] = self.engine.containers.list(
            all=True, filters={"label": f"{DEPLOYMENT_LABEL}={self.deployment}"}
        )
        return found

    def messages(self, run: dg.DagsterRun) -> str:
        return "\n".join(entry.user_message or str(entry.message) for entry in self.instance.all_logs(run.run_id))

    def told(self, run: dg.DagsterRun) -> dict[str, Any]:
        """What the run was told of its container."""
        for entry in self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            metadata = entry.get_dagster_event().engine_event_data.metadata
            if "exit code" in metadata:
                return {name: value.value for name, value in metadata.items()}
        return {}


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    require_engine()
    yard = Yard(tmp_path)
    yield yard
    for container in yard.left():
        container.remove(force=True, v=True)
    yard.engine.close()
    yard.instance.dispose()


def test_a_run_that_succeeded_keeps_its_state_and_is_told_its_containers_last_lines(yard: Yard) -> None:
    run = yard.run(dg.DagsterRunStatus.SUCCESS)
    yard.container(run.run_id, "print('all is well')").wait()
    yard.settle_until(dg.DagsterRunStatus.SUCCESS, run)
    assert yard.told(run)["exit code"] == 0
    assert yard.told(run)["signal"] == "none"
    assert "all is well" in yard.told(run)["last lines"]
    assert yard.failures == 0


def test_a_killed_container_fails_its_run_naming_the_signal(yard: Yard) -> None:
    run = yard.run()
    container = yard.container(run.run_id, "import time; print('working', flush=True); time.sleep(60)")
    container.kill()
    yard.settle_until(dg.DagsterRunStatus.FAILURE, run)
    assert "exit code 137 (SIGKILL)" in yard.messages(run)
    assert yard.told(run)["out of memory"] is False
    assert yard.failures == 1


def test_a_container_that_is_out_of_memory_fails_its_run_saying_so(yard: Yard) -> None:
    run = yard.run()
    hoard = "kept = []\nwhile True: kept.append(bytearray(2**20))"
    yard.container(run.run_id, hoard, mem_limit=2**26, memswap_limit=2**26).wait()
    yard.settle_until(dg.DagsterRunStatus.FAILURE, run)
    assert yard.told(run)["out of memory"] is True
    assert "it was out of memory" in yard.messages(run)


def test_a_container_that_ends_before_its_run_has_ended_fails_it_even_with_exit_code_0(yard: Yard) -> None:
    run = yard.run()
    yard.container(run.run_id, "print('bye')").wait()
    yard.settle_until(dg.DagsterRunStatus.FAILURE, run)
    assert "its container ended before it did" in yard.messages(run)


def test_a_run_that_is_being_canceled_becomes_canceled_not_failed(yard: Yard) -> None:
    run = yard.run(dg.DagsterRunStatus.CANCELING)
    yard.container(run.run_id, "pass").wait()
    yard.settle_until(dg.DagsterRunStatus.CANCELED, run)


def test_a_run_that_does_not_end_when_canceled_is_killed(yard: Yard) -> None:
    run = yard.run(dg.DagsterRunStatus.CANCELING)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    yard.container(run.run_id, stubborn)
    yard.settle_until(dg.DagsterRunStatus.CANCELED, run)


def test_a_run_whose_container_vanished_fails(yard: Yard) -> None:
    run = yard.run(tags={DOCKER_CONTAINER_ID_TAG: "f" * 64})
    yard.settle_until(dg.DagsterRunStatus.FAILURE, run)
    assert "its container ffffffffffff is gone" in yard.messages(run)


def test_a_run_that_never_got_a_container_fails(yard: Yard) -> None:
    run = yard.run(dg.DagsterRunStatus.STARTING)
    yard.settle_until(dg.DagsterRunStatus.FAILURE, run)
    assert "it had no container for 0.5 s" in yard.messages(run)


def test_a_container_that_was_never_started_fails_its_run(yard: Yard) -> None:
    run = yard.run(dg.DagsterRunStatus.STARTING)
    container = yard.container(run.run_id, "pass", start=False)
    yard.instance.add_run_tags(run.run_id, {DOCKER_CONTAINER_ID_TAG: str(container.id)})
    yard.settle_until(dg.DagsterRunStatus.FAILURE, run)
    assert "its container was made and never started" in yard.messages(run)


def test_a_container_that_runs_on_after_its_run_is_stopped(yard: Yard) -> None:
    run = yard.run()
    yard.container(run.run_id, "import time; time.sleep(600)")
    yard.instance.report_run_failed(run)
    yard.settle_until(dg.DagsterRunStatus.FAILURE, run)


def test_a_silent_run_fails_and_its_container_is_killed(yard: Yard) -> None:
    run = yard.run()
    yard.reaper = yard.fresh_reaper(Patience(silent=0.5))
    yard.container(run.run_id, "import time; time.sleep(600)")
    yard.settle_until(dg.DagsterRunStatus.FAILURE, run)
    assert "it wrote no event for 0.5 s" in yard.messages(run)


def test_a_run_at_work_is_left_alone(yard: Yard) -> None:
    run = yard.run()
    container = yard.container(run.run_id, "import time; time.sleep(600)")
    yard.instance.add_run_tags(run.run_id, {DOCKER_CONTAINER_ID_TAG: str(container.id)})
    for _ in range(8):
        yard.reaper.settle()
        time.sleep(0.1)
    assert yard.status(run) is dg.DagsterRunStatus.STARTED
    assert [each.id for each in yard.left()] == [container.id]


@pytest.mark.parametrize("hours", [-3, 3])
def test_clocks_that_disagree_by_hours_end_no_run(yard: Yard, hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    yard.reaper = yard.fresh_reaper(Patience(silent=3600))
    starting, working = yard.run(dg.DagsterRunStatus.STARTING), yard.run()
    yard.container(starting.run_id, "pass", start=False)
    yard.container(working.run_id, "import time; time.sleep(600)")
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + hours * 3600)
    for _ in range(5):
        yard.reaper.settle()
    assert yard.status(starting) is dg.DagsterRunStatus.STARTING
    assert yard.status(working) is dg.DagsterRunStatus.STARTED
    assert len(yard.left()) == 2


def test_a_run_canceled_before_it_had_a_container_becomes_canceled(yard: Yard) -> None:
    run = yard.run(dg.DagsterRunStatus.CANCELING)
    yard.settle_until(dg.DagsterRunStatus.CANCELED, run)
    assert "it has no container" in yard.messages(run)


def test_containers_of_another_deployment_are_left_alone(yard: Yard, tmp_path: Path) -> None:
    other = Yard(tmp_path / "other")
    try:
        other.container(str(uuid.uuid4()), "pass").wait()
        yard.reaper.settle()
        assert len(other.left()) == 1
    finally:
        for container in other.left():
            container.remove(force=True)


def test_a_container_of_a_deleted_run_is_removed_once_it_has_ended(yard: Yard) -> None:
    run = yard.run()
    container = yard.container(run.run_id, "import time; time.sleep(600)")
    yard.instance.delete_run(run.run_id)
    yard.settle_for_a_while()
    assert [each.status for each in yard.left()] == ["running"]
    container.kill()
    yard.settle_until_empty()


def test_an_empty_storage_costs_no_run_its_container(
    yard: Yard, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    container = yard.container(yard.run().run_id, "import time; time.sleep(600)")
    yard.instance.dispose()
    yard.instance = dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("empty")))
    yard.reaper = yard.fresh_reaper()
    yard.settle_for_a_while()
    assert [each.status for each in yard.left()] == ["running"]
    told = [record.message for record in caplog.records if "does not know" in record.message]
    assert len(told) == 1
    assert f"docker stop {container.id[:12]}" in told[0]


def test_a_restored_storage_costs_no_run_its_container(yard: Yard, tmp_path: Path) -> None:
    before = yard.run()
    shutil.copytree(yard.instance.root_directory, tmp_path / "backup")
    yard.container(before.run_id, "import time; time.sleep(600)")
    later = yard.run()
    yard.container(later.run_id, "import time; time.sleep(600)")
    yard.instance.dispose()
    yard.instance = dg.DagsterInstance.local_temp(str(tmp_path / "backup"))
    yard.reaper = yard.fresh_reaper()
    # It goes on, and what is as old as the backup is settled as ever.
    new = yard.run()
    yard.container(new.run_id, "pass").wait()
    yard.settle_for_a_while()
    assert yard.status(before) is dg.DagsterRunStatus.STARTED
    assert {each.labels[RUN_LABEL]: each.status for each in yard.left()} == {
        before.run_id: "running",
        later.run_id: "running",
    }


def test_a_reaper_that_was_killed_before_removing_does_not_tell_the_end_twice(yard: Yard) -> None:
    run = yard.run()
    container = yard.container(run.run_id, "pass")
    container.wait()
    removed = yard.engine.containers.get(container.id)
    container.remove = lambda **_: None
    yard.reaper._bury(container, _described(removed), run)
    yard.reaper = yard.fresh_reaper()
    yard.settle_until(dg.DagsterRunStatus.FAILURE, run)
    ends = [
        entry
        for entry in yard.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        if "exit code" in entry.get_dagster_event().engine_event_data.metadata
    ]
    assert len(ends) == 1


def _described(container: Container) -> Any:  # noqa: ANN401  private to the reaper
    from mlops_assets.deployment.containers import RunContainer  # noqa: PLC0415  used once

    return RunContainer.of(container.attrs)


def test_two_reapers_at_once_settle_like_one(yard: Yard) -> None:
    runs = [yard.run() for _ in range(6)]
    for run in runs:
        yard.container(run.run_id, "pass").wait()
    reapers = [yard.fresh_reaper(), yard.fresh_reaper()]

    def settle() -> None:
        with ThreadPoolExecutor(max_workers=len(reapers)) as both:
            for settled in [both.submit(reaper.settle) for reaper in reapers]:
                settled.result()

    yard.settle_until_empty(*runs, settle=settle)
    assert [yard.status(run) for run in runs] == [dg.DagsterRunStatus.FAILURE] * len(runs)


def test_no_volume_is_left(yard: Yard) -> None:
    before = {volume.name for volume in yard.engine.volumes.list()}
    run = yard.run(dg.DagsterRunStatus.SUCCESS)
    yard.container(run.run_id, "pass", volumes=["/scratch"]).wait()
    yard.settle_until(dg.DagsterRunStatus.SUCCESS, run)
    assert {volume.name for volume in yard.engine.volumes.list()} <= before
