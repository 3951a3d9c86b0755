"""Tests of the voter file's asset: the landing folder and the lake together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.contracts.raw import VOTER_FILE
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.assets.voter_file import voter_file
from mlops_assets_tests.broken_rules import told_by
from mlops_assets_tests.plumbing.voter_files import LAST_NAME, Delivery, voters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Delivery:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    return Delivery(tmp_path / "home" / "landing")


def load(instance: dg.DagsterInstance, *, partition_key: str = "2022-03|NC") -> dg.ExecuteInProcessResult:
    return dg.materialize([voter_file], instance=instance, partition_key=partition_key, raise_on_error=False)


def published() -> list[tuple[str, int]]:
    with LakeSession(Settings.load()) as session:
        lake = session.attach(VOTER_FILE.lake.name)
        return session.connection.sql(
            f"SELECT ncid, source_row FROM {lake}.{VOTER_FILE.layer}.{VOTER_FILE.table} ORDER BY source_row"  # noqa: S608  the contract's names
        ).fetchall()


def why(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert data.description is not None
    return data.description


def test_a_delivered_file_is_published_with_its_facts(instance: dg.DagsterInstance, delivery: Delivery) -> None:
    delivery.drop_voters(voters(3))
    result = load(instance)
    assert result.success
    assert published() == [("AA1", 1), ("AA2", 2), ("AA3", 3)]
    (event,) = result.asset_materializations_for_node(result.get_asset_materialization_events()[0].node_name)
    assert event.metadata["dagster/row_count"].value == 3
    assert event.metadata["layout"].value == "from-2022-02-12"
    assert len(str(event.metadata["file_sha256"].value)) == 64


def test_a_doubled_load_is_published_with_a_warning(instance: dg.DagsterInstance, delivery: Delivery) -> None:
    delivery.drop_voters([*voters(2), *voters(2)])
    result = load(instance)
    assert result.success
    assert len(published()) == 4
    assert told_by(result.get_asset_check_evaluations()) == {"contract_warnings": {"keys": 2}}


def test_the_last_good_file_stands_when_a_bad_one_replaces_it(instance: dg.DagsterInstance, delivery: Delivery) -> None:
    delivery.drop_voters(voters(2))
    assert load(instance).success
    delivery.drop_voters(voters(3, state_cd="GA"))
    result = load(instance)
    assert not result.success
    assert "3 of its rows are of another state than NC" in why(result)
    assert LAST_NAME not in str(result.all_events)
    assert published() == [("AA1", 1), ("AA2", 2)]


def test_a_file_that_has_not_arrived_fails_with_one_message(instance: dg.DagsterInstance, delivery: Delivery) -> None:
    assert delivery.landing.name == "landing"
    result = load(instance)
    assert not result.success
    assert why(result).startswith("Landing manifest NC/2022-03/manifest.json: it is not there")
