"""Exports: immutable, verified copies of published tables, which a service can read without the lake.

Put here how an export is written, made current, opened and retired. Keep out which tables are exported, and everything
that needs the lake or the orchestrator: the service's request path imports this module.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

from mlops_assets.platform.durable_files import (
    STAGED_PREFIX,
    make_folder_durably,
    replace_durably,
    staged_path,
    sync_file,
    sync_folder,
    taking_turns,
)
from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports.history import EXPORT_ID, POINTER, WITHDRAWN, note_move
from mlops_assets.platform.exports.layout import statements, unfit
from mlops_assets.platform.exports.manifest import ExportManifest, FileRecord, export_id_of
from mlops_assets.platform.exports.signature import SIGNATURE, check_manifest, sign_manifest
from mlops_assets.platform.exports.tables import (
    check_asked,
    check_names,
    check_served,
    check_table,
    fill_table,
    rows_digest,
)
from mlops_assets.platform.identifiers import is_identifier
from mlops_assets.platform.security.token_keys import key_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from io import BufferedReader
    from pathlib import Path
    from types import TracebackType

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from mlops_assets.platform.exports.manifest import Cell, ServedAs, Split
    from mlops_assets.platform.exports.tables import Rows

    Trusted = Mapping[str, Ed25519PublicKey]

DEFAULT_KEEP: Final = 5
_DATA: Final = "data.sqlite"
_MANIFEST: Final = "manifest.json"
_TICK_NS: Final = 20_000_000
"""Above what the clock of a file system goes by."""


@dataclass(kw_only=True, eq=False)
class Export:
    """An open export: its manifest, and read-only connections to its data, all to the very file that was verified.

    A connection may be used by any thread, by one at a time.

    Attributes:
        manifest: what the export holds and where that came from.
        connection: a connection to the SQLite file, one table per exported table.
        spare: further connections, for queries that run beside each other.
        signed_by: id of the trusted key that signed it; ``None`` where nobody asked.
    """

    manifest: ExportManifest
    connection: sqlite3.Connection
    spare: tuple[sqlite3.Connection, ...] = ()
    signed_by: str | None = None
    _file: BufferedReader
    _state: tuple[int, ...] = ()

    @property
    def untouched(self) -> bool:
        """Whether nothing was done to the data file since it was verified: any write is seen in its times.

        That it was deleted changes the time of its state as well, and nothing in it: who reads it has it still. A link
        to it or other permissions do too; then :meth:`verify_again` tells.
        """
        now = _state_of(self._file.fileno())
        return now == self._state or (now[:2] == self._state[:2] and not os.fstat(self._file.fileno()).st_nlink)

    def verify_again(self) -> bool:
        """Whether the data file holds what it held; reads it whole. Not for two threads at a time."""
        try:
            # A write in the same tick of the system's clock would leave the times as they are.
            while 0 <= time.time_ns() - os.fstat(self._file.fileno()).st_ctime_ns < _TICK_NS:
                time.sleep(_TICK_NS / 1e9)
            state = _state_of(self._file.fileno())
            self._file.seek(0)
            if hashlib.file_digest(self._file, "sha256").hexdigest() != self.manifest.file.sha256:
                return False
            if _state_of(self._file.fileno()) != state:
                return False
        except (OSError, ValueError):
            # It was closed meanwhile.
            return False
        self._state = state
        return True

    def fetched(
        self, query: str, parameters: Sequence[Cell] = (), *, connection: sqlite3.Connection | None = None
    ) -> list[tuple[Any, ...]]:
        """All rows of a query, by the connection of the export or a spare one.

        Raises:
            ArtifactError: they cannot be read, as text that is not UTF-8, or the file was touched before they were.
        """
        try:
            rows = (connection or self.connection).execute(query, parameters).fetchall()
        except sqlite3.ProgrammingError:
            raise
        except (sqlite3.Error, UnicodeError) as error:
            raise ArtifactError(
                source=f"Export {self.manifest.export_id}",
                culprit=f"its rows cannot be read ({type(error).__name__}).",
                remedy="Write another export.",
            ) from error
        if not self.untouched:
            raise ArtifactError(
                source=f"Export {self.manifest.export_id}",
                culprit="its file was touched after it was verified.",
                remedy="Wait until it is verified again.",
            )
        return rows

    def close(self) -> None:
        """Close the connections and the file."""
        for connection in (self.connection, *self.spare):
            connection.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def pointer_path(folder: Path) -> Path:
    """The file that names the current export; it is replaced whenever another export becomes current."""
    return folder / POINTER


def current_export_id(folder: Path) -> str:
    """The id of the current export, 32 hexadecimal digits.

    Raises:
        ArtifactError: no export was ever made current, or the pointer does not hold an id.
    """
    pointer = pointer_path(folder)
    try:
        text = pointer.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise ArtifactError(
            source=str(pointer), culprit="no export has been written yet.", remedy="Write one, then try again."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(
            source=str(pointer), culprit=f"it cannot be read ({type(error).__name__}).", remedy="Write a new export."
        ) from error
    if not EXPORT_ID.fullmatch(text):
        raise ArtifactError(source=str(pointer), culprit="it does not hold an export id.", remedy="Write a new export.")
    return text


def write_export(
    folder: Path,
    tables: Mapping[str, Rows],
    provenance: Mapping[str, object],
    *,
    keys: Mapping[str, Sequence[str]] | None = None,
    served: Mapping[str, ServedAs] | None = None,
    splits: Mapping[str, Split] | None = None,
    keep: int = DEFAULT_KEEP,
    signing_key: Ed25519PrivateKey | None = None,
) -> ExportManifest:
    """Write the tables as an immutable export and make it the current one.

    The export lies in ``<folder>/<export id>/`` as ``data.sqlite``, ``manifest.json`` and, where it is signed,
    ``signature.json``; ``<folder>/current`` names the current one. It is staged under another name, brought to the
    disk, read back and compared, and only then made current by replacing that file: whoever is killed at any step
    leaves the old export current. Writers in several processes take turns.

    The id depends on the tables' rows (in any order), columns and keys, and on the provenance. An export equal to an
    intact earlier one of the same signer is not written again: the earlier one becomes current.

    A table's rows are held in memory as Python values, up to a few million. More than that come as sorted batches
    (``pyarrow.RecordBatchReader``), of which one at a time is held.

    Args:
        folder: where the exports live; made when missing.
        tables: for each table name its rows, or batches sorted by its key; names are lower-case identifiers. Integers,
            floats, booleans, text, binary, dates and timestamps are taken; dates and timestamps become ISO 8601 text,
            booleans 0 and 1.
        provenance: where the tables come from (lake snapshot, content hashes, model versions), as JSON values.
        keys: for each keyed table the columns that identify a row; they become its primary key, in that order.
        served: for each table that the service offers as such, how; it must have a key.
        splits: for each table of models which versions answer.
        keep: how many exports stay, the newest ones; the current one always does.
        signing_key: signs the manifest, and so the data; ``None`` leaves an export that no service takes over.

    Returns:
        The manifest of the export that is now current.

    Raises:
        ArtifactError: a table cannot be exported as asked (a type, a repeated key, a number that is not finite, batches
            out of order), or what was read back differs from what was written. The old export stays current.
    """
    if keep < 1:
        raise ArtifactError(source=str(folder), culprit=f"keep is {keep}.", remedy="Keep at least one export.")
    keyed = {name: tuple((keys or {}).get(name, ())) for name in tables}
    if unknown := set(keys or {}) - set(tables):
        raise ArtifactError(
            source=str(folder), culprit=f"keys name absent tables {sorted(unknown)}.", remedy="Correct the keys."
        )
    for name, table in tables.items():
        check_table(name, table, keyed[name])
        check_served(name, table.schema.names, keyed[name], (served or {}).get(name))
    make_folder_durably(folder)
    with taking_turns(folder), _staging(folder) as staged:
        written = _write(staged, tables, keyed, served or {}, splits or {}, provenance)
        export_id = written.export_id
        adopted = _adoptable(folder, export_id, signing_key)
        if adopted is None:
            if signing_key is not None:
                replace_durably(staged / SIGNATURE, sign_manifest(written.to_json(), signing_key))
            staged.rename(folder / export_id)
            sync_folder(folder)
        # Readers look again only when the pointer was replaced, also at an export that was written anew.
        if adopted is None or not _is_current(folder, export_id):
            note_move(folder)
            replace_durably(pointer_path(folder), f"{export_id}\n".encode("ascii"))
        note_move(folder)
        _retire(folder, export_id, keep)
    return adopted or written


def open_export(folder: Path, *, trusted: Trusted | None = None, spare: int = 0) -> Export:
    """Verify the current export and open it read-only.

    Args:
        folder: where the exports live.
        trusted: the public keys by their ids, one of which must have signed it; ``None`` believes whoever wrote it.
        spare: how many further connections it is to have.

    Raises:
        ArtifactError: there is none, or its file, manifest or row counts are not what its id and manifest promise.
        SignatureError: no trusted key has signed it.
    """
    return _open_verified(folder / current_export_id(folder), trusted=trusted, spare=spare)


def open_kept_export(folder: Path, export_id: str, *, trusted: Trusted | None = None, spare: int = 0) -> Export:
    """Verify an export that is kept, current or not, and open it read-only; arguments as for :func:`open_export`.

    Raises:
        ArtifactError: it is not what its id and manifest promise.
        SignatureError: no trusted key has signed it.
        FileNotFoundError: it is not kept, or never was.
    """
    path = folder / export_id
    if not EXPORT_ID.fullmatch(export_id) or not path.is_dir():
        raise FileNotFoundError(f"no export {export_id[:32]!r} is kept")
    return _open_verified(path, trusted=trusted, spare=spare)


def kept_exports(folder: Path, *, trusted: Trusted | None = None) -> tuple[ExportManifest, ...]:
    """The manifests of the exports that are kept, readable and signed by a trusted key, oldest first.

    The data files are not verified; ``trusted`` is as for :func:`open_export`.
    """
    if not folder.is_dir():
        return ()
    found = []
    for path in folder.iterdir():
        if EXPORT_ID.fullmatch(path.name):
            # A damaged one is reported when somebody opens it.
            with suppress(ArtifactError):
                found.append(_read_manifest(path, trusted)[0])
    return tuple(sorted(found, key=lambda manifest: manifest.created))


def current_manifests(folder: Path) -> Iterator[ExportManifest]:
    """The manifests of the current exports of all names below a folder; nothing is verified."""
    for pointer in sorted(folder.glob(f"*/{POINTER}")):
        # A damaged one is reported when somebody opens it.
        with suppress(ArtifactError):
            yield _read_manifest(pointer.parent / current_export_id(pointer.parent))[0]


def discard_exports(folder: Path, export_ids: Iterable[str]) -> None:
    """Delete kept exports, with what killed writers left behind.

    Raises:
        ArtifactError: one of them is the current one; none is deleted.
    """
    with taking_turns(folder):
        _sweep(folder)
        found = sorted({export_id for export_id in export_ids if (folder / export_id).is_dir()})
        if current := [export_id for export_id in found if _is_current(folder, export_id)]:
            raise ArtifactError(
                source=f"Export {folder / current[0]}",
                culprit="it is the current one, which the service reads.",
                remedy="Write another export first.",
            )
        for export_id in found:
            _discard(folder, folder / export_id)


def withdraw_exports(folder: Path) -> None:
    """Take a name out of the service, which answers that it is not there from then on, and delete its exports.

    Writing another export brings it back.

    Raises:
        ArtifactError: nothing of that name is exported.
    """
    if not pointer_path(folder).is_file():
        raise ArtifactError(
            source=f"Exports of {folder.name}",
            culprit="there are none.",
            remedy=f"Name one of those in {folder.parent}: {', '.join(_exported(folder.parent)) or 'it has none'}.",
        )
    with taking_turns(folder):
        replace_durably(pointer_path(folder), f"{WITHDRAWN}\n".encode("ascii"))
        _sweep(folder)
        for path in list(folder.iterdir()):
            if EXPORT_ID.fullmatch(path.name):
                _discard(folder, path)


def are_withdrawn(folder: Path) -> bool:
    """Whether exports of that name were taken out of the service."""
    try:
        return pointer_path(folder).read_text(encoding="ascii").strip() == WITHDRAWN
    except (OSError, UnicodeDecodeError):
        return False


def _exported(folder: Path) -> list[str]:
    return sorted(pointer.parent.name for pointer in folder.glob(f"*/{POINTER}") if not are_withdrawn(pointer.parent))


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A fresh folder for an export, which is gone afterwards unless it was renamed; what was left behind goes first."""
    _sweep(folder)
    staged = staged_path(folder)
    staged.mkdir()
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what killed writers left behind; only the lock's holder may, so nothing here is in use."""
    for path in folder.glob(f"{STAGED_PREFIX}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _discard(folder: Path, path: Path) -> None:
    """Take an export out of sight at once, then delete it: no reader or crash meets half an export."""
    staged = staged_path(folder)
    path.rename(staged)
    shutil.rmtree(staged)


def _is_current(folder: Path, export_id: str) -> bool:
    try:
        return current_export_id(folder) == export_id
    except ArtifactError:
        return False


def _adoptable(folder: Path, export_id: str, signing_key: Ed25519PrivateKey | None) -> ExportManifest | None:
    """The manifest of the intact export of that id; one that is damaged, or that others signed, is discarded.

    It is then written anew: to sign what somebody else has left there would vouch for bytes that nobody compared.
    """
    path = folder / export_id
    if not path.exists():
        return None
    own = None if signing_key is None else {key_id_of(signing_key.public_key()): signing_key.public_key()}
    try:
        with _open_verified(path, trusted=own) as export:
            return export.manifest
    except ArtifactError:
        _discard(folder, path)
        return None


def _write(
    staged: Path,
    tables: Mapping[str, Rows],
    keys: Mapping[str, Sequence[str]],
    served: Mapping[str, ServedAs],
    splits: Mapping[str, Split],
    provenance: Mapping[str, object],
) -> ExportManifest:
    """Write data and manifest into the staged folder, bring them to the disk, read them back and compare."""
    data = staged / _DATA
    with closing(sqlite3.connect(data, isolation_level=None)) as connection:
        # A staged file that a crash leaves half written is swept, so its own journal would be work for nothing.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        records = {
            name: replace(fill_table(connection, name, table, keys[name], served.get(name)), split=splits.get(name))
            for name, table in tables.items()
        }
        connection.execute("COMMIT")
    sync_file(data)
    manifest = ExportManifest(
        export_id=export_id_of(records, provenance),
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        file=FileRecord(sha256=_sha256(data), size=data.stat().st_size),
        tables=records,
        provenance=provenance,
    )
    replace_durably(staged / _MANIFEST, manifest.to_json())
    with _open_verified(staged, manifest.export_id) as export:
        for name, record in manifest.tables.items():
            if rows_digest(export.connection, name, record) != record.digest:
                raise _damaged(staged, f"table {name} reads back otherwise than it was written")
    return manifest


def _open_verified(
    path: Path, export_id: str | None = None, *, trusted: Trusted | None = None, spare: int = 0
) -> Export:
    """Open the export in that folder after comparing it with its manifest, and the manifest with id and signature."""
    manifest, signed_by = _read_manifest(path, trusted)
    if manifest.export_id != (export_id or path.name):
        raise _damaged(path, f"its manifest belongs to export {manifest.export_id}")
    if export_id_of(manifest.tables, manifest.provenance) != manifest.export_id:
        raise _damaged(path, "its manifest was changed after it was written")
    data = path / _DATA
    with ExitStack() as opened:
        try:
            file = opened.enter_context(data.open("rb"))
            state = _state_of(file.fileno())
            size = os.fstat(file.fileno()).st_size
            if size != manifest.file.size:
                raise _damaged(path, f"{_DATA} has {size} bytes, the manifest says {manifest.file.size}")
            if hashlib.file_digest(file, "sha256").hexdigest() != manifest.file.sha256:
                raise _damaged(path, f"the SHA-256 of {_DATA} differs from the manifest's")
            connections = [_connected(data) for _ in range(1 + spare)]
            for connection in connections:
                opened.callback(connection.close)
                # The file is opened by the first query.
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            _compare(path, connections[0], manifest)
        except (OSError, sqlite3.Error, UnicodeError) as error:
            # What SQLite says of a damaged file may quote it.
            raise _damaged(path, f"{_DATA} cannot be opened ({type(error).__name__})") from error
        if (
            _state_of(file.fileno()) != state
            or not data.exists()
            or not os.path.samestat(data.stat(), os.fstat(file.fileno()))
        ):
            raise _damaged(path, f"{_DATA} was written to or replaced while it was verified")
        opened.pop_all()
    return Export(
        manifest=manifest,
        connection=connections[0],
        spare=tuple(connections[1:]),
        signed_by=signed_by,
        _file=file,
        _state=state,
    )


def _connected(data: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(data))}?immutable=1&mode=ro", uri=True, check_same_thread=False, isolation_level=None
    )


def _state_of(file: int) -> tuple[int, ...]:
    status = os.fstat(file)
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _read_manifest(path: Path, trusted: Trusted | None = None) -> tuple[ExportManifest, str | None]:
    """The manifest, and the id of the trusted key that signed it where trust is asked for."""
    try:
        text = (path / _MANIFEST).read_bytes()
        signed_by = None if trusted is None else check_manifest(text, path, trusted)
        manifest = ExportManifest.from_json(text)
    except FileNotFoundError:
        raise _damaged(path, f"it has no {_MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise _damaged(path, f"{_MANIFEST} cannot be read ({type(error).__name__})") from error
    for name, record in manifest.tables.items():
        check_names(name, list(record.columns), record.key)
        check_served(name, list(record.columns), record.key, record.served)
        check_asked(name, record.columns, record.key, record.served)
    return manifest, signed_by


def _compare(path: Path, connection: sqlite3.Connection, manifest: ExportManifest) -> None:
    """Refuse a file whose tables, indexes and values are not those that the manifest stands for."""
    made = dict(connection.execute("SELECT name, sql FROM sqlite_schema").fetchall())
    present, tables = {name for name in made if is_identifier(name)}, set(manifest.tables)
    if present != tables:
        raise _damaged(path, f"it holds tables {sorted(present)}, the manifest says {sorted(tables)}")
    expected: dict[str, str] = {}
    for name, record in manifest.tables.items():
        expected |= statements(name, record.columns, record.key, record.served)
        (rows,) = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()  # noqa: S608  an identifier
        if rows != record.rows:
            raise _damaged(path, f"table {name} has {rows} rows, the manifest says {record.rows}")
    if other := sorted(name for name in made.keys() | expected.keys() if made.get(name) != expected.get(name)):
        raise _damaged(path, f"{other[0]} is not made as the manifest says")
    for name, record in manifest.tables.items():
        if (found := connection.execute(unfit(name, record.columns)).fetchone()) is not None:
            [column] = found
            raise _damaged(path, f"column {column} of table {name} holds what is no {record.columns[column]}")


def _retire(folder: Path, current: str, keep: int) -> None:
    """Delete all but the newest exports; a damaged one counts as the oldest."""
    exports = [path for path in folder.iterdir() if EXPORT_ID.fullmatch(path.name)]
    newest_first = sorted(exports, key=_created, reverse=True)
    for path in newest_first[keep:]:
        if path.name != current:
            _discard(folder, path)


def _created(path: Path) -> str:
    try:
        return _read_manifest(path)[0].created
    except ArtifactError:
        return ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, culprit: str) -> ArtifactError:
    return ArtifactError(source=f"Export {path}", culprit=f"{culprit}.", remedy="Write the export again.")
