"""Sheets of Excel become text without artefacts, and what a reader would pass over is refused with its address."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.plumbing.sources.delivered import Workplace
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Quiet
from mlops_assets.plumbing.sources.formats.excel import Excel
from mlops_assets_tests.plumbing.sources.commands import shell
from mlops_assets_tests.plumbing.sources.shop import SALES, rows, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

openpyxl = pytest.importorskip("openpyxl")

SHEET = "xl/worksheets/sheet1.xml"


def book(*lines: Sequence[Any], change: Callable[[Any], None] = lambda _: None) -> bytes:
    """A workbook whose first sheet has these rows."""
    made = openpyxl.Workbook()
    for line in lines:
        made.active.append(line)
    change(made)
    written = io.BytesIO()
    made.save(written)
    return written.getvalue()


def with_part(content: bytes, change: Callable[[bytes], bytes], name: str = SHEET) -> bytes:
    """The workbook with another part."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, change(old.read(part)) if part == name else old.read(part))
    return written.getvalue()


def read(declared: Excel, content: bytes, scratch: Path) -> list[tuple[Any, ...]]:
    """The rows, below the columns' names."""
    with duckdb.connect() as connection:
        work = Workplace(connection=connection, scratch=scratch)
        found = declared.rows(iter([content]), work, "File x", proven=False).rows
        return [tuple(found.columns), *found.fetchall()]


def refusal(declared: Excel, content: bytes, scratch: Path) -> str:
    """What is told of it."""
    with pytest.raises(SourceError) as caught:
        read(declared, content, scratch)
    return str(caught.value)


def test_values_are_text_without_artefacts(tmp_path: Path) -> None:
    moments = (dt.datetime.fromisoformat("2024-01-03T12:30:15"), dt.time(1, 2), dt.timedelta(hours=30, minutes=5))
    content = book(
        ["id", "price", "on", "day", "at", "clock", "spent", "note"],
        [123, 19.99, True, dt.date(2024, 1, 3), *moments, " süß _x0041_ "],
        [12345.0, 1e21, False, None, None, None, None, "007"],
    )
    assert read(Excel(), content, tmp_path)[1:] == [
        ("123", "19.99", "true", "2024-01-03", "2024-01-03T12:30:15", "01:02:00", "30:05:00", " süß A "),
        ("12345", "1e+21", "false", None, None, None, None, "007"),
    ]


def test_a_number_is_what_it_is_as_excel_writes_it(tmp_path: Path) -> None:
    content = with_part(
        book(["a", "b", "c"], [1.5, 2.5, 3.5]),
        lambda part: (
            part.replace(b"<v>1.5</v>", b"<v>123.0</v>")
            .replace(b"<v>2.5</v>", b"<v>19.989999999999998</v>")
            .replace(b"<v>3.5</v>", b"<v>12345678901234567890</v>")
        ),
    )
    assert read(Excel(), content, tmp_path)[1] == ("123", "19.99", "12345678901234567890")


def test_sheet_header_and_columns_are_the_declared_ones(tmp_path: Path) -> None:
    def change(made: Any) -> None:  # noqa: ANN401  openpyxl has no types
        sheet = made.create_sheet("Sales")
        for line in (["A title"], [], ["x", "a", "b", "y"], [9, 1, 2, 9], [], [9, 3, None, 9]):
            sheet.append(line)
        sheet.merge_cells("A1:D1")

    content = book(["other"], [1], change=change)
    declared = Excel(sheet="Sales", header=3, columns="B:C")
    assert read(declared, content, tmp_path) == [("a", "b"), ("1", "2"), ("3", None)]
    assert read(Excel(), content, tmp_path) == [("other",), ("1",)]
    assert "it has no sheet 'Sale' among its 2" in refusal(Excel(sheet="Sale"), content, tmp_path)


def test_rows_beyond_the_size_that_the_file_gives_are_read(tmp_path: Path) -> None:
    content = with_part(book(["a"], [1], [2]), lambda part: part.replace(b'ref="A1:A3"', b'ref="A1:A2"'))
    assert read(Excel(), content, tmp_path) == [("a",), ("1",), ("2",)]


def test_a_header_alone_gives_no_rows(tmp_path: Path) -> None:
    assert read(Excel(), book(["a", "b"]), tmp_path) == [("a", "b")]


def _error(made: Any) -> None:  # noqa: ANN401
    made.active["B2"].data_type = "e"


def _merged(made: Any) -> None:  # noqa: ANN401
    made.active.merge_cells("A2:A3")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (book(["a", "b"], [1, "#N/A"], change=_error), "its cell B2 holds an error of Excel"),
        (book(["a", "b"], [1, "=A2+1"]), "its cell B2 holds a formula without a result"),
        (book(["a"], [1], [2], change=_merged), "its cells A2:A3 are merged"),
        (book(["a"], [1, 2]), "its cell B2 holds a value beside the columns"),
        (book(["a", None, "b"], [1, 2, 3]), "its header row names a column twice, or not at all"),
        (book(["a", "A"], [1, 2]), "its header row names a column twice, or not at all"),
        (book(), "its header row names a column twice, or not at all"),
        (book(["a"], [1])[:-30], "no whole Excel workbook"),
        (b"a,b\n1,2\n", "no whole Excel workbook"),
        (b"", "no whole Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "of the old kind .xls"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"),
            "protected by a password",
        ),
        (with_part(book(["a"], [1]), lambda part: part.replace(b"<v>1</v>", b"<v>NaN</v>")), "no whole Excel workbook"),
        (with_part(book(["a"], [1]), lambda part: part[: len(part) // 2]), "no whole Excel workbook"),
        (
            with_part(
                book(["a"], [1]),
                lambda part: b'<!DOCTYPE w [<!ENTITY a "x">' + b'<!ENTITY b "&a;&a;">' + b"]>" + part + b"&b;",
            ),
            "no whole Excel workbook",
        ),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
def test_what_cannot_be_read_whole_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    assert told in refusal(Excel(), content, tmp_path)


def test_a_formula_has_the_result_that_was_saved_with_it(tmp_path: Path) -> None:
    content = with_part(
        book(["a"], ["=1+1"]), lambda part: part.replace(b"<v></v>", b"<v>2</v>").replace(b"<v />", b"<v>2</v>")
    )
    assert read(Excel(), content, tmp_path)[1] == ("2",)


@pytest.mark.parametrize("part", [SHEET, "xl/styles.xml"])
def test_a_part_that_unpacks_to_an_absurd_size_is_refused(tmp_path: Path, part: str) -> None:
    content = with_part(book(["a"], [1]), lambda found: found + b" " * 2**29, part)
    assert "bytes unpack to" in refusal(Excel(), content, tmp_path)


@pytest.mark.parametrize(
    "options", [{"columns": "C:B"}, {"columns": "A:ZZZ"}, {"header": 0}, {"columns": "B"}], ids=str
)
def test_what_cannot_be_meant_is_refused_where_it_is_declared(options: dict[str, Any]) -> None:
    with pytest.raises((ContractError, ValueError), match=r"none of a sheet|at least|pattern"):
        Excel(**options)


def test_files_packed_ones_and_commands_give_it(tmp_path: Path) -> None:
    content = book(["sale", "day", "amount", "note"], [1, dt.date(2024, 1, 3), 1.5, "words"])
    file = tmp_path / "2024-01.xlsx"
    source = FileSource(
        contract=SALES, path=str(tmp_path), file="{month}.xlsx", format=Excel(), whole=Quiet(seconds=0), retries=0
    )
    file.write_bytes(content)
    assert run(source).success
    published = rows()
    assert len(published) == 1
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("sales.xlsx", content)
    assert run(source).success
    file.write_bytes(content)
    assert run(shell('cat "$1"', str(file), format=Excel())).success
    assert rows() == published
