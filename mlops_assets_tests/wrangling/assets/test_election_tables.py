"""The assets of elections, profiles and registrations, run by Dagster on real lakes: they keep their contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pytest

from mlops_assets.contracts import features, raw, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.wrangling import compared as comparisons
from mlops_assets.wrangling.assets.county_registrations import county_registrations
from mlops_assets.wrangling.assets.district_election import district_election
from mlops_assets.wrangling.assets.district_profiles import district_profiles
from mlops_assets.wrangling.assets.house_results import house_results

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract

_VOTES = {"NC": (1000, 1010, 990), "GA": (1000, 1020, 980), "VA": (1000, 1015, 985)}


def _text_table(contract: Contract, rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {
        name: pa.int64() if str(kind) == "int64" else pa.string() for name, kind in rules.columns_of(contract).items()
    }
    return pa.Table.from_pylist(rows, schema=pa.schema(kinds))


@asset(contract=raw.HOUSE_RETURNS)
def arrived_returns(partition: Partition) -> pa.Table:
    """Three states of three districts each, votes a tenth higher with every election; Georgia of 2018 doubled."""
    election = partition.values["election"]
    growth = 1 + (int(election) - 2014) / 20
    lines = [
        (state, str(district), str(int(votes * growth * (2 if (state, election) == ("GA", "2018") else 1))))
        for state, counts in _VOTES.items()
        for district, votes in enumerate(counts, start=1)
    ]
    return _text_table(
        raw.HOUSE_RETURNS,
        [
            {
                "election": election, "source_file": "returns.csv", "source_row": number, "year": election,
                "state_po": state, "district": district, "stage": "gen", "candidate": "Ann Ash", "party": "democrat",
                "candidatevotes": votes, "totalvotes": votes,
            }
            for number, (state, district, votes) in enumerate(lines, start=1)
        ],
    )  # fmt: skip


@asset(contract=raw.DISTRICT_PROFILES)
def arrived_profiles(partition: Partition) -> pa.Table:
    """Two counts of one district; in 2013 with a label that nobody knows."""
    labels = ("Estimate; SEX AND AGE - Total population", "Estimate; SEX AND AGE - 65 years and over")
    if partition.values["year"] == "2013":
        labels = ("Inhabitants", "Elders")
    return _text_table(
        raw.DISTRICT_PROFILES,
        [
            {
                "year": partition.values["year"], "dataset": "acs1", "source": "profiles.csv",
                "geo_id": "5001300US3701", "geo_name": "Congressional District 1 (113th Congress), North Carolina",
                "table_id": "DP05", "code": f"HC01_VC0{number}", "label": label, "value": value,
            }
            for number, (label, value) in enumerate(zip(labels, ("733499", "107580"), strict=True))
        ],
    )  # fmt: skip


@asset(contract=raw.COUNTY_REGISTRATIONS)
def arrived_registrations(partition: Partition) -> pa.Table:
    """One county with two parties and their total."""
    return _text_table(
        raw.COUNTY_REGISTRATIONS,
        [
            {
                "month": partition.values["month"], "state": "MD", "reported": "1/31/18", "county": "ALLEGANY",
                "party_column": column, "value": value, "source_file": "01_2018_totals.csv",
            }
            for column, value in (("DEM", "13,864"), ("REP", "21,284"), ("TOTAL", "35,148"))
        ],
    )  # fmt: skip


result_changes, result_events = comparisons.RESULTS.assets()
registration_changes, _ = comparisons.REGISTRATIONS.assets()
_ALL = {
    arrived_returns: raw.HOUSE_RETURNS,
    arrived_profiles: raw.DISTRICT_PROFILES,
    arrived_registrations: raw.COUNTY_REGISTRATIONS,
    house_results: wrangled.HOUSE_RESULTS,
    district_profiles: wrangled.DISTRICT_PROFILES,
    county_registrations: wrangled.COUNTY_REGISTRATIONS,
    district_election: features.DISTRICT_ELECTION,
    result_changes: comparisons.RESULTS.changes(),
    result_events: comparisons.RESULTS.events(),
    registration_changes: comparisons.REGISTRATIONS.changes(),
}


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")) as instance:
        yield instance


def _materialize(
    instance: dg.DagsterInstance, assets: list[dg.AssetsDefinition], partition: str, *, raise_on_error: bool = True
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [
            *assets,
            *(contract.spec() for definition, contract in _ALL.items() if definition not in assets),
            comparisons.RESULTS.verdicts().spec(),
        ],
        partition_key=partition,
        instance=instance,
        raise_on_error=raise_on_error,
    )


def _rows(contract: Contract) -> list[dict[str, Any]]:
    with LakeSession(Settings.load()) as session:
        session.attach("curated")
        table = session.ibis.table(contract.table, database=("curated", contract.layer)).to_pyarrow()
        rows: list[dict[str, Any]] = table.sort_by(
            [(key, "ascending") for key in rules.key_columns(contract)]
        ).to_pylist()
    return rows


def _metadata(result: dg.ExecuteInProcessResult, node: str) -> dict[str, object]:
    return {name: entry.value for name, entry in result.asset_materializations_for_node(node)[0].metadata.items()}


def test_results_become_features_of_the_next_election_and_named_changes_of_their_own(
    instance: dg.DagsterInstance,
) -> None:
    for election in ("2014", "2016", "2018"):
        _materialize(instance, [arrived_returns, house_results], election)
    profiled = _materialize(instance, [arrived_profiles, district_profiles], "2012")
    forecast = _materialize(instance, [district_election], "2018")
    compared = _materialize(instance, [result_changes], "2018")

    assert _metadata(profiled, "wrangled__district_profiles")["missing_measures"] == (
        "population_18_and_over, white_alone, black_alone, hispanic, median_age"
    )
    assert _metadata(forecast, "features__district_election")["elections"] == "2014, 2016"
    assert _metadata(forecast, "features__district_election")["profile_years"] == "2012"
    assert _metadata(compared, "variance__result_changes")["compared"] == "2014, 2016, 2018"

    known = _rows(features.DISTRICT_ELECTION)
    assert len(known) == 9
    assert {(row["district"], row["votes_last"]) for row in known if row["state"] == "GA"} == {
        ("01", 1100.0), ("02", 1122.0), ("03", 1078.0),
    }  # fmt: skip
    (profiled_district,) = [row for row in known if row["profile_year"] is not None]
    assert (profiled_district["state"], profiled_district["share_65_and_over"]) == ("NC", 0.146667)
    causes = {(row["state"], row["cause"], row["compared_with"]) for row in _rows(comparisons.RESULTS.changes())}
    assert causes == {("GA", "entry", "2016"), ("NC", "none", "2016"), ("VA", "none", "2016")}


def test_an_election_without_any_before_publishes_no_rows(instance: dg.DagsterInstance) -> None:
    _materialize(instance, [arrived_returns, house_results], "2014")
    _materialize(instance, [result_changes, district_election], "2014")
    assert _rows(comparisons.RESULTS.changes()) == []
    assert _rows(features.DISTRICT_ELECTION) == []


def test_registrations_are_published_by_class(instance: dg.DagsterInstance) -> None:
    _materialize(instance, [arrived_registrations, county_registrations, registration_changes], "2018-01")
    assert _rows(comparisons.REGISTRATIONS.changes()) == []
    assert [(row["party"], row["registered"]) for row in _rows(wrangled.COUNTY_REGISTRATIONS)] == [
        ("DEMOCRATIC", 13864),
        ("REPUBLICAN", 21284),
    ]


def test_a_profile_of_which_no_label_is_known_stops_the_step(instance: dg.DagsterInstance) -> None:
    result = _materialize(instance, [arrived_profiles, district_profiles], "2013", raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "Profiles of 2013: no column has a known label" in str(failure.step_failure_data)
