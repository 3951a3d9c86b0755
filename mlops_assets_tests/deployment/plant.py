"""A plant for fault tests: an instance, a policy proxy before the real engine, and jobs that run in real containers.

Put here what the fault tests share. Keep out assertions and the faults themselves.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import docker
from dagster._core.code_pointer import FileCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.test_utils import create_run_for_test

from mlops_assets.demo.waiting import wait_until
from mlops_assets.deployment.docker_proxy.policy import Policy, Profile, Role
from mlops_assets.deployment.docker_proxy.server import DockerProxy
from mlops_assets.deployment.reaper import Patience, Reaper
from mlops_assets.deployment.run_launcher import DEPLOYMENT_LABEL
from mlops_assets_tests.background import served
from mlops_assets_tests.docker_engine import CONTAINER_UID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENGINE: Final = Path("/var/run/docker.sock")
IMPATIENT: Final = Patience(launching=2, vanished=0.2, finished=0.5, canceling=2)

# Not part of any package: it is read inside of the containers, from the plant's own folder.
JOBS: Final = """
import os
import pathlib
import time

import dagster as dg


@dg.op
def act() -> None:
    place = pathlib.Path(os.environ["PLANT"])
    (place / "started").touch()
    exec((place / "act.py").read_text())


@dg.job(executor_def=dg.in_process_executor)
def job() -> None:
    act()


@dg.repository
def repository():
    return [job]
"""


class Plant:
    """One deployment of its own on the shared engine."""

    def __init__(self, folder: Path, image: str, *, launcher: Mapping[str, Any]) -> None:
        self.folder, self.image = folder, image
        self.deployment = f"plant-{uuid.uuid4().hex[:8]}"
        self.policy = Policy(
            images=frozenset({image, "mlops-assets:never-built"}),
            profiles={
                "here": Profile(
                    networks=frozenset({"none", "mlops-assets-never-made"}),
                    binds=frozenset({f"{folder}:{folder}:rw"}),
                    environment=frozenset({"PLANT", "DAGSTER_HOME"}),
                )
            },
            user=f"{CONTAINER_UID}:{CONTAINER_UID}",
            memory=2**29,
            nano_cpus=10**9,
            pids=64,
            label=(DEPLOYMENT_LABEL, self.deployment),
        )
        settings = {
            "deployment": self.deployment,
            "image": image,
            "network": "none",
            "env_vars": [f"PLANT={folder}"],
            "limits": {"memory": "512m", "cpus": 1.0, "pids": 64},
            "ceiling": {"memory": "512m", "cpus": 1.0, "pids": 64},
            "container_kwargs": {
                "init": True,
                "user": self.policy.user,
                "read_only": True,
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges:true"],
                "stop_timeout": 10,
                "volumes": [f"{folder}:{folder}:rw"],
                "tmpfs": {"/tmp": "rw,nosuid,nodev,size=64m,mode=1777"},  # noqa: S108  the container's own
            },
            **launcher,
        }
        configuration = {
            "telemetry": {"enabled": False},
            "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
            "run_launcher": {
                "module": "mlops_assets.deployment.run_launcher",
                "class": "PhoenixRunLauncher",
                "config": settings,
            },
        }
        home = folder / "dagster"
        home.mkdir()
        (home / "dagster.yaml").write_text(json.dumps(configuration), encoding="utf-8")
        (folder / "jobs.py").write_text(JOBS, encoding="utf-8")
        self.instance = dg.DagsterInstance.from_config(str(home))
        self.engine = docker.from_env()
        self.reaper = Reaper(instance=self.instance, engine=self.engine, deployment=self.deployment, patience=IMPATIENT)

    def proxy(self) -> contextlib.AbstractContextManager[Any]:
        """The policy proxy at work, for who launches."""
        return served(DockerProxy(self.policy, Role.LAUNCH, listen=self.folder / "docker.sock", engine=ENGINE).start)

    def run(self, act: str = "pass", **settings: Any) -> dg.DagsterRun:  # noqa: ANN401  what a run may be made with
        """A run whose one step does what ``act`` says, in Python."""
        (self.folder / "act.py").write_text(act, encoding="utf-8")
        (self.folder / "started").unlink(missing_ok=True)
        repository = RepositoryPythonOrigin(
            executable_path="python3",
            code_pointer=FileCodePointer(str(self.folder / "jobs.py"), "repository", str(self.folder)),
            container_image=None,
            entry_point=["dagster"],
        )
        run: dg.DagsterRun = create_run_for_test(
            self.instance, job_name="job", job_code_origin=JobPythonOrigin("job", repository), **settings
        )
        hand_over(self.folder)
        return run

    def launch(self, run: dg.DagsterRun) -> None:
        """Launch as the daemon does, which goes on after a run that cannot be launched."""
        with contextlib.suppress(Exception):
            self.instance.launch_run(run.run_id, workspace=None)  # type: ignore[arg-type]  # not used by this launcher
        hand_over(self.folder)

    def status(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        """The run's state."""
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found.status

    def messages(self, run: dg.DagsterRun) -> str:
        """Everything that the run was told."""
        told = []
        for entry in self.instance.all_logs(run.run_id):
            event = entry.dagster_event
            data = getattr(event, "event_specific_data", None)
            told += [entry.user_message, str(entry.message), str(getattr(data, "error", None) or "")]
        return "\n".join(told)

    def containers(self) -> list[str]:
        """Ids of this plant's containers, whatever their state."""
        found = self.engine.containers.list(
            all=True, sparse=True, filters={"label": f"{DEPLOYMENT_LABEL}={self.deployment}"}
        )
        return [str(each.id) for each in found]

    def await_started(self, run: dg.DagsterRun) -> None:
        """Wait until the run's step is at work."""
        started = self.folder / "started"
        wait_until(
            lambda _: started.exists(), lambda: self._look(run), what="The run's step", remedy="Look at its run."
        )

    def settle(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        """Reap until the run has ended and no container is left; returns how it ended."""

        def look() -> tuple[dg.DagsterRunStatus, list[str], str]:
            self.reaper.settle()
            return self._look(run)

        status, *_ = wait_until(
            lambda seen: seen[0] in FINISHED_STATUSES and not seen[1],
            look,
            what="The run's end",
            remedy="Look at what it was told.",
        )
        return status

    def _look(self, run: dg.DagsterRun) -> tuple[dg.DagsterRunStatus, list[str], str]:
        return self.status(run), self.containers(), self.messages(run)

    def close(self) -> None:
        """Take everything away."""
        for container in self.containers():
            self.engine.containers.get(container).remove(force=True, v=True)
        self.engine.close()
        self.instance.dispose()


def hand_over(folder: Path) -> None:
    """Open everything in the folder to the container's user as well."""
    for path in [folder, *folder.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):
            path.chmod(0o777 if path.is_dir() else 0o666)


@contextlib.contextmanager
def plant(image: str, /, **launcher: Any) -> Iterator[Plant]:  # noqa: ANN401  settings of the launcher
    """A plant in a folder that containers see at the same path."""
    # Not below pytest's own folders: those are closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="mlops-assets-plant-", dir="/var/tmp"))
    # A container may write to the instance's databases before they could be handed over.
    umask = os.umask(0)
    made = Plant(folder, image, launcher=launcher)
    try:
        yield made
    finally:
        os.umask(umask)
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
