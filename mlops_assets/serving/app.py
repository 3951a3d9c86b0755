"""The application: routes, guard, errors and headers put together.

Put here only the putting together. Keep out the web server, and every import that a request does not need.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from functools import partial
from typing import TYPE_CHECKING, Any

from litestar import Litestar
from litestar.datastructures import State

from mlops_assets.platform.security.key_address import KeyAddress
from mlops_assets.platform.security.providers import read_profile
from mlops_assets.platform.security.revocations import RevocationFile
from mlops_assets.platform.security.token_verifier import TokenVerifier
from mlops_assets.platform.security.verification_keys import Algorithm, KeyFile
from mlops_assets.platform.settings import Authentication
from mlops_assets.serving.exports.catalog import CATALOG, Catalog
from mlops_assets.serving.exports.condition import CONDITION, Condition
from mlops_assets.serving.exports.last_served import LastServed
from mlops_assets.serving.exports.shadows import SHADOWS, Shadows
from mlops_assets.serving.exports.trust import Trust
from mlops_assets.serving.gate import Gate
from mlops_assets.serving.http.headers import finish_response, refuse_strays
from mlops_assets.serving.http.metrics import METRICS, ServiceMetrics
from mlops_assets.serving.http.problems import exception_handlers
from mlops_assets.serving.identity.access import AccessGuard
from mlops_assets.serving.identity.authentication import Authenticator
from mlops_assets.serving.identity.limits import ConcurrencyLimiter, RateLimiter
from mlops_assets.serving.inference_log import INFERENCE_LOG, InferenceLog
from mlops_assets.serving.routes.api import API_ROUTES
from mlops_assets.serving.routes.documentation import DOCUMENT, documentation_routes, openapi_document
from mlops_assets.serving.watch import drain_before_end, stay_watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mlops_assets.platform.security.verification_keys import KeySource
    from mlops_assets.serving.config import ServiceConfig


def application(config: ServiceConfig, shared: Path | None = None) -> Gate:
    """The service as an ASGI application. It starts without an export, and is ready as soon as there is one.

    Args:
        config: the configuration.
        shared: folder of what all workers share; ``None`` for one worker.

    Raises:
        SettingsError: the address of the keys, or the identity provider's profile, cannot be used.
    """
    metrics = ServiceMetrics()
    catalog = Catalog(
        config.exports,
        poll_seconds=config.poll_seconds,
        metrics=metrics,
        last=LastServed(shared),
        trust=Trust(config.model_keys),
    )
    verifier, authentication = _verifier(config), Authentication(config.authentication)
    guard = AccessGuard(
        Authenticator(verifier, authentication, config.certificate_principals, config.required_limits),
        RateLimiter(rate_per_second=config.rate_per_second, burst=config.burst, file=shared and shared / "rates"),
        ConcurrencyLimiter(config.concurrency),
    )
    log = InferenceLog(
        config.inference_log,
        keep_days=config.inference_log_days,
        metrics=metrics,
        keep_free=config.inference_log_free_bytes,
    )
    condition = Condition(catalog, verifier, log, config.tls_certificate)
    public = config.public_documentation
    app = Litestar(
        route_handlers=[*API_ROUTES, *documentation_routes(public=public)],
        middleware=[guard],
        before_request=refuse_strays,
        before_send=[finish_response],
        exception_handlers=exception_handlers(),
        lifespan=[
            partial(_living, condition, config.drain_seconds),
            partial(_following, catalog, verifier),
            partial(_logging, log),
        ],
        state=State(
            {
                CATALOG: catalog,
                SHADOWS: Shadows(),
                INFERENCE_LOG: log,
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
    return Gate(
        app, guard, condition, metrics, config.request_seconds, config.traces_url, edge_verifies=config.edge_verifies
    )


def _verifier(config: ServiceConfig) -> TokenVerifier:
    algorithms = tuple(Algorithm(name) for name in config.algorithms)
    keys: KeySource = KeyFile(config.keys, algorithms)
    if config.keys_url is not None:
        keys = KeyAddress(
            config.keys_url,
            algorithms,
            authority=config.keys_url_ca,
            refresh_seconds=config.keys_refresh_seconds,
            proxy=config.keys_url_proxy,
        )
    return TokenVerifier(
        keys=keys,
        issuer=config.issuer,
        audience=config.audience,
        revocations=None if config.revoked is None else RevocationFile(config.revoked),
        profile=read_profile(config.provider, config.provider_file),
        required_limits=config.required_limits,
    )


@contextlib.asynccontextmanager
async def _living(condition: Condition, drain_seconds: float, _: Litestar) -> AsyncIterator[None]:
    drain_before_end(condition, drain_seconds)
    watched = asyncio.create_task(stay_watched())
    try:
        yield
    finally:
        await _ended(watched)


@contextlib.asynccontextmanager
async def _following(catalog: Catalog, verifier: TokenVerifier, _: Litestar) -> AsyncIterator[None]:
    following = await catalog.start()
    # What was made until now stays: the collector need not look through it again while requests wait.
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        await _ended(following)
        catalog.close()
        verifier.keys.close()


@contextlib.asynccontextmanager
async def _logging(log: InferenceLog, _: Litestar) -> AsyncIterator[None]:
    following = asyncio.create_task(log.follow_days())
    try:
        yield
    finally:
        await _ended(following)
        log.close()


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
