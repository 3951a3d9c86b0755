"""Expiry: letting go of old versions of a lake that nothing needs, and of the files that only they name.

Put here the rule of what is needed, and its doing. Keep out files that no version names (``stage.sweep``).

A version is kept if it is the newest, or was so less long ago than asked for, or a run under way reads it; and for each
content that is needed, the newest version that holds it. Needed is what is current in any lake, and what it was made
from, and that was made from, by their records: so every current table, model and prediction can be rebuilt. What a
superseded publish alone was made from may go.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import duckdb

from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.catalog import literal, publish_lock, quote
from mlops_assets.platform.withheld import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlops_assets.platform.lake.session import LakeSession

# So many versions under one hold of the publish lock: a publish waits for a second or so, not for all of them.
_BATCH: Final = 100
_END: Final = 2**62


@dataclass(frozen=True, kw_only=True)
class Expired:
    """What an expiry did.

    Attributes:
        versions: how many versions were let go.
        kept: how many are left.
        files: the files that were removed.
    """

    versions: int
    kept: int
    files: Sequence[Path]


class _Held(NamedTuple):
    """The versions from ``first`` on and before ``end`` hold a partition as one publish made it."""

    lake: str
    first: int
    end: int


def expirable(
    session: LakeSession,
    lake: str,
    *,
    older_than_seconds: float,
    pins: Callable[[str], Mapping[str, int]],
) -> list[int]:
    """The versions of the lake that nothing needs, oldest first.

    Args:
        session: a session that may read all lakes.
        lake: the lake whose versions are asked for.
        older_than_seconds: versions that were the newest less long ago stay. How long ago they were made does not
            count: whoever asked for the newest just before a publish is reading the one that it superseded.
        pins: for each run under way the version of a lake that it reads; asked once the newest version is known, which
            is the one that a run reads that begins later.

    Raises:
        LakeError: a catalog cannot be reached.
    """
    session.attach(lake)
    newest = ledger.latest_version(session, lake)
    pinned = pins(lake)
    rows = session.connection.execute(
        "SELECT snapshot_id, lead(snapshot_time) OVER (ORDER BY snapshot_id) "
        f"<= now() - to_seconds({older_than_seconds!r}) FROM {quote(lake)}.snapshots() ORDER BY snapshot_id"
    ).fetchall()
    left = [int(version) for version, _ in rows]
    keep = {newest, *pinned.values(), *(int(version) for version, old in rows if not old)}
    if pinned:
        # Over the version that it pinned, a run sees what it has published itself.
        since = min(pinned.values())
        keep |= {e.version for e in ledger.since(session, lake, since) if e.record.run_id in pinned}
    for held in _needed(session):
        if held.lake == lake:
            index = bisect_left(left, held.end) - 1
            if index >= 0 and left[index] >= held.first:
                keep.add(left[index])
    return [version for version in left if version not in keep and version < newest]


def expire(session: LakeSession, lake: str, versions: Sequence[int]) -> Expired:
    """Let those versions go and remove the files that no other version names.

    The publish lock is held for a hundred versions at a time. When it is interrupted, what is left is done by the next
    expiry.

    Args:
        session: a session that may write the lake.
        lake: which lake.
        versions: as ``expirable`` gave them.

    Raises:
        LakeError: the lake refused; what was let go before stays so.
    """
    session.attach(lake)
    files: list[Path] = []
    try:
        # Also without versions: an expiry that was cut off may have left files to remove.
        for start in range(0, max(len(versions), 1), _BATCH):
            batch = versions[start : start + _BATCH]
            with publish_lock(session.settings, lake):
                files += _expire(session, lake, batch)
    except duckdb.Error as error:
        raise LakeError(
            source=f"Lake {lake}",
            culprit=f"old versions could not be let go ({reason(error)}).",
            remedy="Is the catalog up, and may this account remove the lake's files? Try again.",
        ) from error
    for file in files:
        # Each file had a folder of its own.
        if file.parent.is_dir() and not any(file.parent.iterdir()):
            file.parent.rmdir()
    [(kept,)] = session.query(lake, "SELECT count(*) AS kept FROM ducklake_snapshot")
    return Expired(versions=len(versions), kept=int(kept), files=files)


def _expire(session: LakeSession, lake: str, versions: Sequence[int]) -> list[Path]:
    if versions:
        # Read to its end: only then is it committed.
        session.connection.execute(
            f"CALL ducklake_expire_snapshots({literal(lake)}, versions => [{', '.join(map(str, versions))}])"
        ).fetchall()
    rows = session.connection.execute(
        f"CALL ducklake_cleanup_old_files({literal(lake)}, cleanup_all => true)"
    ).fetchall()
    return [Path(path) for (path,) in rows]


def _lost_next(past: Sequence[tuple[int, str]], index: int) -> bool:
    """Whether the files of that publish were lost."""
    return index + 1 < len(past) and past[index + 1][1] == ledger.LOST


def _needed(session: LakeSession) -> Iterator[_Held]:
    """Where each content is held that a current publish of any lake was made from, however indirectly."""
    history: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
    erased: dict[tuple[str, str, str, str], str] = {}
    open_: list[ledger.Entry] = []
    for lake in session.settings.lake_names:
        open_ += [entry for entry in ledger.newest(session, lake) if not entry.record.lost]
        for version, asset, partition, content in session.query(
            lake, "SELECT version, asset, partition, content_hash FROM mlops_assets_ledger ORDER BY version"
        ):
            history.setdefault((lake, asset, partition), []).append((int(version), content))
        for asset, partition, content, left in session.query(
            lake, "SELECT asset, partition, content_hash, left_hash FROM mlops_assets_erased"
        ):
            erased[lake, asset, partition, content] = left
    seen: set[tuple[str, str, str, int]] = set()
    while open_:
        for read in open_.pop().record.inputs.values():
            for partition, content_read in read.partitions.items():
                content = content_read
                # What an erasure left of it is the nearest that there is.
                while (read.lake, read.asset, partition, content) in erased:
                    content = erased[read.lake, read.asset, partition, content]
                past = history.get((read.lake, read.asset, partition), [])
                held = (i for i in reversed(range(len(past))) if past[i][1] == content and not _lost_next(past, i))
                index = next(held, None)
                if index is None or (read.lake, read.asset, partition, past[index][0]) in seen:
                    continue
                version = past[index][0]
                seen.add((read.lake, read.asset, partition, version))
                yield _Held(read.lake, version, past[index + 1][0] if index + 1 < len(past) else _END)
                open_.append(ledger.at(session, read.lake, read.asset, partition, version))
