"""The server process: where the service listens, and how.

Put here what depends on the web server. Keep out the application, and what speaks to strangers (``edge``).
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from mlops_assets.platform.errors import PlatformError, SettingsError
from mlops_assets.serving.app import application
from mlops_assets.serving.config import ServiceConfig
from mlops_assets.serving.http import metrics
from mlops_assets.serving.http.logs import configure_logs
from mlops_assets.serving.http.tls import demand_usable, modern
from mlops_assets.serving.http.tracing import demand_tracing_installed
from mlops_assets.serving.http.unreadable import EdgeProtocol, LoopbackProtocol
from mlops_assets.serving.identity.client_certificates import read_principals

if TYPE_CHECKING:
    from mlops_assets.platform.settings import Settings
    from mlops_assets.serving.gate import Gate

_LOGGER: Final = logging.getLogger(__name__)
_KEEP_ALIVE_SECONDS: Final = 15
_EDGE_KEEP_ALIVE_SECONDS: Final = 75
"""More than an edge keeps a connection that it does not use: who closes it first should be the one who asks on it."""
_SHUTDOWN_SECONDS: Final = 10
_ANSWER_SECONDS: Final = 30
"""How long the parent waits for a sign of life of a worker. One that still imports gives none, for eight seconds on a
busy machine; and of one that is killed just then, the parent waits for all of it."""
_BACKLOG: Final = 2048


def serve(settings: Settings) -> None:
    """Run the service until the process is told to stop (SIGTERM or SIGINT); requests under way are finished.

    Raises:
        SettingsError: it should listen beyond this machine, a setting lacks another that it needs, or the address
            cannot be listened on.
        TlsError: certificate or key cannot be used.
        KeyFileError: the declaration of certificates' principals cannot be used.
    """
    config = ServiceConfig.from_settings(settings)
    demand_safe(config, host=settings.service.host, plain_http=settings.service.plain_http)
    listen(config, host=settings.service.host, port=settings.service.port)


def demand_safe(config: ServiceConfig, *, host: str, plain_http: bool) -> None:
    """Refuse to listen where strangers would reach the service itself, or where nobody could ever be let in.

    Raises:
        SettingsError: it names the setting that lacks, or that should not be.
    """
    if config.socket is None and not is_loopback(host):
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__HOST",
            culprit=f"{host} is reached from other machines, and the service itself speaks to nobody there.",
            remedy="Put the edge in front: set MLOPS_ASSETS_SERVICE__SOCKET to a path in a folder that only the "
            "service and nginx can enter, and run nginx with what `mlops-assets edge-config` prints. "
            "Or listen on 127.0.0.1.",
        )
    if config.socket is None and not plain_http and (config.tls_certificate is None or config.tls_key is None):
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__TLS_CERTIFICATE",
            culprit="the service speaks TLS, and has no certificate or no key.",
            remedy="Set it and MLOPS_ASSETS_SERVICE__TLS_KEY; on loopback __PLAIN_HTTP=true will do.",
        )
    if config.authentication != "token" and not config.edge_verifies:
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__AUTHENTICATION",
            culprit="client certificates are demanded, and none could be verified.",
            remedy="Set MLOPS_ASSETS_SERVICE__CLIENT_CA and __SOCKET: the edge in front of the service verifies them.",
        )
    if config.authentication == "certificate" and config.certificate_principals is None:
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__AUTHENTICATION",
            culprit="no file says which client certificate is which principal.",
            remedy="Set MLOPS_ASSETS_SERVICE__CERTIFICATE_PRINCIPALS.",
        )


def listen(config: ServiceConfig, *, host: str, port: int) -> None:
    """Run the application on the configuration's socket, or on that address, until the process is told to stop.

    On an address it speaks TLS with the configuration's certificate, and plain HTTP without one; on a socket it speaks
    plain HTTP.

    Raises:
        SettingsError: the address cannot be listened on, or traces are wanted and cannot be kept.
        TlsError: certificate or key cannot be used.
        KeyFileError: the declaration of certificates' principals cannot be used.
    """
    way = _way(config)
    if config.certificate_principals is not None:
        read_principals(config.certificate_principals)
    if config.traces_url is not None:
        demand_tracing_installed()
    configure_logs()
    with _bound(host, port, config) if config.socket is None else _bound_unix(config.socket) as listening:
        fields = {"address": str(config.socket or f"{host}:{port}"), "workers": config.workers}
        _LOGGER.info("listening", extra={"fields": fields})
        if config.workers == 1:
            uvicorn.Server(_settings(partial(application, config), way)).run([listening])
        else:
            _serve_by_workers(config, way, listening)


def _serve_by_workers(config: ServiceConfig, way: dict[str, Any], listening: socket.socket) -> None:
    with tempfile.TemporaryDirectory(prefix="mlops-assets-workers-") as shared:
        metrics.share_figures(Path(shared))
        made = partial(_worker, config, Path(shared))
        parent = Multiprocess(_settings(made, way, workers=config.workers), [listening])
        parent.run()
    if any(process.exitcode == STARTUP_FAILURE for process in parent.processes):
        sys.exit(1)


def _way(config: ServiceConfig) -> dict[str, Any]:
    """How the web server is set up for whoever asks it.

    Behind the edge, which asks one question at a time, the fast parser. On loopback the one that reads no further than
    the question it answers: the other takes in whatever a client sends without waiting for answers.
    """
    if config.socket is not None:
        return {"http": EdgeProtocol, "timeout_keep_alive": _EDGE_KEEP_ALIVE_SECONDS}
    way = {
        "http": LoopbackProtocol,
        "h11_max_incomplete_event_size": config.max_header_bytes,
        "timeout_keep_alive": _KEEP_ALIVE_SECONDS,
    }
    if config.tls_certificate is None or config.tls_key is None:
        return way
    demand_usable(config.tls_certificate, config.tls_key)
    tls = {"ssl_certfile": config.tls_certificate, "ssl_keyfile": config.tls_key, "ssl_context_factory": modern}
    return {**way, **tls}


def _settings(make: partial[Gate], way: dict[str, Any], workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        make,
        factory=True,
        interface="asgi3",
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        # It would hold addresses and queries; the audit line takes its place.
        access_log=False,
        server_header=False,
        proxy_headers=False,
        workers=workers,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        timeout_worker_healthcheck=_ANSWER_SECONDS,
        **way,
    )


def _worker(config: ServiceConfig, shared: Path) -> Gate:
    configure_logs()
    _LOGGER.info("worker started", extra={"fields": {"process_id": os.getpid()}})
    try:
        return application(config, shared)
    except PlatformError as error:
        _LOGGER.error("worker failed", extra={"fields": {"error": str(error)}})  # noqa: TRY400  the message says it all
        # Says that another would fail in the same way.
        sys.exit(STARTUP_FAILURE)


def _bound(host: str, port: int, config: ServiceConfig) -> socket.socket:
    """A socket of that address, which listens. It outlives workers, so a connection waits while one is replaced."""
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if sys.platform == "linux":
                # The system ends a connection whose client does not take what was sent to it for so long.
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(config.request_seconds * 1000))
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__HOST and __PORT",
            culprit=f"{host}:{port} cannot be listened on ({error.strerror or error}).",
            remedy="Is another service on that port? Stop it, or choose another port.",
        ) from error
    return listening


def _bound_unix(path: Path) -> socket.socket:
    """A Unix socket at that path, which listens; one that an ended service has left there is replaced."""
    listening = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        if path.is_socket() and not _answers(path):
            path.unlink()
        listening.bind(str(path))
        # For the service's user and group: nginx may be of another user.
        path.chmod(0o660)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__SOCKET",
            culprit=f"{path} cannot be listened on ({error.strerror or error}).",
            remedy="Is another service there? Stop it, or name a path of at most 107 bytes in a folder that can be "
            "written.",
        ) from error
    return listening


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
