"""Combining: rows of several tables by key, each key's from the first of them that has it, with an account of it.

Put here the expressions over rows. Keep out what is declared (``combined``) and how tables are read.

All is Ibis: a join by the key, from which both the rows and the account of them are computed. Until the last step every
column goes by its place, so that none is called like another source's, or like what is counted beside it.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis

from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.combined.ranked import called

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.plumbing.sources.combined.ranked import Ranked


@dataclass(frozen=True, kw_only=True)
class Account:
    """What became of the rows.

    Attributes:
        taken: for each source how many rows of the table are its own.
        given: for each source how many rows it has.
        several: how many keys are in several sources.
        disagreeing: of how many of them a source says something that is not in the table.
        columns: the same for each column in which there are such keys.
        filled: how many rows have a value of another source than their own.
        example: the first key that disagrees; none where values are not told.
    """

    taken: Mapping[str, int]
    given: Mapping[str, int]
    several: int
    disagreeing: int
    columns: Mapping[str, int]
    filled: int
    example: str | None


def combined(
    parts: Sequence[Ranked], contract: Contract, key: Sequence[str], *, fill: bool, origin: str | None, telling: bool
) -> tuple[ir.Table, Account]:
    """The table's rows, and the account of them.

    Args:
        parts: the sources, that of highest precedence first.
        contract: the table.
        key: columns by which rows are the same.
        fill: take what a row does not say (NULL) from the next source that says it.
        origin: the column that gets the name of the row's source.
        telling: whether messages and the account may name a key.

    Raises:
        SourceError: two rows of a source have the same key, or one has none.
    """
    kinds = columns_of(contract)
    values = [column for column in kinds if column not in {*key, origin}]
    placed = [_placed(part, number, key, values) for number, part in enumerate(parts)]
    keys = list(placed[0].columns[: len(key)])
    given = {
        part.name: _require_single(called(part.name, contract), rows, key, telling=telling)
        for part, rows in zip(parts, placed, strict=True)
    }
    both = functools.reduce(lambda one, other: _met(one, other, keys), placed)
    has = [both[_there(number)].notnull() for number in range(len(parts))]
    chosen: dict[str, ir.Value] = {column: both[at] for column, at in zip(key, keys, strict=True)}
    if origin is not None:
        chosen[origin] = ibis.cases(*((has[n], part.name) for n, part in enumerate(parts)))
    filled = ibis.literal(False)  # noqa: FBT003
    given_up: list[ir.BooleanValue] = []
    for place, column in enumerate(values):
        said = [
            both[_value(number, place)] if column in part.columns else ibis.null(kinds[column])
            for number, part in enumerate(parts)
        ]
        own = ibis.cases(*zip(has, said, strict=True))
        chosen[column] = ibis.coalesce(*said) if fill else own
        filled = filled | (own.isnull() & chosen[column].notnull())
        given_up.append(
            functools.reduce(operator.or_, [each.notnull() & ~each.identical_to(chosen[column]) for each in said])
        )
    disagreeing = functools.reduce(operator.or_, given_up, ibis.literal(False))  # noqa: FBT003
    judged = both.select(
        key=_text(both, keys),
        sources=functools.reduce(operator.add, [each.cast("int32") for each in has]),
        winner=ibis.cases(*((each, number) for number, each in enumerate(has))),
        disagreeing=disagreeing,
        filled=filled,
        **{f"given up {place}": each for place, each in enumerate(given_up)},
    )
    [found] = _told(
        judged.agg(
            several=(judged.sources > 1).sum().fill_null(0),
            disagreeing=judged.disagreeing.sum().fill_null(0),
            filled=judged.filled.sum().fill_null(0),
            example=judged["key"].min(where=judged.disagreeing),
            **{f"winner {n}": (judged.winner == n).sum().fill_null(0) for n in range(len(parts))},
            **{f"given up {place}": judged[f"given up {place}"].sum().fill_null(0) for place in range(len(values))},
        )
    )
    return both.select(*(chosen[column].name(column) for column in kinds)), Account(
        taken={part.name: found[f"winner {n}"] for n, part in enumerate(parts)},
        given=given,
        several=found["several"],
        disagreeing=found["disagreeing"],
        columns={column: number for place, column in enumerate(values) if (number := found[f"given up {place}"])},
        filled=found["filled"],
        example=found["example"] if telling else None,
    )


def _placed(part: Ranked, number: int, key: Sequence[str], values: Sequence[str]) -> ir.Table:
    """A source's rows with the key first, and all columns called by their places."""
    return part.rows.select(
        *(part.rows[column].name(f"key {place}") for place, column in enumerate(key)),
        ibis.literal(True).name(_there(number)),  # noqa: FBT003
        *(part.rows[each].name(_value(number, place)) for place, each in enumerate(values) if each in part.columns),
    )


def _there(number: int) -> str:
    """The column that says whether a source has the key."""
    return f"source {number}"


def _value(number: int, place: int) -> str:
    """A column of values as a source has it."""
    return f"source {number} value {place}"


def _require_single(source: str, rows: ir.Table, key: Sequence[str], *, telling: bool) -> int:
    """How many rows a source has, of which no two have the same key.

    Args:
        source: for messages.
        rows: its rows with the key first.
        key: what its columns are called.
        telling: whether a message may name a key.

    Raises:
        SourceError: two rows have the same key, or one has none.
    """
    at = rows.columns[: len(key)]
    missing = functools.reduce(operator.or_, [rows[column].isnull() for column in at])
    keys = rows.group_by(*at).agg(times=rows.count(), without=missing.any())
    repeated = keys.times > 1
    [found] = _told(
        keys.agg(
            rows=keys.times.sum().fill_null(0),
            without=keys.times.sum(where=keys.without).fill_null(0),
            repeated=repeated.sum().fill_null(0),
            more=(keys.times.sum(where=repeated) - repeated.sum()).fill_null(0),
            example=_text(keys, at).min(where=repeated),
        )
    )
    named = ", ".join(key)
    culprit = ""
    if found["without"]:
        culprit = f"{found['without']:,} of its rows have no key ({named})."
    elif found["repeated"]:
        first = f", the first is {found['example']}" if telling else ""
        times = f"more than once, with {found['more']:,} rows too many"
        culprit = f"{found['repeated']:,} keys ({named}) are in it {times}{first}."
    if culprit:
        raise SourceError(
            source=source,
            culprit=culprit,
            remedy="Which row is meant? Let that table have one for each key, or name what else tells them apart.",
        )
    return int(found["rows"])


def _met(one: ir.Table, other: ir.Table, keys: Sequence[str]) -> ir.Table:
    """One row for each key of two tables, with the columns of both side by side."""
    met = one.outer_join(other, list(keys), rname="{name} there")
    both = met.mutate(**{column: ibis.coalesce(met[column], met[f"{column} there"]) for column in keys})
    return both.drop(*(f"{column} there" for column in keys))


def _text(rows: ir.Table, keys: Sequence[str]) -> ir.StringValue:
    return ibis.literal("|").join([rows[column].cast("string") for column in keys])


def _told(rows: ir.Table) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rows.to_pyarrow().to_pylist()
    return found
