"""Combining: rows of several tables by key, each key's from the first of them that has it, with an account of it.

Put here the expressions over rows. Keep out what is declared (``combined``) and how tables are read.

All is Ibis: a join by the key, from which both the rows and the account of them are computed.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis

from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.ranked import called

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.plumbing.sources.ranked import Ranked


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
        example: the first key that disagrees; none where the table holds persons.
    """

    taken: Mapping[str, int]
    given: Mapping[str, int]
    several: int
    disagreeing: int
    columns: Mapping[str, int]
    filled: int
    example: str | None


def require_single(part: Ranked, contract: Contract, key: Sequence[str]) -> int:
    """How many rows a source has, of which no two have the same key.

    Args:
        part: the source.
        contract: the table to be made.
        key: the columns of it.

    Raises:
        SourceError: two rows have the same key, or one has none.
    """
    missing = functools.reduce(operator.or_, [part.rows[column].isnull() for column in key])
    keys = part.rows.group_by(*key).agg(times=part.rows.count(), without=missing.any())
    repeated = keys.times > 1
    [found] = _told(
        keys.agg(
            rows=keys.times.sum().fill_null(0),
            without=keys.times.sum(where=keys.without).fill_null(0),
            repeated=repeated.sum().fill_null(0),
            more=(keys.times.sum(where=repeated) - repeated.sum()).fill_null(0),
            example=_text(keys, key).min(where=repeated),
        )
    )
    named = ", ".join(key)
    culprit = ""
    if found["without"]:
        culprit = f"{found['without']:,} of its rows have no key ({named})."
    elif found["repeated"]:
        first = "" if contract.personal else f", the first is {found['example']}"
        times = f"more than once, with {found['more']:,} rows too many"
        culprit = f"{found['repeated']:,} keys ({named}) are in it {times}{first}."
    if culprit:
        raise SourceError(
            source=called(part.name, contract),
            culprit=culprit,
            remedy="Which row is meant? Let that table have one for each key, or name what else tells them apart.",
        )
    return int(found["rows"])


def combined(
    parts: Sequence[Ranked], contract: Contract, key: Sequence[str], *, fill: bool, origin: str | None
) -> tuple[ir.Table, Account]:
    """The table's rows, and the account of them.

    Args:
        parts: the sources, that of highest precedence first.
        contract: the table.
        key: columns by which rows are the same.
        fill: take what a row does not say (NULL) from the next source that says it.
        origin: the column that gets the name of the row's source.

    Raises:
        SourceError: a source has a key more than once.
    """
    given = {part.name: require_single(part, contract, key) for part in parts}
    both = _joined(parts, key)
    has = [both[_in(number)].notnull() for number in range(len(parts))]
    chosen: dict[str, ir.Value] = {}
    filled = ibis.literal(False)  # noqa: FBT003
    given_up: dict[str, ir.BooleanValue] = {}
    for column, kind in columns_of(contract).items():
        if column in key:
            chosen[column] = both[column]
            continue
        if column == origin:
            chosen[column] = ibis.cases(*((has[n], part.name) for n, part in enumerate(parts)))
            continue
        said = [both[_in(n, column)] if column in part.columns else ibis.null(kind) for n, part in enumerate(parts)]
        own = ibis.cases(*zip(has, said, strict=True))
        chosen[column] = ibis.coalesce(*said) if fill else own
        filled = filled | (own.isnull() & chosen[column].notnull())
        given_up[column] = functools.reduce(
            operator.or_, [each.notnull() & ~each.identical_to(chosen[column]) for each in said]
        )
    disagreeing = functools.reduce(operator.or_, given_up.values(), ibis.literal(False))  # noqa: FBT003
    rows = both.select(**chosen)
    judged = both.select(
        _text(both, key).name("key"),
        functools.reduce(operator.add, [each.cast("int8") for each in has]).name("sources"),
        ibis.cases(*((each, number) for number, each in enumerate(has))).name("winner"),
        disagreeing.name("disagreeing"),
        filled.name("filled"),
        **{f"{column} given up": each for column, each in given_up.items()},
    )
    [found] = _told(
        judged.agg(
            several=(judged.sources > 1).sum().fill_null(0),
            disagreeing=judged.disagreeing.sum().fill_null(0),
            filled=judged.filled.sum().fill_null(0),
            example=judged.key.min(where=judged.disagreeing),
            **{f"winner {n}": (judged.winner == n).sum().fill_null(0) for n in range(len(parts))},
            **{column: judged[f"{column} given up"].sum().fill_null(0) for column in given_up},
        )
    )
    return rows, Account(
        taken={part.name: found[f"winner {n}"] for n, part in enumerate(parts)},
        given=given,
        several=found["several"],
        disagreeing=found["disagreeing"],
        columns={column: found[column] for column in given_up if found[column]},
        filled=found["filled"],
        example=None if contract.personal else found["example"],
    )


def _joined(parts: Sequence[Ranked], key: Sequence[str]) -> ir.Table:
    """One row for each key, with the columns of every source side by side."""
    marked = [
        part.rows.select(
            *key,
            ibis.literal(True).name(_in(number)),  # noqa: FBT003
            **{_in(number, column): part.rows[column] for column in sorted(part.columns - {*key})},
        )
        for number, part in enumerate(parts)
    ]
    both = marked[0]
    for other in marked[1:]:
        met = both.outer_join(other, list(key), rname="{name} there")
        both = met.mutate(**{column: ibis.coalesce(met[column], met[f"{column} there"]) for column in key})
        both = both.drop(*(f"{column} there" for column in key))
    return both


def _in(number: int, column: str = "") -> str:
    """What a source's column is called beside the others': no name of a contract's column has a blank."""
    return f"source {number} {column}"


def _text(rows: ir.Table, key: Sequence[str]) -> ir.StringValue:
    return ibis.literal("|").join([rows[column].cast("string") for column in key])


def _told(rows: ir.Table) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rows.to_pyarrow().to_pylist()
    return found
