"""Tests of the voting history's asset: a database and the lake together."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from mlops_assets.plumbing.assets.voting_history import voting_history

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    path = tmp_path / "history.sqlite"
    monkeypatch.setenv("MLOPS_ASSETS_SOURCES__VOTING_HISTORY", f"sqlite:///{path}")
    monkeypatch.setenv("MLOPS_ASSETS_SOURCES__ATTEMPTS", "1")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE voting_history (state, ncid, county_id, county_desc, election_lbl, voting_method, "
            "voted_party_cd)"
        )
        connection.execute(
            "INSERT INTO voting_history VALUES ('NC', 'AA1', 1, 'ALAMANCE', '11/08/2022', 'IN-PERSON', 'DEM')"
        )
    return path


def load() -> dg.ExecuteInProcessResult:
    with dg.instance_for_test() as instance:
        return dg.materialize([voting_history], instance=instance, partition_key="2022|NC", raise_on_error=False)


def test_an_election_is_published(database: Path) -> None:
    assert database.exists()
    result = load()
    assert result.success
    (event,) = (event.step_materialization_data for event in result.get_asset_materialization_events())
    assert event.materialization.metadata["dagster/row_count"].value == 1
    assert event.materialization.metadata["source"].value == "Voting-history database history.sqlite"


def test_a_database_that_is_away_fails_with_one_message_and_publishes_nothing(database: Path) -> None:
    database.unlink()
    result = load()
    assert not result.success
    assert result.get_asset_materialization_events() == []
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert "there is no such file" in str(data.description)
