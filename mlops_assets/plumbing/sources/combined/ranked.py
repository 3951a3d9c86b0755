"""Sources of a combined table: the rows of each in that table's columns, types and partition.

Put here how one source's rows are made fit. Keep out how they are put together with others' (``combining``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.plumbing.sources.templates import is_partition

if TYPE_CHECKING:
    from collections.abc import Collection

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.plumbing.sources.combined.parts import Part

_MOST_SHOWN: Final = 3
_DECLARED: Final = "Correct the declaration's columns (ours: theirs) and without."
_PERSONAL: Final = "Declare them personal in the table's contract, too, or leave them out (without)."


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A source's rows in the columns of the table to be made; of those of higher precedence first.

    Attributes:
        name: of the source.
        rows: its rows.
        columns: the table's columns that it has.
    """

    name: str
    rows: ir.Table
    columns: frozenset[str]


def ranked(
    part: Part,
    rows: ir.Table,
    contract: Contract,
    partition: Partition,
    *,
    key: Collection[str],
    personal: Collection[str],
    filled_in: Collection[str],
    whole: bool,
    telling: bool,
) -> Ranked:
    """The rows of a source in the table's columns and types.

    Args:
        part: what is declared of the source.
        rows: as they are published.
        contract: the table to be made.
        partition: of it.
        key: columns by which rows are the same.
        personal: columns of the source that hold values of persons.
        filled_in: columns of the table that no source need have.
        whole: whether the rows are those of all partitions, of which the own ones are taken.
        telling: whether a message may name values.

    Raises:
        ContractError: a column is missing, unexpected, of another type, or personal in the source alone.
        SourceError: rows are of no partition.
    """
    types, without = columns_of(contract), part.without
    # What is declared to be one column is not another one by its name as well.
    wanted = {**{column: column for column in types if column not in part.columns.values()}, **part.columns}
    taken = {*types} - {*filled_in}
    there = {ours: wanted[ours] for ours in types if wanted.get(ours) in {*rows.columns} - {*without} and ours in taken}
    own = {} if whole else {column: value for column, value in partition.values.items() if column not in there}
    needed = {column for column in taken if not contract.schema.columns[column].nullable}
    missing = sorted((needed | {*key, *partition.values}) - there.keys() - own.keys())
    unexpected = [column for column in rows.columns if column not in {*there.values(), *without}]
    unknown = [column for column in without if column not in rows.columns]
    exposed = [theirs for ours, theirs in there.items() if theirs in personal and ours not in contract.personal]
    source = called(part.called, contract)
    for wrong, what, remedy in (
        (missing, "it lacks columns that the table must have", _DECLARED),
        (unexpected, "it has columns that the table does not take", _DECLARED),
        (unknown, "it lacks columns that are to be left out", _DECLARED),
        (exposed, "it has columns that are personal, and in the table they are not", _PERSONAL),
    ):
        if wrong:
            raise ContractError(source=source, culprit=f"{what}: {', '.join(wrong)}.", remedy=remedy)
    chosen = [_cast(source, rows[theirs], types[ours]).name(ours) for ours, theirs in there.items()]
    found = rows.select(*chosen, *(ibis.literal(value).name(column) for column, value in own.items()))
    if whole and partition.values:
        found = _of(source, found, contract, partition, telling=telling)
    return Ranked(name=part.called, rows=found, columns=frozenset(found.columns))


def _cast(source: str, column: ir.Value, kind: dt.DataType) -> ir.Value:
    stored = column.type()
    if stored.copy(nullable=True) == kind.copy(nullable=True):
        return column
    if not _holds(kind, stored):
        raise ContractError(
            source=source,
            culprit=f"its column {column.get_name()} is {stored}, in the table it is {kind}.",
            remedy="Give both one type in their contracts, or the table one that holds every value of the source's.",
        )
    return column.cast(kind)


def _holds(kind: dt.DataType, other: dt.DataType) -> bool:
    """Whether a number of the other type is the same number in this one, whichever it is."""
    if kind.is_integer() and other.is_integer():
        return bool(kind.bounds.lower <= other.bounds.lower and other.bounds.upper <= kind.bounds.upper)
    return bool(kind.is_floating() and other.is_floating() and other.nbytes <= kind.nbytes)


def _of(source: str, rows: ir.Table, contract: Contract, partition: Partition, *, telling: bool) -> ir.Table:
    """The rows of the partition, where a source has those of all.

    Raises:
        SourceError: some are of no partition at all: they would be left out everywhere.
    """
    columns = list(partition.values)
    # By their places: a column may be called like the number beside them.
    keys = rows.select(*(rows[column].name(str(place)) for place, column in enumerate(columns)))
    found = [
        tuple(each.values()) for each in keys.group_by(*keys.columns).agg(rows=keys.count()).to_pyarrow().to_pylist()
    ]
    strange = [each for each in found if not is_partition(dict(zip(columns, each, strict=False)), contract)]
    if strange:
        values = sorted("|".join(map(str, each[:-1])) for each in strange)[:_MOST_SHOWN]
        told = f" ({', '.join(columns)}: {', '.join(map(repr, values))})" if telling else ""
        raise SourceError(
            source=source,
            culprit=f"{sum(each[-1] for each in strange):,} of its rows are of no partition of the table{told}.",
            remedy="Correct them, or the partitions of the table; nothing is left out in silence.",
        )
    return rows.filter([rows[column] == value for column, value in partition.values.items()])


def called(name: str, contract: Contract) -> str:
    """How messages name a source."""
    return f"Source {name} of {contract.key.to_user_string()}"
