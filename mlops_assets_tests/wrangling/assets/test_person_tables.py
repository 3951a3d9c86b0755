"""The assets of persons, run by Dagster on real lakes: they keep their contracts and give nothing personal away."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.contracts import features, raw, wrangled
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.wrangling import compared
from mlops_assets.wrangling.assets.district_demographics import district_demographics
from mlops_assets.wrangling.assets.entry_findings import entry_findings
from mlops_assets.wrangling.assets.person_turnout import person_turnout
from mlops_assets.wrangling.assets.voters import voters
from mlops_assets.wrangling.assets.voting_history import voting_history
from mlops_assets.wrangling.pseudonyms import pads
from mlops_assets_tests.wrangling.voter_files import KEY, PERSONAL, crowd, history, rows_of, voter_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract

voter_changes, voter_events, _ = compared.VOTERS.assets()
_OTHERS = (compared.VOTERS.verdicts(),)
CURATED = (
    wrangled.VOTERS,
    wrangled.ENTRY_FINDINGS,
    wrangled.VOTING_HISTORY,
    features.DISTRICT_DEMOGRAPHICS,
    features.PERSON_TURNOUT,
)


@asset(contract=raw.VOTER_FILE)
def arrived_voter_file(partition: Partition) -> pa.Table:
    """A file loaded twice, with recoded parties, a name in a code column and one row without district."""
    persons = [
        {},
        {**PERSONAL, "race_code": PERSONAL["last_name"], "status_cd": "R"},
        *crowd(150, first=1, county_desc="WAKE", party_cd="NPA"),
        {"ncid": "ZQ5000", "gender_code": PERSONAL["first_name"], "cong_dist_abbrv": "05"},
        {"ncid": "ZQ6000", "cong_dist_abbrv": ""},
    ]
    return voter_file(*persons, *persons, month=partition.values["month"])


@asset(contract=raw.VOTING_HISTORY)
def arrived_history(partition: Partition) -> pa.Table:
    """The first hundred persons voted."""
    return history(partition.values["election"], range(1, 101))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLOPS_ASSETS_PSEUDONYM_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(tempdir=str(home / "dagster")) as instance:
        yield instance


def _materialize(
    instance: dg.DagsterInstance, assets: list[dg.AssetsDefinition], partition: str, *, raise_on_error: bool = True
) -> dg.ExecuteInProcessResult:
    others = [definition for definition in _ALL if definition not in assets]
    return dg.materialize(
        [*assets, *(spec for definition in others for spec in definition.specs), *(each.spec() for each in _OTHERS)],
        partition_key=partition,
        instance=instance,
        raise_on_error=raise_on_error,
    )


_ALL = [
    arrived_voter_file,
    arrived_history,
    voters,
    entry_findings,
    voting_history,
    voter_changes,
    voter_events,
    district_demographics,
    person_turnout,
]


def _rows(contract: Contract) -> list[dict[str, Any]]:
    with LakeSession(Settings.load()) as session:
        session.attach("curated")
        table: list[dict[str, Any]] = (
            session.ibis.table(contract.table, database=("curated", contract.layer)).to_pyarrow().to_pylist()
        )
    return table


def test_tables_of_persons_pass_their_audits_and_hold_nothing_personal(instance: dg.DagsterInstance) -> None:
    month = [arrived_voter_file, voters, entry_findings, voter_changes, voter_events, district_demographics]
    monthly = _materialize(instance, month, "2022-10|NC")
    for election in ("2018", "2020"):
        _materialize(instance, [arrived_history, voting_history], f"{election}|NC")
    turnout = _materialize(instance, [person_turnout], "2022|NC")

    persons = _rows(wrangled.VOTERS)
    assert len(persons) == 152
    assert {row["copies"] for row in persons} == {2}
    predicted = _rows(features.PERSON_TURNOUT)
    assert sum(row["voted_last"] for row in predicted) == 100
    assert {(row["voted"], row["snapshot_month"]) for row in predicted} == {(None, "2022-10")}
    metadata = monthly.asset_materializations_for_node("wrangled__voters")[0].metadata
    assert {name: metadata[name].value for name in ("repeated_rows", "without_district", "not_registered")} == {
        "repeated_rows": 152,
        "without_district": 2,
        "not_registered": 2,
    }

    contents = {str(contract.key): str(_rows(contract)) for contract in CURATED}
    contents["events"] = "\n".join(str(event) for run in (monthly, turnout) for event in run.all_events)
    contents["log"] = "\n".join(str(entry) for run in (monthly, turnout) for entry in instance.all_logs(run.run_id))
    secrets = {**PERSONAL, "key": KEY, **rows_of(pads(KEY))[0]}
    for place, text in contents.items():
        for name, value in secrets.items():
            # As a word: a hash or a time may have the digits of a number of five.
            word = rf"(?<![0-9a-z.]){re.escape(value.casefold())}(?![0-9a-z])"
            assert re.search(word, text.casefold()) is None, f"{name} in {place}"


def test_a_snapshot_in_which_nobody_looked_for_events_becomes_no_features(instance: dg.DagsterInstance) -> None:
    _materialize(instance, [arrived_voter_file, voters, voter_changes, voter_events], "2022-09|NC")
    _materialize(instance, [arrived_voter_file, voters], "2022-10|NC")
    stopped = _materialize(instance, [person_turnout], "2022|NC", raise_on_error=False)
    (check,) = [c for c in stopped.get_asset_check_evaluations() if c.check_name == "no_blocking_entry_event"]
    assert not stopped.success
    assert not check.passed
    assert "2022-10|NC: nobody has looked for entry events yet" in str(check.metadata["reason"].value)
    _materialize(instance, [voter_changes, voter_events], "2022-10|NC")
    assert _materialize(instance, [person_turnout], "2022|NC").success


def test_catalog_and_files_of_the_curated_lake_hold_nothing_personal(instance: dg.DagsterInstance, home: Path) -> None:
    _materialize(
        instance,
        [arrived_voter_file, voters, entry_findings, voter_changes, voter_events, district_demographics],
        "2022-10|NC",
    )
    files = [file for file in (home / "home" / "lakes" / "curated").rglob("*") if file.is_file()]
    assert any(file.suffix == ".parquet" for file in files)
    for file in files:
        content = file.read_bytes()
        for name, value in {**PERSONAL, "key": KEY}.items():
            assert value.encode() not in content, f"{name} in {file.name}"


def test_a_missing_key_stops_the_step_and_says_how_to_set_it(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_ASSETS_PSEUDONYM_KEY")
    result = _materialize(instance, [arrived_voter_file, voters], "2022-10|NC", raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "MLOPS_ASSETS_PSEUDONYM_KEY: this secret is not set." in str(failure.step_failure_data)


def test_snapshot_without_districts_publishes_nothing(instance: dg.DagsterInstance) -> None:
    @asset(contract=raw.VOTER_FILE)
    def shifted_file(partition: Partition) -> pa.Table:
        return voter_file(*crowd(3, cong_dist_abbrv=PERSONAL["zip_code"]), month=partition.values["month"])

    result = dg.materialize([shifted_file, voters], partition_key="2022-10|NC", instance=instance, raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "3 of 3 registered rows have no readable district" in str(failure.step_failure_data)
    assert PERSONAL["zip_code"] not in str(failure.step_failure_data)
    assert not instance.get_latest_materialization_event(wrangled.VOTERS.key)
