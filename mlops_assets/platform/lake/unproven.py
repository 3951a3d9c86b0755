"""Unproven deliveries: kept ones that are not proven, from rows in a lake, to hold none of given persons.

Put here the proof and its reasons. Keep out the files (``raw``) and the rows of tables (``rewriting``).

What stands in a delivery cannot be told from its bytes: texts are escaped, encoded and packed in more ways than anybody
can look for. So a delivery of a table of persons stays only if all its rows are still in the lake, and are not theirs.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb

from mlops_assets.platform.contracts import subjects
from mlops_assets.platform.durable_files import taking_turns
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake import ledger, matching, raw, recorded
from mlops_assets.platform.lake.catalog import quote
from mlops_assets.platform.leftovers import files_with

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.contracts.subjects import Subjects
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.lake.matching import Matching
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.leftovers import Words

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_DAY_SECONDS: Final = 86_400.0
HOLDS: Final = "it holds them"
_NAMES: Final = "their identifiers stand in it"
_NOT_PROVEN: Final = "it cannot be proven not to hold them"
_GONE: Final = f"{_NOT_PROVEN}: its rows are not, or no longer, all in the lake"
_MORE: Final = f"{_NOT_PROVEN}: it holds more than the rows of its publish, or changes"
_UNNAMED: Final = f"{_NOT_PROVEN}: rows that were made from it have no identifier"
_SILENT: Final = f"{_NOT_PROVEN}: its table does not say whose row each is (subject), and theirs are made from it"
_UNDER_WAY: Final = "a run is fetching it, or was killed. Give the keys again when no run is under way, or remove it"
_UNKNOWN: Final = "no definitions here have the table of these deliveries. Name its module (-m), or remove the folder"


@dataclass(frozen=True, kw_only=True)
class Unproven:
    """A kept delivery that may hold the persons.

    Attributes:
        file: the delivery; the folder of a table's deliveries where nobody knows the table.
        table: asset key as text.
        why: why it cannot stay.
        stays: whether it is left all the same, since a run may be at work on it, or its table is not known.
    """

    file: Path
    table: str
    why: str
    stays: bool = False


def unproven(
    session: LakeSession, lake: str, contracts: Mapping[str, Contract], given: Subjects, words: Words
) -> list[Unproven]:
    """The kept deliveries of a lake that are not proven to hold none of the persons.

    A delivery is kept under its folder's lock by whoever has seen no tombstone of its persons. So what is kept after
    this began, once the tombstones are in the lake, holds nobody of them.

    Args:
        session: a session that may read all lakes.
        lake: which lake.
        contracts: the tables' contracts by asset key as text.
        given: normalised identifiers by kind.
        words: what texts have in them that name the persons; a delivery that has one of them goes, proven or not.

    Raises:
        LakeError: a catalog cannot be reached.
    """
    root = raw.root(session.settings, lake)
    tables = {raw.folder_name(asset): each for asset, each in contracts.items() if each.lake.name == lake}
    folders = sorted(each for each in root.glob("*") if each.is_dir())
    there = {tables[folder.name].key.to_user_string() for folder in folders if folder.name in tables}
    feeding = _feeding(session, contracts, given, there)
    found: list[Unproven] = []
    with matching.registered(session, given) as theirs:
        for folder in folders:
            with taking_turns(folder):
                files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not raw.is_mark(file)]
            contract = tables.get(folder.name)
            proof = _Proof(session, contract, given, theirs) if contract is not None else None
            naming = set(files_with(folder, words))
            table = contract.key.to_user_string() if contract is not None else folder.name
            for file in files:
                why = _SILENT if table in feeding else proof.missing(file) if proof is not None else None
                if why is None and file in naming:
                    why = _NAMES
                if why is not None and (stays := _is_under_way(file)):
                    why = _UNDER_WAY
                if why is not None:
                    found.append(Unproven(file=file, table=table, why=why, stays=stays))
            if contract is None and files:
                found.append(Unproven(file=folder, table=table, why=_UNKNOWN, stays=True))
    return found


class _Proof:
    """What the rows of a table say of its deliveries."""

    def __init__(self, session: LakeSession, contract: Contract, given: Subjects, theirs: Matching) -> None:
        self._session, self._contract, self._theirs = session, contract, theirs
        kinds = [kind for kind in contract.subject if kind in given]
        self._identities = [subjects.columns_of(contract, kind) for kind in kinds]
        self._made: dict[str, list[Entry]] = {}
        asset = contract.key.to_user_string()
        for entry in ledger.history(session, contract.lake.name, asset) if kinds else ():
            if entry.record.delivery is not None:
                self._made.setdefault(entry.record.delivery.sha256, []).append(entry)

    def missing(self, file: Path) -> str | None:
        """Why the file is not proven to hold none of the persons; ``None`` if it is."""
        if not self._identities:
            return None
        entries = self._made.get(file.name, [])
        if not entries:
            return f"{_NOT_PROVEN}: no publish was made from it"
        if any(entry.record.erasures for entry in entries):
            return HOLDS
        # Each may be of another declaration: one that took another column for the identifier proves nothing.
        contents = {(entry.record.partition, entry.record.content_hash): entry for entry in entries}
        reasons = {self._reason(entry) for entry in contents.values()} - {None}
        return HOLDS if HOLDS in reasons else min(filter(None, reasons), default=None)

    def _reason(self, entry: Entry) -> str | None:
        """Why the rows of that publish do not prove it."""
        record, delivery = entry.record, entry.record.delivery
        if delivery is None or delivery.rows is None:
            return _MORE
        if not {column for columns in self._identities for column in columns} <= set(record.columns):
            return _UNNAMED
        unnamed = " OR ".join(f"{subjects.identity_sql(map(quote, columns))} IS NULL" for columns in self._identities)
        counts = ("true", self._theirs.rows_of(self._contract, record.columns), unnamed)
        listed = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in counts)
        try:
            query, version = recorded.rows_of(self._session, self._contract, entry)
            found = self._session.connection.execute(f"SELECT {listed} FROM ({query})").fetchall() if version else []
        except (duckdb.Error, ContractError):
            found = []
        for rows, theirs, without in found:
            if theirs:
                return HOLDS
            if rows == delivery.rows:
                return _UNNAMED if without else None
        return _GONE


def _feeding(
    session: LakeSession, contracts: Mapping[str, Contract], given: Subjects, there: set[str]
) -> Collection[str]:
    """Of those tables, the ones with personal columns that the persons' are made from, and that tell nobody apart."""
    holding = {asset for asset, contract in contracts.items() if set(contract.subject).intersection(given)}
    silent = {asset for asset in there - holding if contracts[asset].personal}
    return silent.intersection(_upstream(session, holding)) if silent else ()


def _upstream(session: LakeSession, assets: set[str]) -> Iterator[str]:
    """All that those tables were ever made from, however indirectly."""
    reads: dict[str, set[str]] = {}
    for lake in session.settings.lake_names:
        for entry in ledger.history(session, lake):
            reads.setdefault(entry.record.asset, set()).update(read.asset for read in entry.record.inputs.values())
    open_, seen = list(assets), set(assets)
    for asset in open_:
        new = reads.get(asset, set()) - seen
        seen |= new
        open_ += new
        yield from new


def _is_under_way(file: Path) -> bool:
    """Whether a run may be at work on the file: it is not kept yet, and came within a day."""
    if _SHA256.fullmatch(file.name):
        return False
    try:
        return time.time() - file.stat().st_mtime < _DAY_SECONDS
    except FileNotFoundError:
        return True
