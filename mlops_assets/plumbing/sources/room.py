"""Room: how a full disk is told, wherever on the way of a source's rows it is met.

Put here when an error is one of room. Keep out limits of what a source may give.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import duckdb

from mlops_assets.platform.errors import SourceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

REMEDY: Final = "Give the folders of temporary files (TMPDIR) and of the lake's data more room."

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_IN_SQLITE: Final = ("database or disk is full", "disk I/O error")


def is_ours(error: BaseException) -> bool:
    """Whether it tells nothing of a source: a full disk, too little memory, or an interrupt."""
    return is_full(error) or isinstance(error, duckdb.InterruptException | duckdb.OutOfMemoryException | MemoryError)


def is_full(error: BaseException) -> bool:
    """Whether a file of ours could not be written since there is no more room for it."""
    if isinstance(error, duckdb.Error):
        # The engine has no number for it, only the system's own words.
        return any(words in str(error) for words in (*map(os.strerror, _FULL), *_FULL_IN_SQLITE))
    return isinstance(error, OSError) and error.errno in _FULL


@contextmanager
def told(source: str) -> Iterator[None]:
    """Let a full disk out of the block as what it is, and not as a fault of the rows.

    Raises:
        SourceUnavailableError: the disk was full.
    """
    try:
        yield
    except (OSError, duckdb.Error) as error:
        if not is_full(error):
            raise
        raise SourceUnavailableError(
            source=source, culprit="the disk for its temporary files is full.", remedy=REMEDY
        ) from None
