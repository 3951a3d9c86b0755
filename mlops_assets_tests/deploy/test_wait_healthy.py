"""Waiting for the deployment: as long as something moves, and with a reason where nothing does; with real containers.

Put here what ``deploy/wait-healthy`` makes of containers that start, work, hang or fail. Keep out the deployment's own.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from mlops_assets_tests.deploy.stack import docker
from mlops_assets_tests.docker_engine import ROOT, base_image, require_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.docker

_PROJECT: Final = "mlops-assets-wait-test"
_LABEL: Final = f"com.docker.compose.project={_PROJECT}"


@pytest.fixture(autouse=True)
def _no_container_is_left() -> Iterator[None]:
    require_engine()
    yield
    if left := docker("ps", "--all", "--quiet", "--filter", f"label={_LABEL}").split():
        docker("rm", "--force", *left)


def start(service: str, program: str, *options: str) -> str:
    """Start a container that runs a shell program; returns its id."""
    return docker(*words_of(service, *options), base_image(), "bash", "-c", program).strip()


def words_of(service: str, *options: str) -> list[str]:
    """The words that start a container with the labels that compose gives."""
    labels = (_LABEL, f"com.docker.compose.service={service}", "com.docker.compose.oneoff=False")
    return ["run", "--detach", "--init", *(word for label in labels for word in ("--label", label)), *options]


def serve(service: str, program: str) -> str:
    """Start a container that is to run on, and is well once its file /tmp/well is there."""
    health = ("--health-cmd", "test -e /tmp/well", "--health-interval", "1s", "--health-start-period", "30m")
    return start(service, program, "--restart", "unless-stopped", *health)


def wait(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Wait for the containers of the test."""
    command = [str(ROOT / "deploy" / "wait-healthy"), "-p", _PROJECT, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_it_returns_when_all_are_well_and_tells_what_changed() -> None:
    start("maker", "exit 0")
    serve("server", "sleep 8; touch /tmp/well; sleep infinity")
    done = wait()
    assert done.returncode == 0, done.stderr
    told = [line.partition(" s  ")[2] for line in done.stdout.splitlines()]
    assert "maker: done" in told
    assert told[-3:] == ["server: starting", "server: healthy", "all are well"]


def test_a_start_may_take_longer_than_it_is_patient_while_it_works() -> None:
    # A second of a processor in twelve is enough, so that a busy machine has it too.
    serve("server", "while [ $SECONDS -lt 26 ]; do :; done; touch /tmp/well; sleep infinity")
    done = wait("-s", "12")
    assert done.returncode == 0, done.stderr


def test_a_container_that_hangs_is_named_with_its_last_lines() -> None:
    serve("well", "touch /tmp/well; sleep infinity")
    serve("server", "echo waiting for nobody; sleep infinity")
    done = wait("-s", "3")
    assert done.returncode != 0
    assert "The deployment is not well: nothing has changed for" in done.stderr
    assert "server: starting (container " in done.stderr
    assert "    waiting for nobody\n" in done.stderr
    assert "well: healthy" not in done.stderr


def test_a_container_that_stands_still_is_named() -> None:
    docker("pause", serve("server", "sleep infinity"))
    done = wait("-s", "2")
    assert done.returncode != 0
    assert "server: paused (container " in done.stderr


def test_a_container_that_ended_is_named_with_code_and_last_lines_at_once() -> None:
    start("migration", "echo cannot open the database >&2; exit 3")
    serve("server", "sleep infinity")
    done = wait()
    assert done.returncode != 0
    assert "migration: ended with exit code 3 (container " in done.stderr
    assert "    cannot open the database\n" in done.stderr
    assert "server" not in done.stderr


def test_a_container_that_is_started_again_and_again_has_failed() -> None:
    serve("server", "echo no such file; exit 7")
    done = wait()
    assert done.returncode != 0
    assert "last exit code 7 (container " in done.stderr
    assert "    no such file\n" in done.stderr


def test_a_container_that_was_started_twice_may_get_well() -> None:
    serve("server", "[ -e /tmp/again ] || { touch /tmp/again; exit 1; }; touch /tmp/well; sleep infinity")
    assert wait().returncode == 0


def test_a_command_that_fails_ends_it_with_what_it_said() -> None:
    serve("server", "sleep infinity")
    done = wait("sh", "-c", "echo no space left; exit 5")
    assert done.returncode != 0
    assert "sh -c echo no space left; exit 5 ended with exit code 5." in done.stderr
    assert "\nno space left\n" in done.stderr
    assert "server: starting" in done.stderr


@pytest.mark.parametrize(
    ("policy", "reason"), [("no", "ended with exit code 3"), ("unless-stopped", "last exit code 3")]
)
def test_a_container_that_fails_ends_it_while_the_command_is_still_at_work(policy: str, reason: str) -> None:
    words = [*words_of("server", "--restart", policy, "--health-cmd", "false"), base_image(), "sh", "-c", "exit 3"]
    done = wait("sh", "-c", 'docker "$@" && exec sleep infinity', "sh", *words)
    assert done.returncode != 0
    assert "The deployment is not well: a container failed." in done.stderr
    assert f"{reason} (container " in done.stderr


def test_what_failed_before_is_the_command_s_to_start_again() -> None:
    failed = start("migration", "[ -e /tmp/again ] || { touch /tmp/again; exit 1; }")
    docker("wait", failed)
    done = wait("sh", "-c", f"sleep 2; docker start {failed}")
    assert done.returncode == 0, done.stderr
    assert "migration: ended with exit code 1" in done.stdout


def test_what_ran_before_is_the_command_s_to_replace() -> None:
    old = serve("server", "touch /tmp/well; sleep infinity")
    done = wait("sh", "-c", f"docker stop --time 0 {old}; sleep 3; docker start {old}")
    assert done.returncode == 0, done.stderr
    assert "server: ended with exit code " in done.stdout


def test_a_deployment_without_containers_is_not_well() -> None:
    done = wait()
    assert done.returncode != 0
    assert "it has no container; make up makes them" in done.stderr
