"""Tests of the county registrations."""

from __future__ import annotations

from collections import Counter
from typing import Any

import ibis
import pyarrow as pa
import pytest

from mlops_assets.contracts.wrangled import COUNTY_REGISTRATIONS
from mlops_assets.wrangling.county_registrations import county_registrations
from mlops_assets_tests.wrangling.kept_contract import kept_rows
from mlops_assets_tests.wrangling.public_files import public_folder, registrations

_COLUMNS = ("month", "state", "reported", "county", "party_column", "value", "source_file")


def _cell(party_column: str, value: str | None, **other: str) -> dict[str, str | None]:
    return {
        "month": "2004-11", "state": "SD", "reported": "2004-11-02", "county": "Aurora",
        "party_column": party_column, "value": value, "source_file": "counties.csv",
    } | other  # fmt: skip


def _registrations(*cells: dict[str, str | None]) -> list[dict[str, Any]]:
    schema = pa.schema(dict.fromkeys(_COLUMNS, pa.string()))
    table = ibis.memtable(pa.Table.from_pylist(cells, schema=schema))
    return kept_rows(county_registrations(table), COUNTY_REGISTRATIONS)


def _by_party(*cells: dict[str, str | None]) -> dict[str, int | None]:
    return {row["party"]: row["registered"] for row in _registrations(*cells)}


def test_a_cell_becomes_a_class_of_a_county() -> None:
    assert _registrations(_cell("democratic", "1508", county=" Bon  Homme ")) == [
        {"month": "2004-11", "state": "SD", "county": "BON HOMME", "party": "DEMOCRATIC", "registered": 1508}
    ]


def test_the_columns_of_every_state_become_classes() -> None:
    columns = {
        "democratic": "DEMOCRATIC",
        "DEM": "DEMOCRATIC",
        " Democrat Registration  2004": "DEMOCRATIC",
        "republican": "REPUBLICAN",
        "REP": "REPUBLICAN",
        " Republican Registration 2004 ": "REPUBLICAN",
        "LIB": "LIBERTARIAN",
        "GRN": "GREEN",
        "UNAF": "UNAFFILIATED",
        "npa_ind": "UNAFFILIATED",
        "independent": "UNAFFILIATED",
        "OTH": "OTHER",
        "other": "OTHER",
        "inactive": "INACTIVE",
        "INACTIVE": "INACTIVE",
        "americans_elect": "AMERICANS ELECT",
        "constitution": "CONSTITUTION",
    }
    rows = _registrations(*(_cell(column, "5", county=f"{n:02d}") for n, column in enumerate(columns)))
    assert [row["party"] for row in rows] == list(columns.values())


def test_columns_that_are_no_party_are_left_out() -> None:
    cells = [
        _cell(column, "5")
        for column in (
            "TOTAL",
            "Total Registration2004 ",
            "Republican Margin 2004",
            "CONFMAILING",
            "conf.mailing",
            "dem_perc",
        )
    ]
    assert _by_party(_cell("DEM", "7"), *cells) == {"DEMOCRATIC": 7}


def test_columns_of_another_year_are_left_out() -> None:
    assert _by_party(
        _cell("Republican Registration 2004", "6441.00"), _cell("Republican Registration 2008", "6652.00")
    ) == {"REPUBLICAN": 6441}


@pytest.mark.parametrize("county", ["TOTAL", "Totals", "Statewide", "State Total", "GRAND TOTAL", " "])
def test_rows_of_totals_are_left_out(county: str) -> None:
    assert _registrations(_cell("DEM", "5", county=county)) == []


def test_counts_are_read_in_every_format() -> None:
    formats = {"13,864": 13864, "6441.00": 6441, "0": 0, " 7 ": 7, "": None, None: None, "n/a": None, "0.35": None}
    rows = _registrations(*(_cell("DEM", value, county=f"{n}") for n, value in enumerate(formats)))
    assert [row["registered"] for row in rows] == list(formats.values())


def test_columns_of_one_class_are_summed() -> None:
    assert _by_party(_cell("independent", "5"), _cell("npa_ind", "6")) == {"UNAFFILIATED": 11}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("day", "counties", "democratic", "classes"),
    [("1976-05-17", 67, 177_459, 3), ("1996-02-12", 66, 173_148, 6), ("2014-10-20", 66, 176_165, 7)],
)
def test_south_dakota_is_read_through_its_changing_columns(
    day: str, counties: int, democratic: int, classes: int
) -> None:
    file = public_folder("sd-voter-registration") / "snapshots" / f"{day}.csv"
    rows = kept_rows(county_registrations(registrations(file, month=day[:7], state="SD")), COUNTY_REGISTRATIONS)
    assert Counter(row["party"] for row in rows)["DEMOCRATIC"] == counties
    assert len({row["party"] for row in rows}) == classes
    assert sum(row["registered"] for row in rows if row["party"] == "DEMOCRATIC") == democratic


@pytest.mark.real_data
def test_maryland_classes_add_up_to_its_own_total() -> None:
    file = public_folder("md-voter-registration") / "input" / "01_2018_totals.csv"
    raw = registrations(file, month="2018-01", state="MD")
    rows = kept_rows(county_registrations(raw), COUNTY_REGISTRATIONS)
    assert len({row["county"] for row in rows}) == 24
    allegany = {row["party"]: row["registered"] for row in rows if row["county"] == "ALLEGANY"}
    assert sum(count for party, count in allegany.items() if party != "INACTIVE") == 42_986
    assert allegany["INACTIVE"] == 2_981


@pytest.mark.real_data
@pytest.mark.parametrize(("state", "stem", "counties"), [("AZ", "arizona", 15), ("NC", "northcarolina", 100)])
def test_six_state_files_give_both_large_parties_of_the_month_alone(state: str, stem: str, counties: int) -> None:
    file = public_folder("county-registration-2004-2020") / f"{stem}county.csv"
    rows = kept_rows(county_registrations(registrations(file, month="2012-11", state=state)), COUNTY_REGISTRATIONS)
    assert Counter(row["party"] for row in rows) == {"DEMOCRATIC": counties, "REPUBLICAN": counties}
    assert all(row["registered"] for row in rows)
