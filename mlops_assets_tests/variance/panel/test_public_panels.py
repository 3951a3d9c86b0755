"""Panels of other fields and small wrong cases from files: the right name, and hardly any where nothing happened."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from mlops_assets.variance.panel.detection import detect
from mlops_assets.variance.panel.panels import Columns, read_panel

pytestmark = pytest.mark.real_data

Named = dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the public files are."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    found = Path(os.environ.get("MLOPS_ASSETS_TEST_DATA", str(beside)))
    if not (found / "foreign-panels").exists() or not (found / "variance-faults").exists():
        pytest.skip(f"the public files are not there: {found} (set MLOPS_ASSETS_TEST_DATA)")
    return found


def _causes(path: Path, unit: str, group: str, time: str, measures: str) -> Named:
    rows = duckdb.sql(f"SELECT * FROM read_csv('{path}', nullstr=['NA', ''])")  # noqa: S608  a path of this test
    columns = Columns(unit=unit, group=group, time=time, measures=tuple(measures.split(",")))
    return {(row["group"], row["time"]): row["cause"] for row in detect(read_panel(rows, columns)).to_pylist()}


@pytest.mark.parametrize(
    ("name", "measures", "expected"),
    [
        ("mini_constant", "votes,candidates", {}),
        ("mini_f_equal_population_after_redrawing", "pop,black", {("A", "2"): "boundary"}),
        ("mini_f_definition_within_units", "active,inactive,total", {("X", "4"): "entry"}),
        ("mini_f_definition_without_total", "active,inactive", {("X", "4"): "entry"}),
        ("mini_same_record", "cases", {}),
        ("mini_same_election_two_maps", "votes,dem", {("C", "2"): "boundary"}),
        ("mini_attrition", "emp,output", {(group, "1983"): "units" for group in "ABC"}),
    ],
)
def test_small_panels_once_told_wrongly_have_the_right_name(
    folder: Path, name: str, measures: str, expected: Named
) -> None:
    found = _causes(folder / "variance-faults" / f"{name}.csv", "u", "g", "t", measures)
    assert {key: cause for key, cause in found.items() if cause != "none"} == expected


@pytest.mark.parametrize(
    ("name", "columns", "most"),
    [
        ("EmplUK_plm", ("firm", "sector", "year", "emp,wage,capital,output"), {"units": 22}),
        ("Males_plm", ("nr", "residence", "year", "wage,exper,school"), {"units": 4}),
        (
            "Produc_plm",
            ("state", "region", "year", "pcap,hwy,water,util,pc,gsp,emp,unemp"),
            {"entry": 3, "unknown": 1},
        ),
        (
            "us_contagious_diseases_dslabs",
            ("state", "disease", "year", "weeks_reporting,count,population"),
            {"boundary": 1, "entry": 9, "unknown": 1},
        ),
        (
            "italy",
            ("unit", "g", "day", "totale_casi"),
            {"boundary": 51, "population": 10, "entry": 1, "renumbering": 3, "unknown": 1},
        ),
    ],
)
def test_panels_of_other_fields_have_hardly_any_event(
    folder: Path, name: str, columns: tuple[str, str, str, str], most: dict[str, int]
) -> None:
    found = Counter(_causes(folder / "foreign-panels" / f"{name}.csv.gz", *columns).values())
    del found["none"]
    assert set(found) <= set(most)
    assert all(count <= most[cause] for cause, count in found.items()), found


def test_of_cases_that_were_reclassified_most_regions_are_named_at_the_days_it_happened(folder: Path) -> None:
    found = _causes(folder / "foreign-panels" / "italy.csv.gz", "unit", "g", "day", "totale_casi")
    days = Counter(day for (_, day), cause in found.items() if cause == "boundary")
    assert days.most_common(1)[0][0].startswith("2020-06-2")


def test_of_states_whose_waves_are_broken_hardly_any_is_named_that_kept_its_districts(folder: Path) -> None:
    laid = duckdb.sql(
        f"""WITH given AS (
              SELECT state_po AS state, district, CAST(year AS INTEGER) AS year, upper(candidate) AS candidate,
                upper(party) AS party, candidatevotes AS votes, totalvotes AS total
              FROM read_csv('{folder}/medsl-house/1976-2020-house.csv.gz', all_varchar = true, encoding = 'latin-1')
              WHERE upper(stage) = 'GEN' AND CAST(year AS INTEGER) <= 2000 AND upper(special) <> 'TRUE')
            SELECT state, district, year + 2 * (hash(state) % 13)::INTEGER AS year, any_value(year) AS held,
              sum(votes::DOUBLE) FILTER (party LIKE '%DEMOCRAT%') AS dem,
              sum(votes::DOUBLE) FILTER (party LIKE '%REPUBLICAN%') AS rep,
              max(total::DOUBLE) AS total, max_by(candidate, votes::DOUBLE) AS winner
            FROM given GROUP BY ALL"""  # noqa: S608  a path of this test
    )
    columns = Columns(unit="district", group="state", time="year", measures=("dem", "rep", "total"), entity="winner")
    shift = dict(duckdb.sql("SELECT DISTINCT state, 2 * (hash(state) % 13)::INTEGER FROM laid").fetchall())
    labels = duckdb.sql(
        f"SELECT state, election_year, label FROM '{folder}/redistricting_state_year_labels_1972_2000.csv'"  # noqa: S608
    ).fetchall()
    truth = {(state, str(year)): label for state, year, label in labels if label in {"event", "no-event"}}
    named = [
        truth[row["group"], str(int(row["time"]) - shift[row["group"]])]
        for row in detect(read_panel(laid, columns)).to_pylist()
        if row["cause"] == "boundary" and (row["group"], str(int(row["time"]) - shift[row["group"]])) in truth
    ]
    assert len(named) >= 25
    assert named.count("event") >= 0.85 * len(named)
