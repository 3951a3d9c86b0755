"""Connections to the service: ``httpx`` clients that sign in, try again, and show a token to nobody else.

Put here what holds for every request. Keep out what is asked: generated clients know that.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
import uuid
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import httpx
import tenacity

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

_ATTEMPTS: Final = 4
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 10.0
"""Seconds; a longer ``Retry-After`` ends the attempts."""
_PASSING: Final = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
_OVERLOADED: Final = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})
_PURE: Final = re.compile(r".*/(score|infer|lookup/[^/]+)")
"""Addresses whose POST changes nothing, so that it may be repeated."""
_JITTER: Final = tenacity.wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT)
"""Full jitter: clients that failed together do not come back together. Source: M. Brooker, "Exponential Backoff And
Jitter", AWS Architecture Blog, 2015."""


def connection(
    url: str,
    *,
    token: Callable[[], str] | None = None,
    authority: Path | None = None,
    certificate: tuple[Path, Path] | None = None,
    timeout_seconds: float = 10.0,
) -> httpx.Client:
    """A connection for a generated client: ``Client(url).set_httpx_client(connection(url, token=...))``.

    Connection errors, 429 and 503 are tried again, up to four attempts in all with one ``X-Request-ID``. Redirects are
    not followed and the environment's proxies not used, as either would show the token.

    Args:
        url: where the service is, such as ``https://customers.example``; ``http`` on loopback only.
        token: gives the bearer token, and at once; it is asked before each attempt, and once more after a 401.
        authority: PEM file of the authority that signed the service's certificate; the system's when ``None``.
        certificate: PEM files of the client's own certificate and of its key, for mutual TLS.
        timeout_seconds: of each attempt, for connecting and for each wait.

    Raises:
        ValueError: the address would show what is sent to others.
    """
    return _Connection(**_options(url, token, authority, certificate, timeout_seconds))


def async_connection(
    url: str,
    *,
    token: Callable[[], str] | None = None,
    authority: Path | None = None,
    certificate: tuple[Path, Path] | None = None,
    timeout_seconds: float = 10.0,
) -> httpx.AsyncClient:
    """The same for asyncio: ``Client(url).set_async_httpx_client(async_connection(url, token=...))``.

    Raises:
        ValueError: the address would show what is sent to others.
    """
    return _AsyncConnection(**_options(url, token, authority, certificate, timeout_seconds))


class _Connection(httpx.Client):
    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:  # noqa: ANN401
        return super().build_request(method, _plain(url), **options)

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:  # noqa: ANN401  the library's own
        answer: httpx.Response = tenacity.Retrying(**_policy(request))(super().send, request, **options)
        return answer


class _AsyncConnection(httpx.AsyncClient):
    def build_request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Request:  # noqa: ANN401
        return super().build_request(method, _plain(url), **options)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:  # noqa: ANN401  the library's own
        answer: httpx.Response = await tenacity.AsyncRetrying(**_policy(request))(super().send, request, **options)
        return answer


class _Bearer(httpx.Auth):
    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = self._token()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED and (renewed := self._token()) != token:
            request.headers["Authorization"] = f"Bearer {renewed}"
            yield request


def _options(
    url: str,
    token: Callable[[], str] | None,
    authority: Path | None,
    certificate: tuple[Path, Path] | None,
    timeout_seconds: float,
) -> dict[str, Any]:
    if not _is_confidential(httpx.URL(url)):
        raise ValueError("The service's address must be https; plain http reaches this machine only: others could read")
    context = ssl.create_default_context(cafile=authority)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return {
        "base_url": url,
        "auth": None if token is None else _Bearer(token),
        "verify": context,
        "timeout": timeout_seconds,
        "follow_redirects": False,
        "trust_env": False,
        "headers": {"Accept-Encoding": "gzip"},
    }


def _is_confidential(url: httpx.URL) -> bool:
    """Whether nobody between here and that address reads what is sent."""
    if url.scheme == "http":
        try:
            return ipaddress.ip_address(url.host).is_loopback
        except ValueError:
            return url.host == "localhost"
    return url.scheme == "https"


def _plain(url: httpx.URL | str) -> httpx.URL | str:
    """The address, unless a value in it would lead elsewhere: the library resolves dots as those of a file's path."""
    path = str(url).partition("?")[0]
    if {".", ".."} & set(path.split("/")):
        raise ValueError("A value of . or .. cannot be a part of an address. Look the row up by its key.")
    return url


def _policy(request: httpx.Request) -> dict[str, Any]:
    """When that request is tried again, and after how long."""
    request.headers.setdefault("X-Request-ID", uuid.uuid4().hex)
    pure = request.method in {"GET", "HEAD"} or _PURE.fullmatch(request.url.path)
    return {
        "stop": tenacity.stop_after_attempt(_ATTEMPTS if pure else 1),
        "wait": _wait,
        "retry": _is_passing,
        # What came last is the answer: a response, or the library's own exception.
        "retry_error_callback": _last,
    }


def _last(state: tenacity.RetryCallState) -> httpx.Response:
    assert state.outcome is not None  # noqa: S101  it is asked after an attempt
    answer: httpx.Response = state.outcome.result()
    return answer


def _is_passing(state: tenacity.RetryCallState) -> bool:
    """Whether what came of an attempt may be otherwise soon."""
    if state.outcome is not None and state.outcome.failed:
        return isinstance(state.outcome.exception(), _PASSING)
    answer = _last(state)
    # One that is still being read as a stream is the caller's already.
    return answer.status_code in _OVERLOADED and answer.is_closed and _asked_wait(answer) <= _LONGEST_WAIT


def _wait(state: tenacity.RetryCallState) -> float:
    """Not before the time that was asked for, and not all at that time."""
    failed = state.outcome is not None and state.outcome.failed
    return _JITTER(state) + (0.0 if failed else _asked_wait(_last(state)))


def _asked_wait(answer: httpx.Response) -> float:
    """Seconds that a ``Retry-After`` asks for, as a number or as a date (RFC 9110, 10.2.3)."""
    value = answer.headers.get("Retry-After", "0")
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
