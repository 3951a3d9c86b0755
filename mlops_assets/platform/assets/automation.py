"""Automation: the condition under which an asset follows its inputs by itself.

Put here conditions that every pipeline shares. Keep out who evaluates them (``automation_sensor``), and schedules and
sensors of a domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster._utils.schedules import is_valid_cron_string

from mlops_assets.platform.contracts.arguments import require
from mlops_assets.platform.errors import ContractError


def on_new_data(
    *,
    needs: Sequence[dg.AssetKey] = (),
    at_most: str | None = None,
    last_good: Sequence[dg.AssetKey] = (),
    after: Sequence[dg.AssetKey] = (),
) -> dg.AutomationCondition[Any]:
    """Materialize a partition when the data of one of its inputs has changed, whichever partition that is.

    News counts as followed when the automation has asked for the asset after it, however that run ends: retries and
    alerts care for a failed one. A run that somebody started by hand does not count, and is made once more.

    Differences from ``AutomationCondition.eager()``, each needed here:

    - the failed blocking checks of an input hold its consumers back (``eager`` ignores them); where a step reads many
      partitions of it, one that has passed is enough, since the others keep their last good rows; of an input that
      another code location makes these are the checks of its contract;
    - partitions of the past follow too, not only those of the latest time window;
    - an input that was materialized again with equal rows (same data version) does not wake its consumers;
    - inputs that do not exist yet do not block: a step reads what is published, and says so when it cannot do without;
    - a step is asked for when its input has changed, not together with it: that one may turn out to have equal rows.

    Args:
        needs: inputs of which every mapped partition must exist.
        at_most: a cron expression (UTC) whose ticks alone start a run, for what is new then; for steps too dear to
            follow each change. Held back at the tick, it starts as soon as it may.
        last_good: inputs whose last good partition is to be used on, although a newer candidate has failed its checks
            (a promoted model).
        after: inputs by which the step is judged, automated in the same location, made in runs of their own from what
            it reads too: it waits until they have followed the same news.

    Raises:
        ContractError: an argument is of another kind, or no cron expression.

    Example:
        >>> import mlops_assets as ma
        >>> ma.on_new_data().get_label()
        'follow new data'
        >>> weekly = ma.on_new_data(at_most="0 6 * * 1")
    """
    source = "on_new_data"
    require(source, "last_good", last_good, Sequence[dg.AssetKey], "Give a list of asset keys.")
    require(source, "after", after, Sequence[dg.AssetKey], "Give a list of asset keys.")
    require(source, "at_most", at_most, str | None, "Give a cron expression: '0 6 * * 1'.")
    require(source, "needs", needs, Sequence[dg.AssetKey], "Give a list of asset keys.")
    if at_most is not None and not is_valid_cron_string(at_most):
        raise ContractError(
            source=source, culprit=f"its at_most is {at_most!r:.60}.", remedy="Give a cron expression: '0 6 * * 1'."
        )
    condition = dg.AutomationCondition
    # Also what one run made of both: it may have made another partition, or failed before this asset.
    news = condition.any_deps_match(condition.data_version_changed()).with_label("the data of an input changed")
    unfollowed = _since_asked_for(news)
    passed = condition.all_deps_match(
        condition.missing() | condition.all_checks_match(condition.check_passed(), blocking_only=True)
    )
    if last_good:
        passed = passed.ignore(dg.AssetSelection.assets(*last_good))
    follow: dg.AutomationCondition[Any] = unfollowed
    if at_most is not None:
        follow = _since_asked_for(unfollowed & condition.cron_tick_passed(at_most, "UTC"))
    follow &= passed.with_label("every input has passed its blocking checks")
    follow &= ~condition.any_deps_in_progress() & ~condition.in_progress()
    if after:
        # Asked of the input about its own inputs. One that was asked for and has ended without rows holds nobody back.
        follow &= ~condition.any_deps_match(unfollowed).allow(dg.AssetSelection.assets(*after))
    if needs:
        follow &= ~condition.any_deps_match(condition.missing()).allow(dg.AssetSelection.assets(*needs))
    return follow.with_label("follow new data")


def _since_asked_for(happened: dg.AutomationCondition[Any]) -> dg.AutomationCondition[Any]:
    """Whether it happened since the automation last asked for the asset.

    The request counts, not the end of the run: what an input became while the asset was being made, it has not read.
    What is seen together with the request came after it.
    """
    asked_for = dg.AutomationCondition.newly_requested() & ~happened
    return happened.since(asked_for).with_label("not yet followed")
