"""Whoever wrote a workbook's XML: each cell is read as it stands there, or the file is refused with the place."""

from __future__ import annotations

import io
import random
import time
import zipfile
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

import pytest

from mlops_assets.plumbing.sources.formats.excel import Excel
from mlops_assets_tests.plumbing.sources.formats.test_excel import SHEET, book, read, refusal, with_part

if TYPE_CHECKING:
    from pathlib import Path

MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT: Final = "http://purl.oclc.org/ooxml/spreadsheetml/main"
SHARED: Final = ["a & b", "<x>", " süß ", "two\nlines", "_x0041_", "]]"]
OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
BOOK: Final = "xl/workbook.xml"
HEADER: Final = '<row r="1"><c r="A1" t="str"><v>a</v></c><c r="B1" t="str"><v>b</v></c></row>'


def of(sheet: str, encoding: str = "utf-8", shared: str = "") -> bytes:
    """A workbook with this XML as its sheet, and texts that its cells share."""
    texts = shared or "".join(f"<si><t>{escape(text)}</t></si>" for text in SHARED)
    content = with_part(book(), lambda _: sheet.encode(encoding))
    relation = f'<Relationship Id="shared" Type="{OFFICE}/sharedStrings" Target="sharedStrings.xml"/></Relationships>'
    content = with_part(
        content, lambda part: part.replace(b"</Relationships>", relation.encode()), "xl/_rels/workbook.xml.rels"
    )
    written = io.BytesIO(content)
    with zipfile.ZipFile(written, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}">{texts}</sst>')
    return written.getvalue()


def rows_of(rows: str, after: str = "") -> bytes:
    """A workbook with a header of the columns a and b, and these rows."""
    return of(f'<worksheet xmlns="{MAIN}"><sheetData>{HEADER}{rows}</sheetData>{after}</worksheet>')


def styled(code: str, cells: str) -> bytes:
    """A workbook with a header and a row of these cells, whose style 1 has this format of numbers."""
    escaped = code.replace('"', "&quot;")
    number = f'<numFmts><numFmt numFmtId="164" formatCode="{escaped}"/></numFmts>'
    styles = f'<styleSheet xmlns="{MAIN}">{number}<cellXfs><xf/><xf numFmtId="164"/></cellXfs></styleSheet>'
    return with_part(rows_of(f"<row>{cells}</row>"), lambda _: styles.encode(), "xl/styles.xml")


class Writer:
    """Writes a sheet's XML in one of the ways that are all the same to a parser."""

    def __init__(self, seed: int) -> None:
        self.by = random.Random(seed)  # noqa: S311  no secret
        self.space = self.by.choice([MAIN, STRICT])
        self.prefix = self.by.choice(["", "x:", "main:"])
        self.addresses = self.by.random()

    def tag(self, name: str, inside: str, /, **attributes: str) -> str:
        pairs = list(attributes.items())
        self.by.shuffle(pairs)
        quote = self.by.choice("'\"")
        space = self.by.choice([" ", "\n", "  \t"])
        told = "".join(f"{space}{each}={quote}{value}{quote}" for each, value in pairs)
        if not inside and self.by.random() < 0.5:
            return f"<{self.prefix}{name}{told}/>"
        return f"<{self.prefix}{name}{told}>{inside}</{self.prefix}{name} >"

    def text(self, plain: str) -> str:
        pieces = []
        for sign in plain:
            escaped = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(sign, sign)
            ways = [escaped, escaped, escaped, f"&#{ord(sign)};", f"&#x{ord(sign):x};", f"<![CDATA[{sign}]]>"]
            pieces.append(self.by.choice(ways) + self.by.choice([""] * 6 + ["<!-- <v>9</v> -->", "<?pi x?>"]))
        return "".join(pieces)

    def noise(self) -> str:
        return self.by.choice(["", "", "\n  ", "<!-- <row/> -->", "<?pi <c/> ?>"])

    def cell(self, address: str) -> tuple[str, str | None]:
        """A cell and its value."""
        told = {"r": address} if self.by.random() < self.addresses else {}
        place = self.by.randrange(len(SHARED))
        number = self.by.choice(["7", "1.5", "12345678901234567890", "0.1", "007"])
        formula = self.by.choice(["", self.tag("f", self.text("A1<2"))])
        runs = self.tag("r", self.tag("rPr", self.tag("b", "")) + self.tag("t", self.text("ru")))
        spoken = self.tag("rPh", self.tag("t", "spoken"), sb="0", eb="1")
        inline = self.by.choice([self.tag("t", self.text("runs")), runs + self.tag("t", self.text("ns")) + spoken])
        extra = self.by.choice(["", self.tag("extLst", self.tag("ext", "<y xmlns='u'>1</y>"))])
        inside, value, kind = self.by.choice(
            [
                (formula + self.tag("v", self.text(number)), number.lstrip("0") if number == "007" else number, "n"),
                (self.tag("v", self.text(str(place))), SHARED[place].replace("_x0041_", "A"), "s"),
                (formula + self.tag("v", self.text("te & xt")), "te & xt", "str"),
                (self.tag("is", inline), "runs", "inlineStr"),
                (self.tag("v", self.by.choice(["1", "true"])), "true", "b"),
                (self.tag("v", "2024-01-03T01:02:03+05:00"), "2024-01-03T01:02:03+05:00", "d"),
                (self.tag("v", ""), None, "n"),
                ("", None, "n"),
            ]
        )
        if kind != "n" or self.by.random() < 0.5:
            told["t"] = kind
        return self.tag("c", self.noise() + inside + self.noise() + extra, **told), value

    def sheet(self) -> tuple[str, list[tuple[str | None, ...]]]:
        """A sheet and its rows below the header."""
        header = "".join(self.tag("c", self.tag("v", letter), t="str") for letter in "ABC")
        lines, expected, number = [self.tag("row", header)], [], 1
        for _ in range(self.by.randrange(12)):
            skipped = self.by.choice([0, 0, 0, 3])
            number += skipped + 1
            told = {"r": str(number)} if skipped or self.by.random() < self.addresses else {}
            cells, values = zip(*(self.cell(f"{letter}{number}") for letter in "ABC"), strict=True)
            lines.append(self.tag("row", self.noise().join(["", *cells, ""]), **told) + self.noise())
            if any(value is not None for value in values):
                expected.append(values)
        declared = f"xmlns:{self.prefix[:-1]}" if self.prefix else "xmlns"
        body = self.tag("sheetData", "".join(lines)) + self.tag("pageMargins", "", left="1")
        return f'<{self.prefix}worksheet {declared}="{self.space}">{body}</{self.prefix}worksheet>', expected


@pytest.mark.parametrize("seed", range(150))
def test_every_way_to_write_a_sheet_gives_its_very_cells(tmp_path: Path, seed: int) -> None:
    written = Writer(seed)
    sheet, expected = written.sheet()
    encoding = written.by.choice(["utf-8", "utf-16", "utf-8-sig", "iso-8859-1"])
    named = encoding.removesuffix("-sig")
    content = of(f'<?xml version="1.0" encoding="{named}"?>{sheet}', encoding)
    assert read(Excel(), content, tmp_path) == [("A", "B", "C"), *expected]


def _c(address: str, value: str = "1", **more: str) -> str:
    told = "".join(f" {name}='{each}'" for name, each in more.items())
    return f'<c r="{address}"{told}><v>{value}</v></c>'


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (f'<row r="3">{_c("A3")}</row><row r="2">{_c("A2")}</row>', "its row 2 comes twice, or behind row 3"),
        (f'<row r="2">{_c("A2")}</row><row r="2">{_c("A2")}</row>', "its row 2 comes twice, or behind row 2"),
        (f'<row r="2">{_c("B2")}{_c("A2")}</row>', "its cell A2 comes twice, or behind one to its right"),
        (f'<row r="2">{_c("A2")}{_c("A2")}</row>', "its cell A2 comes twice, or behind one to its right"),
        (f'<row r="2">{_c("B2")}<c r="A2"/></row>', "its cell A2 comes twice, or behind one to its right"),
        (f'<row r="2">{_c("A3")}</row>', "its row 2 has a cell whose address is none of that row"),
        (f'<row r="2">{_c("XFE2")}</row>', "its row 2 has a cell whose address is none of that row"),
        ('<row r="1048577"/>', "has a number that is none of a sheet's"),
        ('<row r="1048576"/><row/>', "has a number that is none of a sheet's"),
        ('<row r="x"/>', "has a number that is none of a sheet's"),
        ("<row r='2'><c r='A2'><f>B2<!-- x --></f></c></row>", "its cell A2 holds a formula without a result"),
        ("<row><c t='str'><f>B2</f></c></row>", "its cell A2 holds a formula without a result"),
        ("<row><c><v>1</v><v>2</v></c></row>", "its cell A2 has two values"),
        ("<row><c t='inlineStr'><v>1</v></c></row>", "its cell A2 has two values, or one of another kind"),
        ("<row><c><is><t>1</t></is></c></row>", "its cell A2 has two values, or one of another kind"),
        ("<row><c>1</c></row>", "an element or a text stands where no value is read"),
        ("<row><v>1</v></row>", "an element or a text stands where no value is read"),
        ("<row><x:c xmlns:x='u'/></row>", "an element or a text stands where no value is read"),
        ("</sheetData><sheetData>", "it has sheetData twice"),
        (f"<row>{_c('A2', '6', t='s')}</row>", "its cell A2 holds nothing of the kind"),
        (f"<row>{_c('A2', '-1', t='s')}</row>", "its cell A2 holds nothing of the kind"),
        (f"<row>{_c('A2', '2', t='b')}</row>", "its cell A2 holds nothing of the kind"),
        (f"<row>{_c('A2', '1', t='x')}</row>", "its cell A2 holds nothing of the kind"),
        (f"<row>{_c('A2', '1', s='99')}</row>", "its cell A2 has a style that the workbook lacks"),
        (f"<row>{_c('A2', '1_0')}</row>", "its cell A2 holds no number"),
        (f"<row>{_c('A2', '1E400')}</row>", "its cell A2 holds no number"),
        (f"<row>{_c('A2', '_xD800_', t='str')}</row>", "its cell A2 holds half a sign"),
        (f"<row>{_c('A2', '2024-01-03T99:00:00', t='d')}</row>", "its cell A2 holds no date or time"),
        (f"<row>{_c('A2', '20240103', t='d')}</row>", "its cell A2 holds no date or time"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_place(tmp_path: Path, rows: str, told: str) -> None:
    assert told in refusal(Excel(), rows_of(rows), tmp_path)


@pytest.mark.parametrize("merged", ["<mergeCell ref='A2:A3'/>", '<mergeCell\n ref="A2:A3"></mergeCell>'])
def test_merged_cells_are_refused_however_they_are_written(tmp_path: Path, merged: str) -> None:
    content = rows_of(f"<row>{_c('A2')}</row>", f"<mergeCells>{merged}</mergeCells>")
    assert "its cells A2:A3 are merged" in refusal(Excel(), content, tmp_path)


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("yyyy-mm-dd", "59", "1900-02-28"),
        ("yyyy-mm-dd", "60", None),
        ("yyyy-mm-dd", "61", "1900-03-01"),
        ("yyyy-mm-dd", "0", None),
        ("yyyy-mm-dd", "-1", None),
        ("yyyy-mm-dd", "2958466", None),
        ("h:mm", "0.5", "12:00:00"),
        ("h:mm", "1.25", "1900-01-01T06:00:00"),
        ("[h]:mm", "1.5", "36:00:00"),
        ("[h]:mm", "-0.25", "-06:00:00"),
        ("[h]:mm", "-0.010416666666666666", "-00:15:00"),
        ('0 "days"', "5", "5"),
        (r"0\d", "5", "5"),
        ("0.00E+00", "5", "5"),
        ("[Red]General", "5", "5"),
        ('[=0]"";yyyy-mm-dd', "45000", "2023-03-15"),
        ("[&lt;1]0.0;yyyy-mm-dd", "45000", None),
        ("mmss.0", "0.5", "12:00:00"),
        ("General", "9007199254740993.0", "9007199254740993.0"),
        ("General", "19.989999999999998", "19.99"),
    ],
)
def test_a_number_and_its_format_are_what_excel_shows(tmp_path: Path, code: str, value: str, shown: str | None) -> None:
    content = styled(code, _c("A2", value, s="1"))
    if shown is None:
        assert "its cell A2 " in refusal(Excel(), content, tmp_path)
    else:
        assert read(Excel(), content, tmp_path)[1] == (shown, None)


def test_days_count_from_1904_where_the_workbook_says_so(tmp_path: Path) -> None:
    content = styled("yyyy", _c("A2", "0", s="1") + _c("B2", "60", s="1"))
    content = with_part(content, lambda part: part.replace(b"<workbookPr ", b'<workbookPr date1904="1" '), BOOK)
    assert read(Excel(), content, tmp_path)[1] == ("1904-01-01", "1904-03-01")


def test_a_shared_text_is_its_runs_unescaped_once(tmp_path: Path) -> None:
    shared = "<si><r><rPr><b/></rPr><t>_x005F_</t></r><r><t>x000D__xD83D__xDE00_</t></r><rPh><t>no</t></rPh></si>"
    cells = '<c t="s"><v>0</v></c>'
    sheet = f'<worksheet xmlns="{MAIN}"><sheetData>{HEADER}<row>{cells}</row></sheetData></worksheet>'
    assert read(Excel(), of(sheet, shared=shared), tmp_path)[1] == ("_x000D_\U0001f600", None)


@pytest.mark.parametrize(
    "rows",
    [
        '<row r="1048577"><c><v>1</v></c></row>',
        '<row r="1048576"><c><v>1</v></c></row>',
        '<row><c r="XFD2"/></row>',
        "<row/>" * 150_000,
        ("<row>" + "<c/>" * 16_384 + "</row>") * 12,
        "<row>" + "<c>" * 100_000,
        "<row><c><v>" + "9" * 900_000 + "</v></c></row>",
        "<row/>" * 2_000_000,
    ],
    ids=["beyond", "gap", "wide", "rows", "cells", "deep", "number", "ratio"],
)
def test_a_small_file_costs_little_whatever_it_says(tmp_path: Path, rows: str) -> None:
    content = rows_of(rows)
    began = time.process_time()
    try:
        read(Excel(columns="A:XFD"), content, tmp_path)
    except Exception as error:  # noqa: BLE001  that it is one of the platform is told by its name
        assert type(error).__name__ == "SourceError"  # noqa: PT017
    # Far above what it takes on a machine of its own.
    assert time.process_time() - began < 3


def test_a_workbook_with_a_part_twice_or_packed_otherwise_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.xlsx"
    file.write_bytes(book(["a"], [1]))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("xl/other.xml", "<a/>")
    assert "packed in a way" in refusal(Excel(), file.read_bytes(), tmp_path)
    file.write_bytes(book(["a"], [1]))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(SHEET.upper(), "<a/>")
    assert "two of its parts have one name" in refusal(Excel(), file.read_bytes(), tmp_path)
