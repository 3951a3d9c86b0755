"""Faults around a run's container, on a real engine: what the run's final state is, and what it says."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import dagster as dg
import docker
import pytest

from mlops_assets_tests.deployment.plant import Plant, plant
from mlops_assets_tests.docker_engine import build_image, require_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.docker]

_SLEEP = "time.sleep(3600)"
FAILURE, SUCCESS, CANCELED = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED


@pytest.fixture(scope="module")
def image() -> str:
    require_engine()
    return build_image()


@pytest.fixture
def running(image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    """A plant whose policy proxy is up."""
    with plant(image) as made, made.proxy():
        monkeypatch.setenv("DOCKER_HOST", f"unix://{made.folder}/docker.sock")
        yield made


def test_a_run_through_proxy_launcher_and_reaper_succeeds_and_leaves_nothing(running: Plant) -> None:
    run = running.run()
    running.launch(run)
    assert running.settle(run) is SUCCESS, running.messages(run)


def test_a_missing_image_fails_the_run_naming_the_image_and_how_to_make_it(
    image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plant(image, image="mlops-assets:never-built") as made, made.proxy():
        monkeypatch.setenv("DOCKER_HOST", f"unix://{made.folder}/docker.sock")
        run = made.run()
        made.launch(run)
        assert made.status(run) is FAILURE
        assert "mlops-assets:never-built" in made.messages(run)
        assert "its image is not on this machine" in made.messages(run)
        assert "make image" in made.messages(run)
        assert made.containers() == []


def test_a_missing_network_fails_the_run_naming_it(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with plant(image, network="mlops-assets-never-made") as made, made.proxy():
        monkeypatch.setenv("DOCKER_HOST", f"unix://{made.folder}/docker.sock")
        run = made.run()
        made.launch(run)
        assert made.settle(run) is FAILURE
        assert "mlops-assets-never-made" in made.messages(run)
        assert "make up" in made.messages(run)


def test_a_refusal_of_the_policy_fails_the_run_naming_the_field_and_the_policy_file(
    image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plant(image, env_vars=["LD_PRELOAD=/tmp/x.so"]) as made, made.proxy():
        monkeypatch.setenv("DOCKER_HOST", f"unix://{made.folder}/docker.sock")
        run = made.run()
        made.launch(run)
        assert made.status(run) is FAILURE
        assert "Env is not allowed" in made.messages(run)
        assert "deploy/docker-policy.json" in made.messages(run)


def test_no_engine_at_launch_fails_the_run_saying_who_does_not_answer(
    image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plant(image) as made:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{made.folder}/docker.sock")
        run = made.run()
        made.launch(run)
        assert made.status(run) is FAILURE
        assert "Docker engine at unix://" in made.messages(run)
        assert "it does not answer" in made.messages(run)


def test_the_way_to_the_engine_may_be_away_while_a_run_is_at_work(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with plant(image) as made:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{made.folder}/docker.sock")
        run = made.run("while not (place / 'over').exists(): time.sleep(0.05)")
        with made.proxy():
            made.launch(run)
            made.await_started(run)
        real = made.reaper.engine
        made.reaper.engine = docker.DockerClient(base_url=f"unix://{made.folder}/docker.sock", version="1.41")
        for _ in range(10):
            with pytest.raises(Exception, match=r"Connection|refused"):
                made.reaper.settle()
            time.sleep(0.1)
        assert made.status(run) is dg.DagsterRunStatus.STARTED
        made.reaper.engine = real
        (made.folder / "over").touch()
        assert made.settle(run) is SUCCESS


@pytest.mark.parametrize("phase", ["before it is launched", "while it starts", "at work", "over"])
def test_a_run_that_is_canceled_in_any_phase_ends_and_leaves_nothing(running: Plant, phase: str) -> None:
    run = running.run(_SLEEP if phase != "over" else "pass")
    launcher = running.instance.run_launcher
    if phase == "before it is launched":
        launcher.terminate(run.run_id)
        running.launch(run)
    else:
        running.launch(run)
        if phase == "at work":
            running.await_started(run)
        if phase == "over":
            running.settle(run)
        launcher.terminate(run.run_id)
    assert running.settle(run) is (SUCCESS if phase == "over" else CANCELED), running.messages(run)


def test_two_daemons_that_launch_a_run_at_once_give_it_one_container(running: Plant) -> None:
    run = running.run("time.sleep(1)")
    with ThreadPoolExecutor(max_workers=2) as daemons:
        for launched in [daemons.submit(running.launch, run) for _ in range(2)]:
            launched.result()
    assert len(running.containers()) == 1
    assert running.settle(run) is SUCCESS, running.messages(run)
    assert "it was launched twice" in running.messages(run)


def test_a_full_disk_fails_the_run_saying_so(running: Plant) -> None:
    # The scratch disk of a run is as full as a disk can be after its 64 MB.
    run = running.run("pathlib.Path('/tmp/full').write_bytes(bytes(2**27))")
    running.launch(run)
    assert running.settle(run) is FAILURE
    assert "No space left on device" in running.messages(run)


def test_a_step_that_is_out_of_memory_fails_the_run_saying_so(running: Plant) -> None:
    run = running.run("kept = bytearray(b'x') * 2**30")
    running.launch(run)
    assert running.settle(run) is FAILURE
    assert "it was out of memory" in running.messages(run)


def test_a_missing_secret_fails_the_run_naming_the_file(running: Plant) -> None:
    run = running.run("open('/run/secrets/own/key')")
    running.launch(run)
    assert running.settle(run) is FAILURE
    assert "/run/secrets/own/key" in running.messages(run)
