"""Erasure: removing persons from a lake, from every version of it that is kept.

Put here its order and its record. Keep out what is done to files and catalog (``rewriting``), how persons are
recognised who come again (``tombstones``), and what lies outside the lakes.

First every lake gets the tombstones: from then on no publish brings the persons back, and one that was staged before is
refused and made again. Then each lake's files are written anew without their rows, and one transaction of the catalog
lets all versions name the new files, corrects the ledger and notes what was done. Whoever is killed leaves an erasure
that was begun; the same keys complete it.
"""

from __future__ import annotations

import secrets
import time
import uuid
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.lake import expiry, ledger, rewriting, stage, tombstones
from mlops_assets.platform.lake.catalog import publish_lock, purge, transaction
from mlops_assets.platform.lake.erasure_record import ErasureRecord, NotRebuildable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.contracts.subjects import Subjects
    from mlops_assets.platform.lake.catalog import Run
    from mlops_assets.platform.lake.erasure_record import ErasedPublish
    from mlops_assets.platform.lake.session import LakeSession

    Content = tuple[str, str, str, str]

# In them DuckLake keeps the least and greatest value of columns, and we the records.
_HOLDING_VALUES: Final = ("ducklake_file_column_stats", "ducklake_table_column_stats", "mlops_assets_ledger")


def kinds_of(contracts: Mapping[str, Contract], lake: str | None = None) -> set[str]:
    """The kinds of identifiers that the tables have, or those of one lake."""
    return {kind for contract in contracts.values() if lake in {None, contract.lake.name} for kind in contract.subject}


def begin(session: LakeSession, contracts: Mapping[str, Contract], subjects: Subjects, *, by: str) -> str:
    """Note in every lake that these persons are erased; an erasure of the same persons that was cut off goes on.

    Args:
        session: a session that may write all lakes.
        contracts: the tables' contracts by asset key as text.
        subjects: normalised identifiers by kind.
        by: who asks for it.

    Returns:
        The erasure's id.

    Raises:
        LakeError: a catalog cannot be reached or refused; run it again.
    """
    lakes = session.settings.lake_names
    erasure_id = _cut_off(session, subjects) or uuid.uuid4().hex
    for lake in lakes:
        session.attach(lake)
        session.detach(lake)
        with publish_lock(session.settings, lake), transaction(session.settings, lake) as run:
            [(number, salt)] = run("SELECT count(*), min(salt) FROM mlops_assets_erasure")
            salt = salt or secrets.token_hex(16)
            stones = _tombstones(salt, subjects, kinds_of(contracts, lake))
            if run("SELECT number FROM mlops_assets_erasure WHERE erasure_id = ?", erasure_id):
                # It may have been begun by somebody who knew fewer tables, and so fewer kinds.
                _change(run, erasure_id, tombstones={**_record(run, erasure_id).tombstones, **stones})
            else:
                record = ErasureRecord(erasure_id=erasure_id, by=by, begun_at=time.time(), tombstones=stones)
                run(
                    "INSERT INTO mlops_assets_erasure VALUES (?, ?, ?, ?)",
                    number + 1,
                    erasure_id,
                    salt,
                    record.model_dump_json(),
                )
            for kind, hashes in stones.items():
                for stone in hashes:
                    run(
                        "INSERT INTO mlops_assets_tombstone VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                        kind,
                        stone,
                        erasure_id,
                    )
    return erasure_id


def erase(
    session: LakeSession, lake: str, contracts: Mapping[str, Contract], subjects: Subjects, erasure_id: str
) -> None:
    """Remove the persons' rows from every version of the lake, and what is left of them in its folder and catalog.

    Readers see the persons' rows in all of a table or in none. A query that is under way may find a file gone and
    fails; the next one succeeds.

    Raises:
        LakeError: the lake refused, was published to without pause, or somebody has deleted single rows of a file past
            the platform; what was done stands, and the same keys complete it.
    """
    # What an expiry let go of is on the disk until this.
    expiry.expire(session, lake, [])
    with rewriting.prepared(session, lake, contracts, subjects) as rewriter:
        while True:
            rewriter.look()
            session.detach(lake)
            with publish_lock(session.settings, lake), transaction(session.settings, lake) as run:
                if rewriter.is_up_to_date(run):
                    _note(run, erasure_id, rewriter.apply(run, erasure_id))
                    break
    purge(session.settings, lake, _HOLDING_VALUES)
    # The old files, and what was staged by those who were killed; what is at work is refused when it publishes.
    stage.sweep(session, lake, older_than_seconds=0)


def settle(session: LakeSession, erasure_id: str) -> dict[str, ErasureRecord]:
    """Note in every lake which publishes cannot be rebuilt any more.

    Returns:
        The erasure's record in each lake.
    """
    lakes = session.settings.lake_names
    contents = [
        (lake, asset, key, content_hash)
        for lake in lakes
        for asset, key, content_hash in session.query(
            lake, f"SELECT asset, partition, content_hash FROM mlops_assets_erased WHERE erasure_id = '{erasure_id}'"
        )
    ]
    lost = not_rebuildable(session, contents)
    return {lake: _update(session, lake, erasure_id, not_rebuildable=lost.get(lake, ())) for lake in lakes}


def finish(session: LakeSession, erasure_id: str) -> None:
    """Note in every lake that nothing is left of the persons."""
    for lake in session.settings.lake_names:
        _update(session, lake, erasure_id, finished_at=time.time())


def _tombstones(salt: str, subjects: Subjects, kinds: set[str]) -> dict[str, list[str]]:
    return {
        kind: sorted(tombstones.hashed(salt, kind, text) for text in subjects[kind])
        for kind in sorted(kinds.intersection(subjects))
    }


def _cut_off(session: LakeSession, subjects: Subjects) -> str | None:
    """The id of an erasure of these persons that is not finished in some lake: of no others, in any lake."""
    known: dict[str, list[tuple[str, ErasureRecord]]] = {}
    for lake in session.settings.lake_names:
        for salt, text in session.query(lake, "SELECT salt, record FROM mlops_assets_erasure ORDER BY number"):
            record = ErasureRecord.model_validate_json(text)
            known.setdefault(record.erasure_id, []).append((salt, record))
    for erasure_id, records in known.items():
        # A lake without their kinds has no tombstones to tell them by.
        telling = [(salt, record.tombstones) for salt, record in records if record.tombstones]
        theirs = all(_tombstones(salt, subjects, set(stones)) == stones for salt, stones in telling)
        if telling and theirs and any(record.finished_at is None for _, record in records):
            return erasure_id
    return None


def _note(run: Run, erasure_id: str, publishes: Sequence[ErasedPublish]) -> None:
    _change(run, erasure_id, publishes=[*_record(run, erasure_id).publishes, *publishes])


def _record(run: Run, erasure_id: str) -> ErasureRecord:
    [(text,)] = run("SELECT record FROM mlops_assets_erasure WHERE erasure_id = ?", erasure_id)
    return ErasureRecord.model_validate_json(text)


def _change(run: Run, erasure_id: str, **fields: object) -> ErasureRecord:
    record = _record(run, erasure_id).model_copy(update=fields)
    run("UPDATE mlops_assets_erasure SET record = ? WHERE erasure_id = ?", record.model_dump_json(), erasure_id)
    return record


def _update(session: LakeSession, lake: str, erasure_id: str, **fields: object) -> ErasureRecord:
    session.detach(lake)
    with publish_lock(session.settings, lake), transaction(session.settings, lake) as run:
        return _change(run, erasure_id, **fields)


def not_rebuildable(session: LakeSession, contents: Iterable[Content]) -> dict[str, list[NotRebuildable]]:
    """What was made from contents that lose rows, however indirectly.

    Args:
        session: a session that may read all lakes.
        contents: each as lake, asset, partition (empty for an unpartitioned table) and content hash.

    Returns:
        The publishes by their lakes.
    """
    readers: dict[Content, list[tuple[str, ledger.PublishRecord]]] = {}
    open_ = [(content, True) for content in contents]
    for lake in session.settings.lake_names:
        for entry in ledger.history(session, lake):
            for read in entry.record.inputs.values():
                for key, content_hash in read.partitions.items():
                    readers.setdefault((read.lake, read.asset, key, content_hash), []).append((lake, entry.record))
    found: dict[str, tuple[str, NotRebuildable]] = {}
    # Those that read erased rows come first, so whoever is met again was met as one of them before.
    for content, directly in open_:
        for lake, record in readers.get(content, ()):
            if record.publish_id not in found:
                lost = NotRebuildable(
                    publish_id=record.publish_id,
                    asset=record.asset,
                    partition=record.partition or "",
                    directly=directly,
                )
                found[record.publish_id] = (lake, lost)
                open_.append(((lake, record.asset, record.partition or "", record.content_hash), False))
    by_lake: dict[str, list[NotRebuildable]] = {}
    for lake, lost in found.values():
        by_lake.setdefault(lake, []).append(lost)
    return by_lake
