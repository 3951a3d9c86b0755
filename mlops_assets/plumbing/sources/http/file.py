"""A file over HTTP by declaration: one at an address for each partition, or one for all, noticed by its validator.

Put here what an ``HttpFileSource`` declares and how its file becomes rows. Keep out where it is and who asks
(``http.source``), how it is fetched (``downloads``), unpacked (``formats.packing``) and parsed (``formats``).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final
from urllib.parse import quote, unquote, urlsplit

import httpx

from mlops_assets.platform.errors import PlatformError, SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources import arrivals
from mlops_assets.plumbing.sources.files.wholeness import Checksum
from mlops_assets.plumbing.sources.formats import packing
from mlops_assets.plumbing.sources.formats.kinds import Delimited, Format, Parquet
from mlops_assets.plumbing.sources.http.bodies import Kind
from mlops_assets.plumbing.sources.http.downloads import Downloader, too_large
from mlops_assets.plumbing.sources.http.faults import RefusedRequestError
from mlops_assets.plumbing.sources.http.limits import FileLimits
from mlops_assets.plumbing.sources.http.looks import Looker, short
from mlops_assets.plumbing.sources.http.source import Address, HttpSource
from mlops_assets.plumbing.sources.in_file import to_ask_for
from mlops_assets.plumbing.sources.own_rows import own_rows, require_all_apart
from mlops_assets.plumbing.sources.secret import text_of
from mlops_assets.plumbing.sources.templates import time_dimension
from mlops_assets.plumbing.sources.variants import at_least, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import dagster as dg

    from mlops_assets.platform.lake.ledger import Delivery
    from mlops_assets.plumbing.sources.delivered import Delivered, Fact, Request
    from mlops_assets.plumbing.sources.http.access import Access

_NOT_THERE: Final = frozenset({httpx.codes.NOT_FOUND, httpx.codes.GONE})


class HttpFileSource(HttpSource):
    """A file at an address, for each partition or for all.

    Attributes:
        url: its address, or ``dg.EnvVar`` of a variable that holds it. It may name the partition as file names do.
            Where neither it nor query and headers name one, the file holds all partitions, and each takes the rows
            whose columns say so, unless the declaration is a ``snapshot``.
        query: parameters of the query, whose values may name the partition.
        headers: further headers, whose values may.
        auth: how to sign in.
        format: what is in it. What is packed (zip with one member, gzip, zstd) is told by its first bytes.
        whole: a file beside it that holds its SHA-256, where there is one: ``{file}`` is the last part of the address.
        limits: how long and how much.
        every_seconds: how often it is looked at.
        watched: of how many partitions, the latest that have ended, the addresses are asked at each look.

    Example:
        >>> import dagster as dg, ibis.expr.datatypes as dt, pandera.ibis as pa
        >>> import mlops_assets as ma
        >>> class Orders(pa.DataFrameModel):
        ...     month: dt.String
        ...     order_id: dt.Int64
        >>> ORDERS = ma.Contract(
        ...     layer="raw",
        ...     table="orders",
        ...     model=Orders,
        ...     lake=ma.Lake("curated"),
        ...     description="What was ordered.",
        ...     owners=["team:sales"],
        ...     partitions_def=dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m"),
        ...     partition_columns={"month": "month"},
        ... )
        >>> orders = ma.HttpFileSource(contract=ORDERS, url="https://shop.example/exports/orders-{month}.csv.gz")
        >>> defs = ma.build_defs([orders], name="sales")
        >>> [sensor.name for sensor in defs.sensors if "arrivals" in sensor.name]
        ['raw_orders_arrivals']
    """

    format: Format = Delimited()
    whole: Annotated[Checksum | None, one_of(Checksum)] = None
    limits: FileLimits = FileLimits()
    every_seconds: Annotated[int, at_least(5)] = 300
    watched: Annotated[int, at_least(1)] = 12

    KIND: ClassVar[str] = "http_file"
    VERSION: ClassVar[str] = "1"
    PLACES: ClassVar[frozenset[str]] = frozenset({
        "url", "query", "headers", "auth", "whole", "limits", "every_seconds", "watched"
    })  # fmt: skip
    ASKED_FOR: ClassVar[Kind] = Kind.FILE

    EXAMPLE: ClassVar[Mapping[str, Any]] = {
        "url": "{{ env.EXPORTS_URL }}/{partition}.csv",
        "auth": {"type": "bearer", "secret": {"file": "exports_token"}},
        "every_seconds": 300,
    }

    def _require_url(self, text: str) -> None:
        super()._require_url(text)
        require_all_apart("address", "\n".join(self.texts(text)), self.contract, self.name)

    def names_partition(self) -> bool:
        """A file that holds all partitions says which rows are whose."""
        return True

    def sensors(self) -> list[dg.SensorDefinition]:
        """The sensor that asks for a run for each file that has arrived."""
        return [arrivals.sensor(self)]

    def wanted(self, instance: dg.DagsterInstance, keys: Sequence[str | None]) -> Sequence[str | None]:
        """Of what is due, what is not published as it is there: a run that finds nothing tells that it is late."""
        return arrivals.not_published(self, instance, keys)

    def arrived(self, instance: dg.DagsterInstance, told: arrivals.Told) -> dict[str | None, str]:
        """The identities of the files that are there, by partition."""
        try:
            keys = self._watched(instance)
        except PlatformError as error:
            told.add(error)
            return {}
        published = arrivals.published(self.contract, instance, keys)
        found = self.look({key: published.get(key) for key in keys}, told)
        return to_ask_for(self.contract, instance, found, told) if self._holds_all() else found

    def identities(self, known: Mapping[str | None, str | None]) -> dict[str | None, str]:
        """What tells the files of these partitions from others, of those that are there."""
        return self.look(known, arrivals.Told())

    def _watched(self, instance: dg.DagsterInstance) -> list[str | None]:
        """The partitions that a look is for."""
        definition = self.contract.partitions_def
        if definition is None:
            return [None]
        shared = not self.is_named(text_of(self.url, "url"))
        if time_dimension(self.contract) is None or (shared and not self.snapshot):
            keys = list(definition.get_partition_keys(dynamic_partitions_store=instance))
            return [*keys] if shared else [*keys[-self.watched :]]
        ended = self.ended(dt.datetime.now(dt.UTC), instance)
        if shared:
            # It has one state, that of now.
            return [*next(ended, [])]
        return [*itertools.islice(itertools.chain.from_iterable(ended), self.watched)]

    def identity(self, looker: Looker, address: Address, known: str | None) -> str:
        """Its validator, or the checksum beside it."""
        if self.whole is not None:
            return _promised(self.whole, looker, address)
        with _late():
            found = super().identity(looker, address, known)
        if not found:
            raise SourceError(
                source=address.said,
                culprit="it sends neither ETag nor Last-Modified, so that nothing tells whether it is another file.",
                remedy="Declare when it is asked (cron), or a checksum beside it (whole), and let the sensor be.",
            )
        return found

    def read(self, request: Request) -> Delivered:
        """The rows of a partition's file."""
        return own_rows(request, self, self._whole) if self._holds_all() else self._whole(request)

    def _whole(self, request: Request) -> Delivered:
        access = self.access(request.settings, self.limits)
        with access.hidden.in_errors(), _late():
            return self._rows(request, self.address(request.partition, access), access)

    def reread(self, request: Request, delivery: Delivery) -> Delivered:
        """The rows of the file that was kept, whole."""

        def whole(request: Request) -> Delivered:
            delivered, _ = self._parsed(request, delivery.origin, proven=True)
            return dataclasses.replace(delivered, facts=delivery.facts, sha256=delivery.sha256)

        return own_rows(request, self, whole, again=delivery.sha256) if self._holds_all() else whole(request)

    def _holds_all(self) -> bool:
        """Whether one file holds all partitions."""
        partitioned = self.contract.partitions_def is not None
        return partitioned and not self.snapshot and not self.is_named(text_of(self.url, "url"))

    def _parsed(self, request: Request, source: str, *, proven: bool) -> tuple[Delivered, str]:
        """All rows of the file at ``request.raw``, and how it is packed."""
        delivered, packed = self.format.read(request, source, proven=proven)
        if not (proven or packed in packing.PROVEN or isinstance(self.format, Parquet)):
            raise SourceError(
                source=source,
                culprit="it tells neither how long it is nor where it ends, so that nobody knows if it is whole.",
                remedy="Ask its operator for a Content-Length, a checksum beside it (whole), or a zip archive.",
            )
        return delivered, packed

    def _rows(self, request: Request, address: Address, access: Access) -> Delivered:
        quotes, promised = not self.contract.personal, None
        if self.whole is not None:
            with Looker(limits=short(self.limits), access=access, quotes=quotes) as looker:
                promised = self.identity(looker, address, None)
        with Downloader(limits=self.limits, access=access, quotes=quotes) as client:
            fetched = client.download(address.url, request.raw, parameters=address.parameters, headers=address.headers)
        source, digest = fetched.source, fetched.digest.hexdigest()
        source += f" (redirected to {fetched.led_to})" if fetched.led_to else ""
        plain = _unpack(request.raw, source, self.limits.largest_body_bytes) if fetched.packed else digest
        if promised not in {None, digest, plain}:
            raise SourceError(
                source=source,
                culprit="its SHA-256 is not the one beside it: damaged, or replaced without a new one.",
                remedy="Have the file delivered again, then its checksum.",
            )
        delivered, packed = self._parsed(request, source, proven=fetched.framed or promised is not None)
        validators = fetched.validators
        facts: dict[str, Fact] = {
            "address": address.said,
            "file_bytes": fetched.size,
            "file_sha256": digest,
            "packed": packed or "no",
            "attempts": fetched.attempts,
        }
        if fetched.led_to:
            facts["redirected_to"] = fetched.led_to
        told = {
            "etag": access.hidden.said(validators.etag),
            "last_modified": validators.modified,
            arrivals.DELIVERY: promised or address.asked.identity(validators.told),
        }
        facts |= {name: text for name, text in told.items() if text}
        return dataclasses.replace(delivered, facts=facts, hidden=access.hidden, sha256=plain)


@contextmanager
def _late() -> Iterator[None]:
    """Let what is not there be late, not refused: the next try may find it."""
    try:
        yield
    except RefusedRequestError as error:
        if error.status not in _NOT_THERE:
            raise
        raise SourceUnavailableError(
            source=error.source,
            culprit=f"it is not there (it answers {error.status}).",
            remedy="Wait for it, or ask its sender; if it should be there, check the address.",
        ) from None


def _unpack(file: Path, source: str, most: int) -> str:
    """Unpack a file that was packed for the way, in its place, if it has at most so many bytes; its SHA-256."""
    digest, size = hashlib.sha256(), 0
    unpacked = file.with_name(f"{file.name}-unpacked")
    try:
        with file.open("rb") as opened, unpacked.open("wb") as written:
            blocks, packed = packing.unpacked(opened, source)
            if packed != "gzip":
                raise SourceError(
                    source=source,
                    culprit="it says that it is packed by gzip for the way, and is not.",
                    remedy="Ask its operator to correct Content-Encoding.",
                )
            for block in blocks:
                if (size := size + len(block)) > most:
                    raise too_large(source, most)
                digest.update(block)
                written.write(block)
        unpacked.replace(file)
    finally:
        unpacked.unlink(missing_ok=True)
    return digest.hexdigest()


def _promised(whole: Checksum, looker: Looker, address: Address) -> str:
    """The SHA-256 that is told beside a file.

    Raises:
        SourceUnavailableError: it is not there, so that the file is not complete.
        SourceError: nothing there is its SHA-256.
    """
    split = urlsplit(address.url)
    folder, _, file = split.path.rpartition("/")
    name = quote(whole.name, safe="{}").replace("{file}", file)
    beside = split._replace(path=f"{folder}/{name}", fragment="").geturl()
    with _late():
        fetched = looker.get(beside, Kind.FILE, parameters=address.parameters, headers=address.headers)
    return whole.digest_of(unquote(file), fetched.body, fetched.address)
