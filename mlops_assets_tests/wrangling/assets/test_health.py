"""The health of comparisons: a month that cannot be compared is stopped by name, and publishes nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import dagster as dg
import pytest

from mlops_assets.contracts import raw
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings
from mlops_assets.wrangling import compared
from mlops_assets.wrangling.assets.person_turnout import person_turnout
from mlops_assets.wrangling.assets.voters import voters
from mlops_assets.wrangling.assets.voting_history import voting_history
from mlops_assets_tests.wrangling.voter_files import KEY, history, ncid, voter_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from mlops_assets.platform.assets.step import Partition

BEFORE: Final = "2022-09|NC"
AFTER: Final = "2022-10|NC"
COMPARING: Final = compared.VOTERS.assets()
voter_changes, voter_events, _ = COMPARING
_HARM: Final = "VOTER_FILE_HARM"


def _person(number: int, harm: str) -> dict[str, str]:
    """One of six hundred in three districts, all told apart by their columns."""
    street = f"Main Street No {number}" if harm == "readdressed" else f"{number} Main Street"
    return {
        "ncid": ncid(number + (5000 if harm == "reissued" else 0)),
        "cong_dist_abbrv": f"0{1 + number % 3}",
        "race_code": "WBAIMOU"[number % 7],
        "gender_code": "FMU"[number % 11 % 3],
        "party_cd": ("DEM", "REP", "UNA", "LIB", "GRE")[number % 13 % 5],
        "ethnic_code": ("NL", "HL", "UN")[number % 17 % 3],
        "res_street_address": street,
    }


@asset(contract=raw.VOTER_FILE)
def arrived_voter_file(partition: Partition) -> pa.Table:
    """September is whole; what happened to October is asked of the environment."""
    month = partition.values["month"]
    harm = os.environ.get(_HARM, "") if month == "2022-10" else ""
    persons = [_person(number, harm) for number in range(600)]
    if harm == "halved":
        persons = [person for number, person in enumerate(persons) if number % 2]
    if harm == "cut":
        persons = [person for person in persons if person["cong_dist_abbrv"] != "03"]
    return voter_file(*persons, month=month)


@asset(contract=raw.VOTING_HISTORY)
def arrived_history(partition: Partition) -> pa.Table:
    """A hundred persons voted."""
    return history(partition.values["election"], range(100, 200))


_MADE: Final = (*COMPARING, arrived_voter_file, arrived_history, voters, voting_history, person_turnout)


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance and a lake with September."""
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLOPS_ASSETS_PSEUDONYM_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")) as instance:
        assert _materialize(instance, [arrived_voter_file, voters, *COMPARING], BEFORE).success
        yield instance


def _materialize(
    instance: dg.DagsterInstance, assets: Sequence[dg.AssetsDefinition], partition: str
) -> dg.ExecuteInProcessResult:
    others = [spec for definition in _MADE if definition not in assets for spec in definition.specs]
    return dg.materialize(
        [*assets, *others, compared.VOTERS.verdicts().spec()],
        partition_key=partition,
        instance=instance,
        raise_on_error=False,
    )


def _failed(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        check.check_name: str(check.metadata["reason"].value)
        for check in result.get_asset_check_evaluations()
        if not check.passed
    }


def _months_compared() -> set[str]:
    with LakeSession(Settings.load()) as session:
        return {row["month"] for row in current_table(session, compared.VOTERS.changes()).to_pyarrow().to_pylist()}


def test_an_ordinary_month_passes(instance: dg.DagsterInstance) -> None:
    result = _materialize(instance, [arrived_voter_file, voters, *COMPARING], AFTER)
    assert result.success
    assert _failed(result) == {}
    assert _months_compared() == {"2022-10"}


@pytest.mark.parametrize(
    ("harm", "gate", "words"),
    [
        ("reissued", "not_re_keyed", "re-keyed: 0 of 600 voters of 2022-09 NC are among the 600 of 2022-10 NC"),
        ("halved", "not_partly_loaded", "partial load: 300 of 600 voters in every district are not in 2022-10 NC"),
        ("cut", "not_partly_loaded", "partial load: 200 of 200 voters of district 03 are not in 2022-10 NC"),
        ("readdressed", "not_readdressed", "readdressed: 600 of 600 voters in every district that are in 2022-10 NC"),
    ],
)
def test_a_month_that_cannot_be_compared_is_stopped_by_name(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, harm: str, gate: str, words: str
) -> None:
    monkeypatch.setenv(_HARM, harm)
    assert _materialize(instance, [arrived_voter_file, voters], AFTER).success
    for comparing in COMPARING:
        stopped = _materialize(instance, [comparing], AFTER)
        assert not stopped.success
        assert list(_failed(stopped)) == [gate]
        assert words in _failed(stopped)[gate]
    assert _months_compared() == set()
    monkeypatch.setenv(f"MLOPS_ASSETS_ENTRY_POLICY__{gate.removeprefix('not_').upper()}", "warn")
    passed = _materialize(instance, [voter_changes], AFTER)
    assert passed.success
    assert list(_failed(passed)) == ["comparable"]


def test_a_rotated_pseudonym_key_is_named_and_makes_nobody_a_non_voter(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _materialize(instance, [arrived_history, voting_history], "2020|NC").success
    monkeypatch.setenv("MLOPS_ASSETS_PSEUDONYM_KEY", f"another {KEY}")
    assert _materialize(instance, [arrived_voter_file, voters], AFTER).success
    failed = _failed(_materialize(instance, [voter_changes], AFTER))
    assert "600 agree with one there in every other column but the address" in failed["not_re_keyed"]
    monkeypatch.setenv("MLOPS_ASSETS_ENTRY_POLICY__RE_KEYED", "warn")
    assert _materialize(instance, COMPARING, AFTER).success
    turnout = _materialize(instance, [person_turnout], "2022|NC")
    assert not turnout.success
    assert "persons who voted are not in the snapshot (of 100 of 2020 0)" in _failed(turnout)["history_is_found"]
