"""Raw deliveries: what sources gave, as it came, kept in the folder of the lake's data under its SHA-256.

Put here how a delivery is kept, found again and let go. Keep out what is in it (that is its source's), and rows
(``stage``). Which publish was made from which delivery is in the ledger; here are only the bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ValidationError

from mlops_assets.platform.durable_files import (
    STAGED_PREFIX,
    make_folder_durably,
    replace_durably,
    staged_path,
    sync_file,
    sync_folder,
    taking_turns,
)
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.ledger import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.settings import Settings

_FOLDER: Final = "_raw"
_STAGED_SECONDS: Final = 86_400.0
_ERASED: Final = ".erased-"
"""Names that begin so are marks of deliveries that an erasure has removed."""
_NOTE: Final = ".note-"
"""Names that begin so are notes of what is known of a delivery, whether or not a publish was made from it."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class _Note(BaseModel):
    partition: str | None
    delivery: Delivery


def incoming(settings: Settings, contract: Contract) -> Path:
    """A fresh path that nobody reads, on the disk where the table's deliveries are kept."""
    folder = _folder(settings, contract)
    make_folder_durably(folder, mode=0o700)
    return staged_path(folder)


def keep(
    settings: Settings,
    contract: Contract,
    file: Path,
    delivery: Delivery,
    *,
    partition: str | None,
    unless: Callable[[], bool] = lambda: False,
) -> bool:
    """Keep a file that ``incoming`` named; the same bytes are kept once.

    Args:
        settings: say where the lake is.
        contract: the table.
        file: what is kept.
        delivery: what is known of it.
        partition: key of the partition that it was delivered for; ``None`` for a table without partitions.
        unless: whether it is not to be kept; asked when nobody else keeps or erases deliveries of the table.

    Returns:
        Whether it is kept.

    Raises:
        OSError: the folder cannot be written.
    """
    sync_file(file)
    path = _folder(settings, contract) / delivery.sha256
    with taking_turns(path.parent):
        # An erasure gives its tombstones first and lists the folder under this lock: it meets the file, or is met here.
        if unless():
            return False
        # It takes the place of the same bytes from before, which may have been damaged since.
        file.chmod(0o600)
        file.replace(path)
        _mark(path).unlink(missing_ok=True)
        note = _Note(partition=partition, delivery=delivery)
        name = hashlib.sha256(repr(partition).encode(errors="surrogateescape")).hexdigest()[:16]
        replace_durably(path.with_name(f"{_NOTE}{path.name}-{name}"), note.model_dump_json().encode(), mode=0o600)
        sync_folder(path.parent)
    return True


def kept(settings: Settings, contract: Contract, sha256: str) -> Path:
    """The file of a delivery, its bytes compared with its SHA-256; it stays for a day at least.

    Raises:
        LakeError: it is not there any more, or damaged.
    """
    path = _folder(settings, contract) / sha256
    source = _source(contract, sha256)
    try:
        with path.open("rb") as file:
            # Who may only read does not publish from it.
            with suppress(OSError):
                os.utime(path)
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        _require_not_erased(path, source)
        raise LakeError(
            source=source,
            culprit="it is not kept: it was let go (lake expire), erased, or never was.",
            remedy=f"mlops-assets lake deliveries {contract.key.to_user_string()} lists those that are.",
        ) from None
    if found != sha256:
        raise LakeError(
            source=source,
            culprit=f"its file {path} has another SHA-256 ({found[:12]}): it was damaged or changed.",
            remedy="Restore that file from a backup.",
        )
    return path


def resolved(settings: Settings, contract: Contract, beginning: str) -> str:
    """The SHA-256 of the one kept delivery that begins so.

    Raises:
        LakeError: none does, or several do.
    """
    if _SHA256.fullmatch(beginning):
        return beginning
    found = [each.sha256 for each in listed(settings, contract) if beginning and each.sha256.startswith(beginning)]
    if len(found) != 1:
        table = contract.key.to_user_string()
        raise LakeError(
            source=f"Deliveries of {table}",
            culprit=f"{len(found)} that are kept have a SHA-256 that begins with {beginning[:64]!r}.",
            remedy=f"mlops-assets lake deliveries {table} lists those that are.",
        )
    return found[0]


def noted(settings: Settings, contract: Contract, sha256: str) -> dict[str | None, Delivery]:
    """What is known of a delivery that is kept, by the key of the partition that it came for; empty for no such one.

    Raises:
        LakeError: it was erased.
    """
    if _SHA256.fullmatch(sha256) is None:
        return {}
    path = _folder(settings, contract) / sha256
    if _stat(path) is None:
        _require_not_erased(path, _source(contract, sha256))
        return {}
    found: dict[str | None, Delivery] = {}
    for file in _notes(path):
        # One that a crash has cut is as if it were not there.
        with suppress(ValidationError, FileNotFoundError):
            note = _Note.model_validate_json(file.read_bytes())
            found[note.partition] = note.delivery
    return found


def listed(settings: Settings, contract: Contract) -> list[Delivery]:
    """The deliveries of a table that are kept, oldest first."""
    found = []
    for file in _folder(settings, contract).glob("*"):
        if _SHA256.fullmatch(file.name) is not None and (about := _stat(file)) is not None:
            bare = Delivery(sha256=file.name, bytes=about.st_size, origin="not known", arrived_at=about.st_mtime)
            found.append(next(iter(noted(settings, contract, file.name).values()), bare))
    return sorted(found, key=lambda each: each.arrived_at)


def expirable(session: LakeSession, lake: str, *, older_than_seconds: float) -> list[Path]:
    """The deliveries that no current publish was made from and that came longer ago than that; what was cut off, too.

    Raises:
        LakeError: the catalog cannot be reached.
    """
    session.attach(lake)
    folders = root(session.settings, lake)
    # What came so lately may be that of a publish under way.
    before = time.time() - max(older_than_seconds, _STAGED_SECONDS)
    came = [file for file in sorted(folders.glob("*/*")) if not is_mark(file)]
    old = [file for file in came if (about := _stat(file)) and about.st_mtime < before]
    needed = {
        (folder_name(entry.record.asset), delivery.sha256)
        for entry in ledger.newest(session, lake)
        for delivery in ledger.deliveries_of(session, lake, entry)
    }
    return [file for file in old if file.name.startswith(STAGED_PREFIX) or (file.parent.name, file.name) not in needed]


def expire(files: Sequence[Path]) -> None:
    """Remove those files, unless they came again meanwhile."""
    for file in files:
        with taking_turns(file.parent):
            if (about := _stat(file)) and time.time() - about.st_mtime >= _STAGED_SECONDS:
                _remove(file)


def erase(files: Sequence[Path], erasure_id: str) -> None:
    """Remove those deliveries, and leave a mark of each by which whoever asks for it is told why it is gone."""
    for file in files:
        with taking_turns(file.parent):
            if not file.name.startswith(STAGED_PREFIX):
                replace_durably(_mark(file), erasure_id.encode(), mode=0o600)
            _remove(file)
            sync_folder(file.parent)


def is_mark(file: Path) -> bool:
    """Whether it is no delivery, but tells of one."""
    return file.name.startswith((_ERASED, _NOTE))


def root(settings: Settings, lake: str) -> Path:
    """The folder with a folder for each table of the lake whose deliveries are kept."""
    return settings.lake_data_path(lake) / _FOLDER


def folder_name(asset: str) -> str:
    """The name of a table's folder, by its asset key as text."""
    return asset.replace("/", ".")


def _notes(file: Path) -> list[Path]:
    return sorted(file.parent.glob(f"{_NOTE}{file.name}-*"))


def _remove(file: Path) -> None:
    for each in (*_notes(file), file):
        each.unlink(missing_ok=True)


def _mark(file: Path) -> Path:
    return file.with_name(f"{_ERASED}{file.name}")


def _require_not_erased(file: Path, source: str) -> None:
    mark = _mark(file)
    if mark.is_file():
        raise LakeError(
            source=source,
            culprit=f"it was removed when persons were erased (erasure {mark.read_text(encoding='utf-8')}): it held "
            "them, or could not be proven not to.",
            remedy="Erasure wins over reproduction: what is published stands, and without the tag the source is asked.",
        )


def _stat(file: Path) -> os.stat_result | None:
    """``None`` for what is no file, or has gone meanwhile: a step has ended, or somebody erases."""
    try:
        about = file.stat()
    except FileNotFoundError:
        return None
    return about if stat.S_ISREG(about.st_mode) else None


def _folder(settings: Settings, contract: Contract) -> Path:
    return root(settings, contract.lake.name) / folder_name(contract.key.to_user_string())


def _source(contract: Contract, sha256: str) -> str:
    return f"Delivery {sha256[:12]} of {contract.key.to_user_string()}"
