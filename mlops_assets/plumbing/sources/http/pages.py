"""Pages of an answer: how the next one is asked for, and when there is none.

Put here the styles of paging that REST services have. Keep out the reading of pages (``rest``).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping  # noqa: TC003  pydantic reads it
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self

import dagster as dg
import httpx
from pydantic import model_validator

from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.plumbing.sources.variants import at_least, one_of

if TYPE_CHECKING:
    from mlops_assets.plumbing.sources.formats.json_rows import Answer

_LINK: Final = re.compile(r'<([^>]*)>((?:\s*;\s*[^\s=;,]+\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)')
_PARAMETER: Final = re.compile(r';\s*([^\s=;,]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?')


@dataclass(frozen=True, kw_only=True)
class Ask:
    """How a page is asked for.

    Attributes:
        parameters: of the query.
        address: instead of the source's own.
        may_be_past: whether the page before looked like the last, so that there need not be this one.
        mark: what would come twice if pages went in a circle.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None
    may_be_past: bool = False
    mark: str | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page that was read.

    Attributes:
        source: how messages name it.
        location: where it came from.
        links: its ``Link`` headers.
        answer: its JSON; ``None`` of CSV.
        number: how many pages came up to it, itself included.
        rows: how many rows it has.
        read: how many came up to its end.
        largest: how many the largest page up to it has.
        total: how many there are, where the source tells.
    """

    source: str
    location: httpx.URL
    links: tuple[str, ...]
    answer: Answer | None
    number: int
    rows: int
    read: int
    largest: int
    total: int | None


class _Style(dg.Model, dg.Resolvable, ABC):
    """A style of paging.

    Attributes:
        total: dotted path to the number of rows that there are, in every page: it must be what was read.
    """

    NEEDS_JSON: ClassVar[bool] = False
    """Whether the way to the next page is in the answer itself."""

    total: str | None = None

    @property
    def parameters(self) -> list[str]:
        """Those of the query that it sets."""
        given = (getattr(self, name, None) for name in ("parameter", "size_parameter", "limit_parameter"))
        return [str(each) for each in given if each is not None]

    def begin(self) -> Ask:
        """How the first page is asked for."""
        return Ask()

    @abstractmethod
    def after(self, page: Page) -> Ask | None:
        """How the page after that is asked for; ``None`` where it was the last.

        Raises:
            SourceError: the page tells of a next one that cannot be asked for.
        """


class _Counted(_Style):
    """A style that counts, and ends at a page without rows.

    A page that is not full looks like the last. The next is asked for all the same: it must have no rows, not be there,
    or be the same again. If it has some, the source gives fewer rows than were asked for, and its pages go on.
    """

    def _looks_last(self, page: Page, asked: int | None) -> bool:
        full = asked if page.number == 1 else page.largest
        return (full is not None and page.rows < full) or (page.total is not None and page.read >= page.total)


class PageNumber(_Counted):
    """Pages with numbers, up to one without rows.

    Attributes:
        parameter: of the query, for the number.
        first: the number of the first page.
        size_parameter: of the query, for how many rows a page may have.
        size: that many.

    Example:
        >>> import mlops_assets as ma
        >>> paginate = ma.PageNumber(parameter="page", size_parameter="per_page", size=500)
    """

    type: Literal["page_number"] = "page_number"
    parameter: str = "page"
    first: Annotated[int, at_least(0)] = 1
    size_parameter: str | None = None
    size: Annotated[int | None, at_least(1)] = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.size is None) != (self.size_parameter is None):
            raise ContractError(
                source="PageNumber",
                culprit="it gives one of size and size_parameter without the other.",
                remedy="Name the parameter that asks for so many rows, or leave both out.",
            )
        return self

    def begin(self) -> Ask:
        """The first number."""
        return self._ask(self.first, may_be_past=False)

    def after(self, page: Page) -> Ask | None:
        """The next number, unless the page had no rows."""
        if not page.rows:
            return None
        return self._ask(self.first + page.number, may_be_past=self._looks_last(page, self.size))

    def _ask(self, number: int, *, may_be_past: bool) -> Ask:
        size = {self.size_parameter: str(self.size)} if self.size_parameter and self.size else {}
        return Ask(parameters={self.parameter: str(number), **size}, may_be_past=may_be_past)


class Offset(_Counted):
    """Pages from a row on, up to one without rows.

    Attributes:
        parameter: of the query, for how many rows are passed over.
        limit_parameter: of the query, for how many rows a page may have.
        limit: that many.

    Example:
        >>> import mlops_assets as ma
        >>> paginate = ma.Offset(limit=500, total="meta.total")
    """

    type: Literal["offset"] = "offset"
    parameter: str = "offset"
    limit_parameter: str = "limit"
    limit: Annotated[int, at_least(1)]

    def begin(self) -> Ask:
        """From the first row on."""
        return self._ask(0, may_be_past=False)

    def after(self, page: Page) -> Ask | None:
        """From the first row that has not been read, unless the page had none."""
        # From what was read: a source that gives fewer than the limit loses nothing by it.
        return self._ask(page.read, may_be_past=self._looks_last(page, self.limit)) if page.rows else None

    def _ask(self, passed: int, *, may_be_past: bool) -> Ask:
        parameters = {self.parameter: str(passed), self.limit_parameter: str(self.limit)}
        return Ask(parameters=parameters, may_be_past=may_be_past)


class Cursor(_Style):
    """Pages that name a mark for the next one, up to one without.

    Attributes:
        parameter: of the query, for the mark.
        path: dotted path to the mark in the answer. One that is misspelt ends after the first page: give ``total``
            where the source tells it.

    Example:
        >>> import mlops_assets as ma
        >>> paginate = ma.Cursor(parameter="after", path="meta.next")
    """

    NEEDS_JSON: ClassVar[bool] = True

    type: Literal["cursor"] = "cursor"
    parameter: str = "cursor"
    path: str

    def after(self, page: Page) -> Ask | None:
        """By the mark, unless the page has none."""
        mark = page.answer.text_at(self.path) if page.answer else None
        return Ask(parameters={self.parameter: mark}, mark=mark) if mark else None


class LinkHeader(_Style):
    """Pages whose header ``Link`` names the next one (RFC 8288, ``rel="next"``), up to one without.

    Example:
        >>> import mlops_assets as ma
        >>> paginate = ma.LinkHeader()
    """

    type: Literal["link_header"] = "link_header"

    def after(self, page: Page) -> Ask | None:
        """By the link, unless the page has none."""
        found = {*_next_links(page.links)}
        if len(found) > 1:
            raise _unusable(page, "names several next pages")
        return _to(found.pop(), page) if found else None


class NextAddress(_Style):
    """Pages that hold the address of the next one, up to one without.

    Attributes:
        path: dotted path to the address in the answer; as with ``Cursor`` give ``total`` where the source tells it.

    Example:
        >>> import mlops_assets as ma
        >>> paginate = ma.NextAddress(path="links.next")
    """

    NEEDS_JSON: ClassVar[bool] = True

    type: Literal["next_address"] = "next_address"
    path: str = "next"

    def after(self, page: Page) -> Ask | None:
        """By the address, unless the page has none."""
        text = page.answer.text_at(self.path) if page.answer else None
        return _to(text, page) if text else None


_STYLES = (PageNumber, Offset, Cursor, LinkHeader, NextAddress)
Paginate = Annotated[PageNumber | Offset | Cursor | LinkHeader | NextAddress | None, one_of(*_STYLES)]
"""The style of paging; in YAML ``{type: page_number, parameter: page}``."""


def _next_links(headers: tuple[str, ...]) -> list[str]:
    found = []
    for target, parameters in _LINK.findall(", ".join(headers)):
        said: dict[str, str] = {}
        for name, quoted, token in _PARAMETER.findall(parameters):
            said.setdefault(name.lower(), quoted or token)
        # One with an anchor is of another document.
        if "next" in said.get("rel", "").lower().split() and "anchor" not in said:
            found.append(target)
    return found


def _to(text: str, page: Page) -> Ask:
    """The page at an address, which is of the same origin: our secrets are sent along."""
    try:
        address = page.location.join(text)
    except httpx.InvalidURL:
        raise _unusable(page, "names a next page by something that is no address") from None
    here = page.location
    if (address.scheme, address.host, address.port) != (here.scheme, here.host, here.port):
        raise _unusable(page, f"names a next page elsewhere ({address.scheme}://{address.host}), which is not followed")
    return Ask(address=str(address), mark=str(address))


def _unusable(page: Page, culprit: str) -> SourceError:
    return SourceError(
        source=page.source, culprit=f"it {culprit}.", remedy="Tell the source's owner, or page by number or offset."
    )
