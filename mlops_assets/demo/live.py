"""The live part of a demonstration: service and daemon as real processes, and a client that waits for news.

Put here starting, asking and waiting. Keep out what the pipelines do meanwhile.
"""

from __future__ import annotations

import socket
import ssl
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from mlops_assets.demo.surroundings import Surroundings, process
from mlops_assets.deployment.loopback import AUTHORITY
from mlops_assets.platform.errors import PlatformError
from mlops_assets.serving.credentials import create_service_keys, issue_service_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlops_assets.platform.settings import Settings

_READY_SECONDS: Final = 60.0


class LiveError(PlatformError):
    """A process of the demonstration did not come up or did not do its work in time."""


@dataclass(frozen=True)
class Client:
    """A client application of the service.

    Attributes:
        url: base address.
        token: bearer token.
        trusts: PEM file of the authority that signed the service's certificate.
    """

    url: str
    token: str
    trusts: Path

    def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401  the service's JSON
        """The JSON body of an authorised request.

        Raises:
            LiveError: the service refused.
        """
        response = httpx.get(
            f"{self.url}{path}",
            params=parameters,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=10,
            verify=ssl.create_default_context(cafile=self.trusts),
        )
        if response.is_error:
            raise LiveError(
                source=f"{self.url}{path}",
                culprit=f"the service answered {response.status_code} ({response.text[:200]}).",
                remedy="Look at service.log in the logs folder.",
            )
        return response.json()


def free_port() -> int:
    """A port on loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def service(
    surroundings: Surroundings, settings: Settings, environment: Mapping[str, str], port: int
) -> Iterator[Client]:
    """The REST service as a process of its own, ready for requests, and a client with a token.

    Raises:
        LiveError: it did not become ready.
    """
    if not settings.token_signing_key.exists():
        create_service_keys(settings)
    token = issue_service_token(settings, principal="demonstration", lifetime=timedelta(hours=8))
    port = port or free_port()
    url = f"https://127.0.0.1:{port}"
    trusts = settings.service_tls / AUTHORITY
    with process(
        [sys.executable, "-m", "mlops_assets", "serve"],
        {**environment, "MLOPS_ASSETS_SERVICE__PORT": str(port)},
        surroundings.logs / "service.log",
        surroundings.home,
    ) as child:

        def ready() -> bool:
            if child.poll() is not None:
                raise LiveError(
                    source="mlops-assets serve",
                    culprit=f"it ended with exit code {child.returncode}.",
                    remedy=f"Look at {surroundings.logs / 'service.log'}.",
                )
            if not trusts.exists():
                return False
            try:
                verify = ssl.create_default_context(cafile=trusts)
                return httpx.get(f"{url}/health/ready", timeout=2, verify=verify).is_success
            except httpx.TransportError:
                return False

        wait_for(ready, seconds=_READY_SECONDS, what="the service")
        yield Client(url, token, trusts)


@contextmanager
def daemon(surroundings: Surroundings, environment: Mapping[str, str]) -> Iterator[None]:
    """Dagster's daemon with the three code locations: schedules, sensors, automation and the run queue."""
    with process(
        [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-w", str(surroundings.workspace)],
        environment,
        surroundings.logs / "daemon.log",
        surroundings.home,
    ):
        yield


def wait_for(arrived: Callable[[], bool], *, seconds: float, what: str, pause: float = 0.2) -> float:
    """Ask until it is so; returns the seconds that it took.

    Raises:
        LiveError: it was not so in time.
    """
    started = time.monotonic()
    while not arrived():
        if time.monotonic() - started > seconds:
            raise LiveError(
                source=what,
                culprit=f"nothing came within {seconds:g} s.",
                remedy="Look at the logs folder of the home folder, and at the runs in the Dagster UI (make dev).",
            )
        time.sleep(pause)
    return time.monotonic() - started
