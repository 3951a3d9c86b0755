"""Raw deliveries: what sources gave, as it came, kept in the folder of the lake's data under its SHA-256.

Put here how a delivery is kept, found again and let go. Keep out what is in it (that is its source's), and rows
(``stage``). Which publish was made from which delivery is in the ledger; here are only the bytes.
"""

from __future__ import annotations

import hashlib
import stat
import time
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.durable_files import STAGED_PREFIX, staged_path, sync_file, sync_folder, taking_turns
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.ledger import Delivery
from mlops_assets.platform.leftovers import files_with

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.leftovers import Words
    from mlops_assets.platform.settings import Settings

_FOLDER: Final = "_raw"
_STAGED_SECONDS: Final = 86_400.0


def incoming(settings: Settings, contract: Contract) -> Path:
    """A fresh path that nobody reads, on the disk where the table's deliveries are kept."""
    folder = _folder(settings, contract)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return staged_path(folder)


def keep(settings: Settings, contract: Contract, file: Path, delivery: Delivery) -> None:
    """Keep a file that ``incoming`` named; the same bytes are kept once.

    Raises:
        OSError: the folder cannot be written.
    """
    sync_file(file)
    path = _folder(settings, contract) / delivery.sha256
    with taking_turns(path.parent):
        # It takes the place of the same bytes from before, which may have been damaged since.
        file.chmod(0o600)
        file.replace(path)
        sync_folder(path.parent)


def kept(settings: Settings, contract: Contract, sha256: str) -> Path:
    """The file of a delivery, its bytes compared with its SHA-256.

    Raises:
        LakeError: it is not there any more, or damaged.
    """
    path = _folder(settings, contract) / sha256
    source = f"Delivery {sha256[:12]} of {contract.key.to_user_string()}"
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
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


def unrecorded(settings: Settings, contract: Contract, sha256: str) -> Delivery | None:
    """A delivery that no publish tells of, such as one that was refused; ``None`` where none is kept."""
    path = _folder(settings, contract) / sha256
    about = _stat(path)
    if path.name != sha256 or sha256.startswith(".") or about is None:
        return None
    return Delivery(sha256=sha256, bytes=about.st_size, origin="a delivery that was kept", arrived_at=about.st_mtime)


def listed(settings: Settings, contract: Contract) -> list[Delivery]:
    """The deliveries of a table that are kept, oldest first, as far as their files tell."""
    names = (file.name for file in _folder(settings, contract).glob("*") if not file.name.startswith("."))
    found = (unrecorded(settings, contract, name) for name in names)
    return sorted((each for each in found if each is not None), key=lambda each: each.arrived_at)


def expirable(session: LakeSession, lake: str, *, older_than_seconds: float) -> list[Path]:
    """The deliveries that no current publish was made from and that came longer ago than that; what was cut off, too.

    Raises:
        LakeError: the catalog cannot be reached.
    """
    session.attach(lake)
    root = session.settings.lake_data_path(lake) / _FOLDER
    # What came so lately may be that of a publish under way.
    before = time.time() - max(older_than_seconds, _STAGED_SECONDS)
    old = [file for file in sorted(root.glob("*/*")) if (about := _stat(file)) and about.st_mtime < before]
    needed = {
        (_name(entry.record.asset), delivery.sha256)
        for entry in ledger.newest(session, lake)
        for delivery in ledger.deliveries_of(session, lake, entry)
    }
    return [file for file in old if file.name.startswith(STAGED_PREFIX) or (file.parent.name, file.name) not in needed]


def expire(files: Sequence[Path]) -> None:
    """Remove those files, unless they came again meanwhile."""
    for file in files:
        with taking_turns(file.parent):
            if (about := _stat(file)) and time.time() - about.st_mtime >= _STAGED_SECONDS:
                file.unlink(missing_ok=True)


def holding(settings: Settings, lake: str, words: Words) -> list[Path]:
    """The deliveries kept in that lake in which one of the words stands."""
    return files_with(settings.lake_data_path(lake) / _FOLDER, words)


def _stat(file: Path) -> os.stat_result | None:
    """``None`` for what is no file, or has gone meanwhile: a step has ended, or somebody erases."""
    try:
        about = file.stat()
    except FileNotFoundError:
        return None
    return about if stat.S_ISREG(about.st_mode) else None


def _folder(settings: Settings, contract: Contract) -> Path:
    return settings.lake_data_path(contract.lake.name) / _FOLDER / _name(contract.key.to_user_string())


def _name(asset: str) -> str:
    return asset.replace("/", ".")
