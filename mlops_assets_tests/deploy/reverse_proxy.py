"""The reverse proxy by its shipped configuration, as a process of this machine: places differ, and nothing else.

Put here where it finds its files and ports without a container. Keep out assertions.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from mlops_assets.demo.live import free_port
from mlops_assets.deployment import secrets
from mlops_assets_tests.deploy.stack import OPERATOR, SERVICE, VIEWER
from mlops_assets_tests.docker_engine import ROOT
from mlops_assets_tests.postgres import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START_SECONDS: Final = 30.0


@dataclass(frozen=True)
class ReverseProxy:
    """The running proxy. No page is behind it: what it does not answer itself is 502.

    Attributes:
        reports: the folder that it shows reports of.
        secrets: the folder of the deployment's secrets, its own among them.
        ports: for each port of the deployment the one on this machine.
    """

    reports: Path
    secrets: Path
    ports: dict[int, int]

    @property
    def certificates(self) -> Path:
        """What people sign in with."""
        return self.secrets / "clients"

    def client(self, port: int, certificate: str) -> httpx.Client:
        """A client of that port of the deployment, signed in with that certificate."""
        context = ssl.create_default_context(cafile=str(self.certificates / "services.crt"))
        context.load_cert_chain(self.certificates / f"{certificate}.crt", self.certificates / f"{certificate}.key")
        return httpx.Client(
            base_url=f"https://localhost:{self.ports[port]}", verify=context, timeout=30, trust_env=False
        )


@contextmanager
def running_proxy(folder: Path) -> Iterator[ReverseProxy]:
    """The proxy in that empty folder, ended at the end; skips the test, saying why, where nginx is missing."""
    program = _program()
    secrets.create(folder / "secrets")
    proxy = ReverseProxy(
        reports=folder / "reports",
        secrets=folder / "secrets",
        ports={port: free_port() for port in (VIEWER, OPERATOR, SERVICE)},
    )
    proxy.reports.mkdir()
    (folder / "tmp").mkdir()
    shipped = ROOT / "deploy" / "proxy"
    places = {
        "/tmp/": f"{folder}/tmp/",  # noqa: S108  the container's own
        "/run/secrets/own/": f"{proxy.secrets}/proxy/",
        "/var/lib/mlops-assets/reports": str(proxy.reports),
        "/etc/mlops-assets/": f"{folder}/",
        "/dev/stdout": f"{folder}/access.log",
        **{f"front-proxy:{port}": f"127.0.0.1:{ours}" for port, ours in proxy.ports.items()},
        **dict.fromkeys(("ui-viewer:3000", "ui-operator:3000"), f"127.0.0.1:{free_port()}"),
    }
    for name in ("nginx.conf", "forward.conf"):
        text = (shipped / name).read_text(encoding="utf-8")
        for there, here in places.items():
            text = text.replace(there, here)
        (folder / name).write_text(text, encoding="utf-8")
    # Who is root here would have the workers be somebody else, who cannot enter the folders of tests.
    directives = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    process = subprocess.Popen(
        [program, "-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", directives],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait(process, proxy)
        yield proxy
    finally:
        process.terminate()
        process.wait(timeout=_START_SECONDS)
        if process.stderr is not None:
            process.stderr.close()


def _wait(process: subprocess.Popen[str], proxy: ReverseProxy) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with proxy.client(VIEWER, "viewer") as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.get("/reports/")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
    process.terminate()
    pytest.fail(process.communicate(timeout=_START_SECONDS)[1])


def _program() -> str:
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is not None:
        return program
    reason = "nginx is not installed: install it (Debian: nginx) to run the tests of the reverse proxy's configuration"
    if "nginx" in os.environ.get(REQUIRED, "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)
