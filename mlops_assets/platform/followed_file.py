"""Followed files: what a small file says now, read again as soon as it changes.

Put here how a running process follows a file that an operator replaces. Keep out what the files mean.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOK_SECONDS: Final = 0.5
"""How long a change may go unnoticed."""

Content = TypeVar("Content")


class FollowedFile(Generic[Content]):
    """The content of a file, read again when the file was replaced or changed.

    Not for use by several threads at once.
    """

    def __init__(self, path: Path, read: Callable[[Path], Content]) -> None:
        """Follow the file.

        Args:
            path: the file; it need not exist yet.
            read: reads it; what it raises reaches whoever asks.
        """
        self.path = path
        self.generation = 0
        """Grows whenever the content may have changed."""
        self._read = read
        self._seen: tuple[int, int, int] | None = None
        self._look_again = 0.0
        self._content: Content | None = None

    def content(self) -> Content:
        """What the file says; looked at again at most every ``LOOK_SECONDS``.

        Whatever ``read`` raises is raised here, and what the file said before is forgotten: a withdrawn right must not
        live on because the file that withdrew it is damaged.
        """
        now = time.monotonic()
        if self._content is not None and now < self._look_again:
            return self._content
        self._look_again = now + LOOK_SECONDS
        seen = self._identity()
        if self._content is None or seen != self._seen:
            self._content, self._seen = None, None
            self.generation += 1
            self._content = self._read(self.path)
            self._seen = seen
        return self._content

    def look_now(self) -> None:
        """Look at the file when its content is asked for next."""
        self._look_again = 0.0

    def _identity(self) -> tuple[int, int, int]:
        try:
            status = self.path.stat()
        except OSError:
            return (0, 0, 0)
        return (status.st_mtime_ns, status.st_size, status.st_ino)
