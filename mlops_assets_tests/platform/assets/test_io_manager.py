"""The I/O manager: plain Dagster assets read a lake's tables as any frame, at the state that the run began with."""

from __future__ import annotations

from typing import Any, Final

import dagster as dg
import ibis.expr.types as ir
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets_tests.platform import orchard

READ: Final = "lake_io_manager"


@pytest.fixture
def instance() -> dg.DagsterInstance:
    """An instance in which two weeks have been published."""
    found = dg.DagsterInstance.ephemeral()
    for week in ("w1", "w2"):
        orchard.weigh(week, orchard.good_rows(week))
        assert orchard.pick(week, instance=found).success
    return found


def run(plain: dg.AssetsDefinition, instance: dg.DagsterInstance, week: str | None = None) -> dg.ExecuteInProcessResult:
    """Materialize a plain asset beside the orchard's."""
    defs = build_defs([*orchard.ASSETS, plain])
    job = dg.Definitions.merge(defs, dg.Definitions(jobs=[dg.define_asset_job("read", [plain.key])]))
    return job.resolve_job_def("read").execute_in_process(instance=instance, partition_key=week, raise_on_error=False)


def seen_as(kind: type, instance: dg.DagsterInstance) -> Any:  # noqa: ANN401  whatever the annotation names
    """What a plain asset is given for that annotation."""
    seen: list[Any] = []

    def report(yields: Any) -> None:  # noqa: ANN401  annotated below
        seen.append(yields)

    report.__annotations__["yields"] = kind
    plain = dg.asset(ins={"yields": dg.AssetIn(orchard.YIELDS.key, input_manager_key=READ)})(report)
    assert run(plain, instance).success
    return seen[0]


def test_a_plain_asset_reads_every_published_partition_as_the_frame_that_it_names(
    instance: dg.DagsterInstance,
) -> None:
    arrow = seen_as(pa.Table, instance)
    assert isinstance(arrow, pa.Table)
    assert sorted(set(arrow["week"].to_pylist())) == ["w1", "w2"]
    pandas = seen_as(pd.DataFrame, instance)
    assert isinstance(pandas, pd.DataFrame)
    assert len(pandas) == arrow.num_rows == 8
    polars = seen_as(pl.DataFrame, instance)
    assert isinstance(polars, pl.DataFrame)
    assert polars.height == 8
    lazy = seen_as(ir.Table, instance)
    assert isinstance(lazy, ir.Table)
    assert lazy.count().to_pyarrow().as_py() == 8


def test_a_partitioned_plain_asset_reads_the_partition_that_is_mapped_to_its_own(instance: dg.DagsterInstance) -> None:
    seen: list[list[str]] = []

    @dg.asset(partitions_def=orchard.PARTITIONS, ins={"yields": dg.AssetIn(orchard.YIELDS.key, input_manager_key=READ)})
    def report(yields: pa.Table) -> None:
        seen.append(sorted(set(yields["week"].to_pylist())))

    assert run(report, instance, "w2").success
    assert seen == [["w2"]]


def told_by(failed: dg.ExecuteInProcessResult) -> str:
    """What the only failed step says."""
    [event] = failed.get_step_failure_events()
    told = event.step_failure_data.user_failure_data
    assert told is not None
    return str(told.description)


def test_a_partition_that_was_never_published_is_told(instance: dg.DagsterInstance) -> None:
    @dg.asset(partitions_def=orchard.PARTITIONS, ins={"yields": dg.AssetIn(orchard.YIELDS.key, input_manager_key=READ)})
    def report(yields: pa.Table) -> None: ...

    assert "wrangled/yields" in told_by(failed := run(report, instance, "w3"))
    assert "w3" in told_by(failed)


def test_an_input_that_is_no_table_of_a_lake_is_told(instance: dg.DagsterInstance) -> None:
    @dg.asset
    def note() -> None: ...

    @dg.asset(ins={"note": dg.AssetIn("note", input_manager_key=READ)})
    def report(note: pa.Table) -> None: ...

    defs = build_defs([*orchard.ASSETS, note, report])
    job = dg.Definitions.merge(defs, dg.Definitions(jobs=[dg.define_asset_job("read", [report.key])]))
    failed = job.resolve_job_def("read").execute_in_process(instance=instance, raise_on_error=False)
    assert "which is no table of a lake" in told_by(failed)


def test_rows_are_not_written_past_the_audit(instance: dg.DagsterInstance) -> None:
    @dg.asset(io_manager_key=READ)
    def report() -> pa.Table:
        return pa.table({"week": ["w1"]})

    assert "nothing would audit them" in told_by(run(report, instance))
