"""Two runs of one partition: whichever ends last, the rows made from the newest inputs stand."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.platform.assets import making, reading
from mlops_assets.platform.lake import ledger, publish
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests import processes
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake.test_publishing import publish_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def pick_season() -> None:
    """Materialize the season."""
    with dg.DagsterInstance.get() as instance:
        dg.materialize([orchard.season], instance=instance)


def another_run(asset: dg.AssetsDefinition) -> None:
    """Materialize the asset's first week in another process."""
    assert orchard.pick_and_send("w1", "never", signal.SIGTERM, asset) == 0


def once_before(monkeypatch: pytest.MonkeyPatch, module: object, name: str, act: Callable[..., None]) -> None:
    """Let something happen before the first call of a function."""
    original = getattr(module, name)

    def patched(*arguments: object, **named: object) -> object:
        monkeypatch.setattr(module, name, original)
        act(*arguments)
        return original(*arguments, **named)

    monkeypatch.setattr(module, name, patched)


def trees() -> int:
    """How many trees are visible in the yields."""
    return len(orchard.visible(orchard.YIELDS))


def warnings_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """What the run's log warned of."""
    return " ".join(entry.user_message for entry in instance.all_logs(run_id) if entry.level == 30)


def test_a_run_that_is_overtaken_while_it_works_is_made_again_from_what_is_there_then(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1", trees=4))
    assert orchard.pick("w1", [orchard.harvest], instance=instance).success

    def faster(*_: object) -> None:
        orchard.weigh("w1", orchard.good_rows("w1", trees=7))
        another_run(orchard.harvest)
        another_run(orchard.yields)

    once_before(monkeypatch, making, "publish_all", faster)
    slow = orchard.pick("w1", [orchard.yields], instance=instance)
    assert slow.success
    assert trees() == 7
    assert "somebody else published it meanwhile" in warnings_of(instance, slow.run_id)


def test_a_run_that_reads_an_older_state_does_not_replace_what_was_made_from_a_newer_one(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1", trees=4))
    assert orchard.pick("w1", [orchard.harvest], instance=instance).success

    def pinned_early(session: LakeSession, *_: object) -> None:
        [run] = [run for run in instance.get_runs() if not run.is_finished]
        reading.pinned_version(session, "restricted", instance, run.run_id)
        orchard.weigh("w1", orchard.good_rows("w1", trees=7))
        another_run(orchard.harvest)
        another_run(orchard.yields)

    once_before(monkeypatch, ledger, "current", pinned_early)
    late = orchard.pick("w1", [orchard.yields], instance=instance)
    assert late.success
    assert trees() == 7
    assert "made it from newer inputs" in warnings_of(instance, late.run_id)


def test_a_source_that_another_run_has_read_meanwhile_is_read_again(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1", trees=4))

    def faster(*_: object) -> None:
        orchard.weigh("w1", orchard.good_rows("w1", trees=7))
        another_run(orchard.harvest)

    once_before(monkeypatch, making, "publish_all", faster)
    [made] = orchard.pick("w1", [orchard.harvest], instance=instance).asset_materializations_for_node("raw__harvest")
    assert made.metadata["adopted"].value is True
    assert len(orchard.visible(orchard.HARVEST)) == 7


def test_a_run_whose_inputs_changed_elsewhere_replaces_what_was_made_from_the_same_ones(
    instance: dg.DagsterInstance,
) -> None:
    for kilos in (1.0, 2.0):
        orchard.weigh("w1", [{**row, "kilos": kilos} for row in orchard.good_rows("w1")])
        assert orchard.pick("w1", instance=instance).success
    assert {row[2] for row in orchard.visible(orchard.YIELDS)} == {2.0}


def test_a_run_that_is_overtaken_again_and_again_fails_and_says_so(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1", trees=4))
    assert orchard.pick("w1", [orchard.harvest], instance=instance).success
    original = publish.publish_all
    turns = iter(range(100))

    def overtaken(*arguments: object, **named: object) -> object:
        publish_rows(Settings.load(), "w1", [1, 2], f"faster {next(turns)}")
        return original(*arguments, **named)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(making, "publish_all", overtaken)
    result = orchard.pick("w1", [orchard.yields], instance=instance)
    [failed] = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data is not None
    assert "somebody else published it meanwhile" in str(data.description)
    assert trees() == 2


def test_inputs_that_are_again_what_they_were_count_as_read_later(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1", trees=4))
    assert orchard.pick("w1", instance=instance).success
    orchard.weigh("w1", orchard.good_rows("w1", trees=7))
    assert orchard.pick("w1", [orchard.harvest], instance=instance).success

    def taken_back(*_: object) -> None:
        orchard.weigh("w1", orchard.good_rows("w1", trees=4))
        another_run(orchard.harvest)
        another_run(orchard.yields)

    once_before(monkeypatch, making, "publish_all", taken_back)
    assert orchard.pick("w1", [orchard.yields], instance=instance).success
    assert trees() == 4


def test_what_a_run_published_itself_does_not_make_its_other_inputs_newer(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for week in ("w1", "w2"):
        orchard.weigh(week, orchard.good_rows(week, trees=4))
        assert orchard.pick(week, instance=instance).success

    def corrected_elsewhere(session: LakeSession, *_: object) -> None:
        [run] = [run for run in instance.get_runs() if not run.is_finished]
        reading.pinned_version(session, "curated", instance, run.run_id)
        publish_rows(Settings.load(), "w1", [1], "corrected")
        assert processes.ended(pick_season) == 0
        publish_rows(Settings.load(), "w2", [1, 2, 3, 4], "own", run_id=run.run_id)

    once_before(monkeypatch, ledger, "current", corrected_elsewhere)
    late = dg.materialize([orchard.season], instance=instance, raise_on_error=False)
    assert late.success
    assert orchard.visible(orchard.SEASON) == [(2, 5.0)]


def test_a_lake_that_was_restored_from_a_backup_does_not_block_what_is_made_from_it(
    instance: dg.DagsterInstance,
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1", trees=4))
    assert orchard.pick("w1", instance=instance).success
    with LakeSession(Settings.load()) as session:
        current = ledger.current(session, orchard.YIELDS, ["w1"])["w1"].record
    before_the_loss = current.model_copy(
        update={
            "publish_id": "before the loss",
            "inputs": {"harvest": current.inputs["harvest"].model_copy(update={"partitions": {"w1": "lost rows"}})},
            "snapshots": {"harvest": 10**6},
        }
    )
    publish_rows(Settings.load(), "w1", [1], "before the loss", made=before_the_loss)
    orchard.weigh("w1", orchard.good_rows("w1", trees=7))
    assert orchard.pick("w1", instance=instance).success
    assert trees() == 7
