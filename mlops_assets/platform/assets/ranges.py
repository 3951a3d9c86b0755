"""Ranges: requests for one partition each, put together into requests for runs of many.

Put here which partitions may be made in one run. Keep out when they are asked for (``automation_sensor``) and how they
are made (``making``).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.platform.assets.inputs import contract_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

RANGE_START: Final = "dagster/asset_partition_range_start"
RANGE_END: Final = "dagster/asset_partition_range_end"
_PARTITION: Final = "dagster/partition"

_Cell = tuple[int, int]
_Span = tuple[int, int]
_Block = tuple[_Span, _Span]
"""The first and the last row, and the first and the last column."""


def in_ranges(
    requests: Sequence[dg.RunRequest],
    assets: Mapping[dg.AssetKey, dg.AssetsDefinition],
    instance: dg.DagsterInstance | None = None,
) -> list[dg.RunRequest]:
    """The requests, with those for the same assets put together into few runs, each of a range of partitions.

    A range holds no partition that was not asked for, and no more than the ``backfill_policy`` of its assets says. Left
    as they are: requests for assets that tell Dagster one end for all partitions of a run, and those where one asset is
    made from another one or from itself, since a partition that fails there would keep the others back.

    Args:
        requests: with a partition key, or without.
        assets: the code location's, by their keys.
        instance: knows partitions that are added as it goes.
    """
    left: list[dg.RunRequest] = []
    alike: dict[object, list[dg.RunRequest]] = defaultdict(list)
    for request in requests:
        if _at_most(request, assets) > 1:
            checks = request.asset_check_keys
            of = (frozenset(request.asset_selection or ()), None if checks is None else frozenset(checks))
            alike[request.job_name, of, frozenset(_tags(request).items())].append(request)
        else:
            left.append(request)
    return left + [run for same in alike.values() for run in _together(same, assets, instance)]


def _at_most(request: dg.RunRequest, assets: Mapping[dg.AssetKey, dg.AssetsDefinition]) -> int:
    """How many partitions may be made in a run with that of the request."""
    chosen = set(request.asset_selection or ())
    definitions = [assets[key] for key in chosen if key in assets]
    if request.partition_key is None or not chosen or len(definitions) < len(chosen):
        return 1
    return min(_of_one_asset(definition, chosen) for definition in definitions)


def _of_one_asset(definition: dg.AssetsDefinition, chosen: Collection[dg.AssetKey]) -> int:
    follows = {dep.asset_key for spec in definition.specs for dep in spec.deps}
    return partitions_in_a_run(definition) if follows.isdisjoint(chosen) else 1


def partitions_in_a_run(definition: dg.AssetsDefinition) -> int:
    """How many partitions of an asset a run can make, each with an end of its own."""
    policy = definition.backfill_policy
    if policy is None or contract_of(definition) is None:
        return 1
    return policy.max_partitions_per_run or sys.maxsize


def _tags(request: dg.RunRequest) -> dict[str, str]:
    """The tags that are not of the partition."""
    return {name: value for name, value in request.tags.items() if not f"{name}/".startswith(f"{_PARTITION}/")}


def _together(
    requests: Sequence[dg.RunRequest],
    assets: Mapping[dg.AssetKey, dg.AssetsDefinition],
    instance: dg.DagsterInstance | None,
) -> Iterator[dg.RunRequest]:
    """Requests that differ in their partitions alone, as few runs."""
    first = requests[0]
    [key, *_] = first.asset_selection or ()
    partitions_def = assets[key].partitions_def
    if partitions_def is None:
        yield from requests
        return
    by_key = {str(each.partition_key): each for each in requests}
    for start, end in key_ranges(partitions_def, list(by_key), at_most=_at_most(first, assets), instance=instance):
        if start == end:
            yield by_key[start]
        else:
            tags = {**_tags(first), RANGE_START: start, RANGE_END: end}
            yield first.with_replaced_attrs(partition_key=None, tags=tags)


def key_ranges(
    partitions_def: dg.PartitionsDefinition[str],
    keys: Sequence[str],
    *,
    at_most: int,
    instance: dg.DagsterInstance | None = None,
) -> list[tuple[str, str]]:
    """Few ranges that hold these partitions and no others, each by its first and last key.

    Args:
        partitions_def: the partitions, with two dimensions at most.
        keys: different ones.
        at_most: how many a range may hold.
        instance: knows partitions that are added as it goes.
    """
    cells = dict(zip(_cells(partitions_def, keys, instance), keys, strict=True))
    return [(cells[top, left], cells[bottom, right]) for (top, bottom), (left, right) in _blocks(cells, at_most)]


def _cells(
    partitions_def: dg.PartitionsDefinition[str], keys: Sequence[str], instance: dg.DagsterInstance | None
) -> list[_Cell]:
    """For each key its row and column in the order of the definition; those of one dimension are in one row."""
    if not isinstance(partitions_def, dg.MultiPartitionsDefinition):
        order = _order(partitions_def, instance)
        return [(0, order[key]) for key in keys]
    rows, columns = partitions_def.partitions_defs
    row_order, column_order = _order(rows.partitions_def, instance), _order(columns.partitions_def, instance)
    parts = [partitions_def.get_partition_key_from_str(key).keys_by_dimension for key in keys]
    return [(row_order[part[rows.name]], column_order[part[columns.name]]) for part in parts]


def _order(partitions_def: dg.PartitionsDefinition[str], instance: dg.DagsterInstance | None) -> dict[str, int]:
    keys = partitions_def.get_partition_keys(dynamic_partitions_store=instance)
    return {key: number for number, key in enumerate(keys)}


def _blocks(cells: Collection[_Cell], at_most: int) -> list[_Block]:
    """Few blocks that hold these cells and no others, each of no more than that many."""
    upright = _pieces(_rectangles(cells), at_most)
    turned = _pieces(_rectangles({(column, row) for row, column in cells}), at_most)
    turned_back = [(rows, columns) for columns, rows in turned]
    return sorted(upright if len(upright) <= len(turned) else turned_back)


def _rectangles(cells: Collection[_Cell]) -> Iterator[_Block]:
    """The neighbours in each row, with the same ones of the neighbouring rows."""
    in_row: dict[int, list[int]] = defaultdict(list)
    for row, column in cells:
        in_row[row].append(column)
    rows_of: dict[_Span, list[int]] = defaultdict(list)
    for row, columns in in_row.items():
        for span in _spans(columns):
            rows_of[span].append(row)
    for span, rows in rows_of.items():
        for each in _spans(rows):
            yield each, span


def _spans(numbers: Collection[int]) -> list[_Span]:
    """The first and the last of numbers that follow one another without a gap."""
    found: list[_Span] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _pieces(blocks: Iterable[_Block], at_most: int) -> list[_Block]:
    """The blocks in pieces of no more cells than that."""
    pieces = []
    for rows, columns in blocks:
        wide = min(columns[1] - columns[0] + 1, at_most)
        pieces += [(row, column) for row in _parts(rows, at_most // wide) for column in _parts(columns, wide)]
    return pieces


def _parts(span: _Span, size: int) -> list[_Span]:
    return [(start, min(start + size - 1, span[1])) for start in range(span[0], span[1] + 1, size)]
