"""What is told to whoever asks for a comparison that cannot be made.

Put here that error. Keep out how commands print it.
"""

from __future__ import annotations


class ComparisonError(ValueError):
    """What is given cannot be read or compared as asked; the message names file or column, and what to do."""
