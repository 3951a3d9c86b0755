"""Tests of the district profiles."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa
import pytest

from mlops_assets.contracts.wrangled import DISTRICT_PROFILES, PROFILE_MEASURES
from mlops_assets.platform.errors import SourceError
from mlops_assets.wrangling.district_profiles import district_profiles, require_measures
from mlops_assets_tests.wrangling.kept_contract import kept_rows
from mlops_assets_tests.wrangling.public_files import profiles

_COLUMNS = ("year", "dataset", "source", "geo_id", "geo_name", "table_id", "code", "label", "value")


def _cell(label: str, value: str | None = "1000", **other: str) -> dict[str, str | None]:
    return {
        "year": "2012", "dataset": "acs1", "source": "profiles.csv", "geo_id": "5001300US0101",
        "geo_name": "Congressional District 1 (113th Congress), Alabama", "table_id": "DP05", "code": "HC01_VC03",
        "label": label, "value": value,
    } | other  # fmt: skip


def _profiles(*cells: dict[str, str | None]) -> list[dict[str, Any]]:
    schema = pa.schema(dict.fromkeys(_COLUMNS, pa.string()))
    return kept_rows(district_profiles(ibis.memtable(pa.Table.from_pylist(cells, schema=schema))), DISTRICT_PROFILES)


def _measures(*labels: str) -> list[str | None]:
    """The measure recognised in each label, each label standing in a district of its own."""
    cells = [_cell(label, geo_id=f"37{number:02d}", code=f"X{number}", year=f"{2000 + number}")
             for number, label in enumerate(labels)]  # fmt: skip
    found = {row["district"]: row["measure"] for row in _profiles(*cells)}
    return [found.get(f"{number:02d}") for number in range(len(labels))]


def test_a_cell_becomes_a_measure_of_a_district() -> None:
    assert _profiles(_cell("Estimate; SEX AND AGE - Total population", "693136")) == [
        {
            "year": "2012",
            "dataset": "acs1",
            "state": "AL",
            "district": "01",
            "congress": 113,
            "measure": "population",
            "value": 693136.0,
            "code": "HC01_VC03",
        }
    ]


def test_every_vintage_of_labels_is_recognised() -> None:
    labels = {
        "Number; Total population": "population",
        "Number; Total population - SEX AND AGE - Median age (years)": "median_age",
        "Number; SEX AND AGE - Total population - 18 years and over": "population_18_and_over",
        "Number; RACE - Total population - One Race - White": "white_alone",
        "Estimate; Total population - One race - Black or African American": "black_alone",
        "Number; HISPANIC OR LATINO AND RACE - Total population - Hispanic or Latino": "hispanic",
        "Number; Estimate; RACE - One race - White": "white_alone",
        "Estimate; HISPANIC OR LATINO AND RACE - Hispanic or Latino (of any race)": "hispanic",
        "Estimate; SEX AND AGE - 65 years and over": "population_65_and_over",
        "Estimate!!SEX AND AGE!!Total population": "population",
        "Estimate!!SEX AND AGE!!Median age (years)": "median_age",
        "Estimate!!SEX AND AGE!!Total population!!Median age (years)": "median_age",
        "Estimate!!RACE!!One race!!White": "white_alone",
        "Estimate!!RACE!!Total population!!One race!!Black or African American": "black_alone",
        "Estimate!!HISPANIC OR LATINO AND RACE!!Total population!!Hispanic or Latino (of any race)": "hispanic",
        "Count!!SEX AND AGE!!Total population!!Selected Age Categories!!65 years and over": "population_65_and_over",
    }  # fmt: skip
    assert dict(zip(labels, _measures(*labels), strict=True)) == labels


def test_other_universes_shares_and_combinations_are_not_mixed_up() -> None:
    labels = [
        "Percent; SEX AND AGE - Total population",
        "Estimate Margin of Error; SEX AND AGE - Total population",
        "Number; Margin of Error; RACE - One race - White",
        "Margin of Error!!SEX AND AGE!!Total population",
        "Percent!!RACE!!One race!!White",
        "Annotation of Estimate!!SEX AND AGE!!Total population",
        "Number; RACE - Race alone or in combination with one or more other races: [4] - White",
        "Estimate; RACE - White",
        "Estimate; Race alone or in combination with one or more other races - Total population - White",
        "Estimate!!Race alone or in combination with one or more other races!!Total population!!White",
        "Estimate; HISPANIC OR LATINO AND RACE - Not Hispanic or Latino - White alone",
        "Estimate; HISPANIC OR LATINO AND RACE - Total population",
        "Estimate; PLACE OF BIRTH - Total population",
        "Estimate; SEX AND AGE - 65 years and over - Male",
        "Estimate; RACE - Total population",
    ]
    assert _measures(*labels) == [None] * len(labels)


def test_the_first_of_two_columns_with_one_label_is_taken() -> None:
    (row,) = _profiles(
        _cell("Estimate; Total population", "7", code="EST_VC32"),
        _cell("Estimate; Total population", "8", code="EST_VC01"),
        _cell("Estimate; Total population", "9", code="EST_VC100"),
    )
    assert (row["code"], row["value"]) == ("EST_VC01", 8.0)


def test_missing_codes_are_null_and_revision_marks_are_dropped() -> None:
    values = {
        "(X)": None, "-": None, "**": None, "*****": None, "N": None, "": None, "-666666666": None, None: None,
        "710231(r38823)": 710231.0, "35.7": 35.7, "1,234": 1234.0,
    }  # fmt: skip
    cells = [
        _cell("Estimate; SEX AND AGE - Total population", value, geo_id=f"37{n:02d}") for n, value in enumerate(values)
    ]
    assert [row["value"] for row in _profiles(*cells)] == list(values.values())


@pytest.mark.parametrize(
    ("geo_id", "geo_name", "congress"),
    [
        ("5000600US0200", "Congressional District (at Large) (106th Congress), Alaska", 106),
        ("5001900US0200", "a name without a number", 119),
        ("0200", "Congressional District (at Large) (111th Congress), Alaska", 111),
        ("0200", "a name without a number", None),
    ],
)
def test_the_congress_is_read_from_the_identifier_or_else_from_the_name(
    geo_id: str, geo_name: str, congress: int | None
) -> None:
    (row,) = _profiles(_cell("Estimate!!SEX AND AGE!!Total population", geo_id=geo_id, geo_name=geo_name))
    assert (row["state"], row["district"], row["congress"]) == ("AK", "00", congress)


def test_delegates_and_places_outside_districts_are_left_out() -> None:
    places = ["5001300US1198", "5001300US7298", "09ZZ", "3701"]
    rows = _profiles(*(_cell("Estimate!!SEX AND AGE!!Total population", geo_id=place) for place in places))
    assert [(row["state"], row["district"]) for row in rows] == [("NC", "01")]


def test_a_vintage_of_which_nothing_is_known_is_refused() -> None:
    with pytest.raises(SourceError, match=r"Profiles of 2031: no column has a known label.*district_profiles\.py"):
        require_measures(set(), year="2031")


def test_lacking_measures_are_named_in_order() -> None:
    assert require_measures({"median_age", "population"}, year="2031") == PROFILE_MEASURES[1:6]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("stem", "year", "dataset", "congress", "persons"),
    [
        ("DEC_00_SF1_DP1", "2000", "dec", 106, 280_849_847),
        ("DEC_10_SF1_SF1DP1", "2010", "dec", 111, 308_143_813),
        ("ACS_06_EST_DP5", "2006", "acs1", 109, 298_816_955),
        ("ACS_08_1YR_DP5", "2008", "acs1", 110, 303_467_895),
        ("ACS_10_1YR_DP05", "2010", "acs1", 111, 308_745_236),
        ("ACS_11_1YR_DP05", "2011", "acs1", 112, 310_973_923),
        ("ACS_12_1YR_DP05", "2012", "acs1", 113, 313_281_717),
    ],
)
def test_every_download_holds_every_measure_of_435_districts(
    stem: str, year: str, dataset: str, congress: int, persons: int
) -> None:
    rows = kept_rows(district_profiles(profiles(stem, year=year, dataset=dataset)), DISTRICT_PROFILES)
    assert len(rows) == 435 * len(PROFILE_MEASURES)
    assert {row["congress"] for row in rows} == {congress}
    assert all(row["value"] for row in rows)
    by_measure = {m: [row["value"] for row in rows if row["measure"] == m] for m in PROFILE_MEASURES}
    assert sum(by_measure["population"]) == persons
    assert 0.70 < sum(by_measure["white_alone"]) / persons < 0.77
    assert 0.11 < sum(by_measure["black_alone"]) / persons < 0.13
    assert 0.12 < sum(by_measure["hispanic"]) / persons < 0.17
    assert 0.12 < sum(by_measure["population_65_and_over"]) / persons < 0.14
    assert 25 < min(by_measure["median_age"]) < max(by_measure["median_age"]) < 53
