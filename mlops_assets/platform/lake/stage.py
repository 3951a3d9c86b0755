"""Staging: writing what an asset returned as immutable Parquet at a path no reader looks at, under a lease.

Put here the writing of staged files and their sweeping. Keep out any judgement of what they hold.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import ibis
from ibis.backends.sql.datatypes import DuckDBType

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.durable_files import make_folder_durably, sync_file, sync_folder
from mlops_assets.platform.lake import tombstones
from mlops_assets.platform.lake.catalog import literal, publish_lock, quote
from mlops_assets.platform.lake.files import COMPRESSION, ROW_GROUP, parquet_rows, plain
from mlops_assets.platform.lake.frames import misfit
from mlops_assets.platform.lake.parquet_footer import without_bounds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession

_LEASES: Final = "_leases"
# The reaper sweeps too, and has containers to look after.
_SWEEP_LOCK_SECONDS: Final = 10.0
_FUSING: Final = threading.Lock()
_FORMAT: Final = f"(FORMAT parquet, COMPRESSION {COMPRESSION}, ROW_GROUP_SIZE {ROW_GROUP})"
_WRITER: Final = "DuckDB"

FILE_NAME: Final = "part-0.parquet"


@dataclass(eq=False)
class StagedFile:
    """A staged Parquet file.

    Attributes:
        path: where it lies; its folder is fresh and holds nothing else.
        bytes: its size.
        maybe_published: whether the lake refers to it, or may do so: its transaction came to the COMMIT, and is not
            known to have been rolled back.
        erasures: how many erasures of the lake were known when it was written; rows of those persons are not in it.
    """

    path: Path
    bytes: int
    maybe_published: bool = False
    erasures: int = 0

    def remove(self) -> None:
        """Remove the file and its folder, unless the lake may refer to it: that is for the sweeper to find out."""
        if not self.maybe_published:
            shutil.rmtree(self.path.parent, ignore_errors=True)


@contextmanager
def lease(session: LakeSession, lake: str) -> Iterator[str]:
    """A fresh attempt id whose staged files no sweeper touches while this process lives."""
    attempt = uuid.uuid4().hex
    folder = session.settings.lake_data_path(lake) / _LEASES
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / attempt
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield attempt
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def stage(
    session: LakeSession,
    contract: Contract,
    table: ir.Table,
    *,
    columns: Mapping[str, dt.DataType] | None = None,
    written: Path | None = None,
    attempt: str,
) -> StagedFile:
    """Write the table's rows to a fresh path under the lake's data path, float columns rounded as the contract says.

    Rows of persons who were erased from the lake are left out, whatever the source delivers. A file in the session's
    scratch folder that holds the rows as they are to be is not written once more: it is moved there.

    Args:
        session: the session on whose connection the table is, unless it is in memory.
        contract: gives lake, layer, table and decimals.
        table: the rows, with at least these columns.
        columns: the columns to write, in order; the contract's when not given.
        written: the Parquet file that the table reads, if there is one and nobody else needs it.
        attempt: id of the attempt, which names the path.

    Raises:
        FrameError: a value of the frame that the asset returned does not fit the contract's type.
    """
    columns = rules.columns_of(contract) if columns is None else columns
    folder = session.settings.lake_data_path(contract.lake.name) / contract.layer / contract.table / attempt
    make_folder_durably(folder)
    path = folder / FILE_NAME
    try:
        known, erased = tombstones.erased_rows(session, contract)
        if written is not None and not erased and not contract.decimals and _is_as_staged(session, written, columns):
            shutil.move(written, path)
            _settle(path, unbounded=unbounded(contract, columns))
            return StagedFile(path, path.stat().st_size, erasures=known)
        # Cast, because an engine's own type may be wider than Ibis says (a DuckDB sum of BIGINT is a HUGEINT).
        chosen = ", ".join(
            f"{_rounded(contract, column)}::{DuckDBType.to_string(kind)} AS {quote(column)}"
            for column, kind in columns.items()
        )
        staged = f"SELECT {chosen} FROM ({_query(session, table)})"
        kept = f"SELECT * FROM ({staged}) WHERE NOT ({erased})" if erased else staged
        write_parquet(session, kept, path, unbounded=unbounded(contract, columns))
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if (told := misfit(error)) is not None:
            raise told from None
        raise
    return StagedFile(path, path.stat().st_size, erasures=known)


def unbounded(contract: Contract, columns: Collection[str]) -> frozenset[str]:
    """Those of a table's columns, or of its quarantine's, whose least and greatest values no catalog may learn.

    Persons' columns, and all of rows set aside: their values may stand in other columns than their own.
    """
    if contract.personal and rules.QUARANTINE_PARTITION in columns:
        return frozenset(columns) - {rules.QUARANTINE_PARTITION}
    return contract.personal


def write_parquet(session: LakeSession, query: str, path: Path, *, unbounded: Collection[str]) -> None:
    """Write the query's rows, in their order, as a file that is on the disk afterwards.

    Args:
        session: the session whose connection can run the query.
        query: DuckDB query.
        path: the file; its folder exists.
        unbounded: columns whose least and greatest values the file does not tell beside its rows.
    """
    session.connection.execute(f"COPY ({query}) TO {literal(str(path))} {_FORMAT}")
    _settle(path, unbounded=unbounded)


def _settle(path: Path, *, unbounded: Collection[str]) -> None:
    if unbounded:
        without_bounds(path, unbounded)
    sync_file(path)
    sync_folder(path.parent)


def _is_as_staged(session: LakeSession, path: Path, columns: Mapping[str, dt.DataType]) -> bool:
    """Whether DuckDB wrote the file into the session's scratch folder with these columns, and it has no other name.

    How it is compressed and cut into row groups is the writer's choice.
    """
    # What has a name elsewhere could be changed there after it was audited.
    if path.parent.resolve() != session.scratch.resolve() or path.is_symlink() or path.stat().st_nlink > 1:
        return False
    [(writer,)] = session.connection.execute(
        f"SELECT created_by FROM parquet_file_metadata({literal(plain(path))})"
    ).fetchall()
    described = session.connection.execute(f"DESCRIBE FROM {parquet_rows(path)}").fetchall()
    held = [(name, DuckDBType.from_string(kind)) for name, kind, *_ in described]
    return writer.startswith(_WRITER) and held == list(columns.items())


def _query(session: LakeSession, table: ir.Table) -> str:
    session.ibis._run_pre_execute_hooks(table)  # noqa: SLF001  registers memtables, as to_parquet does
    # Merging nested selects takes Ibis longer than a small partition takes DuckDB, whose optimiser merges them anyway.
    # It is a global option alone. What another thread compiles meanwhile is nested too, and means the same.
    with _FUSING:
        fuse = ibis.options.sql.fuse_selects
        ibis.options.sql.fuse_selects = False
        try:
            return str(session.ibis.compile(table))
        finally:
            ibis.options.sql.fuse_selects = fuse


def _rounded(contract: Contract, column: str) -> str:
    if column in contract.decimals:
        return f"round({quote(column)}, {contract.decimals[column]})"
    return quote(column)


def sweep(session: LakeSession, lake: str, *, older_than_seconds: float) -> list[Path]:
    """Remove staged folders that no snapshot refers to, no live process leases, and that are older than that.

    Returns:
        The folders removed.

    Raises:
        LakeError: the catalog cannot be reached, or commits and publishes kept it busy; nothing was removed.
    """
    removed = abandoned(session, lake, older_than_seconds=older_than_seconds)
    for folder in removed:
        shutil.rmtree(folder, ignore_errors=True)
    return removed


def abandoned(session: LakeSession, lake: str, *, older_than_seconds: float) -> list[Path]:
    """The staged folders that ``sweep`` would remove.

    Raises:
        LakeError: the catalog cannot be reached, or commits and publishes kept it busy.
    """
    session.attach(lake)
    root = session.settings.lake_data_path(lake)
    # Leases first, the catalog second: what was not leased any more when it was looked at had been committed by then,
    # was being committed by a server whose client is gone, or never will be. The other way round a commit in between
    # would lose its file.
    left = [
        folder
        for folder in root.glob("*/*/*")
        if folder.is_dir()
        and not folder.parts[-3].startswith("_")
        and _age(folder) >= older_than_seconds
        and not _leased(root, folder.name.split("-")[0])
    ]
    # Under the lock no such commit is under way any more.
    with publish_lock(session.settings, lake, seconds=_SWEEP_LOCK_SECONDS):
        known = {path for (path,) in session.query(lake, "SELECT path FROM ducklake_data_file")}
    return [
        folder
        for folder in left
        if known.isdisjoint(
            {str(folder / FILE_NAME), str((folder / FILE_NAME).relative_to(root)), f"{folder.name}/{FILE_NAME}"}
        )
    ]


def _age(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _leased(root: Path, attempt: str) -> bool:
    path = root / _LEASES / attempt
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)
