"""Every exit of a published asset: what is visible, which events exist, what ran.

Each test names one row of the table of exits in the README; what the reconciler reports is in its own tests.
"""

from __future__ import annotations

import dataclasses
import json
import signal
from typing import TYPE_CHECKING

import dagster as dg
import pandera.ibis as pandera
import pyarrow as pa
import pytest

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.contract import Quarantine
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.contracts.volume import ANY_VOLUME
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import sweep
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.broken_rules import told_by
from mlops_assets_tests.platform import orchard

if TYPE_CHECKING:
    from pathlib import Path

    import ibis.expr.types as ir


def materialized(instance: dg.DagsterInstance, key: dg.AssetKey, week: str) -> list[dg.EventLogEntry]:
    found = instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=[week]), limit=10)
    return [record.event_log_entry for record in found.records]


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def sample_of(evaluation: dg.AssetCheckEvaluation) -> dict[str, list[dict[str, str | None]]]:
    """Failing rows by kind of rule."""
    sample = evaluation.metadata["sample"]
    assert isinstance(sample, dg.JsonMetadataValue)
    assert isinstance(sample.data, dict)
    return sample.data


def test_good_rows_are_visible_reported_and_passed_on(instance: dg.DagsterInstance) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    result = orchard.pick("w1", instance=instance)
    assert result.success
    assert len(orchard.visible(orchard.HARVEST)) == 4
    assert len(orchard.visible(orchard.YIELDS)) == 4
    assert len(materialized(instance, orchard.HARVEST.key, "w1")) == 1
    harvest = [e for e in result.get_asset_check_evaluations() if e.asset_key == orchard.HARVEST.key]
    assert {e.check_name for e in harvest} == set(rules.check_names(orchard.HARVEST))
    assert all(e.passed for e in harvest)


def test_the_materialization_tells_how_to_rebuild_it(instance: dg.DagsterInstance) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    orchard.pick("w1", instance=instance)
    [event] = materialized(instance, orchard.YIELDS.key, "w1")
    materialization = event.asset_materialization
    assert materialization is not None
    metadata = {name: value.value for name, value in materialization.metadata.items()}
    assert metadata["dagster/row_count"] == 4
    assert str(metadata["content_hash"]).startswith("v1:4:")
    assert materialization.tags is not None
    assert materialization.tags["dagster/data_version"] == metadata["content_hash"]
    [upstream] = materialized(instance, orchard.HARVEST.key, "w1")
    assert upstream.asset_materialization is not None
    assert metadata["inputs"] == {
        "harvest": {
            "lake": "restricted",
            "asset": "raw/harvest",
            "partitions": {"w1": upstream.asset_materialization.metadata["content_hash"].value},
        }
    }
    assert {"lake_version", "publish_id", "code_version", "environment", "seconds", "peak_memory_mib", "bytes"} <= set(
        metadata
    )


def test_a_warning_lets_the_data_flow(instance: dg.DagsterInstance) -> None:
    rows = [*orchard.good_rows("w1"), {"week": "w1", "tree": 9, "picker": "Picker 9", "kilos": 250.0}]
    orchard.weigh("w1", rows)
    result = orchard.pick("w1", instance=instance)
    assert result.success
    assert len(orchard.visible(orchard.YIELDS)) == 5
    windfall = checks(result)["no_windfall"]
    assert not windfall.passed
    assert windfall.severity is dg.AssetCheckSeverity.WARN
    assert windfall.metadata["failing_rows"].value == 1


QUARANTINE = dataclasses.replace(orchard.SORTED_HARVEST, table="sorted_harvest_quarantine")

ROTTEN = {
    "nulls": {"week": "w1", "tree": 9, "picker": "Secret Name", "kilos": None},
    "values": {"week": "w1", "tree": 9, "picker": "Secret Name", "kilos": -1.0},
    "keys": {"week": "w1", "tree": 1, "picker": "Secret Name", "kilos": 2.0},
    "partition_membership": {"week": "w2", "tree": 9, "picker": "Secret Name", "kilos": 2.0},
    "picked_by_somebody": {"week": "w1", "tree": 9, "picker": None, "kilos": 2.0},
}


@pytest.mark.parametrize("rule", ROTTEN)
def test_last_good_partition_stays_when_a_blocking_rule_fails(
    rule: str, instance: dg.DagsterInstance, home: Path
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    orchard.pick("w1", instance=instance)
    good = orchard.visible(orchard.HARVEST)
    (home / "attempts").unlink()

    orchard.weigh("w1", [*orchard.good_rows("w1", trees=6), ROTTEN[rule]])
    result = orchard.pick("w1", instance=instance)

    assert not result.success
    assert orchard.visible(orchard.HARVEST) == good
    assert len(materialized(instance, orchard.HARVEST.key, "w1")) == 1
    evaluations = checks(result)
    assert set(evaluations) == set(rules.check_names(orchard.HARVEST))
    check = rule if rule in evaluations else "contract"
    assert told_by(evaluations.values()) == {check: {rule: 1}}
    told = evaluations[check]
    assert told.severity is dg.AssetCheckSeverity.ERROR
    assert told.metadata["failing_rows"].value == 1
    assert list(sample_of(told)) == [rule]
    assert "Secret Name" not in json.dumps([told.description, *(str(value) for value in told.metadata.values())])
    assert len((home / "attempts").read_text(encoding="utf-8").splitlines()) == 1, "a failed check is never retried"
    assert "wrangled__yields" not in {event.step_key for event in result.all_events if event.is_step_start}


def test_a_failing_sample_masks_personal_columns_and_shows_the_others(instance: dg.DagsterInstance) -> None:
    orchard.weigh("w1", [ROTTEN["values"]])
    sample = sample_of(checks(orchard.pick("w1", instance=instance))["contract"])
    assert sample == {"values": [{"week": "***", "tree": "9", "picker": "***", "kilos": "-1.0"}]}


def test_a_wrong_shape_fails_once_and_publishes_nothing(instance: dg.DagsterInstance) -> None:
    orchard.weigh("w1", [{"week": "w1", "tree": "one", "kilos": 1.0}])
    result = orchard.pick("w1", instance=instance)
    assert not result.success
    assert orchard.visible(orchard.HARVEST) == []
    evaluations = checks(result)
    assert set(evaluations) == set(rules.check_names(orchard.HARVEST))
    failed = [name for name, evaluation in evaluations.items() if evaluation.severity is dg.AssetCheckSeverity.ERROR]
    assert failed == ["contract"]
    assert told_by(evaluations.values()) == {"contract": {"shape": 0}, "no_windfall": {}, "picked_by_somebody": {}}
    assert "failing_rows" not in evaluations["contract"].metadata
    problem = str(evaluations["contract"].metadata["problem"].value)
    assert "missing: picker" in problem
    assert "tree is string, not int64" in problem
    assert str(evaluations["picked_by_somebody"].metadata["problem"].value).startswith("Not evaluated")


def test_good_rows_above_the_floor_are_published_and_bad_ones_set_aside(instance: dg.DagsterInstance) -> None:
    orchard.weigh("w1", [*orchard.good_rows("w1"), ROTTEN["values"], ROTTEN["partition_membership"] | {"tree": 8}])
    result = orchard.pick("w1", [orchard.sorted_harvest], instance=instance)
    assert result.success
    assert len(orchard.visible(orchard.SORTED_HARVEST)) == 4
    evaluations = checks(result)
    assert told_by(evaluations.values()) == {"contract_warnings": {"quarantine": 2}}
    told = evaluations["contract_warnings"]
    assert told.severity is dg.AssetCheckSeverity.WARN
    assert not told.blocking
    broken = told.metadata["broken_rules"]
    assert isinstance(broken, dg.TableMetadataValue)
    assert [(record.data["column"], record.data["rule"]) for record in broken.records] == [
        ("week", "equals 'w1' (partition_membership)"),
        ("kilos", "greater_than_or_equal_to(0) (values)"),
    ]
    assert told.metadata["failing_rows"].value == 2
    assert {kind: {row["tree"] for row in rows} for kind, rows in sample_of(told).items()} == {"quarantine": {"8", "9"}}
    with LakeSession(Settings.load()) as session:
        session.attach("restricted")
        aside = session.connection.execute(
            "SELECT tree, quarantined_because FROM restricted.raw.sorted_harvest_quarantine ORDER BY tree"
        ).fetchall()
    assert aside == [
        (8, "partition_membership: week equals 'w1'"),
        (9, "values: kilos greater_than_or_equal_to(0)"),
    ]


def test_a_row_is_set_aside_because_of_the_rules_that_it_breaks(
    instance: dg.DagsterInstance,
) -> None:
    rejects = [
        {"week": "w1", "tree": 7, "picker": None, "kilos": 1.0},
        {"week": "w1", "tree": 8, "picker": None, "kilos": -1.0},
        {"week": "w2", "tree": 9, "picker": "x", "kilos": None},
    ]
    orchard.weigh("w1", [*orchard.good_rows("w1"), *rejects])
    assert orchard.pick("w1", [orchard.sorted_harvest], instance=instance).success
    because = {row[1]: [rule.split(":")[0] for rule in str(row[4]).split("; ")] for row in orchard.visible(QUARANTINE)}
    assert because[7] == ["picked_by_somebody"]
    assert set(because[8]) == {"values", "picked_by_somebody"}
    assert set(because[9]) == {"partition_membership", "nulls"}


def test_as_many_good_rows_as_the_floor_are_published(instance: dg.DagsterInstance) -> None:
    contract = dataclasses.replace(orchard.SORTED_HARVEST, table="fussy", quarantine=Quarantine(floor=0.55))
    good = [{**orchard.good_rows("w1")[0], "tree": tree} for tree in range(1, 56)]
    orchard.weigh("w1", [*good, *({**ROTTEN["values"], "tree": tree} for tree in range(56, 101))])
    assert orchard.pick("w1", [orchard.publishing(contract)], instance=instance).success
    assert len(orchard.visible(contract)) == 55


def test_rows_of_a_table_with_hundreds_of_rules_are_set_aside() -> None:
    columns = [f"c{number}" for number in range(250)]
    schema = pandera.DataFrameSchema({name: pandera.Column(int, pandera.Check.ge(0)) for name in columns})

    @asset(key="raw/wide", schema=schema, lake=Lake("shop"), quarantine=Quarantine(floor=0.5))
    def wide() -> pa.Table:
        return pa.table({name: [1, 2, -1 if name == "c7" else 3] for name in columns})

    result = dg.materialize([wide])
    assert result.success
    assert told_by(result.get_asset_check_evaluations()) == {"contract_warnings": {"quarantine": 1}}


def test_a_quarantine_that_blocks_says_why_it_set_nothing_aside(instance: dg.DagsterInstance) -> None:
    rejects = [{"week": "w1", "tree": tree, "picker": "x", "kilos": -1.0} for tree in range(10, 16)]
    orchard.weigh("w1", [*orchard.good_rows("w1"), *rejects])
    result = orchard.pick("w1", [orchard.sorted_harvest], instance=instance)
    assert not result.success
    why = str(checks(result)["contract"].description)
    assert "4 of 10 rows keep every rule, fewer than the share of 0.5" in why


def test_a_rerun_that_sets_other_rows_aside_is_not_taken_for_the_same(instance: dg.DagsterInstance) -> None:
    aside = []
    for rejects in ([ROTTEN["values"]], [ROTTEN["values"]], [ROTTEN["values"] | {"tree": 8}], []):
        orchard.weigh("w1", [*orchard.good_rows("w1"), *rejects])
        result = orchard.pick("w1", [orchard.sorted_harvest], instance=instance)
        [materialization] = result.asset_materializations_for_node("raw__sorted_harvest")
        trees = [row[1] for row in orchard.visible(QUARANTINE)]
        aside.append((trees, materialization.metadata["adopted"].value))
    assert aside == [([9], False), ([9], True), ([8], False), ([], False)]


def test_a_quarantined_row_that_names_another_partition_stays_with_the_one_it_came_in(
    instance: dg.DagsterInstance,
) -> None:
    aside = []
    for week, rejects in (("w1", [ROTTEN["partition_membership"]]), ("w2", []), ("w1", [])):
        orchard.weigh(week, [*orchard.good_rows(week), *rejects])
        assert orchard.pick(week, [orchard.sorted_harvest], instance=instance).success
        aside.append([row[0] for row in orchard.visible(QUARANTINE)])
    assert aside == [["w2"], ["w2"], []]


def test_a_quarantine_with_a_row_of_another_partition_can_be_adopted(instance: dg.DagsterInstance) -> None:
    orchard.weigh("w1", [*orchard.good_rows("w1"), ROTTEN["partition_membership"]])
    adopted = []
    for _ in range(2):
        result = orchard.pick("w1", [orchard.sorted_harvest], instance=instance)
        [materialization] = result.asset_materializations_for_node("raw__sorted_harvest")
        adopted.append(materialization.metadata["adopted"].value)
    assert adopted == [False, True]
    assert len(orchard.visible(QUARANTINE)) == 1


def test_too_few_good_rows_keep_the_last_good_partition(instance: dg.DagsterInstance) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    orchard.pick("w1", [orchard.sorted_harvest], instance=instance)
    good = orchard.visible(orchard.SORTED_HARVEST)
    orchard.weigh("w1", [orchard.good_rows("w1")[0], ROTTEN["values"], ROTTEN["nulls"] | {"tree": 8}])
    result = orchard.pick("w1", [orchard.sorted_harvest], instance=instance)
    assert not result.success
    assert orchard.visible(orchard.SORTED_HARVEST) == good
    assert told_by(result.get_asset_check_evaluations()) == {
        "contract": {"values": 1, "nulls": 1, "quarantine_refused": 0}
    }


def test_where_a_key_repeats_no_row_is_set_aside_and_the_check_says_so(instance: dg.DagsterInstance) -> None:
    good = orchard.good_rows("w1")
    orchard.weigh("w1", [*good, good[0], ROTTEN["values"]])
    result = orchard.pick("w1", [orchard.sorted_harvest], instance=instance)
    assert not result.success
    [told] = told_by(result.get_asset_check_evaluations()).values()
    assert told == {"keys": 1, "values": 1, "quarantine_refused": 0}


def test_what_follows_new_data_follows_a_partition_of_which_rows_were_set_aside(instance: dg.DagsterInstance) -> None:
    kept = orchard.publishing(orchard.SORTED_HARVEST)

    @asset(contract=orchard.YIELDS, ins={"harvest": In(orchard.SORTED_HARVEST)}, automation_condition=on_new_data())
    def yields(harvest: ir.Table) -> ir.Table:
        return harvest.drop("picker")

    defs = dg.Definitions(assets=[kept, yields])
    cursor = dg.evaluate_automation_conditions(defs, instance).cursor
    orchard.weigh("w1", [*orchard.good_rows("w1"), ROTTEN["values"]])
    assert orchard.pick("w1", [kept], instance=instance).success
    asked = dg.evaluate_automation_conditions(defs, instance, cursor=cursor)
    assert asked.get_requested_partitions(yields.key) == {"w1"}
    assert len(materialized(instance, orchard.SORTED_HARVEST.key, "w1")) == 1


@pytest.mark.parametrize("window", ["after_the_function", "after_staging", "before_the_lock", "inside_the_transaction"])
def test_a_kill_before_the_commit_leaves_the_last_good_partition_and_only_sweepable_files(
    window: str, instance: dg.DagsterInstance
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    orchard.pick("w1", [orchard.harvest], instance=instance)
    good = orchard.visible(orchard.HARVEST)
    orchard.weigh("w1", orchard.good_rows("w1", trees=7))

    assert orchard.pick_and_send("w1", window) == -signal.SIGKILL

    assert orchard.visible(orchard.HARVEST) == good
    assert len(materialized(instance, orchard.HARVEST.key, "w1")) == 1
    with LakeSession(Settings.load()) as session:
        swept = sweep(session, "restricted", older_than_seconds=0)
    assert len(swept) == (0 if window == "after_the_function" else 1)
    assert orchard.visible(orchard.HARVEST) == good
    assert orchard.pick("w1", [orchard.harvest], instance=instance).success
    assert len(orchard.visible(orchard.HARVEST)) == 7


def test_a_rerun_after_a_kill_between_commit_and_event_adopts_that_publish(instance: dg.DagsterInstance) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    assert orchard.pick_and_send("w1", "before_the_event") == -signal.SIGKILL
    with LakeSession(Settings.load()) as session:
        before = session.attach("restricted") and len(
            session.connection.execute("FROM ducklake_snapshots('restricted')").fetchall()
        )
    result = orchard.pick("w1", [orchard.harvest], instance=instance)
    [materialization] = result.asset_materializations_for_node("raw__harvest")
    assert materialization.metadata["adopted"].value is True
    with LakeSession(Settings.load()) as session:
        session.attach("restricted")
        after = len(session.connection.execute("FROM ducklake_snapshots('restricted')").fetchall())
    assert after == before


def test_an_empty_partition_can_be_published_and_replaces_a_full_one(instance: dg.DagsterInstance) -> None:
    asset = orchard.publishing(dataclasses.replace(orchard.HARVEST, volume=ANY_VOLUME))
    orchard.weigh("w1", orchard.good_rows("w1"))
    orchard.pick("w1", [asset], instance=instance)
    orchard.weigh("w1", [])
    assert orchard.pick("w1", [asset], instance=instance).success
    assert orchard.visible(orchard.HARVEST) == []
    [latest, _] = materialized(instance, orchard.HARVEST.key, "w1")
    assert latest.asset_materialization is not None
    assert latest.asset_materialization.metadata["content_hash"].value == "v1:0:0"


def test_a_missing_input_names_the_table_the_partition_and_the_remedy(instance: dg.DagsterInstance) -> None:
    result = orchard.pick("w2", [orchard.yields], instance=instance)
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert data.description is not None
    assert "raw/harvest" in data.description
    assert "w2" in data.description
    assert "Materialize it first" in data.description
