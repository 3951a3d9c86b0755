"""Tags of runs: which of them people may give to what they launch.

Put here tags alone. Keep out who may launch (``mutations``).

Dagster and its launchers steer by tags: the container that is stopped for a run is the one that its tags name, and a
run is a part of the backfill that they name. Such a tag is not anybody's to give. Dagster's pages copy all tags of a
run into the launch of its chosen steps, so a tag that the launch's own parent has, with that value, is let pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    GLOBAL_CONCURRENCY_TAG,
    HIDDEN_TAG_PREFIX,
    MULTIDIMENSIONAL_PARTITION_PREFIX,
    OP_SELECTION_TAG,
    PARENT_RUN_ID_TAG,
    PARTITION_NAME_TAG,
    PARTITION_SET_TAG,
    RESUME_RETRY_TAG,
    ROOT_RUN_ID_TAG,
    SCHEDULE_NAME_TAG,
    SENSOR_NAME_TAG,
    STEP_SELECTION_TAG,
    SYSTEM_TAG_PREFIX,
    USER_EDITABLE_SYSTEM_TAGS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import DagsterInstance

OF_CONTROL: Final = (SYSTEM_TAG_PREFIX, HIDDEN_TAG_PREFIX, "docker/")
"""How tags begin that Dagster or the launcher steers by."""
GIVEN: Final = frozenset(
    {
        *USER_EDITABLE_SYSTEM_TAGS,
        PARTITION_NAME_TAG,
        PARTITION_SET_TAG,
        ASSET_PARTITION_RANGE_START_TAG,
        ASSET_PARTITION_RANGE_END_TAG,
        OP_SELECTION_TAG,
        STEP_SELECTION_TAG,
        RESUME_RETRY_TAG,
        GLOBAL_CONCURRENCY_TAG,
        # What a dry run of a schedule or sensor asks for is launched with its name, which alone steers nothing.
        SCHEDULE_NAME_TAG,
        SENSOR_NAME_TAG,
        # Of the pages' own.
        f"{SYSTEM_TAG_PREFIX}from_ui",
        f"{SYSTEM_TAG_PREFIX}preset_name",
        f"{SYSTEM_TAG_PREFIX}op_selection",
    }
)
"""Those among them that a launch may say all the same: what is run, how urgent it is, and how often it is tried."""

_TAG_ARGUMENTS: Final = frozenset({"tags", "extraTags"})


def refused_tag(given: object, instance: DagsterInstance) -> str | None:
    """The first tag among a mutation's arguments that nobody may give; ``None`` if there is none."""
    return next(_refused(given, {}, instance), None)


def _refused(given: object, around: Mapping[str, object], instance: DagsterInstance) -> Iterator[str]:
    if isinstance(given, Mapping):
        for name, value in given.items():
            if name in _TAG_ARGUMENTS:
                yield from _of_control(value, {**around, **given}, instance)
            elif name != "runConfigData":
                yield from _refused(value, given, instance)
    elif isinstance(given, list):
        for value in given:
            yield from _refused(value, around, instance)


def _of_control(tags: object, around: Mapping[str, object], instance: DagsterInstance) -> Iterator[str]:
    parent_id, root_id = around.get("parentRunId"), around.get("rootRunId")
    parent = instance.get_run_by_id(parent_id) if isinstance(parent_id, str) else None
    had = {} if parent is None else {**parent.tags}
    had |= {PARENT_RUN_ID_TAG: str(parent_id), ROOT_RUN_ID_TAG: str(root_id)}
    for tag in tags if isinstance(tags, list) else []:
        key, value = tag["key"], tag["value"]
        if not key.startswith(OF_CONTROL) or key in GIVEN or key.startswith(MULTIDIMENSIONAL_PARTITION_PREFIX):
            continue
        if had.get(key) != value:
            yield key
