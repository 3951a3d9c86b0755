"""Text becomes the value that it says, or none: nothing is rounded, guessed or left out."""

from __future__ import annotations

import duckdb
import ibis.expr.datatypes as dt
import pytest
from ibis.backends.sql.datatypes import DuckDBType

from mlops_assets.platform.errors import ContractError
from mlops_assets.plumbing.sources.text_forms import require_forms
from mlops_assets.plumbing.sources.text_rules import parsed

UTC = dt.Timestamp(timezone="UTC")


def value(kind: dt.DataType, text: str, form: str | None = None, *, non_finite: bool = False) -> str | None:
    """What the text becomes, as DuckDB writes it in UTC."""
    sql = parsed("a", kind, sql_type=DuckDBType.to_string(kind), form=form, non_finite=non_finite)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        [(found,)] = connection.execute(f"SELECT ({sql})::VARCHAR FROM (SELECT ?::VARCHAR AS a)", [text]).fetchall()  # noqa: S608
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (dt.float64, "1e400"),
        (dt.float64, "1e-400"),
        (dt.float64, "12345678901234567801"),
        (dt.float64, "9007199254740993"),
        (dt.float32, "16777217"),
        (dt.float32, "1.2345678901"),
        (dt.timestamp, "2024-01-31 12:00:00.123456789"),
        (dt.timestamp, "2024-01-31 24:00:00"),
        (dt.timestamp, "0000-01-01"),
        (dt.timestamp, "2024-01-31T12:00:00Z"),
        (dt.Timestamp(scale=0), "2024-01-31 12:00:00.5"),
        (UTC, "2024-01-31T12:00:00"),
        (UTC, "2024-01-31T12:00:00+14:75"),
        (UTC, "2024-01-31T12:00:00+99:99"),
        (dt.date, "0000-01-01"),
        (dt.time, "2024-01-01 12:00:00"),
        (dt.time, "1:2:3"),
        (dt.time, "24:00:00"),
    ],
    ids=str,
)
def test_text_that_its_type_cannot_hold_as_it_is_has_no_value(kind: dt.DataType, text: str) -> None:
    assert value(kind, text) is None


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (dt.float64, "0.30000000000000004", "0.30000000000000004"),
        (dt.float64, "1.50000000000000000000000", "1.5"),
        (dt.float64, "-0.0e9", "-0.0"),
        (dt.float64, "1e22", "1e+22"),
        (dt.float64, "9007199254740992", "9007199254740992.0"),
        (dt.float32, "16777216", "16777216.0"),
        (dt.timestamp, "2024-01-31T12:00:00.123456000", "2024-01-31 12:00:00.123456"),
        (dt.timestamp, "2024-01-31", "2024-01-31 00:00:00"),
        (dt.Timestamp(scale=0), "2024-01-31 12:00:00.000", "2024-01-31 12:00:00"),
        (UTC, "2024-01-31T12:00:00+14:00", "2024-01-30 22:00:00+00"),
        (dt.time, "12:00:00.5", "12:00:00.5"),
    ],
    ids=str,
)
def test_text_that_its_type_can_hold_becomes_its_value(kind: dt.DataType, text: str, expected: str) -> None:
    assert value(kind, text) == expected


def test_infinite_is_what_says_so_and_not_what_is_too_large() -> None:
    assert value(dt.float64, "-Infinity", non_finite=True) == "-inf"
    assert value(dt.float64, "1e400", non_finite=True) is None


@pytest.mark.parametrize("kind", [dt.float64, dt.Decimal(12, 3)], ids=str)
def test_a_point_alone_is_no_sign_of_thousands_where_the_source_has_numbers_of_its_own(kind: dt.DataType) -> None:
    def typed(text: str) -> str | None:
        sql = parsed("a", kind, sql_type=DuckDBType.to_string(kind), form="1.234,56", non_finite=False, typed=True)
        [(found,)] = duckdb.execute(f"SELECT ({sql})::VARCHAR FROM (SELECT ?::VARCHAR AS a)", [text]).fetchall()  # noqa: S608
        return None if found is None else str(found)

    assert typed("1.234") is None
    assert [typed(text) for text in ("1.234,5", "1.234.567", "12,5", "1234")] == [
        value(kind, text, "1.234,56") for text in ("1.234,5", "1.234.567", "12,5", "1234")
    ]


@pytest.mark.parametrize(
    ("kind", "form", "text"),
    [
        (dt.date, "%d.%m.%Y", "03.01.24"),
        (dt.date, "%d.%m.%Y", "3.1.2024"),
        (dt.date, "%d.%m.%Y", " 03.01.2024"),
        (dt.date, "%d.%m.%Y", "31.02.2024"),
        (dt.date, "%d.%m.%Y %H:%M", "31.01.2024 23:30"),
        (dt.Timestamp(scale=0), "%Y-%m-%d %H:%M:%S.%f", "2024-01-31 12:00:00.5"),
        (dt.timestamp, "%Y-%m-%d %H:%M:%S.%f", "2024-01-31 12:00:00.1234567"),
        (UTC, "%d.%m.%Y %H:%M %z", "31.01.2024 12:00"),
        (UTC, "%d.%m.%Y %H:%M %z", "31.01.2024 12:00 +9999"),
        (dt.float64, "1.234,56", "1.23"),
        (dt.float64, "1.234,56", "0.123"),
        (dt.float64, "1.234,56", "000.123"),
        (dt.float64, "1.234,56", "0.123,5"),
        (dt.float64, "1.234,56", "12.34,5"),
        (dt.float64, "1.234,56", "1,5,5"),
        (dt.float64, "1234,56", "12.5"),
        (dt.float64, "1.234,56", ",5"),
        (dt.float64, "1.234,56", "1234567890123456789,5"),
        (dt.Decimal(10, 2), "1.234,56", "0,999"),
        (dt.int64, "1,234", "1,23"),
    ],
    ids=str,
)
def test_text_that_is_not_just_as_its_form_says_has_no_value(kind: dt.DataType, form: str, text: str) -> None:
    assert value(kind, text, form) is None


@pytest.mark.parametrize(
    ("kind", "form", "text", "expected"),
    [
        (dt.date, "%d.%m.%Y", "03.01.2024", "2024-01-03"),
        (dt.date, "%-d.%-m.%Y", "3.1.2024", "2024-01-03"),
        (dt.date, "%d.%m.%y", "03.01.24", "2024-01-03"),
        (dt.date, "%d.%m.%Y %H:%M", "31.01.2024 00:00", "2024-01-31"),
        (dt.timestamp, "%b %d %Y %I:%M %p", "JAN 31 2024 01:30 pm", "2024-01-31 13:30:00"),
        (UTC, "%d.%m.%Y %H:%M %z", "31.01.2024 12:00 -05:30", "2024-01-31 17:30:00+00"),
        (dt.time, "%H.%M", "12.30", "12:30:00"),
        (dt.float64, "1.234,56", "12,50", "12.5"),
        (dt.float64, "1.234,56", "-1.234.567,5", "-1234567.5"),
        (dt.float64, "1234,56", "1234567", "1234567.0"),
        (dt.float64, "1 234,56", "1\u202f234,5", "1234.5"),
        (dt.float64, "1'234.56", "1'234.5", "1234.5"),
        (dt.Decimal(10, 2), "1.234,56", "1.234,56", "1234.56"),
        (dt.int64, "1,234", "12,345,678", "12345678"),
        (dt.boolean, "ja/nein", "Nein", "false"),
    ],
    ids=str,
)
def test_text_as_its_form_says_becomes_its_value(kind: dt.DataType, form: str, text: str, expected: str) -> None:
    assert value(kind, text, form) == expected


@pytest.mark.parametrize(
    ("kind", "form", "told"),
    [
        (dt.date, "%Q", "has %Q"),
        (dt.date, "%d.%m.%Y %", "has %,"),
        (dt.date, "%d", "does not say one day"),
        (dt.date, "%d.%d.%m.%Y", "says a part twice"),
        (dt.date, "%d.%m.%Y %z", "has %z"),
        (dt.timestamp, "%d.%m.%Y %H:%M %z", "has %z"),
        (dt.timestamp, "%d.%m.%Y %I:%M", "without %p"),
        (UTC, "%d.%m.%Y %H:%M", "has no %z"),
        (UTC, "%d.%m.%Y %H:%M %Z", "has %Z"),
        (dt.time, "%d.%m.%Y %H:%M", "is not that of a time"),
        (dt.int64, "%d", "is not 1234 as it is written there"),
        (dt.string, "%d", "is of no use"),
        (dt.boolean, "yes", "two words"),
        (dt.float64, "1,234,56", "is not 1234.56 as it is written there"),
        (dt.int64, "1.234,56", "is not 1234 as it is written there"),
        (dt.boolean, "yes/YES", "two words"),
        (dt.boolean, "ja/nein/unbekannt", "two words"),
        (dt.boolean, "X/", "two words"),
    ],
    ids=str,
)
def test_a_form_that_cannot_be_meant_is_refused(kind: dt.DataType, form: str, told: str) -> None:
    with pytest.raises(ContractError) as caught:
        require_forms({"a": form}, {"a": kind}, "Source of raw/x")
    assert told in str(caught.value)


def test_forms_that_can_be_meant_pass() -> None:
    forms = {"a": "%Y-%j", "b": "%d.%m.%Y %H:%M:%S.%f %z", "c": "y/n", "d": "100%% %d%m%y"}
    require_forms(forms, {"a": dt.date, "b": UTC, "c": dt.boolean, "d": dt.timestamp}, "Source of raw/x")
