"""The XML of workbooks: the elements that hold data, one after the other as they end.

Put here how a part from outside is parsed in bounded time and memory, and which elements are read. Keep out what they
mean (``workbook``, ``sheet``).

Source: ECMA-376 (Office Open XML), part 1, of which namespaces, encodings, quotes and comments are left to the parser.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Final
from xml.parsers import expat

from mlops_assets.platform.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACES: Final = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
    "http://schemas.openxmlformats.org/package/2006/relationships",
)
_WITHIN: Final = {
    "Relationships": ("Relationship",),
    "workbook": ("workbookPr", "sheets"),
    "sheets": ("sheet",),
    "styleSheet": ("numFmts", "cellXfs"),
    "numFmts": ("numFmt",),
    "cellXfs": ("xf",),
    "sst": ("si",),
    "si": ("t", "r"),
    "worksheet": ("sheetData", "mergeCells"),
    "mergeCells": ("mergeCell",),
    "sheetData": ("row",),
    "row": ("c",),
    "c": ("f", "v", "is"),
    "is": ("t", "r"),
    "r": ("t",),
}
"""What is read of each element; everything else in it is passed over."""
_TEXTS: Final = frozenset({"f", "v", "t"})
_GIVEN: Final = frozenset({"Relationship", "workbookPr", "sheet", "numFmt", "xf", "si", "mergeCell", "row"})
_ONCE: Final = frozenset({"workbookPr", "sheets", "numFmts", "cellXfs", "sheetData", "mergeCells"})
_CLOSED: Final = frozenset({"sst", "si", "mergeCells", "sheetData", "row", "c", "is", "r", *_TEXTS})
"""Within these nothing is passed over but what formats it: it might be a value."""
_PASSED: Final = frozenset({"extLst", "rPr", "rPh", "phoneticPr"})
_TAGS: Final = {f"{space} {tag}": tag for space in _SPACES for tag in {*_WITHIN, *_GIVEN, *_TEXTS, *_PASSED, "is"}}

_BLOCK: Final = 2**14
_MOST_UNPARSED: Final = 2**21
_MOST_OF_ONE: Final = 2**26
"""Bytes of one tag, which is parsed from its beginning with each block, and of one element that is given."""
_MOST_CHILDREN: Final = 2**14
_DEEPEST: Final = 100


_NONE: Final[list[Any]] = []
"""The children of each element that can have none: a list of its own for each of millions costs a third of the time."""


class Element:
    """An element with what is read of it.

    Attributes:
        tag: its name without a namespace.
        attributes: as they stand; those of another namespace have it before their name.
        children: the elements in it, in their order.
        text: what a value, a formula or a text holds.
    """

    __slots__ = ("attributes", "children", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Element] = [] if tag in _WITHIN else _NONE
        self.text = ""


def elements(content: IO[bytes], root: str, source: str) -> Iterator[Element]:
    """The elements of a part that hold data: relationships, sheets, formats, texts, rows, merged cells.

    Args:
        content: the part.
        root: the tag that it should begin with.
        source: how messages name the file.

    Raises:
        SourceError: it has another root, a DOCTYPE, an absurd size, or an element where none of its kind belongs.
        ExpatError: it is no XML.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    handler = _Handler(root, source)
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    parser.CharacterDataHandler = handler.text
    parser.StartDoctypeDeclHandler = handler.doctype
    fed = given = 0
    while block := content.read(_BLOCK):
        parser.Parse(block)
        fed += len(block)
        if handler.given or handler.passing:
            given = fed
        if fed - parser.CurrentByteIndex > _MOST_UNPARSED or fed - given > _MOST_OF_ONE:
            raise unreadable("one of its tags or rows is absurdly long", source)
        yield from handler.given
        handler.given.clear()
    parser.Parse(b"", True)  # noqa: FBT003  it has no name
    yield from handler.given


class _Handler:
    """What the parser calls: it builds elements, and hands those over that are whole.

    Attributes:
        given: whole ones.
        passing: how deep the parser is in an element that is passed over.
    """

    def __init__(self, root: str, source: str) -> None:
        self.given: list[Element] = []
        self.passing = 0
        self._root = root
        self._source = source
        self._open: list[Element] = []
        self._seen: set[str] = set()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.passing:
            self.passing += 1
            if self.passing > _DEEPEST:
                raise unreadable("its elements are nested absurdly deep", self._source)
            return
        tag = _TAGS.get(name, "")
        if not self._open and tag != self._root:
            raise unreadable(f"its part {self._root} is something else", self._source)
        if self._open and tag not in _WITHIN.get(self._open[-1].tag, ()):
            if self._open[-1].tag in _CLOSED and tag not in _PASSED:
                raise self._misplaced()
            self.passing = 1
            return
        self._begin(Element(tag, attributes))

    def _begin(self, element: Element) -> None:
        if element.tag in _ONCE:
            if element.tag in self._seen:
                raise unreadable(f"it has {element.tag} twice in one part", self._source)
            self._seen.add(element.tag)
        elif element.tag not in _GIVEN and self._open:
            siblings = self._open[-1].children
            if len(siblings) == _MOST_CHILDREN:
                raise unreadable(f"a row of it has more than {_MOST_CHILDREN:,} cells", self._source)
            siblings.append(element)
        self._open.append(element)

    def end(self, _name: str) -> None:
        if self.passing:
            self.passing -= 1
            return
        element = self._open.pop()
        if element.tag in _GIVEN:
            self.given.append(element)

    def text(self, data: str) -> None:
        if self.passing:
            return
        if self._open[-1].tag in _TEXTS:
            self._open[-1].text += data
        elif self._open[-1].tag in _CLOSED and not data.isspace():
            raise self._misplaced()

    def doctype(self, *_told: Any) -> None:  # noqa: ANN401  nothing of it is looked at
        raise unreadable("it declares entities of its own", self._source)

    def _misplaced(self) -> SourceError:
        near = next((each for each in reversed(self._open) if each.attributes.get("r")), None)
        where = f" in or near {near.tag} {near.attributes['r'][:10]!r}" if near else ""
        return unreadable(f"an element or a text stands where no value is read{where}", self._source)


def unreadable(why: str, source: str) -> SourceError:
    """What to raise where a workbook cannot be read; of its reader's texts nothing is told."""
    return SourceError(
        source=source,
        culprit=f"it is no whole Excel workbook of the kind .xlsx ({why}).",
        remedy="Deliver it again, whole, saved by Excel as .xlsx.",
    )
