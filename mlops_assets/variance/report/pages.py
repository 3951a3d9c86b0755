"""Pages: self-contained HTML of headings, figures and tables, readable offline and aloud.

Put here what a page can be made of; the template beside it says how that looks. Keep out what a page tells
(``reports``) and how charts are drawn.

Everything is inside the file: styles, charts as images with alternative texts, no script. A policy in the page forbids
it to load anything.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from mlops_assets.variance.report.words import number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jinja2 import Template


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A text."""

    form: ClassVar = "paragraph"
    text: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A chart with the text that says what it shows to who does not see it."""

    form: ClassVar = "picture"
    svg: bytes
    alt: str
    caption: str = ""

    @property
    def data(self) -> str:
        """The chart as text."""
        return base64.b64encode(self.svg).decode("ascii")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        name: its heading.
        cells: texts, figures, or for lists tuples of texts, by ``kind``; ``None`` shows as withheld.
        kind: how they are written. Long texts get room; of long lists the rest is shown on request.
    """

    name: str
    cells: Sequence[object]
    kind: Literal["text", "short", "long", "list", "number", "change", "share"] = "text"

    def written(self, cell: object) -> str:
        """A cell that is no list, as people write it."""
        if isinstance(cell, int | float):
            return percent(cell) if self.kind == "share" else number(cell, signed=self.kind == "change")
        return str(cell)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table in a box of its own, in which it scrolls where it is too large for the page."""

    form: ClassVar = "table"
    columns: Sequence[Column]
    caption: str

    @property
    def filled(self) -> Sequence[Column]:
        """The columns in which anything stands."""
        return [column for column in self.columns if any(cell not in {"", ()} for cell in column.cells)]

    @property
    def rows(self) -> Iterator[Sequence[tuple[Column, object]]]:
        """Of every row the cells with their columns."""
        columns = self.filled
        for cells in zip(*(column.cells for column in columns), strict=True):
            yield list(zip(columns, cells, strict=True))


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page under a heading."""

    title: str
    parts: Sequence[Paragraph | Picture | Table]


def page(*, title: str, lead: str, sections: Sequence[Section], footer: str = "") -> str:
    """A whole page as HTML.

    Args:
        title: the heading and the window's title.
        lead: one sentence below it.
        sections: the parts, in order.
        footer: what closes it, such as where the data came from.
    """
    return _template().render(title=title, lead=lead, sections=sections, footer=footer)


def thumbnail(png: bytes, *, alt: str) -> str:
    """A picture as Markdown that carries its data along."""
    plain = alt.replace("[", "(").replace("]", ")")
    return f"![{plain}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader(__name__.rpartition(".")[0], ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.jinja")
