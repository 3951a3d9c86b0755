"""The fetch layer: how any HTTP source is asked, with time-outs, bounded retries, size limits and a cache.

Put here what holds for every HTTP source. Keep out what one source's answer means (that is its connector).
"""

from __future__ import annotations

import email.utils
import hashlib
import html
import json
import logging
import random
import re
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

import httpx

import mlops_assets
from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.connectors.http_cache import CacheEntry, HttpCache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from mlops_assets.platform.settings import Settings

_KEY_BETWEEN: Final = re.compile(r"([?&])key=[^&\s\"'<>]*&", re.IGNORECASE)
_KEY_LAST: Final = re.compile(r"[?&]key=[^&\s\"'<>]*", re.IGNORECASE)
_USER: Final = re.compile(r"(https?://)[^/\s@]*@", re.IGNORECASE)
_TITLE: Final = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_HTML: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_LIBRARY_LOGGERS: Final = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
_PAGES: Final = ("text/html", "application/xhtml")
_EXCERPT: Final = 200
_LOG: Final = logging.getLogger(__name__)


class Kind(StrEnum):
    """What an address should deliver; named in the error when it delivers a web page."""

    CSV = "CSV"
    JSON = "JSON"


class RefusedRequestError(SourceError):
    """A source answered that it will not serve the request (status 400 to 499 but for 408 and 429).

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, *, source: str, culprit: str, remedy: str, status: int) -> None:
        super().__init__(source=source, culprit=culprit, remedy=remedy)
        self.status = status


class HtmlInsteadError(SourceError):
    """A source sent a web page where data was due.

    Attributes:
        title: the page's title, empty if it has none.
    """

    def __init__(self, *, source: str, culprit: str, remedy: str, title: str) -> None:
        super().__init__(source=source, culprit=culprit, remedy=remedy)
        self.title = title


class _TryAgainError(Exception):
    """One attempt failed in a way that the next may not.

    Attributes:
        wait: seconds that the source asked to wait, if it did.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def without_key(text: str) -> str:
    """The text with every query parameter ``key`` and every account in an address taken out."""
    return _USER.sub(r"\1", _KEY_LAST.sub("", _KEY_BETWEEN.sub(r"\1", text)))


class _WithoutKey(logging.Filter):
    """Takes keys out of what the HTTP library logs: it logs every address in full."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_key(record.getMessage()), ()
        return True


_WITHOUT_KEY: Final = _WithoutKey()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one fetch.

    Attributes:
        timeout_seconds: how long one attempt may take from connecting to the last byte.
        attempts: how often a request is tried.
        first_delay_seconds: mean wait after the first failed attempt; it doubles with each further one.
        longest_delay_seconds: longest wait between two attempts; a source that asks for more is given up at once.
        largest_body_bytes: largest body accepted, after any content encoding.
        most_redirects: how many redirects are followed.
    """

    timeout_seconds: float = 30.0
    attempts: int = 4
    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 60.0
    largest_body_bytes: int = 256 * 1024 * 1024
    most_redirects: int = 5


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A whole body and where it came from.

    Attributes:
        address: the address asked, without key; the ``source`` of errors about the body.
        body: the bytes as the source holds them.
        unchanged: whether the source said that the body of the last fetch still stands.
    """

    address: str
    body: bytes
    unchanged: bool

    @property
    def sha256(self) -> str:
        """SHA-256 of the body, in hexadecimal."""
        return hashlib.sha256(self.body).hexdigest()

    def json(self) -> object:
        """The body read as JSON (RFC 8259, UTF-8).

        Raises:
            SourceError: it is not JSON, or only the beginning of it.
        """
        try:
            return json.loads(self.body.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise SourceError(
                source=self.address,
                culprit=f"the JSON is not UTF-8 (byte {error.start} of {len(self.body)}).",
                remedy="Ask the source's owner to send UTF-8.",
            ) from None
        except json.JSONDecodeError as error:
            raise SourceError(
                source=self.address,
                culprit=f"the JSON breaks at character {error.pos} of {len(error.doc)} ({error.msg}).",
                remedy="It may be cut off: fetch it again; if it stays so, tell the source's owner.",
            ) from None


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What is asked for, under its address as messages may show it."""

    url: httpx.URL
    plain: str
    kind: Kind
    entry: CacheEntry | None

    def hidden(self, text: str) -> str:
        """The text without the key, should the source repeat it."""
        key = self.url.params.get("key")
        return text.replace(key, "[key]") if key else text


class Fetcher:
    """A client of HTTP sources. Use it as a context manager, one per extract.

    Connection errors, time-outs, bodies that end early and the statuses 408, 429 and 500 to 599 are tried again, with
    full jitter around exponentially growing waits (Brooker, "Exponential Backoff And Jitter", AWS 2015), or after the
    time that the source itself asks for (``Retry-After``, RFC 9110 section 10.2.3). Redirects are followed on the same
    host only, and never from https to http. With a cache, a known ETag is sent along (``If-None-Match``).
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        cache: HttpCache | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limits = limits or Limits()
        self._cache = cache
        self._sleep = sleep
        self._random = random.SystemRandom()
        for name in _LIBRARY_LOGGERS:
            logging.getLogger(name).addFilter(_WITHOUT_KEY)
        self._client = httpx.Client(
            timeout=self._limits.timeout_seconds,
            headers={"User-Agent": f"mlops-assets/{mlops_assets.__version__}"},
            follow_redirects=False,
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """A client with the operator's time-out and attempts, its cache in the home folder."""
        return cls(
            limits=Limits(timeout_seconds=settings.sources.timeout_seconds, attempts=settings.sources.attempts),
            cache=HttpCache(settings.home.absolute() / "cache"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, address: str, kind: Kind, *, parameters: Mapping[str, str] | None = None) -> Fetched:
        """The whole body at an address.

        Args:
            address: an http or https address.
            kind: what the body should be; a web page is refused.
            parameters: query parameters; one named ``key`` is sent and appears in no message, log or cache.

        Raises:
            RefusedRequestError: the source will not serve the request.
            HtmlInsteadError: a web page came where data was due.
            SourceUnavailableError: no whole answer came in any of the attempts.
            SourceError: the address is unusable, the body is too large, or there is none (status 204).
        """
        url = self._url(address, parameters or {})
        plain = without_key(str(url))
        entry = self._cache.read(plain) if self._cache else None
        request = _Request(url=url, plain=plain, kind=kind, entry=entry)
        attempt = 1
        while True:
            try:
                return self._attempt(request)
            except _TryAgainError as fault:
                delay = self._delay(attempt) if fault.wait is None else fault.wait
                if attempt >= self._limits.attempts or delay > self._limits.longest_delay_seconds:
                    asked = "" if fault.wait is None else f", and it asks to wait {fault.wait:.0f} s"
                    raise SourceUnavailableError(
                        source=plain,
                        culprit=f"{fault} (attempt {attempt} of {self._limits.attempts}{asked}).",
                        remedy="Run it again later; if it stays so, check the address and the source's status.",
                    ) from fault.__cause__
                self._sleep(delay)
                attempt += 1

    def _delay(self, attempt: int) -> float:
        longest = min(self._limits.longest_delay_seconds, self._limits.first_delay_seconds * 2**attempt)
        return self._random.uniform(0.0, longest)

    @staticmethod
    def _url(address: str, parameters: Mapping[str, str]) -> httpx.URL:
        try:
            url = httpx.URL(address).copy_merge_params(parameters)
        except httpx.InvalidURL:
            url = httpx.URL()
        if url.scheme not in {"http", "https"} or not url.host:
            raise SourceError(
                source=without_key(address),
                culprit="this is not an http or https address.",
                remedy="Correct the source's address in the settings.",
            )
        return url

    def _attempt(self, request: _Request) -> Fetched:
        """One try, redirects included, within the time-out."""
        deadline = time.monotonic() + self._limits.timeout_seconds
        headers = {"If-None-Match": request.entry.etag} if request.entry else {}
        url = request.url
        for _ in range(self._limits.most_redirects + 1):
            try:
                with self._client.stream("GET", url, headers=headers) as response:
                    if response.next_request is None:
                        return self._judged(response, request, deadline)
                    url = self._redirected(url, response.next_request.url, request.plain)
            except httpx.RequestError as error:
                raise _TryAgainError(_reason(error)) from error
        raise SourceError(
            source=request.plain,
            culprit=f"it redirects more than {self._limits.most_redirects} times.",
            remedy="Give the address at which the data lies.",
        )

    @staticmethod
    def _redirected(old: httpx.URL, new: httpx.URL, plain: str) -> httpx.URL:
        same = (new.scheme, new.host, new.port) == (old.scheme, old.host, old.port)
        secured = (old.scheme, new.scheme, new.port) == ("http", "https", None) and new.host == old.host
        if not (same or secured):
            raise SourceError(
                source=plain,
                culprit=f"it redirects to another host ({new.scheme}://{new.netloc.decode('ascii')}), "
                "which is not followed.",
                remedy="If the source has moved, give its new address in the settings.",
            )
        return new

    def _judged(self, response: httpx.Response, request: _Request, deadline: float) -> Fetched:
        """The body of a final answer, if it is one."""
        status, plain = response.status_code, request.plain
        if status == httpx.codes.NOT_MODIFIED and request.entry is not None:
            return Fetched(address=plain, body=request.entry.body, unchanged=True)
        if status in {httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS} or response.is_server_error:
            wait = _retry_after(response.headers.get("Retry-After"))
            raise _TryAgainError(f"it answers {status} {response.reason_phrase}".rstrip(), wait)
        body = self._read(response, plain, deadline)
        if response.is_client_error:
            raise RefusedRequestError(
                source=plain,
                culprit=f"it answers {status}: {request.hidden(_excerpt(body))}.",
                remedy="Check the address and what is asked of it.",
                status=status,
            )
        if status != httpx.codes.OK:
            raise SourceError(
                source=plain,
                culprit=f"it answers {status} {response.reason_phrase}, which carries no data.",
                remedy="Ask for something that the source has.",
            )
        if response.headers.get("Content-Type", "").lower().startswith(_PAGES) or _HTML.match(body):
            title = request.hidden(_title(body))
            raise HtmlInsteadError(
                source=plain,
                culprit=f"it sends an HTML page{f' titled {title!r}' if title else ''} where {request.kind} was due.",
                remedy="Open the address in a browser: it may ask for a login, or report a fault.",
                title=title,
            )
        self._keep(response.headers.get("ETag"), body, plain)
        return Fetched(address=plain, body=body, unchanged=False)

    def _keep(self, etag: str | None, body: bytes, plain: str) -> None:
        if self._cache is None or not etag:
            return
        try:
            self._cache.write(plain, CacheEntry(etag=etag, body=body))
        except OSError as error:
            _LOG.warning("The body of %s could not be cached (%s); it will be fetched whole next time.", plain, error)

    def _read(self, response: httpx.Response, plain: str, deadline: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > self._limits.largest_body_bytes:
                raise SourceError(
                    source=plain,
                    culprit=f"the body is larger than {self._limits.largest_body_bytes:,} bytes.",
                    remedy="Check that the address is the right one.",
                )
            if time.monotonic() > deadline:
                raise _TryAgainError(f"the body did not arrive within {self._limits.timeout_seconds:g} s")
        return bytes(body)


def _reason(error: httpx.RequestError) -> str:
    # What follows is a line that the server sent.
    text = without_key(str(error).partition(": bytearray(")[0]).rstrip(".")
    if isinstance(error, httpx.TimeoutException):
        return f"the time-out passed ({type(error).__name__})"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.DecodingError):
        return f"the answer broke off ({text or type(error).__name__})"
    return f"no connection ({text or type(error).__name__})"


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from delay-seconds or an HTTP date; ``None`` if there is nothing readable."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        until = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, until.timestamp() - time.time())


def _title(body: bytes) -> str:
    found = _TITLE.search(body)
    text = html.unescape(found.group(1).decode("utf-8", "replace")) if found else ""
    return without_key(" ".join(text.split()))[:_EXCERPT]


def _excerpt(body: bytes) -> str:
    title = _title(body)
    if title:
        return f"a page titled {title!r}"
    text = " ".join(body[: 4 * _EXCERPT].decode("utf-8", "replace").split())
    return repr(without_key(text)[:_EXCERPT]) if text else "no text"
