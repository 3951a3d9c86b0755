"""The server process: where the service listens, and how.

Put here what depends on the web server. Keep out the application.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import uvicorn

from mlops_assets.platform.errors import SettingsError
from mlops_assets.serving.app import application
from mlops_assets.serving.config import ServiceConfig
from mlops_assets.serving.logs import configure_logs

if TYPE_CHECKING:
    from mlops_assets.platform.settings import Settings

_KEEP_ALIVE_SECONDS: Final = 15
_SHUTDOWN_SECONDS: Final = 10
_MAX_CONNECTIONS: Final = 1000


def serve(settings: Settings) -> None:
    """Run the service until the process is told to stop (SIGTERM or SIGINT); requests under way are finished.

    Raises:
        SettingsError: the host is not loopback, and plain HTTP is not allowed beyond it.
    """
    service = settings.service
    demand_safe_host(service.host, allow_plain_http=service.allow_plain_http)
    listen(ServiceConfig.from_settings(settings), host=service.host, port=service.port)


def demand_safe_host(host: str, *, allow_plain_http: bool) -> None:
    """Refuse to listen where tokens would cross a network unencrypted.

    Raises:
        SettingsError: the host is not loopback, and plain HTTP is not allowed beyond it.
    """
    if allow_plain_http or _is_loopback(host):
        return
    raise SettingsError(
        source="MLOPS_ASSETS_SERVICE__HOST",
        culprit=f"the service speaks plain HTTP, and {host} is reached from other machines: tokens could be read.",
        remedy="Listen on 127.0.0.1 behind a proxy that ends TLS, or set MLOPS_ASSETS_SERVICE__ALLOW_PLAIN_HTTP=true "
        "where only such a proxy reaches that address.",
    )


def listen(config: ServiceConfig, *, host: str, port: int) -> None:
    """Run the application on that address until the process is told to stop."""
    configure_logs()
    uvicorn.run(
        application(config),
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        # It would hold addresses and queries; the audit line takes its place.
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
