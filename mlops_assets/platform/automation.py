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
    handled = condition.newly_requested() | condition.newly_updated()
    changed = condition.any_deps_match(condition.data_version_changed() | condition.will_be_requested()).with_label(
        "the data of an input changed"
    )
    passed = condition.all_deps_match(
        condition.missing()
        | condition.all_checks_match(condition.check_passed() | condition.will_be_requested(), blocking_only=True)
    )
    if last_good:
        passed = passed.ignore(dg.AssetSelection.assets(*last_good))
    audited = passed.with_label("every input has passed its blocking checks")
    follow: Any = (
        changed.since(handled).with_label("not yet followed")
        & audited
        & ~condition.any_deps_in_progress()
        & ~condition.in_progress()
    )
    if after:
        # Asked of the input, whose own inputs it has not followed yet: will_be_requested() is of the same run only.
        behind = condition.any_deps_match(condition.data_version_changed()).since(handled)
        follow &= ~condition.any_deps_match(behind).allow(dg.AssetSelection.assets(*after))
    if needs_all:
        follow &= ~condition.any_deps_missing()
    if at_most is not None:
        follow &= condition.cron_tick_passed(at_most, "UTC").since(handled)
    labelled: dg.AutomationCondition[Any] = follow.with_label("follow new data")
    return labelled


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
