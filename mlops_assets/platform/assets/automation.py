"""Automation: the condition under which an asset follows its inputs by itself.

Put here conditions that every pipeline shares. Keep out schedules and sensors of a domain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Sequence

TICK_SECONDS: Final = 5


def on_new_data(
    *,
    needs_all: bool = False,
    at_most: str | None = None,
    last_good: Sequence[dg.AssetKey] = (),
    after: Sequence[dg.AssetKey] = (),
) -> dg.AutomationCondition[Any]:
    """Materialize a partition when the data of one of its inputs has changed, whichever partition that is.

    Differences from ``AutomationCondition.eager()``, each needed here:

    - the failed blocking checks of an input hold its consumers back (``eager`` ignores them);
    - partitions of the past follow too, not only those of the latest time window;
    - an input that was materialized again with equal rows (same data version) does not wake its consumers;
    - inputs that do not exist yet do not block: a step reads what is published, and says so when it cannot do without.

    Args:
        needs_all: wait until every mapped input partition exists, as a comparison of two months must.
        at_most: a cron expression (UTC) whose ticks alone start a run; for steps too dear to follow each change.
        last_good: inputs whose last good partition is to be used on, although a newer candidate has failed its checks
            (a promoted model).
        after: inputs by which the step is judged, made in runs of their own from what it reads too: it waits until
            they have followed the same news.
    """
    condition = dg.AutomationCondition
    # Also what one run made of both: it may have made another partition, or failed before this asset. Where it did
    # neither, the asset is made once more, with equal rows, and nobody else is woken.
    news = condition.any_deps_match(condition.data_version_changed()).with_label("the data of an input changed")
    changed = news | condition.any_deps_match(condition.will_be_requested())
    passed = condition.all_deps_match(
        condition.missing()
        | condition.all_checks_match(condition.check_passed() | condition.will_be_requested(), blocking_only=True)
    )
    if last_good:
        passed = passed.ignore(dg.AssetSelection.assets(*last_good))
    audited = passed.with_label("every input has passed its blocking checks")
    follow: Any = _unhandled(changed) & audited & ~condition.any_deps_in_progress() & ~condition.in_progress()
    if after:
        # Asked of the input, whose own inputs it has not followed yet: will_be_requested() is of the same run only.
        # Its end counts. One that has to be made again wakes this step again, too.
        behind = condition.any_deps_match(condition.data_version_changed()).since(
            condition.newly_requested() | condition.newly_updated()
        )
        follow &= ~condition.any_deps_match(behind).allow(dg.AssetSelection.assets(*after))
    if needs_all:
        follow &= ~condition.any_deps_missing()
    if at_most is not None:
        follow &= _unhandled(condition.cron_tick_passed(at_most, "UTC"))
    labelled: dg.AutomationCondition[Any] = follow.with_label("follow new data")
    return labelled


def _unhandled(trigger: dg.AutomationCondition[Any]) -> dg.AutomationCondition[Any]:
    """Whether it happened since the asset was last asked for or began to be made.

    What counts is the beginning: what an input became while the asset was being made, the asset has not read. When it
    happens between the same two ticks as the beginning, which came first cannot be told, and the asset is made again.
    """
    condition = dg.AutomationCondition
    in_progress = condition.in_progress()
    began = (condition.newly_requested() | in_progress.newly_true()) & ~trigger
    # A run by hand that nobody saw in progress, as while the daemon was down. Its end is known, and the inputs' times.
    unseen = condition.newly_updated() & ~condition.newly_requested() & ~in_progress & ~(~in_progress).newly_true()
    overtaken = condition.any_deps_match(condition.newly_updated()).since(condition.newly_updated())
    since: dg.AutomationCondition[Any] = trigger.since(began | (unseen & ~overtaken)).with_label("not yet followed")
    return since


def automation_sensor(name: str, assets: Sequence[dg.AssetKey]) -> dg.AutomationConditionSensorDefinition:
    """The running sensor that evaluates the conditions of those assets; Dagster's own starts stopped.

    It launches runs itself: backfills would wait for another daemon's half-minute loop.
    """
    return dg.AutomationConditionSensorDefinition(
        name,
        target=dg.AssetSelection.assets(*assets),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=TICK_SECONDS,
        emit_backfills=False,
    )
