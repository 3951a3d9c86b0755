"""Events, verdicts and gates on real lakes: a doubled month is stopped by policy, and a person's word lets it pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import pyarrow as pa
import pytest

from mlops_assets.contracts import events as contract
from mlops_assets.contracts import features, raw, wrangled
from mlops_assets.platform.assets.addition import add
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.reconciler import reconcile
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings
from mlops_assets.wrangling import compared
from mlops_assets.wrangling.assets.district_demographics import district_demographics
from mlops_assets.wrangling.assets.events import events
from mlops_assets.wrangling.assets.voters import voters
from mlops_assets.wrangling.comparisons import verdicts
from mlops_assets_tests.wrangling.voter_files import KEY, crowd, voter_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract

BEFORE: Final = "2022-06|NC"
DOUBLED: Final = "2022-07|NC"


@asset(contract=raw.VOTER_FILE)
def arrived_voter_file(partition: Partition) -> pa.Table:
    """A hundred and fifty persons; July came twice."""
    persons = crowd(150, first=1, county_desc="WAKE")
    month = partition.values["month"]
    return voter_file(*persons, *(persons if month == "2022-07" else ()), month=month)


voter_changes, voter_events, _ = compared.VOTERS.assets()
VOTER_EVENTS: Final = compared.VOTERS.events()
VOTER_VERDICTS: Final = compared.VOTERS.verdicts()
TABLES: Final = {VOTER_EVENTS.key.to_user_string(): VOTER_EVENTS}
_MADE: Final = (arrived_voter_file, voters, voter_changes, voter_events, district_demographics, events)
_OTHERS: Final = (
    VOTER_VERDICTS,
    compared.RESULTS.events(),
    compared.PROFILES.events(),
    compared.REGISTRATIONS.events(),
)


def judge(given_id: str, verdict: str, *, by: str, note: str = "") -> None:
    verdicts.judge(Settings.load(), TABLES, given_id, verdict, by=by, note=note)


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance and a lake with both months and their event."""
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLOPS_ASSETS_PSEUDONYM_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")) as instance:
        for month in (BEFORE, DOUBLED):
            assert _materialize(instance, [arrived_voter_file, voters, voter_changes, voter_events], month).success
        assert _materialize(instance, [events], None).success
        yield instance


@pytest.fixture
def empty_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "empty"))


def _materialize(
    instance: dg.DagsterInstance, assets: list[dg.AssetsDefinition], partition: str | None
) -> dg.ExecuteInProcessResult:
    others = [spec for definition in _MADE if definition not in assets for spec in definition.specs]
    return dg.materialize(
        [*assets, *others, *(table.spec() for table in _OTHERS)],
        partition_key=partition,
        instance=instance,
        raise_on_error=False,
    )


def _rows(table: Contract) -> list[dict[str, Any]]:
    with LakeSession(Settings.load()) as session:
        rows: list[dict[str, Any]] = current_table(session, table).to_pyarrow().to_pylist()
    return rows


def _checks(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, dg.AssetCheckSeverity, str]]:
    return {
        check.check_name: (check.passed, check.severity, str(check.metadata["reason"].value))
        for check in result.get_asset_check_evaluations()
        if "reason" in check.metadata
    }


def test_a_doubled_month_warns_by_the_usual_policy_and_its_features_are_made(instance: dg.DagsterInstance) -> None:
    result = _materialize(instance, [district_demographics], DOUBLED)
    passed, severity, reason = _checks(result)["no_entry_event"]
    assert result.success
    assert (passed, severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "2022-07 NC: every record loaded twice" in reason
    assert {row["month"] for row in _rows(features.DISTRICT_DEMOGRAPHICS)} == {"2022-07"}


def test_a_doubled_month_is_stopped_where_the_policy_blocks_it_until_somebody_rejects_it(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_ENTRY_POLICY__REPEATED", "block")
    assert _materialize(instance, [district_demographics], BEFORE).success
    stopped = _materialize(instance, [district_demographics], DOUBLED)
    passed, severity, reason = _checks(stopped)["no_blocking_entry_event"]
    assert not stopped.success
    assert (passed, severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert {row["month"] for row in _rows(features.DISTRICT_DEMOGRAPHICS)} == {"2022-06"}

    (event,) = _rows(contract.EVENTS)
    assert f"variance judge {event['event_id']} " in reason
    judge(event["event_id"], "confirm", by="Ann", note="the office says so")
    assert _materialize(instance, [voter_events], DOUBLED).success
    assert not _materialize(instance, [district_demographics], DOUBLED).success
    judge(event["event_id"][:6], "reject", by="Bob", note="every copy is equal")
    assert _materialize(instance, [voter_events], DOUBLED).success
    released = _materialize(instance, [district_demographics], DOUBLED)
    assert released.success
    assert _checks(released)["no_blocking_entry_event"][0]
    assert {row["month"] for row in _rows(features.DISTRICT_DEMOGRAPHICS)} == {"2022-06", "2022-07"}


def test_verdicts_are_added_and_never_changed_and_survive_a_new_materialization(instance: dg.DagsterInstance) -> None:
    (before,) = _rows(contract.EVENTS)
    assert (before["judgement"], before["cause"], before["kind"], before["size"]) == ("open", "entry", "repeated", 150)
    settings = Settings.load()
    judge(before["event_id"], "annotate", by="Ann", note="asked the office")
    judge(before["event_id"], "reject", by="Bob")
    assert _materialize(instance, [voter_events], DOUBLED).success
    assert _materialize(instance, [events], None).success
    (after,) = _rows(contract.EVENTS)
    assert after["event_id"] == before["event_id"]
    assert (after["judgement"], after["judged_by"], after["notes"]) == ("rejected", "Bob", "Ann: asked the office")
    said = sorted(_rows(VOTER_VERDICTS), key=lambda row: row["number"])
    assert [(row["number"], row["verdict"], row["by"]) for row in said] == [
        (1, "annotate", "Ann"),
        (2, "reject", "Bob"),
    ]
    with LakeSession(settings) as session:
        session.attach(contract.EVENTS.lake.name)
        publishes = [
            entry.record
            for entry in ledger.since(session, contract.EVENTS.lake.name, 0)
            if entry.record.asset == "variance/voter_verdicts"
        ]
    assert [(record.rows, record.code_version, record.partition) for record in publishes] == [
        (1, "by hand", DOUBLED),
        (2, "by hand", DOUBLED),
    ]


def test_an_open_entry_event_warns_and_a_judged_one_does_not(instance: dg.DagsterInstance) -> None:
    def warned() -> bool:
        result = _materialize(instance, [voter_events], DOUBLED)
        (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "entry_events_are_judged"]
        return not check.passed

    assert warned()
    (event,) = _rows(contract.EVENTS)
    judge(event["event_id"], "reject", by="Bob")
    assert not warned()


def test_the_reconciler_tells_dagster_of_a_verdict_so_that_its_partition_follows(instance: dg.DagsterInstance) -> None:
    (event,) = _rows(contract.EVENTS)
    judge(event["event_id"], "reject", by="Bob")
    with LakeSession(Settings.load()) as session:
        reconcile(session, instance, [VOTER_VERDICTS], {}, now=0.0)
    told = instance.get_latest_materialization_event(VOTER_VERDICTS.key)
    assert told is not None
    assert told.asset_materialization is not None
    assert told.asset_materialization.partition == DOUBLED


@pytest.mark.usefixtures("instance")
def test_a_verdict_that_cannot_be_given_says_why() -> None:
    (event,) = _rows(contract.EVENTS)
    known = event["event_id"]
    for given, verdict, by, told in (
        ("0123456789ab", "reject", "Bob", "none of the 1 events"),
        (known[:3], "reject", "Bob", "none of the 1 events"),
        (known, "reject", " ", "the name has 0 characters"),
        (known, "annotate", "Bob", "an annotation is nothing without"),
        (known, "forget", "Bob", "'forget' is none"),
    ):
        with pytest.raises(verdicts.VerdictError, match=told):
            judge(given, verdict, by=by)
    assert _rows(VOTER_VERDICTS) == []


@pytest.mark.usefixtures("empty_lake")
def test_a_verdict_before_any_event_says_what_to_do() -> None:
    with pytest.raises(verdicts.VerdictError, match=r"no comparison has found any event"):
        judge("0123456789ab", "reject", by="Bob")


@pytest.mark.usefixtures("instance")
def test_who_was_faster_is_not_overwritten() -> None:
    (event,) = _rows(contract.EVENTS)
    settings = Settings.load()
    calls: list[int] = []

    def slow(earlier: Any) -> pa.Table:  # noqa: ANN401  an Ibis table
        calls.append(int(earlier.count().to_pyarrow().as_py()))
        if len(calls) == 1:
            judge(event["event_id"], "confirm", by="Ann")
        row = {
            "event_id": event["event_id"], "number": calls[-1] + 1, "verdict": "reject", "size": 150.0, "by": "Bob",
            "note": "",
            "at": "2022-08-01T00:00:00+00:00", "month": "2022-07", "state": "NC",
        }  # fmt: skip
        return pa.Table.from_pylist([row])

    with LakeSession(settings) as session:
        add(session, VOTER_VERDICTS, DOUBLED, slow)
    assert calls == [0, 1]
    assert {row["by"] for row in _rows(VOTER_VERDICTS)} == {"Ann", "Bob"}


@pytest.mark.usefixtures("empty_lake")
def test_a_row_that_breaks_the_contract_is_refused() -> None:
    row = {
        "event_id": "no id", "number": 1, "verdict": "reject", "size": 1.0, "by": "Bob", "note": "", "at": "",
        "month": "2022-07", "state": "NC",
    }  # fmt: skip
    with LakeSession(Settings.load()) as session, pytest.raises(LakeError, match="the row breaks its contract"):
        add(session, VOTER_VERDICTS, DOUBLED, lambda _: pa.Table.from_pylist([row]))
    assert wrangled.VOTERS.partitions_def is VOTER_VERDICTS.partitions_def
