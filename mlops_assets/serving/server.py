"""The server process: where the service listens, and how.

Put here what depends on the web server. Keep out the application, and the life of worker processes (``supervisor``).
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import signal
import socket
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn

from mlops_assets.platform.errors import SettingsError
from mlops_assets.serving.app import Shared, application
from mlops_assets.serving.config import ServiceConfig
from mlops_assets.serving.http import metrics
from mlops_assets.serving.http.connections import BoundedProtocol, Crowd
from mlops_assets.serving.http.handshakes import Listener
from mlops_assets.serving.http.logs import configure_logs
from mlops_assets.serving.http.tls import ServerTls
from mlops_assets.serving.http.tracing import demand_tracing_installed
from mlops_assets.serving.identity.client_certificates import read_principals
from mlops_assets.serving.supervisor import FAILED, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from mlops_assets.platform.settings import Settings
    from mlops_assets.serving.gate import Gate

_LOGGER: Final = logging.getLogger(__name__)
_KEEP_ALIVE_SECONDS: Final = 15
_SHUTDOWN_SECONDS: Final = 10
_BACKLOG: Final = 2048
_TICKS_PER_SECOND: Final = 10
_START_SECONDS: Final = 1800.0
"""How long a worker may start: a hundred gigabytes are verified in this time, and a disk that stands still shows."""


def serve(settings: Settings) -> None:
    """Run the service until the process is told to stop (SIGTERM or SIGINT); requests under way are finished.

    Raises:
        SettingsError: plain HTTP is wanted beyond loopback, a setting lacks another that it needs, or the address
            cannot be listened on.
        TlsError: certificate or key cannot be used.
        KeyFileError: the declaration of certificates' principals cannot be used.
    """
    config = ServiceConfig.from_settings(settings)
    demand_safe(config, host=settings.service.host, plain_http=settings.service.plain_http)
    listen(config, host=settings.service.host, port=settings.service.port)


def demand_safe(config: ServiceConfig, *, host: str, plain_http: bool) -> None:
    """Refuse to listen where tokens would cross a network unencrypted, or where nobody could ever be let in.

    Raises:
        SettingsError: it names the setting that lacks, or that should not be.
    """
    if plain_http and not is_loopback(host):
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__PLAIN_HTTP",
            culprit=f"{host} is reached from other machines: tokens could be read on their way.",
            remedy="Set MLOPS_ASSETS_SERVICE__TLS_CERTIFICATE and __TLS_KEY, or listen on 127.0.0.1.",
        )
    if not plain_http and (config.tls_certificate is None or config.tls_key is None):
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__TLS_CERTIFICATE",
            culprit="the service speaks TLS, and has no certificate or no key.",
            remedy="Set it and MLOPS_ASSETS_SERVICE__TLS_KEY; on loopback __PLAIN_HTTP=true will do.",
        )
    if config.authentication != "token" and (plain_http or config.client_ca is None):
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__AUTHENTICATION",
            culprit="client certificates are demanded, and none could be verified.",
            remedy="Set MLOPS_ASSETS_SERVICE__CLIENT_CA, and do not set __PLAIN_HTTP.",
        )
    if config.authentication == "certificate" and config.certificate_principals is None:
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__AUTHENTICATION",
            culprit="no file says which client certificate is which principal.",
            remedy="Set MLOPS_ASSETS_SERVICE__CERTIFICATE_PRINCIPALS.",
        )


def listen(config: ServiceConfig, *, host: str, port: int) -> None:
    """Run the application on that address until the process is told to stop.

    With a certificate in the configuration it speaks TLS, without one plain HTTP.

    Raises:
        SettingsError: the address cannot be listened on, or traces are wanted and cannot be kept.
        TlsError: certificate or key cannot be used.
        KeyFileError: the declaration of certificates' principals cannot be used.
    """
    tls = None
    if config.tls_certificate is not None and config.tls_key is not None:
        tls = ServerTls(config.tls_certificate, config.tls_key, config.client_ca)
    if config.certificate_principals is not None:
        read_principals(config.certificate_principals)
    if config.traces_url is not None:
        demand_tracing_installed()
    sockets = _bound(host, port)
    configure_logs()
    _LOGGER.info(
        "listening",
        extra={"fields": {"scheme": "http" if tls is None else "https", "host": host, "workers": config.workers}},
    )
    shared = Shared.of(config)
    if config.workers == 1:
        _work(lambda: None, config=config, sockets=sockets, tls=tls, shared=shared)
        return
    with tempfile.TemporaryDirectory(prefix="mlops-assets-figures-") as folder:
        metrics.share_figures(Path(folder))
        code = Supervisor(
            config.workers,
            partial(_work, config=config, sockets=sockets, tls=tls, shared=shared),
            grace_seconds=config.drain_seconds + _SHUTDOWN_SECONDS + 5,
            ended=metrics.forget_worker,
        ).run()
    if code:
        sys.exit(code)


def _work(
    alive: Callable[[], None],
    *,
    config: ServiceConfig,
    sockets: list[socket.socket],
    tls: ServerTls | None,
    shared: Shared,
) -> None:
    gate = application(config, shared=shared, tls=tls)
    crowd = Crowd(config, gate.metrics.refused)
    settings = uvicorn.Config(
        gate,
        interface="asgi3",
        loop="uvloop",
        http=partial(BoundedProtocol, crowd=crowd),  # type: ignore[arg-type]  # makes protocols, as the class does
        ws="none",
        lifespan="on",
        log_config=None,
        # It would hold addresses and queries; the audit line takes its place.
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    _Server(settings, gate=gate, crowd=crowd, tls=tls, alive=alive).run(sockets)


class _Server(uvicorn.Server):
    """The web server, with bounded handshakes, certificates that are followed, and an end in two steps."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        gate: Gate,
        crowd: Crowd,
        tls: ServerTls | None,
        alive: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._gate = gate
        self._crowd = crowd
        self._tls = tls
        self._alive = alive
        self._service = crowd.config
        self._leave_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen; the web server's own way knows no limits of handshakes."""
        starting = asyncio.create_task(self._live())
        await self.lifespan.startup()
        starting.cancel()
        if self.lifespan.should_exit:
            sys.exit(FAILED)
        # What was made until now stays: the collector need not look through it again while requests wait.
        gc.collect()
        gc.freeze()
        listener = Listener(
            sockets or [],
            self._connection,
            most=self._crowd.limit,
            tls=None if self._tls is None else self._tls.context,
            handshake_seconds=self._service.header_seconds,
        )
        listener.start()
        self.servers = [listener]  # type: ignore[list-item]  # of a server it is only asked to close
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: look at the certificate, and whether the time to leave has come."""
        if counter % _TICKS_PER_SECOND == 0:
            self._alive()
            if self._tls is not None and self._tls.refresh() and self._service.client_ca is not None:
                # Their clients' certificates were verified by the authorities of before.
                for connection in list(self.server_state.connections):
                    connection.shutdown()
        if self._leave_at is not None and time.monotonic() >= self._leave_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def _live(self) -> None:
        """Say that the worker lives while the application starts, which takes longer than a worker may hang.

        The event loop turns meanwhile, since exports are verified in a thread; it says nothing of that thread.
        """
        ends = time.monotonic() + _START_SECONDS
        while time.monotonic() < ends:
            self._alive()
            await asyncio.sleep(1 / _TICKS_PER_SECOND)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Say so first, so that no new client comes, and leave a little later; at once when told again."""
        if self._leave_at is None and sig == signal.SIGTERM:
            self._gate.condition.draining = True
            self._leave_at = time.monotonic() + self._service.drain_seconds
            self._captured_signals.append(sig)
            return
        super().handle_exit(sig, frame)

    def _connection(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # as the web server itself makes them
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            _loop=asyncio.get_running_loop(),
        )


def _bound(host: str, port: int) -> list[socket.socket]:
    """Sockets of every address of the host. They outlive workers, so a connection waits while one is replaced."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.listen(_BACKLOG)
            one.setblocking(False)  # noqa: FBT003  the library's own signature
    except OSError as error:
        _close(sockets)
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__HOST and __PORT",
            culprit=f"{host}:{port} cannot be listened on ({error.strerror or error}).",
            remedy="Is another service on that port? Stop it, or choose another port.",
        ) from error
    return sockets


def _close(sockets: Iterable[socket.socket]) -> None:
    for each in sockets:
        each.close()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
