"""Formats refuse what is cut, damaged or more than was declared, with one clear error."""

from __future__ import annotations

import decimal
import gzip
import io
import zipfile
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.plumbing.sources.delivered import Workplace
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Quiet
from mlops_assets.plumbing.sources.formats.kinds import Delimited, FixedWidth, Parquet
from mlops_assets_tests.plumbing.sources.shop import SALES, rows, run

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.plumbing.sources.formats.base import FileFormat

GOOD = b"sale,day,amount,note\n1,2024-01-03,1.5,first\n2,2024-01-04,20,long\n"
CUT = len(GOOD) - 4


def read(declared: FileFormat, content: bytes, scratch: Path) -> list[tuple[Any, ...]]:
    """The rows, read to their end."""
    with duckdb.connect() as connection:
        work = Workplace(connection=connection, scratch=scratch)
        delivered = declared.rows(iter([content]), work, "File x", proven=False)
        try:
            return delivered.rows.fetchall()
        except duckdb.Error:
            assert delivered.unreadable is not None
            raise delivered.unreadable() from None


def refusal(declared: FileFormat, content: bytes, scratch: Path) -> str:
    """What is told of it."""
    with pytest.raises(SourceError) as caught:
        read(declared, content, scratch)
    return str(caught.value)


def parquet(table: pa.Table, **options: Any) -> bytes:  # noqa: ANN401  pyarrow's
    """A Parquet file of it."""
    written = io.BytesIO()
    pq.write_table(table, written, **options)
    return written.getvalue()


class TestPacked:
    @pytest.mark.parametrize("packed", ["gzip", "zstd"])
    def test_a_file_cut_between_two_members_is_refused(self, tmp_path: Path, packed: str) -> None:
        first = gzip.compress(GOOD[:CUT]) if packed == "gzip" else pa.compress(GOOD[:CUT], codec="zstd", asbytes=True)
        (tmp_path / "2024-01.csv").write_bytes(first)
        source = FileSource(contract=SALES, path=str(tmp_path), file="{month}.csv", whole=Quiet(seconds=0), retries=0)
        assert "its last line has no end" in run(source).told
        assert rows() == []

    def test_a_zip_archive_proves_a_last_line_without_end(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "2024-01.csv", "w") as archive:
            archive.writestr("x.csv", GOOD[:-1])
        source = FileSource(contract=SALES, path=str(tmp_path), file="{month}.csv", whole=Quiet(seconds=0), retries=0)
        assert run(source).success


class TestParquet:
    @pytest.mark.parametrize("nested", [False, True])
    def test_decimals_that_the_engine_cannot_hold_are_refused(self, tmp_path: Path, nested: bool) -> None:  # noqa: FBT001
        values = pa.array([decimal.Decimal("1.50")], pa.decimal256(50, 2))
        column = pa.StructArray.from_arrays([values], ["x"]) if nested else values
        told = refusal(Parquet(), parquet(pa.table({"price": column})), tmp_path)
        assert "its column price has decimals of more than 38 digits" in told

    def test_decimals_of_38_digits_are_read(self, tmp_path: Path) -> None:
        value = decimal.Decimal("1.50")
        assert read(Parquet(), parquet(pa.table({"a": pa.array([value], pa.decimal128(38, 2))})), tmp_path) == [
            (value,)
        ]

    def test_damaged_pages_and_text_that_is_not_utf_8_are_told(self, tmp_path: Path) -> None:
        damaged = bytearray(parquet(pa.table({"a": [str(i) * 20 for i in range(5000)]}), compression="zstd"))
        damaged[200:400] = bytes(each ^ 0x5A for each in damaged[200:400])
        assert "pages are damaged" in refusal(Parquet(), bytes(damaged), tmp_path)
        garbled = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
        assert "not UTF-8" in refusal(Parquet(), parquet(pa.table({"a": garbled})), tmp_path)

    def test_names_of_columns_that_are_not_utf_8_are_told(self, tmp_path: Path) -> None:
        content = parquet(pa.table({"abcdef": [1]}), store_schema=False).replace(b"abcdef", b"abc\xcdef")
        assert "no whole Parquet file" in refusal(Parquet(), content, tmp_path)


class TestDelimited:
    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("a,b\n1,2\n".encode("utf-16-le"), "no byte order mark"),
            (b"a,b\r1,2\r\n", "its first line has an end of CR alone"),
            (b'"' + b"x" * 200_000 + b'"\n', "131,072"),
            (b"a,b\n" + b"x" * 2_100_000 + b",1\n", "line 2 is longer than 2 MB"),
        ],
        ids=["UTF-16 without mark", "CR", "long header", "long line"],
    )
    def test_text_that_cannot_be_read_is_told(self, tmp_path: Path, content: bytes, told: str) -> None:
        utf16 = told.startswith("no byte")
        assert told in refusal(Delimited(encoding="utf-16" if utf16 else "utf-8"), content, tmp_path)

    @pytest.mark.parametrize("end", ["", ",4"])
    def test_utf_16_that_is_cut_off_within_its_last_line_is_refused(self, tmp_path: Path, end: str) -> None:
        content = f"a,b\n1,2\n3{end}".encode("utf-16")
        assert "its last line has no end" in refusal(Delimited(encoding="utf-16"), content, tmp_path)

    def test_nul_characters_are_refused_in_utf_16_too(self, tmp_path: Path) -> None:
        assert "NUL" in refusal(Delimited(encoding="utf-16"), "a,b\n1,\0\n".encode("utf-16"), tmp_path)

    def test_a_bad_line_is_found_below_names_with_dots_and_quotation_marks(self, tmp_path: Path) -> None:
        told = refusal(Delimited(), b'a.b,"d""e"\n1,2\n1,2,3\n', tmp_path)
        assert "line 3 has 3 fields where 2 are expected" in told

    @pytest.mark.parametrize(
        "options",
        [
            {"names": []},
            {"names": ["a", "a"]},
            {"names": ["a", "A"]},
            {"names": ["a", ""]},
            {"delimiter": '"'},
            {"delimiter": "\n"},
            {"quote": "\r"},
        ],
        ids=str,
    )
    def test_what_cannot_be_meant_is_refused_where_it_is_declared(self, options: dict[str, Any]) -> None:
        with pytest.raises(ContractError):
            Delimited(**options)


class TestFixedWidth:
    def test_too_little_memory_is_not_blamed_on_the_file(self, tmp_path: Path) -> None:
        content = b"".join(b"%012d\n" % number for number in range(3_000_000))
        with duckdb.connect(config={"memory_limit": "12MB"}) as connection:
            work = Workplace(connection=connection, scratch=tmp_path)
            with pytest.raises(duckdb.OutOfMemoryException):
                FixedWidth(fields={"a": (1, 12)}).rows(iter([content]), work, "File x", proven=True)

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"001hello\n\n002hello\n", "1 of its lines are shorter than 3 characters; the first is line 2"),
            (b"001hello\n002helloEXTRA\n", "1 of its lines hold text behind character 8; the first is line 2"),
            (b"001\x1fhello\n", "the character 0x1f"),
            (b"001hello\n002he\rllo\n", "an end of CR alone"),
            (b"001" + b"x" * 2_100_000 + b"\n", "longer than 2 MB"),
        ],
        ids=["blank", "extra", "0x1f", "CR", "long"],
    )
    def test_lines_that_are_not_as_declared_are_refused(self, tmp_path: Path, content: bytes, told: str) -> None:
        assert told in refusal(FixedWidth(fields={"a": (1, 3), "b": (4, 5)}), content, tmp_path)

    def test_a_blank_line_of_one_field_is_refused_and_spaces_behind_the_last_are_not(self, tmp_path: Path) -> None:
        declared = FixedWidth(fields={"a": (1, 3)})
        assert "the first is line 2" in refusal(declared, b"001\n\n", tmp_path)
        assert read(declared, b"001  \n", tmp_path) == [("001",)]

    def test_spaces_alone_are_no_part_of_a_value(self, tmp_path: Path) -> None:
        declared = FixedWidth(fields={"a": (1, 4)})
        assert read(declared, " a\u00a0 \n".encode(), tmp_path) == [("a\u00a0",)]
        assert "behind character 4" in refusal(declared, "abcd\u00a0\n".encode(), tmp_path)

    @pytest.mark.parametrize("fields", [{}, {"a": (1, 10**30)}, {"a": (1, 2), "A": (3, 2)}], ids=str)
    def test_what_cannot_be_meant_is_refused_where_it_is_declared(self, fields: dict[str, Any]) -> None:
        with pytest.raises((ContractError, ValueError), match=r"names no columns|less than or equal"):
            FixedWidth(fields=fields)
