"""Tombstones: what a lake remembers of persons who were erased, so that no source brings them back.

Put here how erased persons are recognised, and which contents lost rows. Keep out the erasure itself (``erasure``).

A tombstone is the SHA-256 of a salt of the lake, the kind and the identifier, and lies in the catalogs of those lakes
alone that have tables with that kind: the hash of a raw identifier is not where only pseudonyms are. Whoever may read
such a catalog can try out a guess, as he can in its tables of those who are still there.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlops_assets.platform.contracts import subjects
from mlops_assets.platform.lake.catalog import literal, quote

if TYPE_CHECKING:
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import InputRecord
    from mlops_assets.platform.lake.session import LakeSession


def hashed(salt: str, kind: str, identifier: str) -> str:
    """The tombstone of a normalised identifier, 64 hexadecimal digits."""
    return hashlib.sha256(f"{salt}{kind}={identifier}".encode()).hexdigest()


def known(session: LakeSession, lake: str) -> int:
    """How many erasures the lake knows."""
    [(number,)] = session.query(lake, "SELECT count(*) AS number FROM mlops_assets_erasure")
    return int(number)


def erased_rows(session: LakeSession, contract: Contract) -> tuple[int, str]:
    """How many erasures the table's lake knows, and the DuckDB condition of rows of persons who were erased.

    The condition is empty where there can be none.
    """
    lake = contract.lake.name
    number = known(session, lake)
    if not number or not contract.subject:
        return number, ""
    [(salt,)] = session.query(lake, "SELECT min(salt) AS salt FROM mlops_assets_erasure")
    conditions = []
    for kind in contract.subject:
        rows = session.query(lake, f"SELECT hash FROM mlops_assets_tombstone WHERE kind = {literal(kind)}")
        if rows:
            identity = subjects.identity_sql(quote(column) for column in subjects.columns_of(contract, kind))
            listed = ", ".join(literal(row[0]) for row in rows)
            conditions.append(f"coalesce(sha256({literal(f'{salt}{kind}=')} || {identity}) IN ({listed}), false)")
    return number, " OR ".join(conditions)


def erased_contents(session: LakeSession, read: InputRecord) -> dict[str, tuple[str, str]]:
    """Those partitions of what was read that rows of persons were erased from since.

    Returns:
        For each such partition key the id of the erasure, and the content hash of what it left.
    """
    if not known(session, read.lake):
        return {}
    rows = session.query(
        read.lake,
        "SELECT partition, content_hash, erasure_id, left_hash FROM mlops_assets_erased"
        f" WHERE asset = {literal(read.asset)}",
    )
    return {key: (erasure_id, left) for key, content, erasure_id, left in rows if read.partitions.get(key) == content}
