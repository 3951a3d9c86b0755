"""Answers of HTTP sources: the body that is due, or what came instead, told apart by status and content.

Put here what holds for the answers of every HTTP source. Keep out how they are asked for (``fetcher``).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import httpx

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.formats.json_rows import parsed
from mlops_assets.plumbing.sources.http.bodies import Kind, glimpse, whole
from mlops_assets.plumbing.sources.http.faults import (
    HtmlInsteadError,
    RefusedRequestError,
    TryAgainError,
    excerpt,
    retry_after,
    title_of,
)
from mlops_assets.plumbing.sources.http.validators import Validators

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops_assets.plumbing.sources.http.access import Access
    from mlops_assets.plumbing.sources.http.cache import CacheEntry
    from mlops_assets.plumbing.sources.http.limits import Limits

_HTML: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_PAGES: Final = ("text/html", "application/xhtml")
_ACCOUNTS: Final = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})
_PASSING: Final = frozenset({httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS})


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A whole body and where it came from.

    Attributes:
        address: the address asked as messages show it; the ``source`` of errors about the body.
        body: the bytes as the source holds them.
        unchanged: whether the source said that the body of the last fetch still stands.
        location: the address that answered, redirects followed. It may hold secrets: for no message.
        links: the answer's ``Link`` headers.
        validators: of the version that it is.
    """

    address: str
    body: bytes = field(repr=False)
    unchanged: bool
    location: httpx.URL = field(repr=False)
    links: tuple[str, ...] = field(default=(), repr=False)
    validators: Validators = field(default_factory=Validators)
    keep: Callable[[], None] = field(default=lambda: None, repr=False)

    @property
    def sha256(self) -> str:
        """SHA-256 of the body, in hexadecimal."""
        return hashlib.sha256(self.body).hexdigest()

    def accept(self) -> None:
        """Keep the body for next time, now that it was read and is good: one that was refused is asked for again."""
        self.keep()

    def json(self) -> object:
        """The body read as JSON (RFC 8259, UTF-8).

        Raises:
            SourceError: it is not JSON, or only the beginning of it.
        """
        return parsed(self.body, self.address)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked for.

    Attributes:
        plain: the address as messages show it.
        form: what is posted.
        entry: the body of last time.
        quotes: whether messages may quote how a refusal begins.
    """

    method: str
    url: httpx.URL
    plain: str
    kind: Kind
    headers: Mapping[str, str]
    form: Mapping[str, str] | None
    entry: CacheEntry | None
    quotes: bool


def judged(response: httpx.Response, question: Question, access: Access, limits: Limits) -> Fetched:
    """The body of a final answer, if it is one.

    Raises:
        TryAgainError: the next attempt may get it.
        RefusedRequestError: the source will not serve the request.
        HtmlInsteadError: a web page came where data was due.
        SourceError: there is no body, or none that is known to be whole.
    """
    plain = question.plain
    if response.status_code == httpx.codes.NOT_MODIFIED and question.entry is not None:
        return Fetched(address=plain, body=question.entry.body, unchanged=True, location=response.url)
    require_data(response, question, access, limits)
    body = whole(response, question.kind, limits, plain)
    if is_page(response, body):
        raise page_instead(body, question, access)
    return Fetched(
        address=plain,
        body=body,
        unchanged=False,
        location=response.url,
        links=tuple(response.headers.get_list("Link")),
        validators=Validators.of(response),
    )


def require_data(response: httpx.Response, question: Question, access: Access, limits: Limits) -> None:
    """Refuse an answer that says by its status that it holds no data.

    Raises:
        TryAgainError: the next attempt may get it.
        RefusedRequestError: the source will not serve the request.
        SourceError: there is no body.
    """
    status, said = response.status_code, access.hidden.said
    reason = said(f"{status} {response.reason_phrase}").rstrip()
    if status in _PASSING or response.is_server_error:
        raise TryAgainError(f"it answers {reason}", retry_after(response.headers.get("Retry-After")))
    if response.is_client_error:
        raise _refusal(response, question, access, limits)
    if status != httpx.codes.OK:
        raise SourceError(
            source=question.plain,
            culprit=f"it answers {reason}, which carries no data.",
            remedy="Ask for something that the source has.",
        )


def is_page(response: httpx.Response, start: bytes) -> bool:
    """Whether an answer is a web page, by its type or the first bytes of its body."""
    kind = response.headers.get("Content-Type", "").lower()
    return kind.startswith(_PAGES) or _HTML.match(start) is not None


def page_instead(body: bytes, question: Question, access: Access) -> HtmlInsteadError:
    """The error that a web page came, with its title."""
    title = title_of(body, access.hidden.said) if question.quotes else ""
    return HtmlInsteadError(
        source=question.plain,
        culprit=f"it sends an HTML page{f' titled {title!r}' if title else ''} where {question.kind} was due.",
        remedy="Open the address in a browser: it may ask for a login, or report a fault.",
        title=title,
    )


def _refusal(response: httpx.Response, question: Question, access: Access, limits: Limits) -> RefusedRequestError:
    status = response.status_code
    text = f": {excerpt(glimpse(response, limits), access.hidden.said)}" if question.quotes else ""
    culprit, remedy = f"it answers {status}{text}.", "Check the address and what is asked of it."
    if status in _ACCOUNTS and access.name:
        culprit = f"it answers {status} and does not accept what was sent: {access.name}{text and f' ({text[2:]})'}."
        remedy = "Put the current secret there, and ask the source's owner whether its account may read this."
    elif status in _ACCOUNTS:
        remedy = "It wants to know who asks: declare how with auth, or ask its owner for access."
    elif status == httpx.codes.NOT_FOUND:
        remedy = "Check the address: there is nothing at it."
    return RefusedRequestError(source=question.plain, culprit=culprit, remedy=remedy, status=status)
