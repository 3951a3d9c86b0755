"""The manifest of an export: what it holds, and where that came from.

Put here the manifest's fields, its JSON form and how an export's id follows from it. Keep out reading and writing of
exports.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping  # noqa: TC003  msgspec reads annotations at run time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self

import msgspec

from mlops_assets.platform.errors import ArtifactError

FORMAT: Final = 4
"""Version of the layout of an export and of the rule that makes its id."""
_ID_DIGITS: Final = 32
Cell = str | int | float | bytes | None
"""A value as SQLite holds it."""
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """The data file: its SHA-256 in hexadecimal and its size in bytes."""

    sha256: str
    size: _Count


class Kind(StrEnum):
    """What the values of a column are."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "instant"
    """A time with its zone: ISO 8601 in UTC, with microseconds."""
    LOCAL_TIME = "local_time"
    """A time without a zone, likewise."""
    BYTES = "bytes"


class Mode(StrEnum):
    """How the rows of a table can be reached."""

    LIST = "list"
    """Page by page, by filters and by key."""
    LOOKUP = "lookup"
    """By whole keys that the client sends in a body: nobody can list or search."""


@dataclass(frozen=True, kw_only=True)
class ServedAs:
    """How the service offers a table.

    Attributes:
        mode: how its rows can be reached.
        scope: what a principal must be allowed to read it, such as ``orders:read``.
        limit_by: columns by which a principal may be limited to some rows.
        filters: columns by which a list can be narrowed.
        latest: the column of the key whose greatest value is meant where none is named.
        description: what the table holds.
        descriptions: what columns hold, for those that say so.
        values: for columns that hold one of few values by their contract, these; null may be among what they hold.
    """

    mode: Mode = Mode.LIST
    scope: str
    limit_by: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    latest: str | None = None
    description: str = ""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)


class OutcomeKind(StrEnum):
    """What is reported of a scored row, once it is known."""

    BOOLEAN = "boolean"
    NUMBER = "number"


LARGEST_OUTCOME: Final = 1e15
"""Most that a score or an outcome may be, and its least below zero: errors of such numbers can be squared and added."""

LATEST: Final = "latest"
"""What stands for the newest: of a column's values, or of a model's versions."""
PREVIOUS: Final = "previous"


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which versions of a model answer, where a request names none.

    A version is named ``latest``, ``previous``, or by the beginning of its SHA-256. One that is not there is left out.

    Attributes:
        weights: for each version the share of requests that it answers.
        shadow: versions that score every request beside the one that answers, for figures alone.
        outcome: what is reported of each scored row once it is known; ``None`` where answers are not logged.
    """

    weights: Mapping[str, _Share] = field(default_factory=lambda: {LATEST: 1.0})
    shadow: tuple[str, ...] = ()
    outcome: OutcomeKind | None = None


@dataclass(frozen=True, kw_only=True)
class TableRecord:
    """One exported table.

    Attributes:
        rows: how many rows it has.
        columns: for each column, in order, what its values are.
        key: the columns that identify a row; empty for a table without key.
        digest: SHA-256 of the rows, sorted by key, or by all columns without one.
        served: how the service offers its rows; ``None`` for a table that it does not offer as such.
        split: of a table of models, which versions answer.
    """

    rows: _Count
    columns: Mapping[str, Kind]
    key: tuple[str, ...]
    digest: str
    served: ServedAs | None = None
    split: Split | None = None


@dataclass(frozen=True, kw_only=True)
class ExportManifest:
    """What an export holds.

    Attributes:
        export_id: 32 hexadecimal digits, a hash of the tables and the provenance.
        created: when it was first written, UTC, ISO 8601.
        file: the data file.
        tables: for each table name its record.
        provenance: where the tables come from, as the writer said.
    """

    export_id: str
    created: str
    file: FileRecord
    tables: Mapping[str, TableRecord]
    provenance: Mapping[str, Any]

    def to_json(self) -> bytes:
        """The manifest as a JSON document."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, allow_nan=False).encode()

    @classmethod
    def from_json(cls, document: bytes) -> Self:
        """Read a manifest.

        Raises:
            ValueError: the document is not a manifest of this format.
        """
        # Another format is told as such, whatever else it holds.
        _WRITTEN.decode(document)
        manifest = msgspec.json.decode(document, type=cls)
        if datetime.fromisoformat(manifest.created).tzinfo is None:
            raise ValueError("its time has no zone")
        return manifest


class _Written(msgspec.Struct):
    format: Annotated[int, msgspec.Meta(ge=FORMAT, le=FORMAT)]


_WRITTEN: Final = msgspec.json.Decoder(_Written)


def export_id_of(tables: Mapping[str, TableRecord], provenance: Mapping[str, object]) -> str:
    """The id of an export with these tables and this provenance.

    Raises:
        ArtifactError: the provenance holds something that JSON cannot.
    """
    # JSON has no order of object members, so the columns go in as a list: their order is part of the content.
    content = {
        "format": FORMAT,
        "tables": {name: {**asdict(table), "columns": list(table.columns.items())} for name, table in tables.items()},
        "provenance": dict(provenance),
    }
    try:
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArtifactError(
            source="Provenance of an export",
            culprit=f"it is not JSON: {error}.",
            remedy="Give text, finite numbers, booleans, lists and mappings with text keys.",
        ) from error
    return hashlib.sha256(canonical.encode()).hexdigest()[:_ID_DIGITS]
