"""The layout of an exported table in SQLite: its columns, what they may hold, and the indexes by which rows are found.

Put here what follows from a table's record alone, so that the writer makes it, whoever opens an export compares it, and
the service picks from it. Keep out rows (``tables``) and queries.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.exports.manifest import Kind, Mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops_assets.platform.exports.manifest import ServedAs

MOST_LIMITS: Final = 4
"""Columns that may limit a table's rows: each choice of them has an index."""
_TYPES: Final = {Kind.INTEGER: "INTEGER", Kind.BOOLEAN: "INTEGER", Kind.NUMBER: "REAL", Kind.BYTES: "BLOB"}
_MOST: Final = "1.7976931348623157e308"
_SECONDS: Final = (
    "{0} >= '0001' AND strftime('%Y-%m-%dT%H:%M:%S', substr({0}, 1, 19), '+0 days') IS substr({0}, 1, 19)"
    # SQLite's own seconds have three digits: the fraction is looked at as text.
    " AND substr({0}, 20) GLOB '.[0-9][0-9][0-9][0-9][0-9][0-9]"
)
_VALUES: Final = {
    Kind.BOOLEAN: "{0} IN (0, 1)",
    Kind.NUMBER: f"{{0}} BETWEEN -{_MOST} AND {_MOST}",
    # What is added makes SQLite reckon: without it any month has 31 days.
    Kind.DATE: "{0} >= '0001' AND date({0}, '+0 days') IS {0}",
    Kind.LOCAL_TIME: _SECONDS + "'",
    Kind.INSTANT: _SECONDS + "+00:00'",
}
"""What values are beyond their type in SQLite."""


@dataclass(frozen=True)
class Index:
    """An index, by which the rows with given values of some columns lie together, in the key's order.

    Attributes:
        name: its name in SQLite.
        given: the columns whose values are given.
        columns: all its columns: the given ones, then the rest of the key.
    """

    name: str
    given: frozenset[str]
    columns: tuple[str, ...]


def statements(name: str, columns: Mapping[str, Kind], key: Sequence[str], served: ServedAs | None) -> dict[str, str]:
    """The statements that make the table and its indexes, by their names, the table's first."""
    parts = [f'"{column}" {_type(kind)}' for column, kind in columns.items()]
    if key:
        parts.append(f"PRIMARY KEY ({_listed(key)})")
    made = {name: f'CREATE TABLE "{name}" ({", ".join(parts)}) STRICT{", WITHOUT ROWID" if key else ""}'}
    for index in indexes(name, key, served):
        made[index.name] = f'CREATE INDEX "{index.name}" ON "{name}" ({_listed(index.columns)})'
    return made


def indexes(name: str, key: Sequence[str], served: ServedAs | None) -> list[Index]:
    """The indexes beside the primary key.

    Each filter has one, so that a rare value is found as fast as a common one. Each column that limits principals, and
    each choice of several, has one as well, alone and together with each filter: whoever is limited is answered from
    rows that it may see, and how long that takes tells nothing of others.
    """
    by_key = {frozenset(key[:length]) for length in range(len(key) + 1)}
    made: dict[frozenset[str], Index] = {}
    for given in _asked_by(key, served) if served is not None else ():
        columns = tuple(dict.fromkeys((*given, *key)))
        if frozenset(given) not in by_key:
            made.setdefault(frozenset(given), Index(f"{name}({','.join(given)})", frozenset(given), columns))
    return list(made.values())


def primary(name: str, key: Sequence[str]) -> list[Index]:
    """The primary key as an index, by each number of its columns."""
    return [
        Index(f"sqlite_autoindex_{name}_1", frozenset(key[:length]), tuple(key)) for length in range(1, len(key) + 1)
    ]


def unfit(name: str, columns: Mapping[str, Kind]) -> str:
    """The query that finds a row with a value that is not of its column's kind, and gives the column's name."""
    unfit = {}
    for column, kind in columns.items():
        quoted = f'"{column}"'
        fits = [f"typeof({quoted}) = '{_type(kind).lower()}'"]
        if kind in _VALUES:
            fits.append(_VALUES[kind].format(quoted))
        unfit[column] = f"{quoted} IS NOT NULL AND ({' AND '.join(fits)}) IS NOT TRUE"
    told = " ".join(f"WHEN {condition} THEN '{column}'" for column, condition in unfit.items())
    return f'SELECT CASE {told} END FROM "{name}" WHERE {" OR ".join(unfit.values())} LIMIT 1'  # noqa: S608  identifiers


def _type(kind: Kind) -> str:
    return _TYPES.get(kind, "TEXT")


def _asked_by(key: Sequence[str], served: ServedAs) -> Iterator[tuple[str, ...]]:
    if served.latest is not None:
        yield tuple(column for column in key if column != served.latest)
    if served.mode is Mode.LOOKUP:
        return
    for column in served.filters:
        yield (column,)
    for count in range(1, len(served.limit_by) + 1):
        yield from itertools.combinations(served.limit_by, count)
    for limit, column in itertools.product(served.limit_by, served.filters):
        if limit != column:
            yield (limit, column)


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
