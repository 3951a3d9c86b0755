"""Durable files: written whole, on the disk before anybody sees them.

Put here how a file is replaced so that neither a reader nor a crash ever meets half of it. Keep out what the files
hold.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAGED_PREFIX = ".staged-"
"""Names that begin so belong to a write that has not finished, or never will."""
OPEN_SUFFIX = ".open"
"""Names that end so are of files that are appended to; a whole one is left without that end, and then this one goes."""


def staged_path(folder: Path) -> Path:
    """A fresh path in that folder which no reader looks at."""
    return folder / f"{STAGED_PREFIX}{uuid.uuid4().hex}"


def replace_durably(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put the data at that path, replacing what is there at one instant.

    Args:
        path: the file; its folder exists.
        data: the whole content.
        mode: permissions of the file.

    Raises:
        OSError: the folder cannot be written; the old file is untouched.
    """
    staged = staged_path(path.parent)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder_durably(folder: Path, *, mode: int = 0o777) -> None:
    """Make the folder, and those above it that are not there; the names of all it makes are on the disk afterwards.

    Args:
        folder: the folder, which may be there.
        mode: its permissions, if it is made, before the umask.

    Raises:
        OSError: one of them cannot be made.
    """
    if folder.is_dir():
        return
    make_folder_durably(folder.parent)
    folder.mkdir(mode=mode, exist_ok=True)
    sync_folder(folder.parent)


@contextmanager
def taking_turns(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that processes which read, change and replace a file in it do so one after another.

    The kernel releases the lock when its holder dies. Readers need none.

    Raises:
        OSError: the folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Return when the file's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Return when the folder's list of names is on the disk."""
    sync_file(folder)
