"""Runs that are executed again, by the daemon or by hand: they read the lake as it is, not as their parent saw it.

Dagster gives a re-execution all tags of its parent, also those that the parent got while it ran.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import dagster as dg
import ibis.expr.types as ir  # noqa: TC002  Dagster resolves the asset's annotations
import pytest
from dagster._cli.job import _create_run
from dagster._core.execution.plan.resume_retry import ReexecutionStrategy
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import consume_new_runs_for_automatic_reexecution

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.assets.reading import pinned_by_runs
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake.test_publishing import publish_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRIZE = dataclasses.replace(orchard.SEASON, table="prize", description="What the season won.")


@asset(contract=PRIZE, ins={"season": In(orchard.SEASON)})
def prize(season: ir.Table, settings: Settings) -> ir.Table:
    """What the season won; no prizes are given while it hails."""
    if (settings.home / "hail").exists():
        raise RuntimeError
    return season


DEFINITIONS = dg.Definitions(
    assets=[orchard.season, prize],
    jobs=[
        dg.define_asset_job("season_job", [orchard.season]),
        dg.define_asset_job("prize_job", [prize]),
        dg.define_asset_job("season_and_prize_job", [orchard.season, prize]),
    ],
    executor=dg.in_process_executor,
)


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance that retries failed runs once and launches in this process."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(
        """
telemetry: {enabled: false}
run_retries: {enabled: true, max_retries: 1}
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
run_launcher: {module: dagster._core.launcher.sync_in_memory_run_launcher, class: SyncInMemoryRunLauncher}
""",
        encoding="utf-8",
    )
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


class Farm:
    """The farm's code location, as daemon and web server see it, and the weather."""

    def __init__(self, instance: dg.DagsterInstance, context: WorkspaceProcessContext, home: Path) -> None:
        self.instance, self.context, self.hail = instance, context, home / "hail"
        self.workspace = context.create_request_context()
        [self.location] = self.workspace.code_locations
        [self.repository] = self.location.get_repositories().values()

    def run(self, job: str) -> dg.DagsterRun:
        """Launch the job, and wait for its end."""
        run = _create_run(
            self.instance,
            self.location,
            self.repository,
            self.repository.get_full_job(job),
            run_config={},
            tags=None,
            op_selection=None,
            run_id=None,
        )
        return self._launched(run)

    def execute_again(self, parent: dg.DagsterRun, strategy: ReexecutionStrategy) -> dg.DagsterRun:
        """Execute the run again as a person does on its page, and wait for its end."""
        run = self.instance.create_reexecuted_run(
            parent_run=parent,
            request_context=self.workspace,
            code_location=self.location,
            remote_job=self.repository.get_full_job(parent.job_name),
            strategy=strategy,
            use_parent_run_tags=True,
        )
        return self._launched(run)

    def retry_as_the_daemon_does(self, parent: dg.DagsterRun) -> dg.DagsterRun:
        """Let the daemon look at the failed run, and wait for the end of what it launches."""
        record = self.instance.get_run_record_by_id(parent.run_id)
        assert record is not None
        list(consume_new_runs_for_automatic_reexecution(self.context, [record], logging.getLogger()))
        [retry] = [run for run in self.instance.get_runs() if run.parent_run_id == parent.run_id]
        return retry

    def _launched(self, run: dg.DagsterRun) -> dg.DagsterRun:
        self.instance.launch_run(run.run_id, self.workspace)
        ended = self.instance.get_run_by_id(run.run_id)
        assert ended is not None
        return ended


@pytest.fixture
def farm(instance: dg.DagsterInstance, home: Path) -> Iterator[Farm]:
    target = LoadableTargetOrigin(module_name=__name__, attribute="DEFINITIONS")
    load = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(target))
    with WorkspaceProcessContext(instance, load) as context:
        yield Farm(instance, context, home)


@pytest.fixture
def failed(farm: Farm) -> dg.DagsterRun:
    """A run that failed on the prize of a season of one tree, after which a season of three was published."""
    publish_rows(Settings.load(), "w1", [1], "early")
    assert farm.run("season_job").status is dg.DagsterRunStatus.SUCCESS
    farm.hail.touch()
    failed = farm.run("prize_job")
    assert failed.status is dg.DagsterRunStatus.FAILURE
    farm.hail.unlink()
    publish_rows(Settings.load(), "w1", [1, 2, 3], "late")
    assert farm.run("season_job").status is dg.DagsterRunStatus.SUCCESS
    return failed


def test_an_automatic_retry_reads_what_was_published_since_its_parent_began(farm: Farm, failed: dg.DagsterRun) -> None:
    assert farm.run("prize_job").status is dg.DagsterRunStatus.SUCCESS
    assert farm.retry_as_the_daemon_does(failed).status is dg.DagsterRunStatus.SUCCESS
    assert orchard.visible(PRIZE) == [(1, 3.0)], "the newer prize was not overwritten by one of the older season"


@pytest.mark.parametrize("strategy", ReexecutionStrategy)
def test_a_run_executed_again_by_hand_reads_what_was_published_since_its_parent_began(
    strategy: ReexecutionStrategy, farm: Farm, failed: dg.DagsterRun
) -> None:
    assert farm.execute_again(failed, strategy).status is dg.DagsterRunStatus.SUCCESS
    assert orchard.visible(PRIZE) == [(1, 3.0)]


def test_a_retry_of_the_failed_steps_reads_what_its_parent_published(farm: Farm) -> None:
    publish_rows(Settings.load(), "w1", [1], "early")
    farm.hail.touch()
    failed = farm.run("season_and_prize_job")
    assert failed.status is dg.DagsterRunStatus.FAILURE
    assert orchard.visible(orchard.SEASON) == [(1, 1.0)]
    farm.hail.unlink()
    assert farm.retry_as_the_daemon_does(failed).status is dg.DagsterRunStatus.SUCCESS
    assert orchard.visible(PRIZE) == [(1, 1.0)]


def test_a_run_holds_the_version_that_it_reads_until_it_is_over_and_its_parents_never(
    instance: dg.DagsterInstance,
) -> None:
    started, failed = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
    for run_id, status, tag in (
        ("reads", started, "7 of run reads"),
        ("over", failed, "5 of run over"),
        ("again", started, "5 of run over"),
        ("new", started, None),
    ):
        tags = {} if tag is None else {"mlops_assets/lake_version_curated": tag}
        instance.add_run(dg.DagsterRun("job", run_id=run_id, status=status, tags=tags))
    assert pinned_by_runs(instance, "curated") == {"reads": 7}
    assert pinned_by_runs(instance, "restricted") == {}
