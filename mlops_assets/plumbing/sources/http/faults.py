"""What can go wrong between a question and its answer over HTTP, in words.

Put here the errors of the transport and how a library's exception is told. Keep out what an answer means.
"""

from __future__ import annotations

import email.utils
import html
import re
import socket
import ssl
import time
from typing import TYPE_CHECKING, Final, TypeVar

import httpx

from mlops_assets.platform.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_EXCERPT: Final = 200
_E = TypeVar("_E", bound=BaseException)


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


class TryAgainError(Exception):
    """One attempt failed in a way that the next may not.

    Attributes:
        wait: seconds that the source asked to wait, if it did.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def fault_of(error: httpx.RequestError, source: str, said: Callable[[str], str]) -> TryAgainError | SourceError:
    """What an exception of the library means.

    Args:
        error: the exception.
        source: what was asked.
        said: hides what must not be shown.
    """
    if (certificate := _cause(error, ssl.SSLCertVerificationError)) is not None:
        return SourceError(
            source=source,
            culprit=f"its certificate is not accepted: {said(certificate.verify_message).rstrip('.')}.",
            remedy="Its operator renews it; a private authority is trusted by SSL_CERT_FILE or the auth's authority.",
        )
    if (encrypted := _cause(error, ssl.SSLError)) is not None and encrypted.reason:
        words = encrypted.reason.replace("_", " ").lower()
        if "alert" in words and ("certificate" in words or "unknown ca" in words):
            return SourceError(
                source=source,
                culprit=f"it does not accept our certificate ({words}).",
                remedy="Declare auth: {type: client_certificate, ...} with one that it issued and that is still valid.",
            )
        if "wrong version number" in words or "http request" in words:
            return SourceError(
                source=source, culprit="it does not speak TLS there.", remedy="Write http:// or give the right port."
            )
        return TryAgainError(f"no connection: TLS fails ({words})")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.TooManyRedirects):
        return SourceError(
            source=source,
            culprit=f"it cannot be asked so ({type(error).__name__}).",
            remedy="Check its address and headers.",
        )
    return TryAgainError(_reason(error, said))


def _reason(error: httpx.RequestError, said: Callable[[str], str]) -> str:
    if _cause(error, socket.gaierror) is not None:
        return "no connection: its host name cannot be resolved"
    if _cause(error, ConnectionRefusedError) is not None:
        return "no connection: it is refused, nothing listens there"
    if _cause(error, ConnectionResetError) is not None or _cause(error, BrokenPipeError) is not None:
        return "the answer broke off: the connection was reset"
    if isinstance(error, httpx.TimeoutException):
        return f"the time-out passed ({type(error).__name__})"
    # What follows is a line that the server sent.
    text = said(str(error).partition(": bytearray(")[0]).rstrip(".")
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return f"the answer broke off ({text or type(error).__name__})"
    return f"no connection ({text or type(error).__name__})"


def _cause(error: BaseException, kind: type[_E]) -> _E | None:
    """The exception of that kind that the error came of."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, kind):
            return found
        found = found.__cause__ or found.__context__
    return None


def retry_after(value: str | None) -> float | None:
    """Seconds to wait, from delay-seconds or an HTTP date; ``None`` if there is nothing readable."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,15}", value.strip()):
        return float(value)
    try:
        until = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, until - time.time())


def title_of(body: bytes, said: Callable[[str], str]) -> str:
    """The title of a web page, empty where it has none."""
    found = _TITLE.search(body.decode("utf-8", "replace"))
    return said(" ".join(html.unescape(found.group(1)).split()))[:_EXCERPT] if found else ""


def excerpt(body: bytes, said: Callable[[str], str]) -> str:
    """How an answer begins, for messages."""
    if title := title_of(body, said):
        return f"a page titled {title!r}"
    text = said(" ".join(body.decode("utf-8", "replace").split()))
    return repr(text[:_EXCERPT]) if text else "no text"
