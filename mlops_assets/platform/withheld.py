"""Withheld texts: what an unexpected exception says, kept in a file that its owner alone can read.

Put here what may be told of an exception that somebody else's code raised, and where the rest is kept. Keep out errors
of our own, which are written to be read by everybody (``errors``), and Dagster (``assets.failures``).

A parser, an engine or a driver quotes the value that it could not take, and an asset's function may quote anything. So
nothing that they say is told but its type, its place in the code and phrases of a fixed list.
"""

from __future__ import annotations

import re
import time
import traceback
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.durable_files import replace_durably
from mlops_assets.platform.errors import PlatformError, UnexpectedError
from mlops_assets.platform.settings import PREFIX, Settings

if TYPE_CHECKING:
    from pathlib import Path

KEPT_DAYS: Final = 30
"""After which the next failure removes a text: it may be about people."""

_MOST_KEPT: Final = 10_000
_ID: Final = re.compile(r"[0-9a-f]{12}")
_NO_MEMORY: Final = "Out of Memory Error"
_PHRASES: Final = (
    "No space left on device",
    "Disk quota exceeded",
    "database or disk is full",
    "Read-only file system",
    "Permission denied",
    "No such file or directory",
    "Input/output error",
    "disk I/O error",
    "Too many open files",
    "Cannot allocate memory",
    _NO_MEMORY,
    "database is locked",
    "Transaction conflict",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "server closed the connection",
    "terminating connection",
    "password authentication failed",
    "SSL error",
)
# The platform's own names of files in a lake: no part of them comes from a row.
_LAKE_FILE: Final = re.compile(r"/[\w./-]*/part-0\.parquet")


def reason(error: BaseException) -> str:
    """What may be told of any exception: its type, and which known trouble of the machine its text names."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__.lstrip('_')}.{kind.__qualname__}"
    text = _said(error)
    known = [phrase for phrase in _PHRASES if phrase.lower() in text.lower()]
    known += dict.fromkeys(_LAKE_FILE.findall(text))
    return f"{name}: {', '.join(known)}" if known else name


def withhold(error: BaseException, *, source: str) -> UnexpectedError:
    """Keep what the exception says, with its traceback and causes, and give an error that says none of it.

    Never raises: where the text cannot be kept, it is lost, and the error says so.

    Args:
        error: any exception.
        source: what was being done, such as the asset.
    """
    error_id = uuid.uuid4().hex[:12]
    frames = tuple(
        f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
    )
    own = [frame for frame in frames if "site-packages" not in frame] or list(frames)
    known = reason(error)
    try:
        _keep(Settings.load().errors, error_id, "".join(traceback.format_exception(error)))
        remedy = f"What it says may be personal; to read it: mlops-assets error {error_id}"
    except Exception as problem:  # noqa: BLE001  a full disk must not make the text travel instead
        remedy = f"What it says could not be kept ({reason(problem)}). It came by {'; '.join(frames)}."
    if _NO_MEMORY in known:
        remedy = f"Let DuckDB have more: {PREFIX}ENGINE__MEMORY, {PREFIX}ENGINE__SCRATCH. {remedy}"
    return UnexpectedError(
        source=source,
        culprit=f"unexpected {known}{f' at {own[-1]}' if own else ''}.",
        remedy=remedy,
        error_id=error_id,
        frames=frames,
    )


def kept_text(folder: Path, error_id: str) -> str:
    """The whole text that was withheld under that id.

    Raises:
        PlatformError: there is none.
    """
    file = folder / f"{error_id}.txt"
    if _ID.fullmatch(error_id) is None or not file.exists():
        raise PlatformError(
            source=f"Error {error_id[:40]}",
            culprit=f"no text of it is in {folder}.",
            remedy=f"Look where the failed process ran, in its home folder; texts are kept for {KEPT_DAYS} days.",
        )
    return file.read_text(encoding="utf-8")


def _keep(folder: Path, error_id: str, text: str) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    replace_durably(folder / f"{error_id}.txt", text.encode(errors="backslashreplace"), mode=0o600)
    # Another failure may clean up at the same time: what was kept is kept all the same.
    with suppress(FileNotFoundError):
        _clean(folder)


def _clean(folder: Path) -> None:
    oldest = time.time() - KEPT_DAYS * 86_400
    newest_first = sorted(((file.stat().st_mtime, file) for file in folder.glob("*.txt")), reverse=True)
    for number, (written, file) in enumerate(newest_first):
        if number >= _MOST_KEPT or written < oldest:
            file.unlink(missing_ok=True)


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  an exception that cannot say what it says has its type
        return ""
