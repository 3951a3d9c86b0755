"""Incoming deliveries: where what comes is put, and what of it is kept, or taken from there again.

Put here the way of a delivery into the lake's raw folder and back. Keep out that folder (``platform.lake.raw``), how
one serves several partitions (``together``), and what is in a delivery (the kinds).
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from mlops_assets.platform.assets.raw import KEPT, in_metadata
from mlops_assets.platform.errors import LakeError, SourceError, SourceUnavailableError
from mlops_assets.platform.lake import ledger, raw, tombstones
from mlops_assets.platform.lake.catalog import literal
from mlops_assets.plumbing.sources import room

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import dagster as dg

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Delivery
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.plumbing.sources.delivered import Delivered


class Incoming:
    """The file of one delivery. Use it as a context manager: what is not kept is removed at its end.

    Args:
        contract: the table.
        partition: the one that it comes for.
        session: a session that may write its lake.
        keep: whether what comes is kept.

    Attributes:
        file: where to put what comes.
    """

    def __init__(self, contract: Contract, partition: Partition, session: LakeSession, *, keep: bool) -> None:
        self._contract = contract
        self._partition = partition
        self._session = session
        self._keep = keep
        self._came: Delivered | None = None
        self._since = False
        self._delivery: Delivery | None = None
        self.file = raw.incoming(session.settings, contract) if keep else session.scratch / "raw"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, SourceError):
                # Whole, and refused: who mends that wants to see it. Where it cannot be kept, that error says more.
                with suppress(SourceUnavailableError, LakeError):
                    self._kept(None)
        finally:
            self.file.unlink(missing_ok=True)

    def came(self, delivered: Delivered, *, since: bool) -> None:
        """Note that the file is there, whole; ``since``: that it holds changes alone."""
        self._came = delivered
        self._since = since

    def kept(self, rows: Path) -> dict[str, dg.JsonMetadataValue]:
        """Keep what came, unless it holds persons who were erased; the entry of metadata that tells of it.

        Args:
            rows: Parquet file of the rows that were made of it.
        """
        self._kept(rows)
        return in_metadata(self._delivery) if self._delivery is not None else {}

    def _of_erased(self, rows: Path | None) -> bool:
        """Whether persons who were erased are in what came, or may be."""
        self._session.attach(self._contract.lake.name)
        _, erased = tombstones.erased_rows(self._session, self._contract)
        if not erased:
            return False
        if rows is None or self._came is None or self._came.of_more:
            return True
        return bool(self._count(rows, erased))

    def _count(self, rows: Path, condition: str = "true") -> int:
        [(found,)] = self._session.connection.execute(
            f"SELECT count(*) FROM read_parquet({literal(str(rows))}) WHERE {condition}"
        ).fetchall()
        return int(found)

    def _kept(self, rows: Path | None) -> None:
        if not self._keep or self._came is None or not self.file.is_file():
            return
        try:
            digest = self._came.sha256
            if digest is None:
                with self.file.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            delivery = ledger.Delivery(
                sha256=digest,
                bytes=self.file.stat().st_size,
                origin=self._came.source,
                arrived_at=time.time(),
                facts=self._came.facts,
                since=self._since,
                rows=None if rows is None or self._since or self._came.of_more else self._count(rows),
            )
            if raw.keep(
                self._session.settings,
                self._contract,
                self.file,
                delivery,
                partition=self._partition.key,
                unless=lambda: self._of_erased(rows),
            ):
                self._delivery = delivery
        except OSError as error:
            raise SourceUnavailableError(
                source=self._came.source,
                culprit=f"what it delivered could not be kept ({error.strerror or type(error).__name__}).",
                remedy=f"{room.REMEDY} Or declare keep: false.",
            ) from None


def kept(contract: Contract, session: LakeSession, partition: Partition, tag: str) -> list[Delivery]:
    """The deliveries that a run's tag names, with what is on record of them: to be read one after another.

    Args:
        contract: the table.
        session: a session that may read its lake.
        partition: which one is to be made.
        tag: ``kept``, or the SHA-256 of one delivery, or several with commas between them: a whole one and changes.

    Raises:
        SourceError: one is not kept, or nothing is on record of the partition.
    """
    session.attach(contract.lake.name)
    name, key = contract.key.to_user_string(), partition.key
    past = ledger.history(session, contract.lake.name, name)
    own = [entry for entry in past if entry.record.partition == key and not entry.record.lost]
    named = (
        []
        if tag == KEPT
        else [raw.resolved(session.settings, contract, each.strip()) for each in tag.lower().split(",")]
    )
    if tag == KEPT:
        entry = ledger.current(session, contract, [key]).get(key)
    else:
        entry = next((e for e in reversed(own) if (made := e.record.delivery) and [made.sha256] == named), None)
    found: list[Delivery | None] = []
    if entry is not None:
        found += ledger.deliveries_of(session, contract.lake.name, entry)
        named = []
    # One that was refused is on no record.
    for sha256 in named:
        noted = raw.noted(session.settings, contract, sha256)
        found.append(noted.get(key))
        if noted and key not in noted:
            raise SourceError(
                source=f"{name}, partition {key}",
                culprit=f"delivery {sha256[:12]} came for another partition ({next(iter(noted))}).",
                remedy="Name one of its own; kept takes for each partition what it was made from.",
            )
    deliveries = [each for each in found if each is not None]
    if not deliveries or len(deliveries) < len(found):
        raise SourceError(
            source=f"{name}{f', partition {key}' if key is not None else ''}",
            culprit="no delivery is kept that it was made from."
            if tag == KEPT
            else f"no delivery {tag[:12]} of it is kept.",
            remedy=f"mlops-assets lake deliveries {name} lists those that are; one that was refused is read by its "
            "SHA-256. Without the tag the source is asked.",
        )
    if deliveries[0].since:
        raise SourceError(
            source=name,
            culprit=f"delivery {deliveries[0].sha256[:12]} holds changes alone, and would be taken for the whole.",
            remedy="Run it without the tag: what was refused has moved no watermark, and is asked for again.",
        )
    return deliveries
