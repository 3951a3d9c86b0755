"""What is told to whoever asks for a comparison that cannot be made.

Put here that error. Keep out how commands print it.
"""

from __future__ import annotations


class ComparisonError(ValueError):
    """What is given cannot be read or compared as asked.

    Attributes:
        message: what is wrong, and as its last sentence what to do.
        source: the file at fault; ``None`` where it is none, or not that of one file.
    """

    def __init__(self, message: str, *, source: str | None = None) -> None:
        super().__init__(message if source is None else f"{source}: {message}")
        self.message = message
        self.source = source
