"""The export that was taken over last, as all workers know it.

Put here what a worker that replaces another must know of its predecessor. Keep out what outlives the service: after a
restart of the whole, the pointer alone counts.
"""

from __future__ import annotations

import mmap
from typing import Final

_SIZE: Final = 64


class LastServed:
    """The id of the export that some worker took over last, in memory that forked workers share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SIZE)

    def note(self, export_id: str) -> None:
        """The export of that id was verified and taken over."""
        self._memory[:_SIZE] = export_id.encode("ascii").ljust(_SIZE, b"\0")

    @property
    def export_id(self) -> str | None:
        """The id; ``None`` before the first one."""
        return self._memory[:_SIZE].rstrip(b"\0").decode("ascii") or None
