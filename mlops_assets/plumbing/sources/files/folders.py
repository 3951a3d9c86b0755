"""Folders of delivered files: which partitions' files are there and complete.

Put here how the files of a ``FileSource`` are found. Keep out places themselves (``places``) and runs (``arrivals``).
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from mlops_assets.platform.errors import PlatformError
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.templates import fields_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import dagster as dg

    from mlops_assets.plumbing.sources.arrivals import Told
    from mlops_assets.plumbing.sources.files.places import Place
    from mlops_assets.plumbing.sources.files.source import FileSource


def arrived(source: FileSource, instance: dg.DagsterInstance, told: Told) -> dict[str | None, str]:
    """The identities of the files that are there and complete, by partition.

    Args:
        source: whose files.
        instance: knows partitions that are added as it goes.
        told: gains what cannot be used, and what is not complete yet.
    """
    place = source.place(Settings.load())
    found: dict[str | None, str] = {}
    for key in _there(source, place, instance, told.problems):
        try:
            found[key] = source.promise(place, key).identity
        except PlatformError as error:
            told.add(error)
    keys = (
        source.contract.partitions_def.get_partition_keys(dynamic_partitions_store=instance)
        if (source.contract.partitions_def is not None and not fields_of(source.file))
        else None
    )
    if keys is not None and found:
        # One file holds them all.
        [identity] = found.values()
        return dict.fromkeys(keys, identity)
    return found


def _there(source: FileSource, place: Place, instance: dg.DagsterInstance, problems: list[str]) -> Iterable[str | None]:
    """The partitions whose files are there."""
    try:
        there = list(place.matching(source.patterns()))
    except PlatformError as error:
        problems.append(str(error))
        return
    contract = source.contract
    if contract.partitions_def is None or not fields_of(source.file):
        yield from (None for _ in there)
        return
    keys = contract.partitions_def.get_partition_keys(dynamic_partitions_store=instance)
    by_path: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        try:
            by_path[source.path_of(place, key)].append(key)
        except PlatformError as error:
            problems.append(str(error))
    for path in there:
        of = by_path.get(path, [])
        if len(of) == 1:
            yield of[0]
        else:
            why = f"could be of {' and '.join(of)}" if of else f"is of no partition of {contract.key.to_user_string()}"
            problems.append(f"{place.name_of(path)} {why}.")


def identities(source: FileSource, keys: Iterable[str | None]) -> dict[str | None, str]:
    """What tells the files of these partitions from others, of those that are there and whole."""
    place = source.place(Settings.load())
    found: dict[str | None, str] = {}
    for key in keys:
        with suppress(PlatformError):
            found[key] = source.promise(place, key).identity
    return found
