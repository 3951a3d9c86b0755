"""The lake's commands: what they print, what they ask, and how they exit."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import dagster as dg
import ibis
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from mlops_assets import cli, cli_lake
from mlops_assets.contracts.predictions import DISTRICT_VOTES
from mlops_assets.definitions import definitions
from mlops_assets.platform.assets.inputs import contract_of
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.errors import SettingsError
from mlops_assets_tests.platform.lake import upkeep

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

ELECTIONS = DISTRICT_VOTES.partitions_def.get_partition_keys()[:2] if DISTRICT_VOTES.partitions_def else []


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with two elections' predictions, and the folder of a Dagster instance."""
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    # Set first, so that it is as before afterwards: a command sets it.
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.chdir(tmp_path)
    for election in ELECTIONS:
        predict(election, 1.0)
    return tmp_path / "home"


def predict(election: str, value: float) -> None:
    """Publish one prediction for that election."""
    columns = rules.columns_of(DISTRICT_VOTES)
    row = {**dict.fromkeys(columns), **DISTRICT_VOTES.partition_values(election), "value": value}
    table = pa.Table.from_pylist([row], schema=ibis.schema(columns).to_pyarrow())
    upkeep.publish_table(DISTRICT_VOTES, election, {name: table[name] for name in columns})


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli._app, ["lake", *arguments], input=answer)


def with_instance(home: Path) -> None:
    """Make the Dagster instance that runs of that home would have."""
    folder = home / "dagster"
    folder.mkdir()
    instance = files("mlops_assets.demo").joinpath("instance.yaml").read_text(encoding="utf-8")
    (folder / "dagster.yaml").write_text(instance, encoding="utf-8")


def test_a_sound_lake_is_listed_and_exits_with_0() -> None:
    checked = run("check", "--hashes")
    assert checked.exit_code == 0, checked.output
    assert "predictions/district_votes" in checked.output
    assert "No faults." in checked.output


def test_faults_come_one_in_a_line_with_their_remedy_and_exit_with_1() -> None:
    upkeep.current_files(DISTRICT_VOTES)[0].unlink()
    checked = run("check", "curated")
    assert checked.exit_code == 1
    told = [line for line in checked.output.splitlines() if line.startswith("Fault.")]
    assert len(told) == 2
    assert f"partition {ELECTIONS[0]}" in told[0]
    assert all("mlops-assets lake repair curated" in line for line in told)


def test_a_repair_says_what_it_would_give_up_and_does_nothing_without_a_yes() -> None:
    files = upkeep.current_files(DISTRICT_VOTES)
    files[0].unlink()
    refused = run("repair", answer="n\n")
    assert refused.exit_code == 1
    assert f"give up {files[0]}: it is not there" in refused.output
    assert f"lost: predictions/district_votes, partition {ELECTIONS[0]}" in refused.output
    assert upkeep.current_files(DISTRICT_VOTES) == files


def test_after_repair_and_materializing_the_lake_is_sound(home: Path) -> None:
    upkeep.current_files(DISTRICT_VOTES)[0].unlink()
    assert run("repair", "--yes").exit_code == 0
    predict(ELECTIONS[0], 2.0)
    with_instance(home)
    assert run("expire", "--older-than", "0", "--yes").exit_code == 0
    assert run("check", "--hashes").exit_code == 0


def test_a_lake_without_lost_files_is_not_repaired() -> None:
    assert "nothing to repair" in run("repair").output


def test_an_expiry_says_how_many_versions_and_does_nothing_without_a_yes(home: Path) -> None:
    with_instance(home)
    predict(ELECTIONS[0], 2.0)
    refused = run("expire", "curated", "--older-than", "0", answer="n\n")
    assert refused.exit_code == 1
    assert "versions that nothing needs" in refused.output
    done = run("expire", "curated", "--older-than", "0", "--yes")
    assert "removed 1 files" in done.output


def test_what_a_run_under_way_reads_does_not_expire(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_instance(home)
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    version = upkeep.execute("SELECT max(snapshot_id) FROM curated.snapshots()")[0][0]
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        run_id = "11111111-1111-1111-1111-111111111111"
        instance.add_run(dg.DagsterRun("reading", run_id=run_id, status=dg.DagsterRunStatus.STARTED))
        instance.add_run_tags(run_id, {"mlops_assets/lake_version_curated": f"{version} of run {run_id}"})
    predict(ELECTIONS[0], 2.0)
    assert "removed 0 files" in run("expire", "curated", "--older-than", "0", "--yes").output


def test_an_expiry_that_cannot_ask_what_runs_read_is_refused() -> None:
    refused = run("expire", "--yes")
    assert isinstance(refused.exception, SettingsError)
    assert "DAGSTER_HOME" in str(refused.exception)


def test_an_expiry_of_nothing_asks_nothing(home: Path) -> None:
    with_instance(home)
    assert run("expire").exit_code == 0


@pytest.mark.parametrize("command", [("check",), ("publishes",), ("repair",), ("expire",), ("sweep", "curated")])
def test_a_home_without_a_lake_is_told_and_none_is_made(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "mistyped"))
    result = run(*command)
    assert isinstance(result.exception, SettingsError)
    assert "holds no lake" in str(result.exception)
    assert not (tmp_path / "mistyped").exists()


def test_every_published_table_of_the_domain_is_known_to_the_checks() -> None:
    published = [
        contract
        for asset in definitions().assets or ()
        if isinstance(asset, dg.AssetsDefinition) and (contract := contract_of(asset)) is not None
    ]
    assert published
    known = cli_lake.contracts_by_key()
    assert all(known[contract.key.to_user_string()] is contract for contract in published)
