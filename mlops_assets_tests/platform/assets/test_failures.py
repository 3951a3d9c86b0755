"""Failures: what a row holds reaches neither Dagster nor a log, wherever a step breaks; a person finds it by its id.

Each step here fails for real, over rows that hold a canary.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import tempfile
import traceback
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis
import pyarrow as pa
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from mlops_assets.platform.assets.alerts import alert_sensor
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.assets.reconciler import reconciler
from mlops_assets.platform.errors import LakeError, PlatformError, SourceUnavailableError
from mlops_assets.platform.settings import Settings
from mlops_assets.platform.withheld import kept_text
from mlops_assets_tests.canary import CANARY, files_with_it, told_in
from mlops_assets_tests.platform import orchard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import ibis.expr.types as ir

    from mlops_assets.platform.assets.step import Partition

ROW: Final = {"week": "w1", "tree": 1, "picker": CANARY, "kilos": 1.0}


@pytest.fixture(autouse=True)
def _temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


def harvest_of(function: Callable[..., Any], *, retries: int | None = None) -> dg.AssetsDefinition:
    """A published asset of that function over the harvest."""
    policy = dg.RetryPolicy(max_retries=retries) if retries is not None else None
    return asset(contract=orchard.HARVEST, retry_policy=policy)(function)


def fail(asset: dg.AssetsDefinition, instance: dg.DagsterInstance | None = None) -> dg.ExecuteInProcessResult:
    result = orchard.pick("w1", [asset], instance=instance)
    assert not result.success
    return result


def failure_of(result: dg.ExecuteInProcessResult) -> Any:  # noqa: ANN401  Dagster's UserFailureData is not exported
    (event,) = result.get_step_failure_events()
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return data


def kept_under(failure: Any) -> str:  # noqa: ANN401  as above
    return kept_text(Settings.load().errors, str(failure.metadata["error"].value))


def raises_it() -> pa.Table:
    """A parser's error: it quotes what it cannot take."""
    float(CANARY)
    return pa.table({})


def converts_it() -> ir.Table:
    """A query whose conversion fails when the rows are staged: DuckDB quotes the value."""
    rows = ibis.memtable(pa.Table.from_pylist([ROW]))
    return rows.mutate(tree=rows.picker.cast("int64"))


def chains_it() -> pa.Table:
    """An error of ours that came from one which quotes the value."""
    try:
        float(CANARY)
    except ValueError as error:
        raise LakeError(source="Scale", culprit="it shows no number.", remedy="Repair it.") from error
    return pa.table({})


def fails_on_purpose() -> pa.Table:
    """A failure that the function declares, raised while another is handled."""
    try:
        float(CANARY)
    except ValueError:
        raise dg.Failure("The scale shows no number.", metadata={"scale": "old"}, allow_retries=False)  # noqa: B904
    return pa.table({})


def asks_for_a_retry() -> pa.Table:
    """A retry that the function asks for."""
    try:
        float(CANARY)
    except ValueError as error:
        raise dg.RetryRequested(max_retries=1) from error
    return pa.table({})


def leaves_with_a_text() -> pa.Table:
    """An exit with a message."""
    raise SystemExit(f"cannot weigh {CANARY}")


def gives_another_type(partition: Partition) -> pa.Table:
    """Rows of a shape that the contract refuses."""
    return pa.table({"week": [partition.key], "picker": [CANARY]})


def gives_bad_rows() -> pa.Table:
    """Rows that break the contract's rules."""
    return pa.Table.from_pylist([{**ROW, "kilos": -1.0}, ROW])


def gives_good_rows() -> pa.Table:
    """Rows that keep them."""
    return pa.Table.from_pylist([ROW])


def unwritable() -> pa.Table:
    """Good rows, and a data folder that cannot be written any more."""
    folder = Settings.load().home / "lakes" / "restricted" / "data" / "raw"
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("a file", encoding="utf-8")
    return gives_good_rows()


def catalog_gone() -> pa.Table:
    """Good rows, and a catalog that is no database any more."""
    catalog = Settings.load().home / "lakes" / "restricted" / "catalog.sqlite"
    for file in catalog.parent.glob("catalog.sqlite*"):
        file.unlink()
    catalog.write_text("no database" * 1000, encoding="utf-8")
    return gives_good_rows()


QUOTING: Final = (raises_it, converts_it, chains_it, fails_on_purpose, asks_for_a_retry, leaves_with_a_text)
BREAKING: Final = (
    *QUOTING,
    gives_another_type,
    gives_bad_rows,
    unwritable,
    catalog_gone,
)


@pytest.mark.parametrize("function", BREAKING, ids=lambda function: function.__name__)
def test_wherever_a_step_breaks_the_value_is_in_no_event_log_alert_or_temporary_file(
    function: Callable[..., Any],
    instance: dg.DagsterInstance,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    breaking = harvest_of(function)
    fail(breaking, instance)
    alert_sensor("watch", breaking.specs)(dg.build_sensor_context(instance=instance))

    assert Settings.load().alert_log.exists()
    places = {place for place in files_with_it(tmp_path) if not place.startswith("home/lakes/restricted/")}
    kept = {place for place in places if place.startswith("home/errors/")}
    assert places == kept
    assert bool(kept) == (function in QUOTING)
    captured = capfd.readouterr()
    assert not told_in(captured.out + captured.err + caplog.text)


def test_what_was_published_before_leaves_the_value_in_the_restricted_lake_alone(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    @asset(contract=orchard.SORTED_HARVEST)
    def sorted_harvest() -> pa.Table:
        return pa.Table.from_pylist([{**ROW, "tree": 2, "kilos": -1.0}, ROW])

    @asset(contract=orchard.YIELDS, ins={"harvest": In(orchard.HARVEST)})
    def yields(harvest: ir.Table) -> ir.Table:
        return harvest.mutate(kilos=harvest.picker.cast("float64")).drop("picker")

    result = orchard.pick("w1", [harvest_of(gives_good_rows), sorted_harvest, yields], instance=instance)
    assert [event.step_key for event in result.get_step_failure_events()] == ["wrangled__yields"]
    places = {place.partition("/data/")[0] for place in files_with_it(tmp_path)}
    restricted = "home/lakes/restricted"
    assert {place for place in places if not place.startswith(f"{restricted}/catalog.sqlite")} == {
        restricted,
        f"home/errors/{failure_of(result).metadata['error'].value}.txt",
    }


def test_an_unexpected_error_is_told_by_type_place_and_id_under_which_its_text_is_kept() -> None:
    failure = failure_of(fail(harvest_of(raises_it)))
    line = raises_it.__code__.co_firstlineno + 2
    assert f"Asset raw/harvest: unexpected ValueError at {__file__}:{line} in raises_it." in failure.description
    assert f"mlops-assets error {failure.metadata['error'].value}" in failure.description
    assert f"{__file__}:{line} in raises_it" in str(failure.metadata["frames"].value).splitlines()
    text = kept_under(failure)
    assert f"could not convert string to float: {CANARY!r}" in text
    assert "Traceback" in text


def test_kept_texts_are_for_their_owner_alone() -> None:
    before = os.umask(0)
    try:
        fail(harvest_of(raises_it))
    finally:
        os.umask(before)
    folder = Settings.load().errors
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]


def test_a_known_trouble_of_the_machine_is_named_without_the_rest_of_the_text() -> None:
    def full() -> pa.Table:
        raise OSError(28, os.strerror(28), CANARY)

    failure = failure_of(fail(harvest_of(full)))
    assert "unexpected OSError: No space left on device at " in failure.description


def test_a_text_that_cannot_be_kept_is_lost_and_not_told(home: Path) -> None:
    (home / "errors").write_text("a file", encoding="utf-8")
    result = fail(harvest_of(raises_it))
    assert "What it says could not be kept (FileExistsError" in failure_of(result).description
    assert not told_in(str(result.all_events))


def test_old_texts_are_removed(home: Path) -> None:
    old = home / "errors" / "0123456789ab.txt"
    old.parent.mkdir()
    old.write_text("about somebody", encoding="utf-8")
    os.utime(old, (0, 0))
    fail(harvest_of(raises_it))
    assert not old.exists()


def test_no_error_that_an_error_of_ours_came_from_reaches_dagster_but_it_is_kept() -> None:
    result = fail(harvest_of(chains_it))
    failure = failure_of(result)
    assert failure.description == "Scale: it shows no number. Repair it."
    (event,) = result.get_step_failure_events()
    assert event.step_failure_data.error is not None
    assert event.step_failure_data.error.cause is None
    assert event.step_failure_data.error.context is None
    cause = str(failure.metadata["cause"].value)
    assert "unexpected ValueError" in cause
    assert told_in(kept_text(Settings.load().errors, cause.rpartition(" ")[2]))


def test_a_declared_failure_stays_as_it_was_declared() -> None:
    failure = failure_of(fail(harvest_of(fails_on_purpose, retries=3)))
    assert failure.description == "The scale shows no number."
    assert failure.metadata["scale"].value == "old"


@pytest.mark.parametrize(
    ("raised", "attempts"),
    [
        (ValueError("x"), 3),
        (SourceUnavailableError(source="Scale", culprit="away.", remedy="Wait."), 3),
        (PlatformError(source="Scale", culprit="broken.", remedy="Repair."), 1),
        (dg.DagsterInvariantViolationError("x"), 1),
        (dg.Failure("x", allow_retries=False), 1),
        (dg.Failure("x"), 3),
        (dg.RetryRequested(max_retries=1), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_retries_are_as_for_the_error_itself(raised: Exception, attempts: int) -> None:
    asked: list[int] = []

    def function() -> pa.Table:
        asked.append(1)
        raise raised

    fail(harvest_of(function, retries=2))
    assert len(asked) == attempts


@pytest.mark.parametrize("end", [KeyboardInterrupt, DagsterExecutionInterruptedError, SystemExit])
def test_what_ends_a_process_passes_without_what_was_being_handled(end: type[BaseException]) -> None:
    def ends() -> Iterator[None]:
        with told_plainly("Asset"):
            try:
                float(CANARY)
            except ValueError:
                raise end  # noqa: B904  as an interrupt comes
            yield

    with pytest.raises(end) as caught:
        next(ends())
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "sensor",
    [reconciler("lost", [orchard.HARVEST]), alert_sensor("watch", orchard.harvest.specs)],
    ids=lambda s: s.name,
)
def test_a_sensor_that_fails_unexpectedly_tells_type_place_and_id(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quotes(*_: object, **__: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(type(instance), "get_run_records", quotes)
    monkeypatch.setattr("mlops_assets.platform.assets.reconciler.reconcile", quotes)
    with pytest.raises(dg.Failure, match=f"Sensor {sensor.name}: unexpected .* mlops-assets error") as caught:
        sensor(dg.build_sensor_context(instance=instance))
    assert not told_in("".join(traceback.format_exception(caught.value)))
