"""Voters compared month by month: what the tables hold, and which months are compared when some are missing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis
import pytest

from mlops_assets.contracts.features import DISTRICT_DEMOGRAPHICS, SMALLEST_CELL
from mlops_assets.contracts.partitions import SNAPSHOT_MONTHS
from mlops_assets.contracts.wrangled import VOTERS
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.inputs import In, Read
from mlops_assets.platform.assets.reading import upstream_keys
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.variance.linked import events, ways
from mlops_assets.variance.panel import verdicts
from mlops_assets.wrangling import compared, demographics
from mlops_assets.wrangling.comparisons import named, tables
from mlops_assets_tests.wrangling.kept_contract import kept_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import ibis.expr.types as ir

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.wrangling.comparisons.linked import Pair

SIZE: Final = 60
PARTITION: Final = {"month": "2022-02", "state": "NC"}
CHANGES: Final = dg.AssetKey(["variance", "voter_changes"])
EVENTS: Final = dg.AssetKey(["variance", "voter_events"])


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


def _both(before: ir.Table, after: ir.Table) -> Pair:
    return compared.VOTERS.pair(before.union(after), PARTITION, "2022-01")


def _alone(voters: ir.Table) -> Pair:
    return compared.VOTERS.pair(voters, {"month": "2021-07", "state": "NC"}, None)


def _changes(pair: Pair) -> list[dict[str, Any]]:
    return kept_rows(pair.changes(SMALLEST_CELL), compared.VOTERS.changes())


def _events(pair: Pair) -> list[dict[str, Any]]:
    told = [named.linked_event(row, before=pair.before, entities="persons") for row in pair.events()]
    rows = named.events_table(told, [], pair.partition, of="voter", group=None)
    return kept_rows(ibis.memtable(rows), compared.VOTERS.events(), but="entry_events_are_judged")


def test_the_engine_and_the_tables_name_the_same_causes() -> None:
    assert tables.PARTS == ways.PARTS
    assert set(tables.CAUSES) == {*events.EVENT_CAUSES, *verdicts.CAUSES} - {"none"}
    assert (*events.KINDS, "detected") == tables.KINDS


def test_changes_keep_their_contract() -> None:
    rows = _changes(_both(_voters("2022-01"), _voters("2022-02", district="05")))
    everybody = {row["district"]: row for row in rows if row["attribute"] == "all"}
    assert (everybody["04"]["renumbering"], everybody["05"]["renumbering"]) == (-SIZE, SIZE)
    assert {row["attribute"] for row in rows} == {"all", "race", "ethnicity", "gender", "party", "status"}


def test_events_keep_their_contract() -> None:
    rows = _events(_both(_voters("2022-01"), _voters("2022-02", party_code="NPA", copies=2)))
    assert sorted(row["name"] for row in rows) == ["every record loaded twice", "party_code UNA recoded to NPA"]


def test_without_an_earlier_month_there_are_no_rows() -> None:
    assert _changes(_alone(_voters("2021-07"))) == []
    assert _events(_alone(_voters("2021-07"))) == []


def test_a_month_reads_itself_and_the_month_before_of_its_state() -> None:
    read = Read(VOTERS, In(VOTERS, partition_mapping=compared.VOTERS.timeline.back(1)))
    changes = compared.VOTERS.changes()
    assert upstream_keys(read, changes, "2022-01|NC") == ["2021-12|NC", "2022-01|NC"]
    assert upstream_keys(read, changes, f"{SNAPSHOT_MONTHS[0]}|GA") == [f"{SNAPSHOT_MONTHS[0]}|GA"]


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


def _materialize(table: dg.AssetKey, key: str, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [*compared.VOTERS.assets(), voters, compared.VOTERS.verdicts().spec()],
        selection=[table],
        partition_key=key,
        instance=instance,
        raise_on_error=False,
    )


def _read(table: str) -> list[dict[str, Any]]:
    contract = {"voter_changes": compared.VOTERS.changes(), "voter_events": compared.VOTERS.events()}[table]
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
    alone = _materialize(CHANGES, "2022-01|NC", instance)
    assert _compared_with(alone) == "nothing: no time before is there"
    assert _read("voter_changes") == []

    assert dg.materialize([voters], partition_key="2022-02|NC", instance=instance).success
    assert _compared_with(_materialize(CHANGES, "2022-02|NC", instance)) == "2022-01"
    changes = {row["district"]: row["renumbering"] for row in _read("voter_changes") if row["attribute"] == "all"}
    assert changes == {"04": -SIZE, "05": SIZE}

    assert _compared_with(_materialize(EVENTS, "2022-02|NC", instance)) == "2022-01"
    (event,) = _read("voter_events")
    assert (event["cause"], event["units"], event["size"], event["share"]) == ("renumbering", "04,05", SIZE, 1.0)


def test_a_month_that_has_not_arrived_is_not_compared(instance: dg.DagsterInstance) -> None:
    assert dg.materialize([voters], partition_key="2022-01|NC", instance=instance).success
    result = _materialize(CHANGES, "2022-02|NC", instance)
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
    rows = _changes(_both(before, after))
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
    assert {parties[key][name] for key in hidden for name in (*tables.PARTS, "before", "after")} == {None}
    assert parties["04", "DEMOCRATIC"]["after"] == 20


def test_a_first_month_shows_records_loaded_twice() -> None:
    (event,) = _events(_alone(_voters("2021-07", copies=2)))
    assert (event["kind"], event["name"]) == ("repeated", "every record loaded twice")
    assert "not so before" not in event["evidence"]


def test_a_class_that_changed_with_its_code_is_told_from_one_that_stayed() -> None:
    stayed = _events(_both(_voters("2022-01"), _voters("2022-02", party_code="NPA")))
    reread = _voters("2022-02", party_code="NPA").mutate(party=ibis.literal("UNRECOGNISED"))
    changed = _events(_both(_voters("2022-01"), reread))
    assert [row["kind"] for row in stayed + changed] == ["recoded", "reclassed"]


def test_flows_are_counted_where_the_map_changed_and_nowhere_else() -> None:
    def flows(pair: Pair) -> list[dict[str, Any]]:
        return kept_rows(pair.flows(SMALLEST_CELL), compared.VOTERS.flows())

    (flow,) = flows(_both(_voters("2022-01"), _voters("2022-02", district="05")))
    assert (flow["district_before"], flow["district_after"], flow["entities"]) == ("04", "05", SIZE)
    assert flows(_both(_voters("2022-01"), _voters("2022-02"))) == []
