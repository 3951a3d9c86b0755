"""Comparing voters month by month: what the tables hold, and which months are compared when some are missing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis
import pytest

from mlops_assets.contracts.features import DISTRICT_DEMOGRAPHICS
from mlops_assets.contracts.partitions import MONTH_AND_NEXT, SNAPSHOT_MONTHS, month_before
from mlops_assets.contracts.variance import (
    CAUSES,
    DISTRICT_FLOWS,
    EVENT_CAUSES,
    VOTER_CHANGES,
    VOTER_EVENT_KINDS,
    VOTER_EVENTS,
)
from mlops_assets.contracts.wrangled import VOTERS
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.inputs import In, Read
from mlops_assets.platform.assets.reading import upstream_keys
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.variance.linked import events, ways
from mlops_assets.variance.panel import detection
from mlops_assets.wrangling import demographics, voter_comparison
from mlops_assets.wrangling.assets.voter_changes import voter_changes
from mlops_assets.wrangling.assets.voter_events import voter_events
from mlops_assets_tests.wrangling.kept_contract import kept_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import ibis.expr.types as ir

    from mlops_assets.platform.assets.step import Partition

SIZE: Final = 60


def _token(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _voters(
    month: str, state: str = "NC", *, district: str = "04", party_code: str = "UNA", copies: int = 1
) -> ir.Table:
    """Sixty voters of one district, the same every month."""
    row = {
        "state": state,
        "month": month,
        "district": district,
        "county": "ALAMANCE",
        "status": "ACTIVE",
        "race": "WHITE",
        "ethnicity": "UNDESIGNATED",
        "gender": "FEMALE",
        "party": "UNAFFILIATED",
        "birth_cohort": 1980,
        "registered_year": 2009,
        "race_code": "W",
        "ethnic_code": "UN",
        "gender_code": "F",
        "party_code": party_code,
        "copies": copies,
    }
    rows = [{**row, "person_token": _token(f"person {n}"), "address_token": _token(f"house {n}")} for n in range(SIZE)]
    columns = rules.columns_of(VOTERS)
    return ibis.memtable([tuple(row[name] for name in columns) for row in rows], schema=dict(columns))


def _months(before: ir.Table, after: ir.Table) -> dict[str, Any]:
    return {"voters": before.union(after), "state": "NC", "month": "2022-02", "previous_month": "2022-01"}


def test_the_engine_and_the_contracts_name_the_same_causes() -> None:
    assert CAUSES == ways.PARTS
    assert set(EVENT_CAUSES) == {*events.EVENT_CAUSES, *detection.CAUSES} - {"none"}
    assert VOTER_EVENT_KINDS == events.KINDS


def test_changes_keep_their_contract() -> None:
    both = _months(_voters("2022-01"), _voters("2022-02", district="05"))
    rows = kept_rows(voter_comparison.voter_changes(**both), VOTER_CHANGES)
    everybody = {row["district"]: row for row in rows if row["attribute"] == "all"}
    assert (everybody["04"]["renumbering"], everybody["05"]["renumbering"]) == (-SIZE, SIZE)
    assert {row["attribute"] for row in rows} == {"all", "race", "ethnicity", "gender", "party", "status"}


def test_events_keep_their_contract() -> None:
    both = _months(_voters("2022-01"), _voters("2022-02", party_code="NPA", copies=2))
    rows = kept_rows(voter_comparison.voter_events(**both), VOTER_EVENTS)
    assert [row["name"] for row in rows] == ["every record loaded twice", "party_code UNA recoded to NPA"]


def test_without_an_earlier_month_there_are_no_rows() -> None:
    alone: dict[str, Any] = {"state": "NC", "month": "2021-07", "previous_month": None}
    assert kept_rows(voter_comparison.voter_changes(_voters("2021-07"), **alone), VOTER_CHANGES) == []
    assert kept_rows(voter_comparison.voter_events(_voters("2021-07"), **alone), VOTER_EVENTS) == []


def test_a_month_reads_itself_and_the_month_before_of_its_state() -> None:
    read = Read(VOTERS, In(VOTERS, partition_mapping=MONTH_AND_NEXT))
    assert upstream_keys(read, VOTER_CHANGES, "2022-01|NC") == ["2021-12|NC", "2022-01|NC"]
    assert upstream_keys(read, VOTER_CHANGES, f"{SNAPSHOT_MONTHS[0]}|GA") == [f"{SNAPSHOT_MONTHS[0]}|GA"]


def test_the_month_before_crosses_the_year_and_the_first_month_has_none() -> None:
    assert month_before("2022-01") == "2021-12"
    assert month_before(SNAPSHOT_MONTHS[0]) is None


@asset(contract=VOTERS)
def voters(partition: Partition) -> ir.Table:
    """Voters without source."""
    month, state = partition.values["month"], partition.values["state"]
    return _voters(month, state, district="05" if month > "2022-01" else "04")


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def _materialize(asset: dg.AssetsDefinition, key: str, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [asset, voters], selection=[asset], partition_key=key, instance=instance, raise_on_error=False
    )


def _read(table: str) -> list[dict[str, Any]]:
    contract = {"voter_changes": VOTER_CHANGES, "voter_events": VOTER_EVENTS}[table]
    with LakeSession(Settings.load()) as session:
        catalog = session.attach(contract.lake.name)
        rows: list[dict[str, Any]] = (
            session.ibis.table(table, database=(catalog, contract.layer)).to_pyarrow().to_pylist()
        )
    return rows


def _compared_with(result: dg.ExecuteInProcessResult) -> object:
    (event,) = result.get_asset_materialization_events()
    return event.materialization.metadata["compared_with"].value


def test_both_tables_are_published_and_say_with_what_they_were_compared(instance: dg.DagsterInstance) -> None:
    assert dg.materialize([voters], partition_key="2022-01|NC", instance=instance).success
    alone = _materialize(voter_changes, "2022-01|NC", instance)
    assert _compared_with(alone) == "nothing: the month before is not there"
    assert _read("voter_changes") == []

    assert dg.materialize([voters], partition_key="2022-02|NC", instance=instance).success
    assert _compared_with(_materialize(voter_changes, "2022-02|NC", instance)) == "2022-01"
    changes = {row["district"]: row["renumbering"] for row in _read("voter_changes") if row["attribute"] == "all"}
    assert changes == {"04": -SIZE, "05": SIZE}

    assert _compared_with(_materialize(voter_events, "2022-02|NC", instance)) == "2022-01"
    (event,) = _read("voter_events")
    assert (event["cause"], event["units"], event["persons"], event["share"]) == ("renumbering", "04,05", SIZE, 1.0)


def test_a_month_that_has_not_arrived_is_not_compared(instance: dg.DagsterInstance) -> None:
    assert dg.materialize([voters], partition_key="2022-01|NC", instance=instance).success
    result = _materialize(voter_changes, "2022-02|NC", instance)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "partition 2022-02|NC has never been published" in str(failure.step_failure_data.error)


def _crossed(month: str, sizes: dict[tuple[str, str], int]) -> ir.Table:
    """Voters of districts and parties in those numbers, the same persons every month."""
    columns = rules.columns_of(VOTERS)
    parts = []
    for (district, party), size in sizes.items():
        rows = _voters(month, district=district).head(size).to_pyarrow().to_pylist()
        parts += [
            {**row, "party": party, "person_token": _token(f"{district} {party} {n}")} for n, row in enumerate(rows)
        ]
    return ibis.memtable([tuple(row[name] for name in columns) for row in parts], schema=dict(columns))


def test_changes_withhold_exactly_the_cells_that_demographics_withhold() -> None:
    before = _crossed(
        "2022-01", {("04", "GREEN"): 3, ("04", "DEMOCRATIC"): 20, ("04", "REPUBLICAN"): 9, ("05", "GREEN"): 8}
    )
    after = _crossed(
        "2022-02", {("04", "GREEN"): 9, ("04", "DEMOCRATIC"): 20, ("04", "REPUBLICAN"): 9, ("05", "GREEN"): 8}
    )
    rows = kept_rows(voter_comparison.voter_changes(**_months(before, after)), VOTER_CHANGES)
    parties = {(row["district"], row["category"]): row for row in rows if row["attribute"] == "party"}
    cells = [kept_rows(demographics.district_demographics(month), DISTRICT_DEMOGRAPHICS) for month in (before, after)]
    hidden = {
        (row["district"], row["category"])
        for month in cells
        for row in month
        if row["attribute"] == "party" and row["suppressed"]
    }
    assert hidden == {("04", "GREEN"), ("04", "REPUBLICAN")}
    assert {key for key, row in parties.items() if row["suppressed"]} == hidden
    assert {parties[key][name] for key in hidden for name in (*CAUSES, "before", "after")} == {None}
    assert parties["04", "DEMOCRATIC"]["after"] == 20


def test_a_first_month_shows_records_loaded_twice() -> None:
    alone = voter_comparison.voter_events(
        _voters("2021-07", copies=2), state="NC", month="2021-07", previous_month=None
    )
    (event,) = kept_rows(alone, VOTER_EVENTS)
    assert (event["kind"], event["name"]) == ("repeated", "every record loaded twice")
    assert "not so before" not in event["evidence"]


def test_a_class_that_changed_with_its_code_is_told_from_one_that_stayed() -> None:
    stayed = kept_rows(
        voter_comparison.voter_events(**_months(_voters("2022-01"), _voters("2022-02", party_code="NPA"))), VOTER_EVENTS
    )
    reread = _voters("2022-02", party_code="NPA").mutate(party=ibis.literal("UNRECOGNISED"))
    changed = kept_rows(voter_comparison.voter_events(**_months(_voters("2022-01"), reread)), VOTER_EVENTS)
    assert [row["kind"] for row in stayed + changed] == ["recoded", "reclassed"]


def test_flows_are_counted_where_the_map_changed_and_nowhere_else() -> None:
    redrawn = _months(_voters("2022-01"), _voters("2022-02", district="05"))
    (flow,) = kept_rows(voter_comparison.district_flows(**redrawn), DISTRICT_FLOWS)
    assert (flow["district_before"], flow["district_after"], flow["persons"]) == ("04", "05", SIZE)
    calm = _months(_voters("2022-01"), _voters("2022-02"))
    assert kept_rows(voter_comparison.district_flows(**calm), DISTRICT_FLOWS) == []
