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
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from mlops_assets.demo.live import free_port
from mlops_assets.deployment import people, secrets
from mlops_assets_tests.deploy.stack import PAGES, REPORTS, ROLES, SERVICE
from mlops_assets_tests.docker_engine import ROOT
from mlops_assets_tests.postgres import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS: Final = 30.0


@dataclass(frozen=True)
class ReverseProxy:
    """The running proxy.

    Attributes:
        reports: the folder that it shows reports of.
        log: its audit log.
        secrets: the folder of the deployment's secrets, its own among them.
        ports: for each port of the deployment the one on this machine.
    """

    reports: Path
    log: Path
    secrets: Path
    ports: dict[int, int]

    @property
    def certificates(self) -> Path:
        """What people sign in with."""
        return self.secrets / "clients"

    def client(self, port: int, person: str) -> httpx.Client:
        """A client of that port of the deployment, signed in as that person."""
        context = ssl.create_default_context(cafile=str(self.certificates / "services.crt"))
        context.load_cert_chain(self.certificates / f"{person}.pem")
        return httpx.Client(
            base_url=f"https://localhost:{self.ports[port]}", verify=context, timeout=30, trust_env=False
        )


@contextmanager
def running_proxy(folder: Path, pages: Path | None = None) -> Iterator[ReverseProxy]:
    """The proxy in that empty folder, ended at the end; skips the test, saying why, where nginx is missing.

    Args:
        folder: where it keeps its files.
        pages: socket of the web server behind it; ``None`` for one that answers with the role that it is told.
    """
    program = _program()
    secrets.create(folder / "secrets")
    for role in ROLES:
        people.admit(folder / "secrets", f"a.{role}", role)
    proxy = ReverseProxy(
        reports=folder / "reports",
        log=folder / "access.log",
        secrets=folder / "secrets",
        ports={port: free_port() for port in (PAGES, REPORTS, SERVICE)},
    )
    proxy.reports.mkdir()
    (folder / "tmp").mkdir()
    places = {
        "/tmp/": f"{folder}/tmp/",  # noqa: S108  the container's own
        "/run/secrets/own/": f"{proxy.secrets}/proxy/",
        "/var/lib/mlops-assets/reports": str(proxy.reports),
        "/dev/stdout": str(proxy.log),
        **{f"front-proxy:{port - PAGES + 8443}": f"127.0.0.1:{ours}" for port, ours in proxy.ports.items()},
        "/run/pages/pages.sock": str(pages or folder / "pages.sock"),
    }
    shipped = ROOT / "deploy" / "proxy"
    text = (shipped / "nginx.conf").read_text(encoding="utf-8")
    for there, here in places.items():
        text = text.replace(there, here)
    if pages is None:
        # All roles but one are known, and whose pages they are is all that they show, at once or over minutes.
        text = (
            text.rstrip().removesuffix("}")
            + f"""server {{
                listen unix:{folder}/pages.sock; access_log off;
                if ($http_x_role = root) {{ return 403; }}
                location / {{ return 200 "pages of $http_x_role"; }}
                location = /slow {{ limit_rate 10; return 200 {"x" * 2000}; }}
            }} }}"""
        )
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    process = subprocess.Popen(
        [shipped / "start"],
        env={
            "PATH": f"{Path(program).parent}:{os.environ['PATH']}",
            "SECRETS": str(proxy.secrets / "proxy"),
            "CONFIGURATION": str(folder / "nginx.conf"),
            # Who is root here would have the workers be somebody else, who cannot enter the folders of tests.
            "DIRECTIVES": "user root;" if os.geteuid() == 0 else "",
        },
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
    with proxy.client(PAGES, "a.viewer") as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.get("/")
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
