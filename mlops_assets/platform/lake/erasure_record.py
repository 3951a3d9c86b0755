"""The record of an erasure: what a lake keeps of it for ever, beside its ledger.

Put here the record and its look-up. Keep out the erasure itself (``erasure``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from mlops_assets.platform.lake.session import LakeSession


class ErasedPublish(BaseModel):
    """A publish that lost rows.

    Attributes:
        publish_id: which publish.
        asset: asset key as text.
        partition: partition key; empty for an unpartitioned table.
        version: the lake version that it made.
        rows_removed: how many rows it lost.
        quarantined_removed: how many of the rows that it had set aside were removed.
        content_hash: what its content hash was.
        left_hash: what it is now.
    """

    model_config = ConfigDict(frozen=True)

    publish_id: str
    asset: str
    partition: str
    version: int
    rows_removed: int
    quarantined_removed: int
    content_hash: str
    left_hash: str


class NotRebuildable(BaseModel):
    """A publish that was made from rows which are gone.

    Attributes:
        publish_id: which publish.
        asset: asset key as text.
        partition: partition key; empty for an unpartitioned table.
        directly: whether it read such rows itself and cannot be rebuilt; else only something that it was made from
            cannot, while what it read itself is still there.
    """

    model_config = ConfigDict(frozen=True)

    publish_id: str
    asset: str
    partition: str
    directly: bool


class ErasureRecord(BaseModel):
    """What an erasure did to one lake; the lake keeps it for ever.

    Attributes:
        erasure_id: the same in all lakes.
        by: who asked for it.
        begun_at: seconds since the epoch.
        finished_at: likewise; ``None`` while something may be left.
        tombstones: for each kind of identifier the persons' keyed hashes; never an identifier.
        publishes: those that lost rows.
        not_rebuildable: those of the lake that were made from such, in whatever lake.
    """

    model_config = ConfigDict(frozen=True)

    erasure_id: str
    by: str
    begun_at: float
    finished_at: float | None = None
    tombstones: Mapping[str, Sequence[str]]
    publishes: Sequence[ErasedPublish] = ()
    not_rebuildable: Sequence[NotRebuildable] = ()


def records(session: LakeSession, lake: str) -> list[ErasureRecord]:
    """The erasures that the lake knows, oldest first."""
    rows = session.query(lake, "SELECT record FROM mlops_assets_erasure ORDER BY number")
    return [ErasureRecord.model_validate_json(record) for (record,) in rows]
