"""Census profiles: labels and codes of each vintage, and numbers that fit together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.simulation.profiles import YEARS

if TYPE_CHECKING:
    from mlops_assets.simulation.sources import SourceSystems


def _profile(systems: SourceSystems, year: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((systems.profiles / f"{year}.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    ("year", "codes"),
    [
        (2010, {"0017": "Median age (years)", "0018": "18 years and over", "0021": "65 years and over"}),
        (2016, {"0032": "White", "0033": "Black or African American", "0066": "Hispanic or Latino (of any race)"}),
        (2017, {"0018": "Median age (years)", "0021": "18 years and over", "0024": "65 years and over"}),
        (2021, {"0037": "White", "0038": "Black or African American", "0071": "Hispanic or Latino (of any race)"}),
        (2022, {"0001": "Total population", "0073": "Hispanic or Latino (of any race)"}),
    ],
)
def test_measures_stand_under_the_codes_of_their_vintage(
    systems: SourceSystems, year: int, codes: dict[str, str]
) -> None:
    variables = _profile(systems, year)["variables"]

    assert {number: variables[f"DP05_{number}E"].split("!!")[-1] for number in codes} == codes


def test_labels_are_flat_until_2016_and_name_the_universe_from_2017(systems: SourceSystems) -> None:
    before, after = (_profile(systems, year)["variables"] for year in (2016, 2017))

    assert before["DP05_0001E"] == after["DP05_0001E"] == "Estimate!!SEX AND AGE!!Total population"
    assert before["DP05_0018E"] == "Estimate!!SEX AND AGE!!18 years and over"
    assert after["DP05_0021E"] == "Estimate!!SEX AND AGE!!Total population!!18 years and over"
    assert after["DP05_0037E"] == "Estimate!!RACE!!Total population!!One race!!White"
    assert after["DP05_0037PM"] == "Percent Margin of Error!!RACE!!Total population!!One race!!White"


@pytest.mark.parametrize("year", YEARS)
def test_parts_fit_their_whole_in_every_district(systems: SourceSystems, year: int) -> None:
    profile = _profile(systems, year)
    labels = {label: code for code, label in profile["variables"].items() if code.endswith("E")}
    universe = "Total population!!" if year >= 2017 else ""

    assert len(profile["rows"]) == {2010: 26, 2011: 26, 2022: 28}.get(year, 27)
    for row in profile["rows"]:

        def estimate(label: str, row: dict[str, str] = row) -> float:
            return float(row[labels[f"Estimate!!{label}"]])

        total = estimate("SEX AND AGE!!Total population")
        adults = estimate(f"SEX AND AGE!!{universe}18 years and over")
        old = estimate(f"SEX AND AGE!!{universe}65 years and over")
        races = [
            float(row[code])
            for label, code in labels.items()
            if label.startswith("Estimate!!RACE") and "One race!!" in label
        ]
        assert 0.7 < adults / total < 0.85
        assert 0.08 < old / total < 0.4
        assert 20 < estimate(f"SEX AND AGE!!{universe}Median age (years)") < 55
        assert sum(races) == pytest.approx(estimate(f"RACE!!{universe}One race"), abs=1)
        assert 0.9 * total < sum(races) <= total + 1
        assert set(row) == {*profile["variables"], "NAME", "GEO_ID", "state", "congressional district"}


def test_districts_are_named_after_the_congress_of_the_year(systems: SourceSystems) -> None:
    row = next(row for row in _profile(systems, 2018)["rows"] if row["state"] == "37")

    assert row["NAME"] == "Congressional District 1 (116th Congress), North Carolina"
    assert row["GEO_ID"] == "5001600US3701"
