"""Scratch folders: temporary folders that may hold rows, and those that a killed process has left behind.

Put here how such a folder is made, and told from one that nobody uses any more. Keep out what is written in it.

A process that is killed removes nothing, and what the engine spilled holds rows as they are. So each folder has a file
that its process keeps locked; whoever comes next removes the folders whose file is not.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from mlops_assets.platform.errors import SettingsError

_PREFIX: Final = "mlops-assets-"
# tempfile makes the end of the name.
_NAME: Final = re.compile(rf"{_PREFIX}((spill|rebuild)-)?[a-z0-9_]{{8}}")
_LOCK: Final = ".in-use"
_HELD: Final[dict[Path, int]] = {}


def make(kind: str = "") -> Path:
    """A fresh folder that this account alone may read, in use until it is removed or the process ends.

    Args:
        kind: ``spill-``, ``rebuild-``, or nothing; part of the name.

    Raises:
        SettingsError: no place for temporary files can be written to, or has room.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}"))
        # Locked before it has its name: nobody finds it unlocked.
        unnamed = folder / f"{_LOCK}-to-be"
        descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        # Where no place will do, the library names none and has no number.
        raise SettingsError(
            source="Folder of temporary files",
            culprit=f"nothing can be written there ({error.strerror or 'no place of the system will do'}).",
            remedy="Let TMPDIR name a folder that may be written to and whose disk has room.",
        ) from error
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    unnamed.rename(folder / _LOCK)
    _HELD[folder] = descriptor
    return folder


def remove(folder: Path) -> None:
    """Remove a folder that ``make`` made, and all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    if (descriptor := _HELD.pop(folder, None)) is not None:
        os.close(descriptor)


def of_others() -> list[Path]:
    """The folders of other processes, those that were killed among them."""
    there = Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")
    return [folder for folder in there if _NAME.fullmatch(folder.name) and folder not in _HELD]


def remove_abandoned() -> None:
    """Remove the folders whose process has ended without doing so; those of other accounts stay."""
    for folder in of_others():
        with suppress(OSError):
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
