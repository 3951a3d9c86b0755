"""The lake's commands: what they print, what they ask, and how they exit."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import dagster as dg
import ibis
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from mlops_assets import cli, cli_definitions
from mlops_assets.contracts.predictions import DISTRICT_VOTES
from mlops_assets.contracts.wrangled import VOTERS
from mlops_assets.definitions import definitions
from mlops_assets.platform.assets.inputs import contract_of
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.errors import LakeError, SettingsError
from mlops_assets_tests.platform import orchard
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


@pytest.mark.parametrize(
    "command",
    [
        ("check",),
        ("publishes", "curated"),
        ("show", "predictions/district_votes"),
        ("repair",),
        ("expire",),
        ("sweep", "curated"),
    ],
)
def test_a_home_without_a_lake_is_told_and_none_is_made(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "mistyped"))
    result = run(*command)
    assert isinstance(result.exception, SettingsError)
    assert "holds no lake" in str(result.exception)
    assert not (tmp_path / "mistyped").exists()


@pytest.fixture
def picked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A week of the orchard that a run has published, and its instance."""
    with_instance(home)
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        upkeep.publish_table(
            orchard.HARVEST, "w1", {"week": ["w1"], "tree": [1], "picker": ["Ann Picker"], "kilos": [1.5]}
        )
        assert orchard.pick("w1", [orchard.yields], instance=instance).success


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


REBUILD = ("rebuild", "wrangled/yields", "--partition", "w1", "-m")


@pytest.mark.usefixtures("picked")
def test_a_rebuild_of_equal_rows_prints_their_hash_and_leaves_nothing(temporary: Path) -> None:
    done = run(*REBUILD, orchard.__name__)
    assert done.exit_code == 0, done.output
    [recorded, rebuilt] = [
        line.split()[1] for line in done.output.splitlines() if line.startswith(("recorded", "rebu"))
    ]
    assert recorded == rebuilt
    assert recorded.startswith("v1:1:")
    assert "verified  1 partitions" in done.output
    assert "Rebuilt: equal." in done.output
    assert list(temporary.glob("mlops-assets-rebuild-*")) == []
    predict(ELECTIONS[0], 2.0)  # This process can publish as before.


CHANGED = """
import dagster as dg
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.inputs import In
from mlops_assets_tests.platform import orchard


@asset(contract=orchard.YIELDS, ins={"harvest": In(orchard.HARVEST)})
def yields(harvest):
    BODY


@dg.definitions
def defs():
    return dg.Definitions(assets=[yields])
"""


@pytest.mark.usefixtures("picked", "temporary")
def test_a_rebuild_of_other_rows_names_what_has_changed_counts_and_exits_with_1(tmp_path: Path) -> None:
    file = tmp_path / "changed.py"
    file.write_text(CHANGED.replace("BODY", "return harvest.drop('picker').mutate(kilos=harvest.kilos * 2)"))
    done = run(*REBUILD, str(file))
    assert done.exit_code == 1
    assert "code version: " in done.output
    assert "rows with another kilos: 1" in done.output
    assert "Not equal. The cause is among what differs above." in done.output
    assert "Ann" not in done.output


@pytest.mark.usefixtures("picked")
def test_a_rebuild_that_fails_leaves_nothing_and_keeps_a_folder_that_was_named(tmp_path: Path, temporary: Path) -> None:
    file = tmp_path / "changed.py"
    file.write_text(CHANGED.replace("BODY", "raise ValueError('Ann Picker')"))
    failed = run(*REBUILD, str(file))
    assert isinstance(failed.exception, LakeError)
    assert "Ann" not in str(failed.exception)
    assert list(temporary.glob("mlops-assets-rebuild-*")) == []
    assert isinstance(run(*REBUILD, str(file), "--into", str(tmp_path / "kept")).exception, LakeError)
    [kept] = (tmp_path / "kept" / "errors").iterdir()
    assert "Ann Picker" in kept.read_text()
    again = run(*REBUILD, str(file), "--into", str(tmp_path / "kept"))
    assert isinstance(again.exception, SettingsError)
    assert "it is not empty" in str(again.exception)


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(
    "module", ["mlops_assets_tests.no_such_module", "no_such_file.py", "mlops_assets.platform.errors"]
)
def test_a_rebuild_with_a_module_without_definitions_is_refused(module: str) -> None:
    refused = run(*REBUILD, module)
    assert isinstance(refused.exception, SettingsError)
    assert "holds no definitions" in str(refused.exception)


@pytest.mark.usefixtures("temporary")
def test_what_no_run_has_made_is_not_rebuilt_from_the_voters_definitions() -> None:
    refused = run("rebuild", "predictions/district_votes", "--partition", ELECTIONS[0])
    assert isinstance(refused.exception, LakeError)
    assert "was made from a source" in str(refused.exception)


def test_every_published_table_of_the_domain_is_known_to_the_checks() -> None:
    published = [
        contract
        for asset in definitions().assets or ()
        if isinstance(asset, dg.AssetsDefinition) and (contract := contract_of(asset)) is not None
    ]
    assert published
    contracts = cli_definitions.known(None).contracts
    assert all(contracts[contract.key.to_user_string()] is contract for contract in published)


def test_rows_are_shown_sorted_by_their_key_and_counted() -> None:
    result = run("show", DISTRICT_VOTES.key.to_user_string(), "--rows", "1", "--csv")
    assert result.exit_code == 0
    header, row = result.stdout.splitlines()
    assert header.replace('"', "").split(",") == list(rules.columns_of(DISTRICT_VOTES))
    assert ELECTIONS[0].split("|")[0] in row
    assert "1 of 2 rows." in run("show", DISTRICT_VOTES.key.to_user_string(), "--rows", "1").stdout


def test_a_table_that_the_definitions_do_not_have_is_told_with_those_they_have() -> None:
    result = run("show", "raw/nothing")
    assert isinstance(result.exception, SettingsError)
    assert "predictions/district_votes" in result.exception.remedy


@pytest.mark.parametrize(("named", "said"), [("2024", "partition 2024 is not published"), (None, "nothing of it")])
def test_what_is_not_published_is_told_and_not_shown_as_empty(named: str | None, said: str) -> None:
    table = DISTRICT_VOTES if named else VOTERS
    result = run("show", table.key.to_user_string(), *(["--partition", named] if named else []))
    assert isinstance(result.exception, LakeError)
    assert said in result.exception.culprit
    assert "lake publishes curated" in result.exception.remedy


PROJECT = """
import dagster as dg, ibis, ibis.expr.datatypes as dt, pandera.ibis as pa, mlops_assets as ma

class Till(pa.DataFrameModel):
    clerk: dt.String = pa.Field(metadata={"personal": True})
    note: dt.String
    amount: dt.Float64 = pa.Field(ge=0)

MODEL = ma.Contract(
    layer="raw", table="till", model=Till, lake=ma.Lake("shop", personal=True, data_path="tills"),
    description="What was sold.", owners=["team:shop"], quarantine=ma.Quarantine(floor=0.5),
)

@ma.asset(contract=MODEL)
def till():
    notes = ["[/red] as [bold] told", "late"]
    return ibis.memtable({"clerk": ["Canary", "Canary"], "note": notes, "amount": [1.5, -2.5]})

defs = dg.Definitions.merge(
    ma.build_defs([till]), dg.Definitions(resources={"elsewhere": ma.Lake("shop", personal=True, data_path="none")})
)
"""


@pytest.fixture(params=["pyproject.toml", "dg.toml", "-m"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """A team's project in this folder, found by its file or named: what to add to a command."""
    (tmp_path / "till_of_a_team.py").write_text(PROJECT, encoding="utf-8")
    declared = 'root_module = "till_of_a_team"\ncode_location_target_module = "till_of_a_team"\n'
    if request.param == "pyproject.toml":
        (tmp_path / "pyproject.toml").write_text(f"[tool.dg.project]\n{declared}", encoding="utf-8")
    elif request.param == "dg.toml":
        (tmp_path / "dg.toml").write_text(f"[project]\n{declared}", encoding="utf-8")
    arguments = ["-m", "till_of_a_team"] if request.param == "-m" else []
    [definitions] = cli_definitions.known(arguments[1:] or None).definitions
    made = [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]
    assert dg.materialize(made).success
    return arguments


def test_the_tables_of_a_teams_own_project_are_known_where_its_code_places_them(project: list[str]) -> None:
    checked = run("check", "shop", *project)
    assert checked.exit_code == 0, checked.output
    assert "raw/till" in checked.stdout


def test_personal_values_are_masked(project: list[str]) -> None:
    shown = run("show", "raw/till", *project)
    assert "***" in shown.stdout
    assert "1.5" in shown.stdout
    assert "Canary" not in shown.stdout


def test_a_value_with_brackets_is_shown_as_it_is(project: list[str]) -> None:
    assert "[/red] as [bold] told" in run("show", "raw/till", *project).stdout


def test_rows_that_were_set_aside_are_shown_with_why(project: list[str]) -> None:
    shown = run("show", "raw/till", "--quarantine", "--csv", *project)
    assert shown.exit_code == 0, shown.output
    assert "-2.5" in shown.stdout
    assert "values" in shown.stdout
    assert "1.5" not in shown.stdout
    assert "Canary" not in shown.stdout


def test_a_module_that_cannot_be_loaded_is_named() -> None:
    result = run("check", "-m", "nowhere.definitions")
    assert isinstance(result.exception, SettingsError)
    assert "Module nowhere.definitions" in str(result.exception)
