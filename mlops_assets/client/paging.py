"""All pages of a table, by a generated function that gives one.

Put here how one page leads to the next. Keep out connections.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003  the protocol is looked at as the program runs
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

Row_co = TypeVar("Row_co", covariant=True)
Asked = ParamSpec("Asked")


@runtime_checkable
class Page(Protocol[Row_co]):
    """Rows of a table, as a generated client holds them; ``next_cursor`` is ``None`` on the last page."""

    @property
    def export_id(self) -> str: ...  # noqa: D102
    @property
    def items(self) -> Sequence[Row_co]: ...  # noqa: D102
    @property
    def next_cursor(self) -> str | None: ...  # noqa: D102


class Refusal(Protocol):
    """A problem document, as a generated client holds it."""

    @property
    def status(self) -> int: ...  # noqa: D102
    @property
    def detail(self) -> str: ...  # noqa: D102


class NoPageError(Exception):
    """The service gave no page.

    Attributes:
        answer: the problem that it gave instead; ``None`` when the answer was none of its document's.
    """

    def __init__(self, answer: object) -> None:
        super().__init__(f"The service gave no page: {answer}")
        self.answer = answer


def pages(
    function: Callable[Asked, Page[Row_co] | Refusal | None], *args: Asked.args, **kwargs: Asked.kwargs
) -> Iterator[Page[Row_co]]:
    """All pages of one export, asked for as needed: ``pages(list_customers.sync, client=client, territory="north")``.

    Raises:
        NoPageError: one could not be had, also when the first page's export is not kept any more.
    """
    ask: Callable[..., object] = function
    further: dict[str, str] | None = {}
    while further is not None:
        page, further = _page(ask(*args, **{**kwargs, **further}))
        yield page


async def async_pages(
    function: Callable[Asked, Awaitable[Page[Row_co] | Refusal | None]], *args: Asked.args, **kwargs: Asked.kwargs
) -> AsyncIterator[Page[Row_co]]:
    """The same for asyncio, by a generated module's function ``asyncio``.

    Raises:
        NoPageError: one could not be had, also when the first page's export is not kept any more.
    """
    ask: Callable[..., Awaitable[object]] = function
    further: dict[str, str] | None = {}
    while further is not None:
        page, further = _page(await ask(*args, **{**kwargs, **further}))
        yield page


def _page(answer: object) -> tuple[Page[Any], dict[str, str] | None]:
    """The page, and what the next is asked for with: its place in the same export."""
    if not isinstance(answer, Page):
        raise NoPageError(answer)
    cursor = answer.next_cursor
    return answer, None if cursor is None else {"as_of": answer.export_id, "cursor": cursor}
