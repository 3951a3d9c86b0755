"""The landing folder: voter files dropped as ``<STATE>/<YYYY-MM>/ncvoter.zip`` beside a manifest that is written last.

Put here how a delivered file is found, compared with its manifest and read whole. Keep out the text format, and
anything that changes a value.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from duckdb import ColumnExpression, ConstantExpression, FunctionExpression, SQLExpression
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops_assets.contracts.layouts import LAYOUTS, VOTER_FILE_COLUMNS, layout_in_force
from mlops_assets.contracts.raw import VOTER_FILE
from mlops_assets.platform.contracts.contract import PARTITION_SEPARATOR
from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.connectors import large_text
from mlops_assets.plumbing.sources import archive

if TYPE_CHECKING:
    from io import BufferedReader
    from pathlib import Path

    import duckdb

MANIFEST: Final = "manifest.json"
_MOST_MANIFEST_BYTES: Final = 2**16
_DELIVER_AGAIN: Final = "Deliver the file again, then write its manifest anew."


class Manifest(BaseModel):
    """What the sender says of a delivered file; it is written last, so its presence means that the file is complete.

    Attributes:
        state: postal code of the state whose voters the file lists.
        month: month of the snapshot, ``YYYY-MM``.
        snapshot_date: day of the snapshot.
        file: name of the file beside the manifest.
        sha256: SHA-256 of that file, lower-case hexadecimal.
        size: size of that file in bytes; ``bytes`` in the manifest.
        rows: voters in it, the header line not counted.
        layout: the layout as the sender names it; shown, not relied upon.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str
    month: str
    snapshot_date: dt.date
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.zip$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(alias="bytes", ge=1)
    rows: int = Field(ge=1)
    layout: str = ""


@dataclass(frozen=True, kw_only=True)
class VoterFile:
    """A voter file read whole.

    Attributes:
        file: a Parquet file in the scratch folder with one row per line: exactly the columns of
            ``contracts.raw.VOTER_FILE``, those that the file's layout lacks NULL.
        layout: the layout that the header line shows, a key of ``contracts.layouts.LAYOUTS``.
        manifest: the manifest that the file agrees with.
    """

    file: Path
    layout: str
    manifest: Manifest


@dataclass(frozen=True)
class Landing:
    """A landing folder."""

    folder: Path

    def place(self, *, state: str, month: str) -> Path:
        """The folder of one state and month.

        Raises:
            ContractError: they are not a partition of the voter file.
        """
        VOTER_FILE.partition_values(f"{month}{PARTITION_SEPARATOR}{state}")
        return self.folder / state / month

    def manifest(self, *, state: str, month: str) -> Manifest:
        """The manifest of one state and month.

        Raises:
            ContractError: they are not a partition of the voter file.
            SourceUnavailableError: there is none, or it cannot be read.
            SourceError: it is not a manifest, or names another state or month.
        """
        source = f"Landing manifest {state}/{month}/{MANIFEST}"
        path = self.place(state=state, month=month) / MANIFEST
        try:
            with path.open("rb") as opened:
                content = opened.read(_MOST_MANIFEST_BYTES + 1)
        except FileNotFoundError:
            raise SourceUnavailableError(
                source=source,
                culprit="it is not there, so no complete file has arrived.",
                remedy="Wait for the delivery, or ask the sender; the sensor sees it when it arrives.",
            ) from None
        except OSError as error:
            raise _unreadable(source, error) from error
        if len(content) > _MOST_MANIFEST_BYTES:
            raise SourceError(
                source=source,
                culprit=f"it has more than {_MOST_MANIFEST_BYTES} bytes, which no manifest needs.",
                remedy="Look at what was delivered in its place.",
            )
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)
            listed = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'the text'}: {p['msg']}" for p in problems)
            raise SourceError(
                source=source, culprit=f"it is not a manifest ({listed}).", remedy="Write the manifest anew."
            ) from None
        if (manifest.state, manifest.month) != (state, month) or manifest.snapshot_date.strftime("%Y-%m") != month:
            raise SourceError(
                source=source,
                culprit=f"it names state {manifest.state!r}, month {manifest.month!r} and snapshot date "
                f"{manifest.snapshot_date}.",
                remedy="Move the delivery to the folder of its state and month, or correct the manifest.",
            )
        return manifest

    def read(self, connection: duckdb.DuckDBPyConnection, scratch: Path, *, state: str, month: str) -> VoterFile:
        """Read the voter file of one state and month.

        ``state_cd`` is the state of the residential address: a line that names another state than the file's is
        another state's voter, and the file is refused. Lines without one (confidential addresses) pass. A file that
        holds every line twice passes if its manifest says so: mending is not plumbing.

        Args:
            connection: where DuckDB parses, and where the result lives.
            scratch: folder for the unpacked text and its Parquet copy.
            state: postal code.
            month: ``YYYY-MM``.

        Raises:
            ContractError: state and month are not a partition of the voter file.
            SourceUnavailableError: nothing has arrived, or it cannot be read.
            SourceError: the file does not agree with its manifest, with its state, with a known layout or with itself.
        """
        manifest = self.manifest(state=state, month=month)
        name = f"{state}/{month}/{manifest.file}"
        source = f"Landing file {name}"
        text, parquet = scratch / "voter_file.txt", scratch / "voter_file.parquet"
        # One handle for all: a file put in this one's place meanwhile is not mixed with it.
        with _opened(self.place(state=state, month=month) / manifest.file, source) as delivered:
            _compare_with_manifest(delivered, manifest, source)
            large_text.latin1_to_utf8(archive.read_only_member(delivered, source), text, source)
        layout = recognise_layout(large_text.header(text), manifest.snapshot_date, source)
        select = _contract_columns(layout, state=state, month=month, source_file=name)
        large_text.to_parquet(connection, text, parquet, columns=LAYOUTS[layout], select=select, source=source)
        text.unlink()
        rows = connection.read_parquet(str(parquet), hive_partitioning=False)
        _refuse_other_count(rows, manifest, source)
        _refuse_other_states(rows, state, source)
        return VoterFile(file=parquet, layout=layout, manifest=manifest)


def recognise_layout(header: tuple[str, ...], day: dt.date, source: str) -> str:
    """The name of the layout whose columns the header line lists, in their order.

    Args:
        header: the fields of the header line.
        day: day of the file, by which the layout to compare with is chosen when none fits.
        source: how error messages name the file.

    Raises:
        SourceError: no layout has these columns; the message names those that are missing and unexpected.
    """
    for layout, columns in LAYOUTS.items():
        if header == columns:
            return layout
    # A layout in force breaks ties; a delayed change of layout must not make every column look wrong.
    nearest = min(LAYOUTS, key=lambda name: (len(set(LAYOUTS[name]) ^ set(header)), name != layout_in_force(day)))
    expected = LAYOUTS[nearest]
    known = len(set(expected) & set(header))
    if known < len(expected) / 2:
        # The line may hold a person's data, so none of it is shown.
        raise SourceError(
            source=source,
            culprit=f"its first line is not a header: {known} of the {len(expected)} columns of layout {nearest} are "
            "in it.",
            remedy="Ask for the file with its header line, separated by tabs.",
        )
    missing = [column for column in expected if column not in header]
    unexpected = sorted({column for column in header if column not in expected})
    repeated = sorted({column for column in header if header.count(column) > 1})
    parts = {"missing": missing, "unexpected": unexpected, "repeated": repeated}
    listed = "; ".join(f"{what}: {', '.join(columns)}" for what, columns in parts.items() if columns)
    raise SourceError(
        source=source,
        culprit=f"it holds {len(header)} columns, layout {nearest} expects {len(expected)} "
        f"({listed or 'the same ones in another order'}).",
        remedy="Has the state changed its layout? Compare with contracts/layouts.py, and add a new layout there.",
    )


def _opened(path: Path, source: str) -> BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise SourceError(
            source=source,
            culprit="it is not there, but its manifest is.",
            remedy="Deliver the file first and its manifest last.",
        ) from None
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: str, error: OSError) -> SourceUnavailableError:
    return SourceUnavailableError(
        source=source,
        culprit=f"it cannot be read ({error.strerror or type(error).__name__}).",
        remedy="Check that the landing folder is mounted and readable for the account of the runs.",
    )


def _compare_with_manifest(delivered: BufferedReader, manifest: Manifest, source: str) -> None:
    size = delivered.seek(0, 2)
    if size != manifest.size:
        raise SourceError(
            source=source,
            culprit=f"it has {size} bytes, its manifest says {manifest.size}: cut off, or replaced without a new "
            "manifest.",
            remedy=_DELIVER_AGAIN,
        )
    delivered.seek(0)
    if hashlib.file_digest(delivered, "sha256").hexdigest() != manifest.sha256:
        raise SourceError(
            source=source,
            culprit="its SHA-256 is not the one in its manifest: damaged, or replaced without a new manifest.",
            remedy=_DELIVER_AGAIN,
        )


def _refuse_other_count(rows: duckdb.DuckDBPyRelation, manifest: Manifest, source: str) -> None:
    count = rows.shape[0]
    if count != manifest.rows:
        raise SourceError(
            source=source,
            culprit=f"it holds {count} rows, its manifest says {manifest.rows}.",
            remedy="Ask the sender which is right. " + _DELIVER_AGAIN,
        )


def _refuse_other_states(rows: duckdb.DuckDBPyRelation, state: str, source: str) -> None:
    written = FunctionExpression("upper", FunctionExpression("trim", ColumnExpression("state_cd")))
    others = rows.filter(written.isnotin(ConstantExpression(""), ConstantExpression(state)))
    count, first = others.aggregate("count(*), min(source_row)").fetchall()[0]
    if count:
        raise SourceError(
            source=source,
            culprit=f"{count} of its rows are of another state than {state} by state_cd; the first is row {first}.",
            remedy="Find out whose file this is. " + _DELIVER_AGAIN,
        )


def _contract_columns(layout: str, *, state: str, month: str, source_file: str) -> list[duckdb.Expression]:
    constants = {"state": state, "month": month, "layout": layout, "source_file": source_file}
    absent = [column for column in VOTER_FILE_COLUMNS if column not in LAYOUTS[layout]]
    return [
        *(ConstantExpression(value).cast("VARCHAR").alias(name) for name, value in constants.items()),
        SQLExpression("row_number() OVER ()").alias("source_row"),
        *(
            ConstantExpression(None).cast("VARCHAR").alias(column) if column in absent else ColumnExpression(column)
            for column in VOTER_FILE_COLUMNS
        ),
    ]
