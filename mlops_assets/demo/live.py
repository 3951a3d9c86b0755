"""The live part of a demonstration: service and daemon as real processes, and a client.

Put here starting and asking. Keep out waiting (``waiting``) and what the pipelines do meanwhile.
"""

from __future__ import annotations

import socket
import ssl
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from mlops_assets.demo.surroundings import Surroundings, process
from mlops_assets.demo.waiting import QUIET_SECONDS, wait_for_process
from mlops_assets.deployment.loopback import AUTHORITY
from mlops_assets.platform.errors import PlatformError
from mlops_assets.serving.identity.credentials import create_service_keys, issue_service_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlops_assets.platform.settings import Settings

_ANSWER_SECONDS: Final = 60.0
_BUSY: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class LiveError(PlatformError):
    """A process of the demonstration did not come up, ended, or refused what it was asked."""


class NoAnswerError(LiveError):
    """The service is too busy to answer; asking again may help."""


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
            NoAnswerError: it did not answer, or only that it cannot now.
            LiveError: it refused.
        """
        try:
            response = httpx.get(
                f"{self.url}{path}",
                params=parameters,
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=_ANSWER_SECONDS,
                verify=ssl.create_default_context(cafile=self.trusts),
            )
        except httpx.TransportError as error:
            raise NoAnswerError(
                source=f"{self.url}{path}", culprit=f"no answer came ({error}).", remedy="Is the machine overloaded?"
            ) from error
        if response.status_code in _BUSY:
            raise NoAnswerError(
                source=f"{self.url}{path}",
                culprit=f"the service answered {response.status_code}.",
                remedy="Is the machine overloaded?",
            )
        if response.is_error:
            raise LiveError(
                source=f"{self.url}{path}",
                culprit=f"the service answered {response.status_code} ({response.text[:200]}).",
                remedy="Look at service.log in the logs folder.",
            )
        return response.json()

    def ask(self, path: str, **parameters: str) -> Any:  # noqa: ANN401  the service's JSON
        """Likewise, asking again as long as a busy machine may take to answer.

        Raises:
            LiveError: it refused, or never answered.
        """
        begun = time.monotonic()
        while True:
            try:
                return self.get(path, **parameters)
            except NoAnswerError:
                if time.monotonic() - begun > QUIET_SECONDS:
                    raise
                time.sleep(1)


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
        StalledError: it did not become ready.
    """
    if not settings.token_signing_key.exists():
        create_service_keys(settings)
    token = issue_service_token(
        settings, principal="demonstration", scopes=["predictions:read"], lifetime=timedelta(hours=8)
    )
    port = port or free_port()
    url = f"https://127.0.0.1:{port}"
    trusts = settings.service_tls / AUTHORITY
    log = surroundings.logs / "service.log"
    with process(
        [sys.executable, "-m", "mlops_assets", "serve"],
        {**environment, "MLOPS_ASSETS_SERVICE__PORT": str(port)},
        log,
        surroundings.home,
    ) as child:

        def ready() -> bool:
            if not trusts.exists():
                return False
            try:
                verify = ssl.create_default_context(cafile=trusts)
                return httpx.get(f"{url}/health/ready", timeout=_ANSWER_SECONDS, verify=verify).is_success
            except httpx.TransportError:
                return False

        wait_for_process(ready, child, name="mlops-assets serve", log=log)
        yield Client(url, token, trusts)


@contextmanager
def daemon(surroundings: Surroundings, environment: Mapping[str, str]) -> Iterator[Callable[[], None]]:
    """Dagster's daemon with the three code locations: schedules, sensors, automation and the run queue.

    Gives a function that raises ``LiveError`` when the daemon has ended by itself.
    """
    log = surroundings.logs / "daemon.log"
    with process(
        [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-w", str(surroundings.workspace)],
        environment,
        log,
        surroundings.home,
    ) as child:

        def must_live() -> None:
            if child.poll() is not None:
                culprit = f"it ended with exit code {child.returncode}."
                raise LiveError(source="dagster-daemon", culprit=culprit, remedy=f"Look at {log}.")

        yield must_live
