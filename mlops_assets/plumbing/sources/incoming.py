"""Incoming deliveries: where what comes is put, and what of it is kept, or taken from there again.

Put here the way of a delivery into the lake's raw folder and back. Keep out that folder (``platform.lake.raw``), and
what is in a delivery (the kinds).
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Self

from mlops_assets.platform.assets.raw import KEPT, in_metadata
from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.platform.lake import ledger, raw, tombstones
from mlops_assets.platform.lake.catalog import literal

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
        session: a session that may write its lake.
        partition: which one is asked for.
        again: what to read instead of asking: ``kept``, or the SHA-256 of a delivery.
        keep: whether what comes is kept.

    Attributes:
        file: where to put what comes, or where it lies.
        again: the delivery that is read again, if one is.

    Raises:
        SourceError: nothing is kept of the partition.
        LakeError: it is not kept any more, or damaged.
    """

    def __init__(
        self, contract: Contract, session: LakeSession, partition: Partition, *, again: str | None, keep: bool
    ) -> None:
        self._contract = contract
        self._session = session
        self._came: Delivered | None = None
        self._delivery: Delivery | None = None
        self.again = _delivery(contract, session, partition, again) if again is not None else None
        self._keep = keep and self.again is None
        if self.again is not None:
            self.file = raw.kept(session.settings, contract, self.again.sha256)
        else:
            self.file = raw.incoming(session.settings, contract) if keep else session.scratch / "raw"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.again is None:
            if isinstance(error, SourceError) and self._came is not None and not self._of_erased(None):
                # Whole, and refused: who mends that wants to see it.
                self._kept()
            self.file.unlink(missing_ok=True)

    def came(self, delivered: Delivered) -> None:
        """Note that the file is there, whole."""
        self._came = delivered

    def kept(self, rows: Path) -> dict[str, dg.JsonMetadataValue]:
        """Keep what came, unless it holds persons who were erased; the entry of metadata that tells of it.

        Args:
            rows: Parquet file of the rows that were made of it.
        """
        if self.again is None and not self._of_erased(rows):
            self._kept()
        told = self.again or self._delivery
        return in_metadata(told) if told is not None else {}

    def _of_erased(self, rows: Path | None) -> bool:
        """Whether persons who were erased are in what came, or may be."""
        self._session.attach(self._contract.lake.name)
        _, erased = tombstones.erased_rows(self._session, self._contract)
        if not erased:
            return False
        if rows is None or self._came is None or self._came.of_more:
            return True
        [(found,)] = self._session.connection.execute(
            f"SELECT count(*) FROM read_parquet({literal(str(rows))}) WHERE {erased}"
        ).fetchall()
        return bool(found)

    def _kept(self) -> None:
        if not self._keep or self._came is None or not self.file.is_file():
            return
        try:
            digest = self._came.sha256
            if digest is None:
                with self.file.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._delivery = ledger.Delivery(
                sha256=digest,
                bytes=self.file.stat().st_size,
                origin=self._came.source,
                arrived_at=time.time(),
                facts=self._came.facts,
            )
            raw.keep(self._session.settings, self._contract, self.file, self._delivery)
        except OSError as error:
            raise SourceUnavailableError(
                source=self._came.source,
                culprit=f"what it delivered could not be kept ({error.strerror or type(error).__name__}).",
                remedy="Give the folder of the lake's data more room, or declare keep: false.",
            ) from None


def _delivery(contract: Contract, session: LakeSession, partition: Partition, again: str) -> Delivery:
    """The delivery that is to be read again, with what is on record of it."""
    session.attach(contract.lake.name)
    key = partition.key
    name = contract.key.to_user_string()
    current = ledger.current(session, contract, [key]).get(key)
    if again == KEPT:
        found = current.record.delivery if current is not None else None
    else:
        told = (entry.record.delivery for entry in ledger.history(session, contract.lake.name, name))
        # One that was refused is on no record.
        found = next((each for each in told if each is not None and each.sha256 == again), None) or raw.unrecorded(
            session.settings, contract, again
        )
    if found is None:
        raise SourceError(
            source=f"{name}{f', partition {key}' if key is not None else ''}",
            culprit="no delivery is kept that it was made from."
            if again == KEPT
            else f"no delivery {again[:12]} of it is kept.",
            remedy=f"mlops-assets lake deliveries {name} lists those that are; without the tag the source is asked.",
        )
    return found
