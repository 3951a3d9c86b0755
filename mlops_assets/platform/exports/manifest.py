"""The manifest of an export: what it holds, and where that came from.

Put here the manifest's fields, its JSON form and how an export's id follows from it. Keep out reading and writing of
exports.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Self

from mlops_assets.platform.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = 1
"""Version of the layout of an export and of the rule that makes its id."""
_ID_DIGITS: Final = 32


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """The data file: its SHA-256 in hexadecimal and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class TableRecord:
    """One exported table.

    Attributes:
        rows: how many rows it has.
        columns: for each column, in order, its SQLite type.
        key: the columns that identify a row; empty for a table without key.
        digest: SHA-256 of the rows, sorted by key, or by all columns without one.
    """

    rows: int
    columns: Mapping[str, str]
    key: tuple[str, ...]
    digest: str


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
    provenance: Mapping[str, object]

    def to_json(self) -> bytes:
        """The manifest as a JSON document."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, allow_nan=False).encode()

    @classmethod
    def from_json(cls, document: bytes) -> Self:
        """Read a manifest.

        Raises:
            ValueError: the document is not a manifest of this format.
        """
        try:
            fields = json.loads(document)
            if fields["format"] != FORMAT:
                raise ValueError(f"format {fields['format']}, not {FORMAT}")
            return cls(
                export_id=str(fields["export_id"]),
                created=str(fields["created"]),
                file=FileRecord(sha256=str(fields["file"]["sha256"]), size=int(fields["file"]["size"])),
                tables={
                    str(name): TableRecord(
                        rows=int(table["rows"]),
                        columns=dict(table["columns"]),
                        key=tuple(table["key"]),
                        digest=str(table["digest"]),
                    )
                    for name, table in fields["tables"].items()
                },
                provenance=dict(fields["provenance"]),
            )
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"not a manifest: {type(error).__name__}") from error


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
