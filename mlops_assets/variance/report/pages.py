"""Pages: self-contained HTML of headings, figures and tables, readable offline and aloud.

Put here how a page is put together and looks. Keep out what it tells (``report``) and how charts are drawn.

Everything is inside the file: styles, charts as images with alternative texts, no script. A policy in the page forbids
it to load anything.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE: Final = """
:root { color-scheme: light; --ink: #1b1f24; --faint: #57606a; --line: #d5dae0; --tint: #f5f7f9; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", Verdana, sans-serif; color: var(--ink);
  background: #fff; }
main { max-width: 68rem; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
p { margin: .4rem 0; max-width: 46rem; }
.lead { color: var(--faint); }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; display: block; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 0 1.5rem; }
.key { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; margin: .4rem 0; list-style: none;
  font-size: .875rem; color: var(--faint); }
.key i { display: inline-block; width: .75rem; height: .75rem; margin-right: .35rem; }
figcaption, caption { color: var(--faint); font-size: .875rem; text-align: left; caption-side: top; padding: .25rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { background: var(--tint); white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
ul { padding-left: 1.2rem; }
footer { margin-top: 3rem; color: var(--faint); font-size: .875rem; }
td.long { min-width: 22rem; }
td.short { white-space: nowrap; }
a { color: #0b5cad; }
@media print { main { max-width: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""


_LONG: Final = 60
_SHORT: Final = 14
"""Characters from which a cell needs room, and up to which it stays on one line."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page.

    Attributes:
        title: its heading.
        body: HTML of its content, from the functions below.
    """

    title: str
    body: str


def page(*, title: str, lead: str, sections: Sequence[Section], footer: str = "") -> str:
    """A whole page as HTML.

    Args:
        title: the heading and the window's title.
        lead: one sentence below it.
        sections: the parts, in order.
        footer: what closes it, such as where the data came from.
    """
    anchors = [f"part-{number}" for number in range(1, len(sections) + 1)]
    contents = "".join(
        f'<li><a href="#{anchor}">{escape(section.title)}</a></li>'
        for anchor, section in zip(anchors, sections, strict=True)
    )
    parts = "".join(
        f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(section.title)}</h2>{section.body}</section>'
        for anchor, section in zip(anchors, sections, strict=True)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p></header>'
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>{parts}'
        f"<footer>{escape(footer)}</footer></main></body></html>\n"
    )


def paragraph(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def figure(svg: bytes, *, alt: str, caption: str = "") -> str:
    """A chart with the text that says what it shows to who does not see it."""
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    data = base64.b64encode(svg).decode("ascii")
    return f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{escape(alt, quote=True)}">{said}</figure>'


def side_by_side(figures: Sequence[str]) -> str:
    """Figures beside each other, as far as there is room."""
    return f'<div class="pair">{"".join(figures)}</div>'


def key(colours: Mapping[str, str]) -> str:
    """What the colours of a chart stand for.

    Args:
        colours: for each meaning a colour as ``#rrggbb``.
    """
    items = "".join(
        f'<li><i style="background:{escape(colour, quote=True)}"></i>{escape(meaning)}</li>'
        for meaning, colour in colours.items()
    )
    return f'<ul class="key" aria-label="Colours">{items}</ul>'


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, caption: str) -> str:
    """A table; numbers are aligned to the right, with separators of thousands.

    Args:
        header: names of the columns.
        rows: cells; ``None`` shows as withheld.
        caption: what the table holds.
    """
    kinds = [_kind([row[place] for row in rows]) for place in range(len(header))]
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(header, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{_cell(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption, quote=True)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def thumbnail(png: bytes, *, alt: str) -> str:
    """A picture as Markdown that carries its data along."""
    plain = alt.replace("[", "(").replace("]", ")")
    return f"![{plain}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})"


def _kind(cells: Sequence[object]) -> str:
    """How a column of those cells is set."""
    if any(map(_is_number, cells)) and all(_is_number(cell) or cell is None for cell in cells):
        return ' class="number"'
    longest = max((len(str(cell)) for cell in cells), default=0)
    if longest > _LONG:
        return ' class="long"'
    return ' class="short"' if longest <= _SHORT else ""


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _cell(cell: object) -> str:
    if cell is None:
        return '<span title="withheld: too few persons">…</span>'
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.4g}" if abs(cell) < 1000 else f"{cell:,.0f}"  # noqa: PLR2004  whole from a thousand on
    return escape(str(cell))
