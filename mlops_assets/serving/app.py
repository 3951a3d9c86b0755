"""The application: routes, guard, errors and headers put together.

Put here only the putting together. Keep out the web server, and every import that a request does not need.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from litestar import Litestar
from litestar.datastructures import State

from mlops_assets.platform.security.revocations import RevocationFile
from mlops_assets.platform.security.token_verifier import TokenVerifier
from mlops_assets.platform.security.verification_keys import Algorithm, KeyAddress, KeyFile
from mlops_assets.platform.settings import Authentication
from mlops_assets.serving.exports.condition import CONDITION, Condition
from mlops_assets.serving.exports.follower import ExportFollower
from mlops_assets.serving.exports.in_use import FOLLOWER, PAST_EXPORTS
from mlops_assets.serving.exports.last_served import LastServed
from mlops_assets.serving.exports.past import PastExports
from mlops_assets.serving.exports.trust import Trust
from mlops_assets.serving.gate import Gate
from mlops_assets.serving.http.headers import finish_response, refuse_strays
from mlops_assets.serving.http.metrics import METRICS, ServiceMetrics
from mlops_assets.serving.http.problems import exception_handlers
from mlops_assets.serving.identity.access import AccessGuard
from mlops_assets.serving.identity.authentication import Authenticator
from mlops_assets.serving.identity.limits import ConcurrencyLimiter, RateLimiter
from mlops_assets.serving.routes.api import API_ROUTES
from mlops_assets.serving.routes.documentation import DOCUMENT, documentation_routes, openapi_document
from mlops_assets.serving.routes.idempotency import Remembered
from mlops_assets.serving.routes.scoring import REMEMBERED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mlops_assets.platform.security.verification_keys import KeySource
    from mlops_assets.serving.config import ServiceConfig
    from mlops_assets.serving.http.tls import ServerTls


@dataclass(frozen=True)
class Shared:
    """What all workers share; made before they are forked.

    Attributes:
        rate: the rate limiter.
        last: the export that was taken over last.
    """

    rate: RateLimiter
    last: LastServed

    @classmethod
    def of(cls, config: ServiceConfig) -> Self:
        """What a service of that configuration shares."""
        return cls(RateLimiter(rate_per_second=config.rate_per_second, burst=config.burst), LastServed())


def application(config: ServiceConfig, *, shared: Shared | None = None, tls: ServerTls | None = None) -> Gate:
    """The service as an ASGI application. It starts without an export, and is ready as soon as there is one.

    Args:
        config: the configuration.
        shared: what all workers share; the application's own when ``None``.
        tls: the server's certificate, of which the service tells how long it is valid.

    Raises:
        SettingsError: the address of the keys cannot be used.
    """
    metrics, shared = ServiceMetrics(), shared or Shared.of(config)
    trust, remembered = Trust(config.model_keys), Remembered()
    follower = ExportFollower(
        config.exports,
        poll_seconds=config.poll_seconds,
        metrics=metrics,
        last=shared.last,
        trust=trust,
        keys_changed=remembered.clear,
    )
    past = PastExports(config.exports, trust)
    verifier, authentication = _verifier(config), Authentication(config.authentication)
    guard = AccessGuard(
        Authenticator(verifier, authentication, config.certificate_principals),
        shared.rate,
        ConcurrencyLimiter(config.concurrency),
    )
    condition = Condition(follower, verifier, tls)
    public = config.public_documentation
    app = Litestar(
        route_handlers=[*API_ROUTES, *documentation_routes(public=public)],
        middleware=[guard],
        before_request=refuse_strays,
        before_send=[finish_response],
        exception_handlers=exception_handlers(),
        lifespan=[partial(_following, follower, past, verifier)],
        state=State(
            {
                FOLLOWER: follower,
                PAST_EXPORTS: past,
                REMEMBERED: remembered,
                CONDITION: condition,
                METRICS: metrics,
                DOCUMENT: openapi_document(public=public, authentication=authentication),
            },
            deep_copy=False,
        ),
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    return Gate(app, guard, condition, metrics, config.request_seconds, config.traces_url)


def _verifier(config: ServiceConfig) -> TokenVerifier:
    algorithms = tuple(Algorithm(name) for name in config.algorithms)
    keys: KeySource = KeyFile(config.keys, algorithms)
    if config.keys_url is not None:
        keys = KeyAddress(
            config.keys_url, algorithms, authority=config.keys_url_ca, refresh_seconds=config.keys_refresh_seconds
        )
    return TokenVerifier(
        keys=keys,
        issuer=config.issuer,
        audience=config.audience,
        revocations=None if config.revoked is None else RevocationFile(config.revoked),
    )


@contextlib.asynccontextmanager
async def _following(
    follower: ExportFollower, past: PastExports, verifier: TokenVerifier, _: Litestar
) -> AsyncIterator[None]:
    await follower.look()
    task = asyncio.create_task(follower.follow())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        past.close()
        follower.close()
        verifier.keys.close()
