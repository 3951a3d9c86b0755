"""Own rows: whether each partition has a file of its own, and which rows are its own where one file holds those of all.

Put here what holds for files wherever they come from. Keep out how they are read (``formats``).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import duckdb

from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.plumbing.sources.templates import fields_of, filled, key_of, tells_apart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.plumbing.sources.delivered import Delivered, Request

_MOST_SHOWN: Final = 3
_LOOKED_AT: Final = 100


def tells_all_apart(text: str, contract: Contract) -> bool:
    """Whether the text names no partition, or each by another name; the first ones are looked at."""
    fields = fields_of(text)
    if not fields:
        return True
    if not tells_apart(fields, contract):
        return False
    definition = contract.partitions_def
    keys = [] if definition is None or contract.dynamic else definition.get_partition_keys()[:_LOOKED_AT]
    names = {filled(text, contract, Partition(key, contract.partition_values(key))) for key in keys}
    return len(names) == len(keys)


def own_rows(delivered: Delivered, request: Request, columns: Mapping[str, str]) -> Delivered:
    """The partition's rows of a file that holds those of all.

    Args:
        delivered: all of them.
        request: whose are wanted.
        columns: for columns that the source calls otherwise, its name.

    Raises:
        SourceError: the file does not say whose rows they are, does not hold as many as were promised, or some are
            of no partition: they are named, since ``2018.0`` would otherwise be left out of 2018 without a word.
    """
    rows, source = delivered.rows, delivered.source
    theirs = {name: columns.get(name, name) for name in request.partition.values}
    if absent := [column for column in theirs.values() if column not in rows.columns]:
        raise SourceError(
            source=source,
            culprit=f"it holds all partitions and has no column {absent[0]} that tells them apart.",
            remedy="Say in the declaration's columns how it calls it, or name the partition in file.",
        )
    texts = ", ".join(f"CAST({quote(column)} AS VARCHAR)" for column in theirs.values())
    try:
        found = rows.query("delivered", f"SELECT {texts}, count(*) FROM delivered GROUP BY ALL").fetchall()
    except duckdb.InvalidInputException:
        if delivered.unreadable is None:
            raise
        raise delivered.unreadable() from None
    delivered.require_promised(sum(count for *_, count in found))
    strange = [(values[:-1], values[-1]) for values in found if not _is_partition(values[:-1], request.contract)]
    if strange:
        shown = ", ".join(repr("|".join(map(str, values))) for values, _ in sorted(strange, key=str)[:_MOST_SHOWN])
        told = ", ".join(theirs.values()) + ("" if request.contract.personal else f": {shown}")
        raise SourceError(
            source=source,
            culprit=f"{sum(number for _, number in strange):,} of its rows are of no partition of the table ({told}).",
            remedy="Ask the source's owner how these are meant; nothing was left out in silence.",
        )
    own = " AND ".join(
        f"CAST({quote(theirs[name])} AS VARCHAR) = {literal(value)}" for name, value in request.partition.values.items()
    )
    return dataclasses.replace(delivered, rows=rows.filter(own), promised=None, of_more=True)


def _is_partition(values: tuple[Any, ...], contract: Contract) -> bool:
    by_column = {name: str(value) for name, value in zip(contract.partition_columns.values(), values, strict=True)}
    if None in values:
        return False
    key = key_of(by_column, contract)
    try:
        return bool(contract.partition_values(key))
    except ContractError:
        return False
