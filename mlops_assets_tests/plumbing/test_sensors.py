"""Tests of the landing sensor: each complete file asks for one run, whatever else lies in the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.contracts.raw import VOTER_FILE
from mlops_assets.plumbing.connectors.landing import Landing
from mlops_assets.plumbing.sensors import collect_arrivals, landing_sensor
from mlops_assets_tests.plumbing.voter_files import Delivery, voters

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.plumbing.sensors import Collected


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    folder = tmp_path / "landing"
    folder.mkdir()
    return folder


def look(landing: Path, cursor: str | None = None) -> Collected:
    return collect_arrivals(Landing(landing), cursor)


def arrived(found: Collected) -> list[str]:
    return [arrival.partition_key for arrival in found.arrivals]


def test_each_complete_file_arrives_once(landing: Path) -> None:
    Delivery(landing, "NC", "2022-03").drop_voters(voters(1))
    Delivery(landing, "GA", "2022-03").drop_voters(voters(1, state_cd="GA"))
    first = look(landing)
    assert arrived(first) == ["2022-03|GA", "2022-03|NC"]
    assert first.problems == ()
    assert arrived(look(landing, first.cursor)) == []


def test_a_file_of_an_old_month_that_comes_late_arrives(landing: Path) -> None:
    Delivery(landing, "NC", "2022-03").drop_voters(voters(1))
    first = look(landing)
    Delivery(landing, "NC", "2021-07").drop_voters(voters(1))
    assert arrived(look(landing, first.cursor)) == ["2021-07|NC"]


def test_a_replaced_file_arrives_again_and_so_does_the_old_one_when_it_is_put_back(landing: Path) -> None:
    delivery = Delivery(landing)
    run_keys = []
    cursor = None
    for count in (1, 2, 1):
        delivery.drop_voters(voters(count))
        found = look(landing, cursor)
        run_keys += [arrival.run_key for arrival in found.arrivals]
        cursor = found.cursor
    assert len(set(run_keys)) == 3


def test_a_file_without_manifest_is_still_being_delivered(landing: Path) -> None:
    (Delivery(landing).folder / "ncvoter.zip").write_bytes(b"half")
    assert look(landing).arrivals == ()
    assert look(landing).problems == ()


def test_a_broken_manifest_is_told_and_hides_no_other_arrival(landing: Path) -> None:
    (Delivery(landing, "NC", "2022-02").folder / "manifest.json").write_text('{"state": "N', encoding="utf-8")
    Delivery(landing, "NC", "2022-03").drop_voters(voters(1))
    found = look(landing)
    assert arrived(found) == ["2022-03|NC"]
    (problem,) = found.problems
    assert "NC/2022-02/manifest.json: it is not a manifest" in problem


def test_a_mended_manifest_arrives(landing: Path) -> None:
    delivery = Delivery(landing)
    delivery.drop_voters(voters(1))
    delivery.write_manifest(rows=1, month="2022-04")
    first = look(landing)
    assert arrived(first) == []
    delivery.write_manifest(rows=1)
    assert arrived(look(landing, first.cursor)) == ["2022-03|NC"]


def test_unknown_states_and_months_are_told(landing: Path) -> None:
    Delivery(landing, "TX", "2022-03").drop_voters(voters(1))
    Delivery(landing, "NC", "1999-01").drop_voters(voters(1))
    (landing / ".tmp-upload").mkdir()
    found = look(landing)
    assert found.arrivals == ()
    assert found.problems == (
        "Landing folder 'NC/1999-01' is not a month from 2021-07 to 2024-11.",
        "Landing folder 'TX' is not a state that is loaded (GA, NC).",
    )


def test_a_missing_landing_folder_is_told(tmp_path: Path) -> None:
    assert look(tmp_path / "landing").problems == (
        "Landing folder 'landing' cannot be listed (No such file or directory).",
    )


@given(cursor=st.one_of(st.none(), st.text(), st.sampled_from(["[]", "null", '{"a": 1}', '{"a": ["b"]}', "1e999"])))
def test_a_cursor_that_cannot_be_read_counts_as_none(
    cursor: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    landing = tmp_path_factory.mktemp("landing")
    Delivery(landing).drop_voters(voters(1))
    assert arrived(look(landing, cursor)) == ["2022-03|NC"]


def test_the_cursor_stays_small(landing: Path) -> None:
    for month in ("2021-07", "2021-08", "2021-09"):
        Delivery(landing, "NC", month).drop_voters(voters(1))
    assert len(look(landing).cursor) < 3 * 50


def evaluate(cursor: str | None = None) -> dg.SensorResult:
    with dg.build_sensor_context(instance=dg.DagsterInstance.ephemeral(), cursor=cursor) as context:
        result = landing_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_the_sensor_asks_for_the_partition_of_each_arrival(landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_SOURCES__LANDING", str(landing))
    Delivery(landing).drop_voters(voters(1))
    Delivery(landing, "TX").drop_voters(voters(1))
    result = evaluate()
    (request,) = result.run_requests or []
    assert request.partition_key == "2022-03|NC"
    assert request.asset_selection == [VOTER_FILE.key]
    again = evaluate(result.cursor)
    assert not again.run_requests
    assert again.skip_reason is not None
    assert "'TX' is not a state that is loaded" in str(again.skip_reason.skip_message)


def test_the_sensor_runs_unasked_every_few_seconds() -> None:
    assert landing_sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert landing_sensor.minimum_interval_seconds == 5
