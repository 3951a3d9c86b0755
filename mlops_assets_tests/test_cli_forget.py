"""The command that forgets persons: what it shows, what it asks, what is left of them afterwards, and how it exits."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING, Any

import duckdb
import ibis
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from mlops_assets import cli
from mlops_assets.contracts import features, layouts, models, predictions, raw, wrangled
from mlops_assets.modeling.assets.served import PERSON_FEATURES
from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.subjects import normalised
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.exports.export import current_export_id, kept_exports, open_export
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.assets.voter_file import voter_file
from mlops_assets.plumbing.sources.delivered import Request
from mlops_assets.wrangling import pseudonyms
from mlops_assets.wrangling.pseudonyms import person_token
from mlops_assets_tests import canary
from mlops_assets_tests.platform.lake import upkeep

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

    from mlops_assets.platform.contracts.contract import Contract

KEY = "a key of pseudonyms that is long enough"
GIVEN = "voter=NC:AA1007\n"
TOKEN, OTHER = person_token("NC:AA1007", KEY), person_token("NC:AA10071", KEY)


def partition(contract: Contract, state: str = "") -> str:
    """The table's first partition, or that of a state."""
    keys = contract.partitions_def.get_partition_keys() if contract.partitions_def is not None else []
    return next(str(key) for key in keys if str(key).endswith(state))


PARTITION = partition(raw.VOTER_FILE, "NC")
ELSEWHERE = partition(raw.VOTER_FILE, "GA")
MONTH = PARTITION.split("|")[0]

PERSONS = PERSON_FEATURES.served_name


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which the canary is everywhere where somebody's values may be, beside a voter of a similar number."""
    home = tmp_path / "home"
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(home))
    monkeypatch.setenv("MLOPS_ASSETS_PSEUDONYM_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    home.mkdir()
    deliver(home)
    listed = publish(
        raw.VOTER_FILE,
        PARTITION,
        {"ncid": "AA1007", "last_name": canary.CANARY},
        {"ncid": "AA10071", "last_name": "Other"},
    )
    # Numbers are a state's own.
    publish(raw.VOTER_FILE, ELSEWHERE, {"ncid": "AA1007", "last_name": "Namesake"})
    voters = publish(wrangled.VOTERS, PARTITION, {"person_token": TOKEN}, {"person_token": OTHER}, made_from=listed)
    turnout = publish(
        features.PERSON_TURNOUT,
        partition(features.PERSON_TURNOUT, "NC"),
        {"person_token": TOKEN},
        {"person_token": OTHER},
        made_from=voters,
    )
    publish(models.PERSON_TURNOUT, partition(models.PERSON_TURNOUT), {}, made_from=turnout)
    district = {"state": "NC", "district": "01", "measure": "total_votes", "model_version": "v", "value": 1.0}
    publish(predictions.DISTRICT_VOTES, partition(predictions.DISTRICT_VOTES), district)
    with LakeSession(Settings.load()) as session:
        PERSON_FEATURES.renew(session, [features.PERSON_TURNOUT])
    for folder, text in {"errors": f"cannot read {canary.CANARY} of AA1007", "cache": '"AA1007" xyzzyx'}.items():
        (home / folder).mkdir()
        (home / folder / "0123456789ab.txt").write_text(text, encoding="utf-8")
    return home


def publish(contract: Contract, key: str, *rows: dict[str, Any], made_from: Any = None) -> Any:  # noqa: ANN401
    """Publish rows of which these values matter."""
    columns = rules.columns_of(contract)
    values = contract.partition_values(key)
    schema = ibis.schema(columns).to_pyarrow()
    table = pa.Table.from_pylist([{**dict.fromkeys(columns), **row, **values} for row in rows], schema=schema)
    inputs = {"upstream": made_from} if made_from is not None else None
    return upkeep.publish_table(contract, key, {name: table[name] for name in columns}, inputs=inputs)


def deliver(home: Path) -> None:
    """Let a voter file lie in the landing folder."""
    place = home / "landing" / "NC" / MONTH
    place.mkdir(parents=True)
    columns = next(iter(layouts.LAYOUTS.values()))
    lines = ["\t".join(columns)]
    for number, name in (("AA1007", canary.CANARY), ("AA10071", "Other")):
        fields = {"ncid": number, "last_name": name, "state_cd": "NC"}
        lines.append("\t".join(f'"{fields.get(column, "")}"' for column in columns))
    with zipfile.ZipFile(place / "voters.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("voters.txt", "\r\n".join(lines) + "\r\n")
    content = (place / "voters.zip").read_bytes()
    manifest = {
        "state": "NC", "month": MONTH, "snapshot_date": f"{MONTH}-01", "file": "voters.zip",
        "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "rows": 2,
    }  # fmt: skip
    (place / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli._app, ["lake", *arguments], input=given)


def seen(contract: Contract, column: str) -> list[str]:
    """The values of a column that are there now."""
    with LakeSession(Settings.load()) as session:
        return sorted(str(value) for value in current_table(session, contract)[column].to_pyarrow().to_pylist())


def test_he_is_gone_from_the_whole_home_and_others_stay(home: Path) -> None:
    # The delivery is compressed, and no catalog knows what a row holds.
    assert {place.split("/")[0] for place in canary.files_with_it(home)} == {"cache", "errors", "lakes"}
    result = run("forget", "--keys-file", "-", "--yes", given=GIVEN)
    assert result.exit_code == 0, result.output
    for text in ("AA1007", TOKEN, TOKEN.upper()):
        assert text not in result.output
    assert canary.files_with_it(home) == set()
    assert seen(raw.VOTER_FILE, "last_name") == ["Namesake", "Other"]
    assert seen(wrangled.VOTERS, "person_token") == [OTHER]
    assert seen(features.PERSON_TURNOUT, "person_token") == [OTHER]
    checked = run("check", "--hashes")
    assert "rows (erasure" in checked.output
    assert "content hash" not in checked.stderr


def test_the_plan_names_tables_exports_and_models_and_nothing_is_done_without_a_yes(home: Path) -> None:
    before = canary.files_with_it(home)
    keys = home.with_name("keys")
    keys.write_text(GIVEN, encoding="utf-8")
    refused = run("forget", "--keys-file", str(keys), given="n\n")
    assert refused.exit_code == 1
    assert "restricted: raw/voter_file: 1 rows in 1 files" in refused.output
    assert "curated: wrangled/voters: 1 rows in 1 files" in refused.output
    assert (
        "features/person_turnout: 1 publishes were made from their rows; made again, they are without them"
        in refused.output
    )
    assert "model models/person_turnout" in refused.output
    assert f"export {current_export_id(home / 'exports' / PERSONS)} of {PERSONS} holds them" in refused.output
    assert canary.files_with_it(home) == before


def test_a_key_that_nobody_has_is_told_before_it_is_asked_for(home: Path) -> None:
    before = canary.files_with_it(home)
    refused = run("forget", "--keys-file", "-", given="voter=NC:ZZ999999\n")
    assert refused.exit_code == 1
    assert "No table holds a row of them" in refused.output
    assert canary.files_with_it(home) == before


def test_a_delivery_of_the_homes_own_landing_folder_is_rewritten_and_can_be_read(home: Path, tmp_path: Path) -> None:
    assert run("forget", "--keys-file", "-", "--yes", given=GIVEN).exit_code == 0
    key = f"{MONTH}|NC"
    with duckdb.connect() as connection:
        request = Request(
            contract=raw.VOTER_FILE,
            partition=Partition(key, raw.VOTER_FILE.partition_values(key)),
            connection=connection,
            scratch=tmp_path,
            raw=tmp_path / "raw",
            settings=Settings.load(),
        )
        delivered = voter_file.read(request)
        assert delivered.rows.project("ncid").fetchall() == [("AA10071",)]
        assert delivered.promised == 1
    assert len(list((home / "landing" / "NC" / MONTH).iterdir())) == 2


def test_a_delivery_outside_of_the_home_is_left_and_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = home.with_name("elsewhere")
    (home / "landing").rename(elsewhere)
    monkeypatch.setenv("MLOPS_ASSETS_SOURCES__LANDING", str(elsewhere))
    result = run("forget", "--keys-file", "-", "--yes", given=GIVEN)
    assert result.exit_code == 1
    assert f"{elsewhere / 'NC' / MONTH / 'voters.zip'}: a delivery" in result.stderr


def test_the_service_gets_an_export_without_him_and_the_old_one_is_gone(home: Path) -> None:
    old = current_export_id(home / "exports" / PERSONS)
    assert run("forget", "--keys-file", "-", "--yes", given=GIVEN).exit_code == 0
    with open_export(home / "exports" / PERSONS) as export:
        assert export.manifest.tables[PERSONS].rows == 1
    assert old not in {manifest.export_id for manifest in kept_exports(home / "exports" / PERSONS)}
    assert not (home / "exports" / PERSONS / old).exists()


def test_what_is_left_is_named_with_exit_code_1_until_it_is_gone_and_the_keys_are_given_again(home: Path) -> None:
    note = home / "reports" / "note.txt"
    note.parent.mkdir()
    note.write_text("ask aa1007 about it", encoding="utf-8")
    result = run("forget", "--keys-file", "-", "--yes", given=GIVEN)
    assert result.exit_code == 1
    assert f"{note} names them" in result.stderr
    assert "was begun and not completed" in run("check").stderr
    note.unlink()
    assert run("forget", "--keys-file", "-", "--yes", given=GIVEN).exit_code == 0
    assert "was begun and not completed" not in run("check").stderr


def test_a_source_that_still_delivers_him_is_filtered(home: Path) -> None:
    assert run("forget", "--keys-file", "-", "--yes", given=GIVEN).exit_code == 0
    publish(
        raw.VOTER_FILE,
        PARTITION,
        {"ncid": "aa1007 ", "last_name": canary.CANARY},
        {"ncid": "AA10071", "last_name": "Other"},
    )
    publish(wrangled.VOTERS, PARTITION, {"person_token": TOKEN}, {"person_token": OTHER})
    assert seen(raw.VOTER_FILE, "last_name") == ["Namesake", "Other"]
    assert seen(wrangled.VOTERS, "person_token") == [OTHER]
    assert canary.files_with_it(home) == set()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("line", ["AA1007", "votr=NC:AA1007", "voter="])
def test_a_line_that_is_no_key_is_refused_without_showing_it(line: str) -> None:
    result = run("forget", "--keys-file", "-", "--yes", given=line)
    assert isinstance(result.exception, ContractError)
    assert "Line 1 of the keys" in str(result.exception)
    assert "AA1007" not in str(result.exception)


@pytest.mark.usefixtures("home")
def test_a_key_can_be_typed_without_being_shown() -> None:
    result = run("forget", given=f"{GIVEN}n\n")
    assert result.exit_code == 1
    assert "raw/voter_file: 1 rows" in result.output
    assert "AA1007" not in result.output


def test_the_pseudonym_of_a_voter_is_the_one_that_wrangling_makes() -> None:
    rows = ibis.memtable({"state": ["NC"], "ncid": [" aa1007"]})
    keyed = rows.cross_join(pseudonyms.pads(KEY))
    made = pseudonyms.token(pseudonyms.person_text(keyed.state, keyed.ncid), keyed).execute()
    assert made.iloc[0] == person_token(normalised("nc:AA1007"), KEY)
