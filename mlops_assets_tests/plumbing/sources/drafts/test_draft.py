"""Tests of drafts: what is written for a file loads that file."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from mlops_assets.cli import _app
from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources.drafts.draft import draft
from mlops_assets_tests.plumbing.sources.file_server import FileServer
from mlops_assets_tests.plumbing.sources.shop import rows, run

if TYPE_CHECKING:
    from pathlib import Path

PEOPLE = (
    "CustomerNo;Name;E-Mail;Birth date;Joined;Active;Amount;zip;class\n"
    "1;Ann;a@b.de;01.02.1980;2024-01-03T10:00:00;yes;1.5;01234;x\n"
    "2;Jörg;;31.12.1999;2024-01-04T11:00:00Z;no;2;99999;x\n"
)


def declared(text: str) -> dict[str, Any]:
    """What the draft defines."""
    found: dict[str, Any] = {"__name__": "drafted"}
    exec(compile(text, "draft.py", "exec", dont_inherit=True), found)  # noqa: S102  it is what is tested
    return found


def loaded(file: Path, table: str, partition: str | None) -> list[tuple[Any, ...]]:
    """The rows that the draft's source publishes of its file, taken at once."""
    found = declared(draft(str(file), table=table))
    source = found[table].model_copy(update={"retries": 0})
    source.whole.seconds = 0
    done = run(source, partition)
    assert done.success, done.told
    return rows(found[table.upper()])


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_a_draft_of_delimited_text_loads_it(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "customers-2024-01.csv.gz"
    file.write_bytes(gzip.compress(PEOPLE.encode(encoding)))
    found = loaded(file, "customers", "2024-01")
    assert [row[:3] for row in found] == [("2024-01", 1, "Ann"), ("2024-01", 2, "Jörg")]
    assert [row[7] for row in found] == [1.5, 2.0]
    assert [row[8] for row in found] == ["01234", "99999"]


def test_a_draft_of_parquet_loads_it(tmp_path: Path) -> None:
    file = tmp_path / "stock.parquet"
    pq.write_table(
        pa.table({"part": [1, 2], "weight": [1.5, None], "made": pa.array([0, 1], pa.timestamp("us", "UTC"))}), file
    )
    assert [row[:2] for row in loaded(file, "stock", None)] == [(1, 1.5), (2, None)]


def test_what_looks_like_a_persons_is_declared_so_and_nothing_of_the_rows_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "customers.csv"
    file.write_text(PEOPLE, encoding="utf-8")
    text = draft(str(file), table="customers")
    assert declared(text)["CUSTOMERS"].personal == {"name", "e_mail", "birth_date"}
    assert not any(value in text for value in ("Ann", "Jörg", "a@b.de", "01234", "1980"))


def test_columns_that_python_cannot_name_get_other_names(tmp_path: Path) -> None:
    file = tmp_path / "odd.csv"
    file.write_text('class,2nd,"a ""b""",A B,a-b\n1,2,3,4,5\n', encoding="utf-8")
    assert loaded(file, "odd", None) == [(1, 2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"a,a\n1,2\n", "twice"),
        (b"\0\1\2", "NUL"),
        (b'a,b\n"1,2\n', "quotation mark"),
        (b"PAR1cut", "Parquet"),
    ],
)
def test_what_no_draft_can_be_made_from_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(content)
    with pytest.raises(SourceError, match=told):
        draft(str(file), table="bad")


def test_numbers_that_no_type_holds_stay_text(tmp_path: Path) -> None:
    file = tmp_path / "ids.csv"
    file.write_text("id\n12345678901234567801\n12345678901234567802\n", encoding="utf-8")
    assert loaded(file, "ids", None) == [("12345678901234567801",), ("12345678901234567802",)]


def test_dates_that_can_be_read_in_two_ways_are_pointed_out(tmp_path: Path) -> None:
    file = tmp_path / "dates.csv"
    file.write_text("day\n01/02/2024\n3/4/2024\n", encoding="utf-8")
    text = draft(str(file), table="dates")
    assert "day: dt.Date  # or written as %-d/%-m/%Y: every value fits both" in text
    file.write_text("day\n01/02/2024\n3/14/2024\n", encoding="utf-8")
    assert "# or written" not in draft(str(file), table="dates")


@pytest.mark.parametrize("first", ["17", "a@b.de", "2024-01-03", "3.1.2024"])
def test_a_first_line_of_values_is_no_header_and_is_not_shown(tmp_path: Path, first: str) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"x,{first}\ny,2\n", encoding="utf-8")
    with pytest.raises(SourceError, match="it is no header") as caught:
        draft(str(file), table="people")
    assert first not in str(caught.value)


def test_line_ends_of_cr_alone_are_told(tmp_path: Path) -> None:
    file = tmp_path / "old.csv"
    file.write_bytes(b"a,b\r1,2\r")
    with pytest.raises(SourceError, match="CR alone"):
        draft(str(file), table="old")


def test_lists_are_told_since_no_draft_can_declare_them(tmp_path: Path) -> None:
    file = tmp_path / "lists.parquet"
    pq.write_table(pa.table({"a": [[1, 2]]}), file)
    with pytest.raises(SourceError, match="lists or records"):
        draft(str(file), table="lists")


@pytest.mark.parametrize("name", ["sales-2024-13.csv", "sales-2024-01-99.csv", "sales-{x}.csv"])
def test_a_name_that_holds_no_time_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("sale\n1\n", encoding="utf-8")
    assert loaded(file, "sales", None) == [(1,)]


def test_a_column_of_dates_is_not_taken_for_the_partition(tmp_path: Path) -> None:
    file = tmp_path / "sales-2024-01.csv"
    file.write_text("sale,month\n1,2024-01-01\n", encoding="utf-8")
    assert [row[0] for row in loaded(file, "sales", None)] == [1]


def test_the_command_prints_it_or_says_why_not(tmp_path: Path) -> None:
    file = tmp_path / "Sales 2024.csv"
    file.write_text("sale\n1\n", encoding="utf-8")
    done = CliRunner().invoke(_app, ["infer", str(file)])
    assert done.exit_code == 0
    assert "sales = ma.FileSource(" in done.stdout
    with pytest.raises(SourceUnavailableError, match="cannot be read"):
        draft(str(tmp_path / "none.csv"), table="none")


def test_a_file_over_http_is_drafted_as_one_and_its_query_is_not_told() -> None:
    with FileServer() as server:
        server.files["/exports/sales-2024-01.csv"] = b"sale,amount\n1,2.5\n2,3.5\n"
        text = draft(f"{server.url}/exports/sales-2024-01.csv?sig=topsecret", table="sales")
        assert "topsecret" not in text
        source = declared(text)["sales"]
        assert source.url == f"{server.url}/exports/sales-{{month}}.csv"
        done = run(source.model_copy(update={"retries": 0}), "2024-01")
        assert done.success, done.told


def test_an_address_where_nothing_is_is_told() -> None:
    with FileServer() as server, pytest.raises(SourceError, match="answers 404"):
        draft(f"{server.url}/nothing.csv", table="nothing")


def test_an_address_of_fsspec_is_drafted_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("sale,amount\n1,2.5\n")
    source = declared(draft(f"file://{tmp_path}/sales.csv", table="sales"))["sales"]
    assert (source.path, source.file) == (f"file://{tmp_path}", "sales.csv")
