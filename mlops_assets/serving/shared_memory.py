"""Memory that the workers of one service share.

Put here how it comes to be. Keep out what is kept in it (``identity.limits``, ``exports.last_served``).
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def shared_memory(file: Path | None, size: int) -> mmap.mmap:
    """So many bytes, zero at first, that all who name the same file share.

    Workers are started anew and not forked, so what they share needs a name. The file lies in a folder that their
    parent has made for itself, and that goes with it.

    Args:
        file: the file, made by whoever comes first; ``None`` for memory of this process alone.
        size: how many bytes.
    """
    if file is None:
        return mmap.mmap(-1, size)
    with file.open("a+b") as opened:
        # Makes it longer, and leaves what is in it: a worker that replaces another finds what was there.
        opened.truncate(size)
        return mmap.mmap(opened.fileno(), size)
