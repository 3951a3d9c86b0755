"""Sources of a combined table: the rows of each in that table's columns, types and partition.

Put here how one source's rows are made fit. Keep out how they are put together with others' (``combining``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.plumbing.sources.templates import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract

_MOST_SHOWN: Final = 3
_DECLARED: Final = "Correct the declaration's columns (ours: theirs) and without."


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
    name: str,
    rows: ir.Table,
    contract: Contract,
    partition: Partition,
    *,
    renamed: Mapping[str, str],
    without: Collection[str],
    filled_in: Collection[str],
    whole: bool,
) -> Ranked:
    """The rows of a source in the table's columns and types.

    Args:
        name: of the source.
        rows: as they are published.
        contract: the table to be made.
        partition: of it.
        renamed: for columns of the table that the source calls otherwise, its name.
        without: its columns that the table does not take.
        filled_in: columns of the table that no source need have.
        whole: whether the rows are those of all partitions, of which the own ones are taken.

    Raises:
        ContractError: a column is missing, unexpected or of another type.
        SourceError: rows are of no partition.
    """
    wanted = {column: renamed.get(column, column) for column in columns_of(contract) if column not in filled_in}
    there = {ours: theirs for ours, theirs in wanted.items() if theirs in rows.columns}
    own = {} if whole else {column: value for column, value in partition.values.items() if column not in there}
    needed = {column for column in wanted if not contract.schema.columns[column].nullable}
    missing = sorted((needed | {*partition.values}) - there.keys() - own.keys())
    unexpected = [column for column in rows.columns if column not in {*there.values(), *without}]
    unknown = [column for column in without if column not in rows.columns]
    source = called(name, contract)
    for wrong, what in (
        (missing, "it lacks columns that the table must have"),
        (unexpected, "it has columns that the table does not take"),
        (unknown, "it lacks columns that are to be left out"),
    ):
        if wrong:
            raise ContractError(source=source, culprit=f"{what}: {', '.join(wrong)}.", remedy=_DECLARED)
    types = columns_of(contract)
    chosen = {ours: _cast(source, rows[theirs], types[ours]) for ours, theirs in there.items()}
    found = rows.select(**chosen, **{column: ibis.literal(value) for column, value in own.items()})
    if whole and partition.values:
        found = _of(source, found, contract, partition)
    return Ranked(name=name, rows=found, columns=frozenset(found.columns))


def _cast(source: str, column: ir.Value, kind: dt.DataType) -> ir.Value:
    stored = column.type()
    if stored.copy(nullable=True) == kind.copy(nullable=True):
        return column
    akin = (stored.is_integer() and kind.is_integer()) or (stored.is_floating() and kind.is_floating())
    if not (akin and stored.castable(kind)):
        raise ContractError(
            source=source,
            culprit=f"its column {column.get_name()} is {stored}, in the table it is {kind}.",
            remedy="Give both one type in their contracts.",
        )
    return column.cast(kind)


def _of(source: str, rows: ir.Table, contract: Contract, partition: Partition) -> ir.Table:
    """The rows of the partition, where a source has those of all.

    Raises:
        SourceError: some are of no partition at all: they would be left out everywhere.
    """
    columns = list(partition.values)
    found = rows.group_by(columns).agg(rows_of_it=rows.count()).to_pyarrow().to_pylist()
    strange = [each for each in found if not _is_partition(contract, {column: each[column] for column in columns})]
    if strange:
        values = sorted("|".join(str(each[column]) for column in columns) for each in strange)[:_MOST_SHOWN]
        told = "" if contract.personal else f" ({', '.join(columns)}: {', '.join(map(repr, values))})"
        raise SourceError(
            source=source,
            culprit=f"{sum(each['rows_of_it'] for each in strange):,} of its rows are of no partition of the "
            f"table{told}.",
            remedy="Correct them, or the partitions of the table; nothing is left out in silence.",
        )
    return rows.filter([rows[column] == value for column, value in partition.values.items()])


def _is_partition(contract: Contract, values: Mapping[str, str | None]) -> bool:
    if None in values.values():
        return False
    try:
        return bool(contract.partition_values(key_of({name: str(value) for name, value in values.items()}, contract)))
    except ContractError:
        return False


def called(name: str, contract: Contract) -> str:
    """How messages name a source."""
    return f"Source {name} of {contract.key.to_user_string()}"
