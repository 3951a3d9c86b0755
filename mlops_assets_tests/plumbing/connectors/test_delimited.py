"""When delimited text is whole and readable, and when it is refused."""

from __future__ import annotations

import csv
import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.connectors.delimited import decoded, rows, unpacked

SOURCE = "http://example.org/a.csv"
cells = st.text(st.characters(exclude_characters="\0\ufeff", codec="utf-8"), max_size=12)


@given(table=st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=2)))
def test_any_table_survives_the_way_through_gzip_and_csv(table: list[list[str]]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerows(table)

    text, encoding = decoded(unpacked(gzip.compress(written.getvalue().encode()), SOURCE), SOURCE)

    assert encoding == "utf-8"
    assert rows(text, SOURCE) == table


def test_a_plain_file_stays_as_it_is() -> None:
    assert unpacked(b"a,b\n", SOURCE) == b"a,b\n"


@given(cut=st.integers(2, 60))
def test_a_gzip_file_cut_anywhere_is_refused(cut: int) -> None:
    whole = gzip.compress(b"year,votes\n2018,12\n" * 40, compresslevel=1)

    with pytest.raises(SourceError, match="cannot be unpacked"):
        unpacked(whole[: min(cut, len(whole) - 1)], SOURCE)


def test_a_damaged_gzip_file_is_refused() -> None:
    whole = bytearray(gzip.compress(b"year,votes\n2018,12\n"))
    whole[-6] ^= 0xFF

    with pytest.raises(SourceError, match="cannot be unpacked"):
        unpacked(bytes(whole), SOURCE)


def test_a_gzip_file_that_unpacks_beyond_the_limit_is_refused() -> None:
    with pytest.raises(SourceError, match="more than 1,000 bytes"):
        unpacked(gzip.compress(b"0" * 1001), SOURCE, largest=1000)


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    text, _ = decoded(b"\xef\xbb\xbfcounty,DEM\n", SOURCE)

    assert text == "county,DEM\n"


def test_latin_1_is_refused_where_utf_8_is_due() -> None:
    with pytest.raises(SourceError, match="not UTF-8 \\(byte 0xf1 at 2\\)"):
        decoded("Doña Ana".encode("latin-1"), SOURCE)


def test_latin_1_is_read_and_named_where_it_is_allowed() -> None:
    assert decoded("Doña Ana".encode("latin-1"), SOURCE, latin_1=True) == ("Doña Ana", "latin-1")
    assert decoded("Doña Ana".encode(), SOURCE, latin_1=True) == ("Doña Ana", "utf-8")


def test_a_binary_file_is_refused() -> None:
    with pytest.raises(SourceError, match="NUL character"):
        decoded(b"PAR1\0\0", SOURCE)


def test_a_row_that_is_cut_off_is_refused_by_its_number() -> None:
    with pytest.raises(SourceError, match="row 2 of 2 holds 1 fields, the first header row 2"):
        rows("a,b\n1,2\n3", SOURCE)


def test_a_quote_that_never_closes_is_refused() -> None:
    with pytest.raises(SourceError, match="CSV breaks"):
        rows('a,b\n1,"2\n', SOURCE)


def test_header_rows_of_different_width_are_refused() -> None:
    with pytest.raises(SourceError, match="header rows disagree: header row 2 holds 3 fields"):
        rows("a,b\nx,y,z\n1,2\n", SOURCE, headers=2)


@pytest.mark.parametrize("text", ["", "a,b\n", "\n\n"])
def test_a_file_without_data_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="there is no data"):
        rows(text, SOURCE)
