"""Extraction: from a source, or from what was kept of it, to the rows of a partition in the contract's columns.

Put here the order of these steps, which is the same for all kinds. Keep out what a source declares (``source``), what
is kept (``incoming``), what is merged (``increments``), and which column is which (``layout``).
"""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import dagster as dg

from mlops_assets.platform.assets.raw import TAG, in_metadata
from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import SourceError
from mlops_assets.platform.lake import ledger, raw
from mlops_assets.plumbing.sources import room
from mlops_assets.plumbing.sources.delivered import Delivered, Request
from mlops_assets.plumbing.sources.incoming import Incoming, kept
from mlops_assets.plumbing.sources.increments import ORIGIN, WHOLE_TAG, Increment, mark_of
from mlops_assets.plumbing.sources.layout import Conformed, Layout, conformed
from mlops_assets.plumbing.sources.secret import hidden_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.lake.ledger import Delivery, Entry
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.plumbing.sources.source import Source

LAYOUT_CHECK: Final = "layout"
"""The check that warns of columns which a source has gained or lost, where its declaration lets it."""


class _Extract(NamedTuple):
    """Rows in the contract's columns, what is said of them, and what the source has gained or lost."""

    file: Path
    metadata: Mapping[str, Any]
    changes: Sequence[str]


def extracted(
    source: Source, partition: Partition, session: LakeSession, run_tags: Mapping[str, str]
) -> dg.MaterializeResult[Any]:
    """The rows of a partition, from the source or, where the run's tag says so, from what was kept.

    Raises:
        SourceError: they cannot be had whole, or are not as the contract has them.
        LakeError: what was kept is not there any more, or damaged.
    """
    again = kept(source.contract, session, partition, run_tags[TAG]) if TAG in run_tags else []
    with hidden_of(source, session.settings).in_errors(), room.told(source.name):
        extract = (
            _reread(source, again, partition, session)
            if again
            else _asked(source, partition, session, whole=WHOLE_TAG in run_tags)
        )
    results = None
    if source.evolve:
        results = [
            dg.AssetCheckResult(
                passed=not extract.changes,
                check_name=LAYOUT_CHECK,
                severity=dg.AssetCheckSeverity.WARN,
                description=" ".join(extract.changes) or "The columns are those of the contract.",
            )
        ]
    return dg.MaterializeResult(value=extract.file, metadata=extract.metadata, check_results=results)


def _asked(source: Source, partition: Partition, session: LakeSession, *, whole: bool) -> _Extract:
    declared = source.watermark()
    increment, own = None, {}
    if declared is not None:
        own = {ORIGIN: mark_of(source.origin())}
        before = None if whole else _mergeable(source, partition, session)
        increment = Increment(declared, source.contract, session, before, source=source.name)
    with Incoming(source.contract, partition, session, keep=source.keep) as incoming:
        request = _request(source, partition, session, incoming.file, increment)
        delivered = source.read(request)
        delivered = dataclasses.replace(delivered, facts={**delivered.facts, **own})
        incoming.came(delivered, since=increment is not None and increment.of_published)
        rows = _conformed(source, delivered, request, session.scratch / "conformed.parquet")
        metadata = {**delivered.facts, **incoming.kept(rows.file)}
    file = rows.file
    if increment is not None:
        file = increment.merged(rows.file, session.scratch / "merged.parquet")
        # The watermark is a value of a row: of persons it is not told.
        watermark = "the publish before" if source.contract.personal else str(increment.since)
        metadata["since"] = watermark if increment.of_published else "the start"
    return _Extract(file, metadata, tuple(map(delivered.hidden.said, rows.changes)))


def _reread(source: Source, again: Sequence[Delivery], partition: Partition, session: LakeSession) -> _Extract:
    declared = source.watermark()
    if declared is None and len(again) > 1:
        raise SourceError(
            source=source.name,
            culprit=f"it is made from one delivery, and {len(again)} are named.",
            remedy=f"Name one in the tag {TAG}.",
        )
    increment = Increment(declared, source.contract, session, None, source=source.name) if declared else None
    extracts = []
    for number, delivery in enumerate(again):
        file = raw.kept(session.settings, source.contract, delivery.sha256)
        request = _request(source, partition, session, file, increment)
        delivered = source.reread(request, delivery)
        rows = _conformed(source, delivered, request, session.scratch / f"conformed-{number}.parquet")
        file = rows.file
        if increment is not None:
            file = increment.add(file, session.scratch / f"merged-{number}.parquet")
        extracts.append(_Extract(file, {**delivered.facts, **in_metadata(delivery)}, rows.changes))
    return extracts[-1]


def _mergeable(source: Source, partition: Partition, session: LakeSession) -> Entry | None:
    """What is published of the partition, if changes can be merged with it: it was made as it would be made now.

    That is by the same code and declaration, of the same origin, in the same columns.
    """
    contract = source.contract
    session.attach(contract.lake.name)
    before = ledger.current(session, contract, [partition.key]).get(partition.key)
    if before is None or before.record.code_version != source.code_version():
        return None
    told = before.record.delivery
    if told is None or told.facts.get(ORIGIN) != mark_of(source.origin()):
        return None
    return before if list(before.record.columns) == list(columns_of(contract)) else None


def _request(
    source: Source, partition: Partition, session: LakeSession, file: Path, increment: Increment | None
) -> Request:
    request = Request(
        contract=source.contract,
        partition=partition,
        connection=session.connection,
        scratch=session.scratch / "delivered",
        settings=session.settings,
        raw=file,
        since=increment.since if increment is not None else None,
    )
    request.scratch.mkdir()
    return request


def _conformed(source: Source, delivered: Delivered, request: Request, file: Path) -> Conformed:
    layout = Layout(
        source=delivered.source,
        columns=source.columns,
        formats=source.formats,
        evolve=source.evolve,
        absent=delivered.absent,
        typed=delivered.typed,
    )
    with delivered.hidden.in_errors():
        rows = conformed(delivered, request, layout, file)
    # Unpacked text is ten times as large as the rows, which are audited next.
    shutil.rmtree(request.scratch)
    return rows
