"""Named parameters of an SQL text, ``:partition``: where they stand, which there are, what takes their places.

Put here how parameters are told from other colons. Keep out how a database writes a value, and texts that are no SQL
(``templates``).
"""

from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sqlglot import TokenType
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import TokenError

from mlops_assets.platform.errors import ContractError
from mlops_assets.plumbing.sources.templates import END, SINCE, START, filled, known_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlglot import Token

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.plumbing.sources.templates import Watermark

_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_READS: Final = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})


def values_of(
    contract: Contract, partition: Partition, *, zoned: bool, since: Watermark | None = None
) -> dict[str, str]:
    """Their texts for a partition; moments in ISO 8601, with their offset unless the database has no zones."""
    form = "" if zoned else ":%Y-%m-%d %H:%M:%S"
    moments = {START, END, *([SINCE] if isinstance(since, dt.datetime) else [])}
    return {
        name: filled(f"{{{name}{form if name in moments else ''}}}", contract, partition, since)
        for name in known_names(contract, since=since is not None)
    }


def require_sql(source: str, option: str, text: str, dialect: str, contract: Contract, *, since: bool = False) -> None:
    """Refuse a text that could not be asked.

    Args:
        source: what is declared, for messages.
        option: which of its options the text is: a whole ``query``, or a condition.
        text: the text.
        dialect: the kind of database.
        contract: whose partitions give the parameters.
        since: whether it may name the watermark.

    Raises:
        ContractError: a string or comment has no end, it is more than one statement or one that does not read, or it
            names a parameter that there is not.
    """
    known = known_names(contract, since=since)
    try:
        tokens = _tokens(text, dialect)
    except TokenError:
        raise ContractError(
            source=source,
            culprit=f"its {option} is no SQL: a string, a quoted name or a comment in it does not end.",
            remedy="Close it.",
        ) from None
    if any(token.token_type is TokenType.SEMICOLON for token in (tokens if option != "query" else tokens[:-1])):
        raise ContractError(
            source=source, culprit=f"its {option} has a semicolon.", remedy="Give one statement without its end."
        )
    first = next((token.text.upper() for token in tokens if token.token_type is not TokenType.L_PAREN), "")
    if option == "query" and first not in _READS:
        raise ContractError(
            source=source,
            culprit=f"its query does not read: it begins with {first or 'nothing'}.",
            remedy="Begin it with SELECT or WITH.",
        )
    if unknown := sorted({name for name, _, _ in _places(text, dialect)} - set(known)):
        there = ", ".join(f":{name}" for name in known) or "none, since the table is not partitioned"
        raise ContractError(
            source=source,
            culprit=f"its {option} names :{unknown[0]}.",
            remedy=f"There is: {there}. A colon of another meaning has a space behind it.",
        )


def with_values(text: str, dialect: str, values: Mapping[str, str], write: Callable[[str, str], str]) -> str:
    """The text with its parameters replaced.

    Args:
        text: accepted by ``require_sql``.
        dialect: the kind of database.
        values: of the parameters.
        write: gives what stands for a parameter, from its name and its value.
    """
    parts, done = [], 0
    for name, start, end in _places(text, dialect):
        parts += [text[done:start], f" {write(name, values[name])} "]
        done = end
    return "".join(parts) + text[done:]


def parameters_of(text: str, dialect: str) -> set[str]:
    """Those that it names."""
    return {name for name, _, _ in _places(text, dialect)}


def without_end(query: str, dialect: str) -> str:
    """The query without a semicolon at its end."""
    last = _tokens(query, dialect)[-1]
    return query[: last.start] if last.token_type is TokenType.SEMICOLON else query


def _tokens(text: str, dialect: str) -> list[Token]:
    return list(Dialect.get_or_raise(dialect).tokenize(text))


def _places(text: str, dialect: str) -> list[tuple[str, int, int]]:
    """Each parameter's name, and where it begins and ends."""
    found = []
    for colon, following in pairwise(_tokens(text, dialect)):
        if colon.token_type is TokenType.COLON and following.start == colon.end + 1:
            name = _NAME.match(text, following.start)
            if name is not None:
                found.append((name[0], colon.start, name.end()))
    return found
