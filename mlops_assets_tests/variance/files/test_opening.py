"""Files as tables: what a path means, headers and ragged rows, and texts as they were delivered."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from mlops_assets.variance.errors import ComparisonError
from mlops_assets_tests.variance.files.reading_files import texts, written

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


@pytest.mark.parametrize(("name", "neighbour"), [("[1]x", "1x"), ("votes?", "votesA"), ("a*", "ab"), ("a[!b]", "ac")])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_path_is_never_a_pattern(tmp_path: Path, name: str, neighbour: str, kind: str) -> None:
    for stem, value in ((name, "right"), (neighbour, "wrong")):
        content: Any = {"u": [value]} if kind == "parquet" else f"u\n{value}\n"
        written(tmp_path / f"{stem}.{kind}", content)
    assert texts(tmp_path / f"{name}.{kind}") == {"u": ["right"]}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_folder_adds_no_column(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "year=2020"
    folder.mkdir()
    content: Any = {"u": ["a"]} if kind == "parquet" else "u\na\n"
    assert texts(written(folder / f"x.{kind}", content)) == {"u": ["a"]}


def test_texts_of_delimited_files_are_as_delivered(tmp_path: Path) -> None:
    values = ["5", "5.00", "1E5", "100000", "0x10", "16", "T", "F", "yes", "12345678901234567801", "007", "NC ", "NA"]
    assert texts(written(tmp_path / "a.csv", "u,x\n" + "".join(f"{value},\n" for value in values)))["u"] == values


def test_blank_is_missing_however_it_is_written(tmp_path: Path) -> None:
    assert texts(written(tmp_path / "a.csv", 'u,x\n,1\n"",1\n"  ",1\n\u00a0,1\n'))["u"] == [None] * 4
    assert texts(written(tmp_path / "a.parquet", {"u": ["", None, "  "]}))["u"] == [None] * 3


def test_columns_of_parquet_have_the_text_that_a_delimited_file_would_have(tmp_path: Path) -> None:
    moment = dt.datetime(2020, 1, 31, 12, 30)  # noqa: DTZ001  a column without a zone
    path = written(
        tmp_path / "a.parquet",
        {
            "whole": pa.array([5, 12345678901234567], pa.int64()),
            "unsigned": pa.array([5, 2**64 - 1], pa.uint64()),
            "with missing": pa.array([5.0, float("nan")]),
            "parts": pa.array([0.1, 1e300]),
            "money": pa.array([decimal.Decimal("5.00"), None]),
            "truth": [True, False],
            "day": [dt.date(2020, 1, 31), None],
            "moment": [moment, None],
            "coded": pa.array(["a", "b"]).dictionary_encode(),
        },
    )
    assert texts(path) == {
        "whole": ["5", "12345678901234567"],
        "unsigned": ["5", "18446744073709551615"],
        "with missing": ["5", None],
        "parts": ["0.1", "1e+300"],
        "money": ["5.00", None],
        "truth": ["true", "false"],
        "day": ["2020-01-31", None],
        "moment": ["2020-01-31 12:30:00", None],
        "coded": ["a", "b"],
    }


def test_lists_and_bytes_have_no_text(tmp_path: Path) -> None:
    for values in ([[1]], [b"\xff"]):
        with pytest.raises(ComparisonError, match="column u holds values of type"):
            texts(written(tmp_path / "a.parquet", {"u": values}))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_of_the_header(tmp_path: Path, delimiter: str) -> None:
    text = delimiter.join(["u", "x"]) + "\n" + delimiter.join(["a", '"1,5;2|3\t4"']) + "\n"
    assert texts(written(tmp_path / "a.csv", text)) == {"u": ["a"], "x": ["1,5;2|3\t4"]}


def test_labels_of_rows_without_a_name_are_left_out(tmp_path: Path) -> None:
    assert texts(written(tmp_path / "a.csv", '"",u\n1,a\n2,b\n')) == {"u": ["a", "b"]}


def test_names_are_without_the_spaces_around_them(tmp_path: Path) -> None:
    assert texts(written(tmp_path / "a.csv", "u, x\na,1\n")) == {"u": ["a"], "x": ["1"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("u,x\na,1\nb,2,3\n", "line 3 has 3 fields where the header has 2"),
        ("u,x\na,1\nb\n", "line 3 has 1 fields where the header has 2"),
        ("u,x\n" + "a,1\n" * 300_000 + "b,2,3\n", "line 300002 has 3 fields"),
        ('u,x\na,"1\nb,2\n', "line 2 has a quotation mark that is not closed"),
        ("u,u\na,1\n", "columns 1 and 2 are both named u in the header"),
        ("u,U\na,1\n", "columns 1 and 2 are both named U in the header"),
        ("u,,x\na,1,2\n", "column 2 of 3 has no name in the header"),
        ("\nu,x\na,1\n", "first line is blank"),
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        ("u,x\n", "it has columns and no rows"),
    ],
)
def test_what_is_wrong_with_the_lines_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ComparisonError, match=rf"a.csv: .*{words}"):
        texts(written(tmp_path / "a.csv", text))


def test_no_message_quotes_a_line(tmp_path: Path) -> None:
    with pytest.raises(ComparisonError) as told:
        texts(written(tmp_path / "a.csv", "name,x\nJane Roe,1,2\n"))
    assert "Roe" not in str(told.value)


def test_a_damaged_file_of_parquet_is_refused(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.parquet", {"u": ["a"] * 1000}).read_bytes()
    for content in (whole[:-20], b"PAR1" + bytes(50) + b"PAR1", b"", b"u\na\n"):
        with pytest.raises(ComparisonError, match=r"a.parquet: it cannot be read as CSV or Parquet"):
            texts(written(tmp_path / "a.parquet", content))


def test_a_folder_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match="it is no file"):
        texts(tmp_path)
    with pytest.raises(ComparisonError, match="it does not exist"):
        texts(tmp_path / "none.csv")
