"""Rounds on Excel workbooks: damaged archives, parts, cells and values.

Put here faults of workbooks. Keep out how one is read a second time (``sheet_reference``).
"""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Quiet
from mlops_assets.plumbing.sources.formats.excel import Excel
from mlops_assets_tests.plumbing.sources.faults import mutations, sheet_reference, visits
from mlops_assets_tests.plumbing.sources.faults.dialects import contract
from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError, Row, typed
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench, Case, complete
from mlops_assets_tests.plumbing.sources.faults.visits import MONTH, NAMES, Texts

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

_SHEET: Final = "xl/worksheets/sheet1.xml"
_PARTS: Final = (_SHEET, _SHEET, _SHEET, "xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml",
                 "[Content_Types].xml", "xl/_rels/workbook.xml.rels", "docProps/core.xml")  # fmt: skip
_TOKENS: Final = (
    (b'<dimension ref="A1:', b'<dimension ref="B9:'), (b"<sheetData>", b"<sheetData><row r='1'/>"),
    (b' t="n"', b' t="e"'), (b' t="s"', b""), (b' t="n"', b' t="s"'), (b' t="n"', b' t="str"'), (b' t="n"', b' t="b"'),
    (b' t="s"', b' t="inlineStr"'), (b' t="n"', b' t="d"'), (b' s="1"', b' s="0"'), (b' s="0"', b' s="1"'),
    (b' s="1"', b' s="99"'), (b"<v>", b"<f>1+1</f><v>"), (b"</v>", b"</v><f>A1</f>"), (b' r="B', b' r="A'),
    (b'<row r="2"', b'<row r="3"'), (b'<row r="2"', b'<row r="9"'), (b'<row r="2"', b'<row r="0"'), (b"</row>", b""),
    (b"</sheetData>", b'</sheetData><mergeCells><mergeCell ref="A2:A3"/></mergeCells>'), (b"<v>", b"<v> "),
    (b"</v>", b".0</v>"), (b"</v>", b"e2</v>"), (b"</v>", b"00000000000000000000</v>"), (b"<v>", b"<v>-"),
    (b"<v>", b"<v>0x"), (b"</v>", b"</v><v>7</v>"), (b"<v>", b"<!-- a --><v>"),
    (b"<si>", b"<si><rPh sb='0' eb='1'><t>x</t></rPh>"), (b"<t>", b"<r><t>x</t></r><t>"), (b"</t>", b"_x000D_</t>"),
    (b"encoding='UTF-8'", b"encoding='latin-1'"), (b"<v>", b"<v>&#0;"), (b"<v>", b"<v>&lt;"),
    (b"<worksheet", b"<!DOCTYPE a [<!ENTITY b '7'>]><worksheet"), (b'spans="', b'hidden="1" spans="'),
)  # fmt: skip
_CELLS: Final[tuple[Any, ...]] = (
    None, "", " ", True, False, 0, -1, 1.5, 1e300, 5.0, 0.1 + 0.2, 2**53, 12345678901234567890, float("1e-310"),
    Decimal("1.10"), "=1+1", "=A1", "#N/A", "#REF!", "2024-01-03", "007", "_x0041_", "a\nb", "\u2028", "x" * 32_000,
    dt.date(2024, 1, 3), dt.datetime(2024, 1, 3, 12, 30, 15), dt.datetime(1900, 1, 1), dt.time(1, 2),  # noqa: DTZ001
    dt.datetime(2024, 1, 3, 0, 0, 0, 4000),  # noqa: DTZ001
)  # fmt: skip


@contextmanager
def excel(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """A workbook with damaged bytes, parts, columns or values."""
    given = [{name: _writable(text) for name, text in each.items()} for each in visits.rows(chance, 12)]
    lines = [list(NAMES), *([_cell(chance, name, each[name]) for name in NAMES] for each in given)]
    good = written(lines)
    content, fault = _broken(chance, good, given, lines)
    with bench.room() as room:
        file = room / f"{MONTH}.xlsx"
        file.write_bytes(content)
        yield Case(
            fault=fault,
            source=FileSource(
                contract=contract(chance),
                path=str(room),
                file="{month}.xlsx",
                whole=Quiet(seconds=0),
                format=Excel(),
            ),
            accepted=accepted(content),
            truth=typed(sheet_reference.sheet(good)),
            heal=lambda: file.write_bytes(good),
            private=visits.words_of(given),
        )


def accepted(content: bytes) -> list[list[Row]]:
    """What counts as complete of that content."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            packed = [each for each in archive.namelist() if each.endswith(".xlsx")]
            content = archive.read(packed[0]) if packed else content
    except Exception:  # noqa: BLE001  a damaged archive raises all kinds
        return []
    try:
        return complete(sheet_reference.sheet(content))
    except RefusedError:
        return []


def _writable(text: str | None) -> str | None:
    """A text that a cell can hold, and that does not look like a formula or an error."""
    if text is None:
        return None
    return None if text == "" else text.removeprefix("=")


def _cell(chance: random.Random, name: str, text: str | None) -> Any:  # noqa: ANN401, PLR0911  of any type
    """A value as a cell holds it, or as text."""
    if text is None or chance.random() < 0.3:
        return text
    match name:
        case "paid":
            return text.lower() == "true"
        case "small":
            return int(text)
        case "amount":
            return float(text)
        case "day":
            return dt.date.fromisoformat(text)
        case "at" if len(text) == len("2024-01-01T00:00:00"):
            return dt.datetime.fromisoformat(text)
    return text


def written(lines: Sequence[Sequence[Any]]) -> bytes:
    """A workbook whose first sheet has these rows."""
    from openpyxl import Workbook  # noqa: PLC0415  an extra

    book, target = Workbook(write_only=True), io.BytesIO()
    sheet = book.create_sheet("Visits")
    for line in lines:
        sheet.append(line)
    book.save(target)
    return target.getvalue()


def _broken(
    chance: random.Random, good: bytes, given: Sequence[Texts], lines: Sequence[Sequence[Any]]
) -> tuple[bytes, str]:
    match chance.randrange(6):
        case 0:
            return mutations.some(chance, good)
        case 1:
            columns, rows, fault = mutations.structure(chance, NAMES, given)
            cells = [[_without_controls(each.get(name)) for name in columns] for each in rows]
            return written([[_without_controls(name) for name in columns], *cells]), fault
        case 2:
            other = [list(line) for line in lines]
            row, odd = chance.choice(other), chance.choice(_CELLS)
            at = chance.randrange(len(row) + 1)
            row[at : at + 1] = [odd]
            return written(other), f"a cell {odd!r:.30}"
        case 3:
            name = chance.choice(_PARTS)
            return _with_part(good, name, lambda part: mutations.some(chance, part)[0]), f"bytes of {name}"
        case 4:
            old, new = chance.choice(_TOKENS)
            name = chance.choice([_SHEET, "xl/sharedStrings.xml"]) if b"t>" in old or b"si>" in old else _SHEET
            return _with_part(good, name, lambda part: _once(chance, part, old, new)), f"{old!r} as {new!r}"
        case _:
            return _archive(chance, good)


def _without_controls(text: str | None) -> str | None:
    return text and "".join(sign for sign in text if sign >= " " or sign in "\t\n\r")[:32_000]


def _with_part(content: bytes, name: str, change: Any) -> bytes:  # noqa: ANN401  a function of bytes
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, change(old.read(part)) if part == name else old.read(part))
    return target.getvalue()


def _once(chance: random.Random, part: bytes, old: bytes, new: bytes) -> bytes:
    places = [at for at in range(len(part)) if part.startswith(old, at)]
    at = chance.choice(places) if places else None
    return part if at is None else part[:at] + new + part[at + len(old) :]


def _archive(chance: random.Random, good: bytes) -> tuple[bytes, str]:
    """The same parts in another archive."""
    fault = chance.choice(["a part lost", "a part twice", "packed again", "stored", "another name", "more"])
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    name = chance.choice(list(parts))
    kind = zipfile.ZIP_STORED if fault == "stored" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(target, "w", kind) as archive:
        if fault == "packed again":
            archive.writestr("visits.xlsx", good)
        for each, content in parts.items() if fault != "packed again" else ():
            if not (fault == "a part lost" and each == name):
                archive.writestr(f"{each}.old" if fault == "another name" and each == name else each, content)
        if fault == "more":
            archive.writestr("xl/worksheets/sheet2.xml", b"<worksheet/>")
    content = target.getvalue()
    if fault == "a part twice":
        content = content.replace(b"docProps/core.xml", b"docProps/app.xml\0")
    return content, f"{fault}: {name}" if "part" in fault or "name" in fault else fault
