"""Subjects: the persons that rows are about, and the identifiers by which they are told apart.

Put here how an identifier is written and compared. Keep out which tables hold whom (the contracts say that) and erasure
(that is the room ``lake``).

An identifier is a text of some kind, such as ``voter`` or ``customer``. It is compared in upper case and without blanks
around it. Where several columns make it up, their texts are joined by a colon: ``NC:AA100``. In all of these but the
last one a colon or backslash has a backslash before it, so that no two persons have one identifier.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.contracts.engine import answer
from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mlops_assets.platform.contracts.contract import Contract

    Subjects = Mapping[str, Collection[str]]

SEPARATOR: Final = ":"
_BLANKS: Final = " \t\n\v\f\r\u00a0"
"""What is taken off both ends."""


def normalised(text: str) -> str:
    """The form in which identifiers are compared: the engine's upper case, since it is what changes rows' identifiers.

    Python's is another one: of ``ß`` it makes two letters.
    """
    return str(answer("SELECT upper(?)", text.strip(_BLANKS)))


def columns_of(contract: Contract, kind: str) -> tuple[str, ...]:
    """The columns that make up the identifier of that kind."""
    named = contract.subject[kind]
    return (named,) if isinstance(named, str) else tuple(named)


def identity_sql(columns: Iterable[str], *, leading: bool = False) -> str:
    """The DuckDB expression of a row's identifier; NULL where one of the quoted columns is.

    Args:
        columns: all columns that make it up, in order.
        leading: whether they are all but the last one.
    """
    blanks = " || ".join(f"chr({ord(blank)})" for blank in _BLANKS)
    parts = [f"upper(trim({column}::VARCHAR, {blanks}))" for column in columns]
    escaped = [f"replace(replace({part}, '\\', '\\\\'), '{SEPARATOR}', '\\{SEPARATOR}')" for part in parts]
    return f" || '{SEPARATOR}' || ".join(escaped if leading else [*escaped[:-1], *parts[-1:]])


def parsed(lines: Iterable[str], known: Collection[str]) -> dict[str, set[str]]:
    """The identifiers by their kinds, from lines such as ``voter=NC:AA100``; empty lines are passed over.

    Args:
        lines: the lines.
        known: the kinds that contracts declare.

    Raises:
        ContractError: a line is none, or its kind is not declared; the message shows no identifier.
    """
    found: dict[str, set[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        kind, equals, text = line.partition("=")
        kind = kind.strip()
        if not equals or not text.strip():
            raise ContractError(
                source=f"Line {number} of the keys",
                culprit="it is not KIND=VALUE.",
                remedy=f"Give one key a line; kinds are {', '.join(sorted(known))}.",
            )
        if kind not in known:
            near = difflib.get_close_matches(kind, known, n=1)
            raise ContractError(
                source=f"Line {number} of the keys",
                culprit="no contract declares its kind of identifier.",
                remedy=f"Did you mean {near[0]}?" if near else f"Kinds are {', '.join(sorted(known)) or 'none'}.",
            )
        found.setdefault(kind, set()).add(normalised(text))
    return found
