"""Outages of what the deployment stands on: the storage goes and comes back, certificates end."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg
import docker
import pytest
from dagster._core.test_utils import create_run_for_test

from mlops_assets.demo.waiting import wait_for_process
from mlops_assets.deployment.certificates import Authority, Purpose
from mlops_assets.deployment.containers import RUN_LABEL
from mlops_assets.deployment.run_launcher import DEPLOYMENT_LABEL
from mlops_assets_tests.deployment.instances import instance_on
from mlops_assets_tests.docker_engine import base_image, require_engine
from mlops_assets_tests.postgres import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from docker.models.containers import Container


@pytest.mark.docker
@pytest.mark.postgres
def test_a_container_that_ends_while_postgresql_is_away_is_told_and_removed_when_it_is_back(tmp_path: Path) -> None:
    require_engine()
    deployment = f"outage-{uuid.uuid4().hex[:8]}"
    with running_server() as server:
        database = server.create_database()
        instance = instance_on(database, tmp_path)
        run = create_run_for_test(instance, job_name="job", status=dg.DagsterRunStatus.STARTED)
        engine = docker.from_env()
        container = engine.containers.run(
            base_image(),
            ["python3", "-c", "import time; time.sleep(600)"],
            detach=True,
            init=True,
            network_mode="none",
            labels={RUN_LABEL: run.run_id, DEPLOYMENT_LABEL: deployment},
        )
        heartbeat, log = tmp_path / "heartbeat", tmp_path / "reaper.log"
        with log.open("wb") as output:
            reaper = subprocess.Popen(
                [sys.executable, "-m", "mlops_assets", "reaper", "--deployment", deployment, "--interval", "0.2",
                 "--heartbeat", str(heartbeat)],
                env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
                stderr=output,
            )  # fmt: skip

        def present() -> list[Container]:
            # Without a look into each: the reaper may remove one between the two.
            found: list[Container] = engine.containers.list(
                all=True, sparse=True, filters={"label": f"{DEPLOYMENT_LABEL}={deployment}"}
            )
            return found

        def wait(arrived: Callable[[], bool], what: str) -> None:
            wait_for_process(arrived, reaper, name=f"A reaper {what}", log=log)

        try:
            wait(heartbeat.exists, "that has looked")
            server.stop()
            container.kill()
            wait(lambda: "storage is away" in log.read_text(encoding="utf-8"), "that has noticed the outage")
            assert reaper.poll() is None
            assert len(present()) == 1
            server.start()

            def failed() -> bool:
                found = instance.get_run_by_id(run.run_id)
                return found is not None and found.status is dg.DagsterRunStatus.FAILURE

            wait(failed, "that has settled the run")
            messages = [str(entry.message) for entry in instance.all_logs(run.run_id)]
            assert any("exit code 137 (SIGKILL)" in message for message in messages), messages
            wait(lambda: not present(), "that has removed the container")
        finally:
            reaper.terminate()
            reaper.wait()
            for left in present():
                left.remove(force=True, v=True)
            engine.close()
            instance.dispose()


@contextmanager
def _tls_server(folder: Path, authority: Authority, lifetime: timedelta) -> Iterator[int]:
    """A server on loopback that shows a certificate of that lifetime; gives its port."""
    issued = authority.issue(["localhost"], Purpose.SERVER, lifetime=lifetime)
    (folder / "server.crt").write_bytes(issued.certificate_pem)
    (folder / "server.key").write_bytes(issued.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    with socket.create_server(("localhost", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with plain:
                try:
                    context.wrap_socket(plain, server_side=True).close()
                except OSError:
                    # The client does not believe us: the point of the test.
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(timeout=10)


@pytest.mark.parametrize(("seconds", "believed"), [(3600, True), (-1, False)])
def test_a_certificate_is_believed_until_it_ends_and_not_after(tmp_path: Path, seconds: int, *, believed: bool) -> None:
    authority = Authority.create("test")
    (tmp_path / "authority.crt").write_bytes(authority.certificate_pem)
    context = ssl.create_default_context(cafile=str(tmp_path / "authority.crt"))

    def greet(port: int) -> None:
        with socket.create_connection(("localhost", port)) as plain:
            context.wrap_socket(plain, server_hostname="localhost").close()

    with _tls_server(tmp_path, authority, timedelta(seconds=seconds)) as port:
        if believed:
            greet(port)
        else:
            with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
                greet(port)
