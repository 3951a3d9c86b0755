"""The exports that were taken over last, as all workers know them.

Put here what a worker that replaces another must know of its predecessor. Keep out what outlives the service: after a
restart of the whole, the pointers alone count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.platform.durable_files import replace_durably

if TYPE_CHECKING:
    from pathlib import Path


class LastServed:
    """For each name the id of the export that some worker took over last, in a folder that the workers share."""

    def __init__(self, folder: Path | None) -> None:
        """Know of it, where workers share that folder."""
        self._folder = folder

    def note(self, name: str, export_id: str) -> None:
        """The export of that id was verified and taken over."""
        if self._folder is not None:
            replace_durably(self._folder / f"served-{name}", export_id.encode("ascii"))

    def of(self, name: str) -> str | None:
        """The id; ``None`` before the first one."""
        if self._folder is None:
            return None
        try:
            return (self._folder / f"served-{name}").read_text(encoding="ascii")
        except OSError:
            return None
