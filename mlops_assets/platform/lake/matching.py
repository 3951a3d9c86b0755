"""Matching: the conditions by which rows of given persons are found, without an identifier in any statement.

Put here what is compared with what. Keep out what becomes of the rows. Statements are kept with the text of errors, so
identifiers reach the engine as rows of a table.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from mlops_assets.platform.contracts import subjects
from mlops_assets.platform.lake.catalog import literal, quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.contracts.subjects import Subjects
    from mlops_assets.platform.lake.session import LakeSession

SHORTEST_WORD: Final = 4
"""Signs; a shorter identifier is found in the columns that are declared, and looked for nowhere else."""
_KEYS: Final = "keys_to_erase"
_EDGE: Final = "[^0-9A-Z]"


def _word_of(identifier: str) -> tuple[str, str]:
    """What a text has in it that names the person: the last part of the identifier; and the parts before it."""
    scope, _, word = identifier.rpartition(subjects.SEPARATOR)
    return word, scope


def words_of(given: Subjects) -> set[str]:
    """What texts have in them that name these persons."""
    return {_word_of(text)[0] for texts in given.values() for text in texts}


@contextmanager
def registered(session: LakeSession, given: Subjects) -> Iterator[Matching]:
    """Let the session's connection know the persons while the block runs.

    Args:
        session: the session.
        given: normalised identifiers by kind.
    """
    rows = []
    for kind, texts in given.items():
        for text in sorted(texts):
            word, scope = _word_of(text)
            searched = word if len(word) >= SHORTEST_WORD else None
            pattern = f"(^|{_EDGE}){re.escape(word)}({_EDGE}|$)"
            rows.append({"kind": kind, "identifier": text, "word": searched, "pattern": pattern, "scope": scope})
    columns = ("kind", "identifier", "word", "pattern", "scope")
    schema = pa.schema([(column, pa.string()) for column in columns])
    session.connection.register(_KEYS, pa.Table.from_pylist(rows, schema=schema))
    try:
        yield Matching(given)
    finally:
        session.connection.unregister(_KEYS)


class Matching:
    """The conditions, for statements on a connection that knows the persons."""

    def __init__(self, given: Subjects) -> None:
        self._kinds = set(given)

    def rows_of(self, contract: Contract, columns: Collection[str]) -> str:
        """The condition of rows whose declared identifier is one of theirs; empty if the columns cannot tell.

        Args:
            contract: the table.
            columns: the columns that there are.
        """
        return " OR ".join(
            f"coalesce({subjects.identity_sql(map(quote, named))} IN "
            f"(SELECT identifier FROM {_KEYS} WHERE kind = {literal(kind)}), false)"
            for kind in contract.subject
            if kind in self._kinds and set(named := subjects.columns_of(contract, kind)) <= set(columns)
        )

    def rows_naming(self, contract: Contract | None, columns: Collection[str]) -> str:
        """The condition of rows in any column of which an identifier of theirs stands as a word.

        Of an identifier of several parts the last one is looked for. The others must be in the columns that hold them
        if the contract declares such, else anywhere in the row.
        """
        text = f"upper(concat_ws(chr(31), {', '.join(f'{quote(column)}::VARCHAR' for column in columns)}))"
        scopes = ""
        columns_of = (
            {} if contract is None else {kind: subjects.columns_of(contract, kind) for kind in contract.subject}
        )
        for kind, (*leading, _) in columns_of.items():
            if leading and set(leading) <= set(columns):
                identity = subjects.identity_sql(map(quote, leading), leading=True)
                scopes += f" WHEN one.kind = {literal(kind)} THEN coalesce({identity} = one.scope, false)"
        named = f"CASE WHEN NOT contains({text}, one.word) THEN false{scopes} ELSE contains({text}, one.scope) END"
        keys = f"(SELECT list(one) FROM {_KEYS} AS one WHERE word IS NOT NULL)"
        return (
            f"coalesce(len(list_filter({keys}, lambda one: "
            f"CASE WHEN {named} THEN regexp_matches({text}, one.pattern) ELSE false END)) > 0, false)"
        )
