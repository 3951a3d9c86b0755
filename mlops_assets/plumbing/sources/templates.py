"""Texts of a declaration that differ from partition to partition: ``orders/{month}.csv``, ``{start:%Y-%m-%d}``.

Put here how such a text is filled in and read back. Keep out where it is used.
"""

from __future__ import annotations

import datetime as dt
import re
import string
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract

Watermark = dt.datetime | dt.date | str | int

PARTITION: Final = "partition"
START, END = "start", "end"
SINCE: Final = "since"
_FORMATTED: Final = frozenset({START, END, SINCE})
_FORMATTER: Final = string.Formatter()


def fields_of(text: str) -> set[str]:
    """The names between braces.

    Raises:
        ValueError: a brace is not closed.
    """
    return {name for _, name, _, _ in _FORMATTER.parse(text) if name is not None}


def known_names(contract: Contract, *, since: bool = False) -> list[str]:
    """What texts of that table may name: nothing where it has no partitions, and is not asked for changes."""
    watermark = [SINCE] if since else []
    if contract.partitions_def is None:
        return watermark
    of_time = [START, END] if time_dimension(contract) is not None else []
    return list(dict.fromkeys([PARTITION, *contract.partition_columns.values(), *of_time, *watermark]))


def require_known(
    source: str,
    option: str,
    text: str,
    contract: Contract,
    *,
    since: bool = False,
    formatted: Collection[str] = _FORMATTED,
) -> None:
    """Refuse a text that could not be filled in.

    Args:
        source: what is declared, for messages.
        option: which of its options the text is.
        text: the text.
        contract: whose partitions it is filled in for.
        since: whether it may name the watermark.
        formatted: the names that may have a format.

    Raises:
        ContractError: a brace is not closed, or a name between braces is none of the partition's.
    """
    known = set(known_names(contract, since=since))
    try:
        named = fields_of(text)
        strange = [name for _, name, spec, how in _FORMATTER.parse(text) if how or (spec and name not in formatted)]
    except ValueError as error:
        raise ContractError(
            source=source, culprit=f"its {option} cannot be filled in ({error}).", remedy="Write a brace itself twice."
        ) from None
    if strange:
        raise ContractError(
            source=source,
            culprit=f"its {option} names {{{strange[0]}}} with a conversion or a format.",
            remedy="Only dates and moments among {start}, {end} and {since} have one, of strftime: {start:%Y%m%d}.",
        )
    if unknown := sorted(named - known):
        there = ", ".join(f"{{{name}}}" for name in sorted(known)) or "none, since the table is not partitioned"
        raise ContractError(
            source=source,
            culprit=f"its {option} names {{{unknown[0]}}}.",
            remedy=f"There is: {there}.",
        )


def filled(text: str, contract: Contract, partition: Partition, since: Watermark | None = None) -> str:
    """The text of that partition.

    ``{partition}`` is its key, a partition column's name the value in it; of partitions of time ``{start}`` and
    ``{end}`` are its first moment and the one after its last, in ISO 8601 unless a format is given
    (``{start:%d.%m.%Y}``), as is ``{since}``, the watermark of what is published.
    """
    values: dict[str, Any] = {PARTITION: partition.key or "", **partition.values}
    if since is not None:
        values[SINCE] = _Moment(since) if isinstance(since, dt.date) else since
    if (window := _window(contract, partition)) is not None:
        values |= {START: _Moment(window.start), END: _Moment(window.end)}
    return _FORMATTER.vformat(text, (), values)


def pattern_of(text: str) -> re.Pattern[str]:
    """What texts look like that are filled in from this one, within one part of a path."""
    parts = (re.escape(literal) + ("" if name is None else "[^/]+") for literal, name, _, _ in _FORMATTER.parse(text))
    return re.compile("".join(parts))


def key_of(values: Mapping[str, str], contract: Contract) -> str:
    """The key of the partition with these values of the partition columns."""
    parts = {dimension: values[column] for dimension, column in contract.partition_columns.items()}
    return str(dg.MultiPartitionKey(parts)) if len(parts) > 1 else next(iter(parts.values()))


def is_partition(values: Mapping[str, object], contract: Contract) -> bool:
    """Whether there is a partition with these values of the partition columns; none has NULL."""
    if None in values.values():
        return False
    try:
        return bool(contract.partition_values(key_of({name: str(value) for name, value in values.items()}, contract)))
    except ContractError:
        return False


def tells_apart(names: Collection[str], contract: Contract) -> bool:
    """Whether texts filled in with these names differ wherever partitions do."""
    needed = set(contract.partition_columns.values())
    if (found := time_dimension(contract)) is not None and {START, END} & set(names):
        dimension = found[0] if found[0] is not None else contract.dimensions[0]
        needed.discard(contract.partition_columns[dimension])
    return PARTITION in names or needed <= set(names)


class _Moment:
    """A moment that is ISO 8601 where no format is given."""

    def __init__(self, moment: dt.date) -> None:
        self._moment = moment

    def __format__(self, spec: str) -> str:
        return self._moment.strftime(spec) if spec else self._moment.isoformat()


def time_dimension(contract: Contract) -> tuple[str | None, dg.TimeWindowPartitionsDefinition] | None:
    """The partitions of time among the contract's: the name of the dimension, ``None`` where it is the only one."""
    definition = contract.partitions_def
    if isinstance(definition, dg.TimeWindowPartitionsDefinition):
        return None, definition
    if isinstance(definition, dg.MultiPartitionsDefinition):
        for dimension in definition.partitions_defs:
            if isinstance(dimension.partitions_def, dg.TimeWindowPartitionsDefinition):
                return dimension.name, dimension.partitions_def
    return None


def _window(contract: Contract, partition: Partition) -> dg.TimeWindow | None:
    found = time_dimension(contract)
    if found is None or partition.key is None:
        return None
    name, definition = found
    key = partition.key if name is None else partition.values[contract.partition_columns[name]]
    return definition.time_window_for_partition_key(key)
