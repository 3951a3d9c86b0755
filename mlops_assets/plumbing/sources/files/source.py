"""Files by declaration: a folder or object store into which files are delivered, one for each partition or for all.

Put here what a ``FileSource`` declares, and how one of its files becomes rows. Keep out how files are found and opened
(``places``), when they are complete (``wholeness``), what is in them (``formats``), and when a run is asked for
(``arrivals``).
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

import duckdb
from pydantic import model_validator

from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.errors import ContractError, PlatformError, SourceError, SourceUnavailableError
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources import arrivals
from mlops_assets.plumbing.sources.delivered import Request
from mlops_assets.plumbing.sources.files import folders
from mlops_assets.plumbing.sources.files.places import Place
from mlops_assets.plumbing.sources.files.wholeness import Checksum, Manifest, Marker, Quiet
from mlops_assets.plumbing.sources.formats.kinds import Delimited, Format
from mlops_assets.plumbing.sources.in_file import to_ask_for
from mlops_assets.plumbing.sources.own_rows import keys_in, own_rows, require_all_apart
from mlops_assets.plumbing.sources.secret import Secret, Text, text_of
from mlops_assets.plumbing.sources.source import Source
from mlops_assets.plumbing.sources.templates import (
    fields_of,
    filled,
    pattern_of,
    require_known,
)
from mlops_assets.plumbing.sources.variants import AS_IT_STANDS, at_least, one_of

if TYPE_CHECKING:
    import re

    import dagster as dg

    from mlops_assets.platform.lake.ledger import Delivery
    from mlops_assets.plumbing.sources.arrivals import Told
    from mlops_assets.plumbing.sources.delivered import Delivered, Fact
    from mlops_assets.plumbing.sources.files.wholeness import Promise

_MOST_LOOKED_INTO: Final = 2**24
"""Bytes of the largest file of all partitions that the sensor reads to learn which are in it."""

Whole = Annotated[Quiet | Marker | Checksum | Manifest, one_of(Quiet, Marker, Checksum, Manifest)]


class FileSource(Source):
    """Files that somebody delivers into a folder, or into an object store or server that fsspec knows.

    Attributes:
        path: the folder, or its address: ``/data/exports``, ``s3://bucket/exports``, ``sftp://host/exports``.
        file: a file's name in it, perhaps below further folders: ``{partition}.csv``, ``{state}/{month}/voters.zip``.
            What is packed (zip with one member, gzip, zstd) is told by its first bytes. Without a name between braces
            one file holds all partitions, and each takes the rows whose columns say so.
        format: what is in it.
        whole: how it is known that it is complete.
        options: of fsspec for the address, such as ``endpoint_url`` of an object store, or the file ``known_hosts`` for
            a server over SFTP. One that has parts is written with them: ``{client_kwargs: {region_name: eu-west-1}}``.
        secrets: those of its options that are secrets: ``key`` and ``secret``; ``password`` or ``private_key``.
        every_seconds: how often the folder is looked at.

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
        >>> orders = ma.FileSource(contract=ORDERS, path="exports", file="orders-{month}.csv.gz", whole=ma.Checksum())
        >>> defs = ma.build_defs([orders], name="sales")
        >>> [sensor.name for sensor in defs.sensors if "arrivals" in sensor.name]
        ['raw_orders_arrivals']
    """

    path: Text
    file: Annotated[str, AS_IT_STANDS]
    format: Format = Delimited()
    whole: Whole = Quiet()
    options: Mapping[str, Any] = {}
    secrets: dict[str, Secret] = {}  # noqa: RUF012  pydantic copies it, and Dagster knows a dict of these alone
    every_seconds: Annotated[int, at_least(5)] = 30

    KIND: ClassVar[str] = "file"
    VERSION: ClassVar[str] = "1"
    PLACES: ClassVar[frozenset[str]] = frozenset({"path", "file", "whole", "options", "secrets", "every_seconds"})

    EXAMPLE: ClassVar[Mapping[str, Any]] = {
        "path": "{{ env.EXPORTS }}",
        "file": "{partition}.csv",
        "whole": {"type": "quiet", "seconds": 60},
    }

    @model_validator(mode="after")
    def _require_known_fields(self) -> Self:
        require_known(self.name, "file", self.file, self.contract)
        if not self.file or {"", ".", ".."} & set(self.file.split("/")):
            raise ContractError(
                source=self.name,
                culprit=f"its file {self.file!r} is no name below its path.",
                remedy="Write a name, perhaps below folders: {month}/orders.csv.",
            )
        if any("/" in (spec or "") for _, _, spec, _ in string.Formatter().parse(self.file)):
            raise ContractError(
                source=self.name,
                culprit=f"its file {self.file} has a slash within braces.",
                remedy="Name each part of the path alone: {start:%Y}/{start:%m}.csv.",
            )
        require_all_apart(f"file {self.file}", self.file, self.contract, self.name)
        return self

    def place(self, settings: Settings) -> Place:
        """Where the files lie.

        Raises:
            SettingsError: the address or a secret is not set, or the protocol is not installed.
        """
        secrets = {name: secret.read(settings) for name, secret in self.secrets.items()}
        return Place.at(text_of(self.path, "path"), {**self.options, **secrets})

    def path_of(self, place: Place, key: str | None) -> str:
        """The path of a partition's file."""
        named = bool(fields_of(self.file))
        partition = Partition(key, self.contract.partition_values(key)) if named else Partition(None, {})
        name = filled(self.file, self.contract, partition)
        if name.count("/") != self.file.count("/"):
            raise SourceError(
                source=f"{self.name}, partition {key}",
                culprit="its key holds a slash, and so would name a folder.",
                remedy="Name the file otherwise than by that key.",
            )
        return place.path(name)

    def read(self, request: Request) -> Delivered:
        """Copy the file, compare it with what its sender said, unpack and parse it."""
        return own_rows(request, self, self._whole) if self._holds_all() else self._whole(request)

    def _whole(self, request: Request) -> Delivered:
        place = self.place(request.settings)
        promise = self.promise(place, request.partition.key)
        path = promise.path or self.path_of(place, request.partition.key)
        source = place.name_of(path)
        before = place.info(path)
        size, digest = place.copied(path, request.raw)
        if place.info(path) != before or size != before.size:
            raise SourceUnavailableError(
                source=source,
                culprit="it was changed while it was read.",
                remedy="It is read again when it is at rest; let its sender write another name and rename it.",
            )
        _compare(promise, size, digest, source)
        facts: dict[str, Fact] = {
            "file": place.within(path),
            "file_bytes": size,
            "file_sha256": digest,
            arrivals.DELIVERY: promise.identity,
        }
        delivered = self.parsed(request, source, facts, proven=promise.proves)
        return dataclasses.replace(delivered, promised=promise.rows, sha256=digest)

    def reread(self, request: Request, delivery: Delivery) -> Delivered:
        """Unpack and parse the file as it was kept, whole."""

        def whole(request: Request) -> Delivered:
            delivered = self.parsed(request, delivery.origin, delivery.facts, proven=True)
            return dataclasses.replace(delivered, sha256=delivery.sha256)

        return own_rows(request, self, whole, again=delivery.sha256) if self._holds_all() else whole(request)

    def parsed(self, request: Request, source: str, facts: Mapping[str, Fact], *, proven: bool) -> Delivered:
        """All rows of the file at ``request.raw``.

        Args:
            request: which partition is asked for, and where to work.
            source: how messages name the file.
            facts: what is known of it.
            proven: whether size or checksum have shown that it is whole.
        """
        delivered, packed = self.format.read(request, source, proven=proven)
        return dataclasses.replace(delivered, facts={**facts, "packed": packed or "no"})

    def _holds_all(self) -> bool:
        """Whether one file holds all partitions."""
        return self.contract.partitions_def is not None and not fields_of(self.file)

    def promise(self, place: Place, key: str | None) -> Promise:
        """What is known of a partition's file, once it is complete.

        Raises:
            SourceUnavailableError: it is not complete yet, or not there.
            SourceError: what was said of it cannot be understood, or is not of this partition.
        """
        return self.whole.promise(place, self.path_of(place, key))

    def patterns(self) -> list[re.Pattern[str]]:
        """What the names of its files look like, folder by folder."""
        return [pattern_of(part) for part in self.file.split("/")]

    def arrived(self, instance: dg.DagsterInstance, told: Told) -> dict[str | None, str]:
        """The identities of the files that are there and complete, by partition."""
        found = folders.arrived(self, instance, told)
        return to_ask_for(self.contract, instance, found, told, self._looked_into) if self._holds_all() else found

    def _looked_into(self) -> list[str] | None:
        """The partitions in a small file that holds all; none where it cannot be read, ``None`` where it is large."""
        settings = Settings.load()
        place = self.place(settings)
        try:
            path = self.promise(place, None).path or self.path_of(place, None)
            if place.info(path).size > _MOST_LOOKED_INTO:
                return None
            with LakeSession(settings) as session:
                request = Request(
                    contract=self.contract,
                    partition=Partition(None, {}),
                    connection=session.connection,
                    scratch=session.scratch,
                    settings=settings,
                    raw=session.scratch / "raw",
                )
                return keys_in(self._whole(request), self)
        except SourceUnavailableError:
            return None
        except (PlatformError, duckdb.Error, OSError):
            return []

    def identities(self, known: Mapping[str | None, str | None]) -> dict[str | None, str]:
        """What tells the files of these partitions from others, of those that are there and whole."""
        return folders.identities(self, known)

    def sensors(self) -> list[dg.SensorDefinition]:
        """The sensor that asks for a run for each file that has arrived."""
        return [arrivals.sensor(self)]

    def wanted(self, instance: dg.DagsterInstance, keys: Sequence[str | None]) -> Sequence[str | None]:
        """Of what is due, what is not published as it lies there: a run that finds nothing tells that it is late."""
        return arrivals.not_published(self, instance, keys)


def _compare(promise: Promise, size: int, digest: str, source: str) -> None:
    if promise.size is not None and size != promise.size:
        raise SourceError(
            source=source,
            culprit=f"it has {size:,} bytes, its manifest says {promise.size:,}: cut off, or replaced without a "
            "new one.",
            remedy="Deliver the file again, then what is said of it.",
        )
    if promise.sha256 is not None and digest != promise.sha256:
        raise SourceError(
            source=source,
            culprit="its SHA-256 is not the one that was promised: damaged, or replaced without a new one.",
            remedy="Deliver the file again, then what is said of it.",
        )
