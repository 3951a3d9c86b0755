"""Faults: what went wrong with tables in the runs that ended, and whether it has passed since.

Put here what counts as one fault, and its wording. Keep out whom it is told to (``alerts``) and how (``delivery``), and
what makes a check fail (that is the contracts' part).

A fault has no values of rows in it: no samples, no names of columns that somebody delivered, no text of an unexpected
exception. What a broken rule says is the contract's own wording.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from mlops_assets.platform.audit.outcomes import Broken, broken_in
from mlops_assets.platform.contracts import rules

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from dagster import AssetCheckEvaluation, EventLogEntry

Severity = Literal["warning", "error"]
Subject = tuple[str, str | None]
"""An asset key as text, and a partition key."""

_MOST_TOLD: Final = 10
_OF_A_PLATFORM_ERROR: Final = {"source", "culprit", "remedy"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault of one run.

    Attributes:
        id: the same whenever the same run is looked at.
        kind: ``check_failed`` or ``run_failed``.
        severity: ``error`` when nothing was published, ``warning`` when the data flowed on.
        subjects: the partitions that it befell, each with when.
        rules: the kinds of rules that were broken, and judged checks that failed; or the failed step.
        rows: rows that break the rules, where known.
        what: what happened, to follow the name of its table.
        run_id: the run.
    """

    id: str
    kind: Literal["check_failed", "run_failed"]
    severity: Severity
    subjects: Mapping[Subject, float]
    rules: tuple[str, ...]
    rows: int | None
    what: str
    run_id: str

    @property
    def assets(self) -> list[str]:
        """The assets that it befell, sorted."""
        return sorted({asset for asset, _ in self.subjects})


def ended_runs(instance: dg.DagsterInstance, since: float, known: Collection[str]) -> list[dg.RunRecord]:
    """Runs that ended since then and are not known yet, oldest first.

    Every storage can tell which runs changed since a time, but not every one can tell events across runs.
    """
    records = instance.get_run_records(
        dg.RunsFilter(updated_after=dt.datetime.fromtimestamp(max(since, 0.0), tz=dt.UTC))
    )
    ended = [
        record
        for record in records
        if record.end_time is not None
        and record.end_time >= since
        and record.dagster_run.is_finished
        and record.dagster_run.run_id not in known
    ]
    return sorted(ended, key=lambda record: record.end_time or 0.0)


def faults_of(instance: dg.DagsterInstance, record: dg.RunRecord, assets: AbstractSet[dg.AssetKey]) -> list[Fault]:
    """The faults of these assets in a run that ended.

    The failed checks of a partition are one fault; so are partitions of an asset that break the same rules. What did
    not get made because of a step before it has no fault of its own.
    """
    run_id = record.dagster_run.run_id
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [entry.get_dagster_event().asset_check_evaluation_data for entry in entries]
    at = {
        (evaluation.asset_key.to_user_string(), evaluation.partition): entry.timestamp
        for entry, evaluation in zip(entries, found, strict=True)
    }
    failed: defaultdict[Subject, list[AssetCheckEvaluation]] = defaultdict(list)
    for evaluation in found:
        if not evaluation.passed and evaluation.asset_key in assets:
            failed[evaluation.asset_key.to_user_string(), evaluation.partition].append(evaluation)
    alike: defaultdict[tuple[str, Severity, tuple[str, ...]], list[Subject]] = defaultdict(list)
    for subject, evaluations in failed.items():
        severity = _severity(evaluations)
        if severity == "error":
            # What only warns did not keep anything back, and has its own check in the UI.
            failed[subject] = [each for each in evaluations if each.severity is dg.AssetCheckSeverity.ERROR]
        alike[subject[0], severity, _kinds(failed[subject])].append(subject)
    faults = [
        _check_fault(run_id, severity, kinds, {subject: at[subject] for subject in subjects}, failed)
        for (_, severity, kinds), subjects in alike.items()
    ]
    if record.dagster_run.is_failure:
        faults += _run_faults(instance, record, assets, told=failed.keys())
    return faults


def has_passed(instance: dg.DagsterInstance, subject: Subject, at: float, ended: Collection[str], since: float) -> bool:
    """Whether the partition was published again after that time, in a run whose own faults are known.

    Args:
        instance: the Dagster instance.
        subject: the partition.
        at: when it was last at fault, seconds since the epoch.
        ended: runs whose faults are known.
        since: all runs that ended before that time are known too, or never will be.
    """
    asset, partition = subject
    wanted = dg.AssetRecordsFilter(
        dg.AssetKey.from_user_string(asset), asset_partitions=None if partition is None else [partition]
    )
    found = instance.fetch_materializations(wanted, limit=1).records
    if not found and partition is not None:
        # A run that knew its partition alone may have been to make a table that has none.
        last = instance.fetch_materializations(dg.AssetRecordsFilter(wanted.asset_key), limit=1).records
        found = [record for record in last if record.partition_key is None]
    if not found or found[0].timestamp <= at:
        return False
    run = instance.get_run_record_by_id(found[0].run_id)
    return run is None or run.dagster_run.run_id in ended or (run.end_time is not None and run.end_time < since)


def _broken(evaluation: AssetCheckEvaluation) -> list[Broken]:
    """The rules that a failed check found broken; the check itself with its reason, where it tells of none."""
    reason = evaluation.metadata.get("reason")
    told = str(reason.value) if reason is not None else "see its page"
    return broken_in(evaluation.metadata) or [Broken(evaluation.check_name, None, told, None)]


def _kinds(evaluations: Iterable[AssetCheckEvaluation]) -> tuple[str, ...]:
    """The kinds of rules that are broken; of a wrong shape that alone, since nothing else was judged then."""
    kinds = tuple(dict.fromkeys(broken.kind for evaluation in evaluations for broken in _broken(evaluation)))
    return (rules.SHAPE,) if rules.SHAPE in kinds else kinds


def _severity(evaluations: Iterable[AssetCheckEvaluation]) -> Severity:
    return "error" if any(e.severity is dg.AssetCheckSeverity.ERROR for e in evaluations) else "warning"


def _check_fault(
    run_id: str,
    severity: Severity,
    kinds: tuple[str, ...],
    subjects: Mapping[Subject, float],
    failed: Mapping[Subject, Sequence[AssetCheckEvaluation]],
) -> Fault:
    found = [each for subject in subjects for evaluation in failed[subject] for each in _broken(evaluation)]
    told = [broken for broken in found if broken.kind in kinds]
    counts = [broken.rows for broken in told if broken.rows is not None]
    consequence = (
        "nothing was published, the last good data stands, and what is made from it waits until it passes"
        if severity == "error"
        else "the data flowed on"
    )
    return Fault(
        id=_id(run_id, *kinds, *_texts(subjects)),
        kind="check_failed",
        severity=severity,
        subjects=subjects,
        rules=kinds,
        rows=sum(counts) if counts else None,
        what=f"failed its checks ({_wording(told)}); {consequence}.",
        run_id=run_id,
    )


def _wording(told: Iterable[Broken]) -> str:
    """Which rules are broken, each with its rows in all partitions."""
    rows: dict[Broken, int | None] = {}
    for each in told:
        rule = dataclasses.replace(each, rows=None)
        rows[rule] = each.rows if each.rows is None else each.rows + (rows.get(rule) or 0)
    words = [dataclasses.replace(rule, rows=number).words for rule, number in rows.items()]
    more = [f"and {len(words) - _MOST_TOLD} more"] if len(words) > _MOST_TOLD else []
    return "; ".join([*words[:_MOST_TOLD], *more])


def _run_faults(
    instance: dg.DagsterInstance, record: dg.RunRecord, assets: AbstractSet[dg.AssetKey], *, told: Collection[Subject]
) -> list[Fault]:
    """A fault for each step that failed otherwise than by its checks; one for a run that ended before it could tell."""
    run = record.dagster_run
    made = {
        (materialization.asset_key.to_user_string(), materialization.partition)
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        if (materialization := entry.asset_materialization) is not None
    }
    missing: defaultdict[str | None, set[Subject]] = defaultdict(set)
    for step, subject in _planned(instance, run):
        if dg.AssetKey.from_user_string(subject[0]) in assets and subject not in made and subject not in told:
            missing[step].add(subject)
    failures = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    if failures:
        return [
            _run_fault(run.run_id, failure.step_key, missing[failure.step_key], failure.timestamp, _why(failure))
            for failure in failures
            if not _is_check_failure(failure) and missing[failure.step_key]
        ]
    left = set[Subject]().union(*missing.values())
    why = "it ended before a step could tell why (killed, or never started)."
    return [_run_fault(run.run_id, None, left, record.end_time or 0.0, why)] if left else []


def _planned(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterable[tuple[str | None, Subject]]:
    """What the run was to make, with the step that was to make it.

    Dagster plans it in events, which cannot be written where the disk is full. The run itself, written before, tells of
    the assets then; of a range of partitions the first and the last.
    """
    seen = set[dg.AssetKey]()
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED):
        planned = entry.get_dagster_event().asset_materialization_planned_data
        seen.add(planned.asset_key)
        subset = planned.partitions_subset
        for key in subset.get_partition_keys() if subset is not None else [planned.partition]:
            yield entry.step_key, (planned.asset_key.to_user_string(), key)
    tags = (PARTITION_NAME_TAG, ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
    partitions: set[str | None] = {run.tags[tag] for tag in tags if tag in run.tags}
    partitions = partitions or {None}
    plan_id = run.execution_plan_snapshot_id
    plan = instance.get_execution_plan_snapshot(plan_id) if plan_id is not None else None
    if not plan:
        for asset in (run.asset_selection or frozenset()) - seen:
            yield from ((None, (asset.to_user_string(), key)) for key in partitions)
        return
    for step in plan.steps:
        for output in step.outputs if step.key in plan.step_keys_to_execute else ():
            made = output.properties
            if made is not None and made.asset_key is not None and made.asset_key not in seen:
                of = partitions if made.is_asset_partitioned else {None}
                yield from ((step.key, (made.asset_key.to_user_string(), key)) for key in of)


def _run_fault(run_id: str, step: str | None, subjects: AbstractSet[Subject], at: float, why: str) -> Fault:
    return Fault(
        id=_id(run_id, step or "run"),
        kind="run_failed",
        severity="error",
        subjects=dict.fromkeys(sorted(subjects, key=str), at),
        rules=(step or "run",),
        rows=None,
        what=f"was not made, the last good data stands, and what is made from it waits. Its run failed: {why}",
        run_id=run_id,
    )


def _is_check_failure(event: EventLogEntry) -> bool:
    error = event.get_dagster_event().step_failure_data.error
    return error is not None and error.cls_name == "DagsterAssetCheckFailedError"


def _why(failure: EventLogEntry) -> str:
    data = failure.get_dagster_event().step_failure_data
    told = data.user_failure_data
    if told is not None and told.description and set(told.metadata) >= _OF_A_PLATFORM_ERROR:
        return str(told.description)
    # The text of any other exception may quote a row; its type does not.
    cause = data.error
    while cause is not None and cause.cause is not None:
        cause = cause.cause
    return f"{cause.cls_name if cause is not None else 'unknown error'}; see the run's log."


def _texts(subjects: Iterable[Subject]) -> list[str]:
    return sorted(f"{asset} {partition}" for asset, partition in subjects)


def _id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
