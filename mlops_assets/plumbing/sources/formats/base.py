"""The base of every format of files.

Put here what each format promises. Keep out any of them (``kinds``, ``json_lines``, ``excel``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.plumbing.sources.formats import packing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.plumbing.sources.delivered import Delivered, Request, Workplace


class FileFormat(dg.Model, dg.Resolvable, ABC):
    """What the rows of a file look like."""

    def read(self, request: Request, source: str, *, proven: bool) -> tuple[Delivered, str]:
        """The rows of the file at ``request.raw``, packed or not, and how it is packed (nothing where it is not).

        Args:
            request: which partition is asked for, and where to work.
            source: how messages name the file.
            proven: whether size or checksum have shown that it is whole.

        Raises:
            SourceError: it is not of this format, or not whole.
        """
        with request.raw.open("rb") as opened:
            blocks, packed = packing.unpacked(opened, source)
            proven = proven or packed in packing.PROVEN
            file = None if packed else request.raw
            return self.rows(blocks, request, source, proven=proven, file=file), packed

    @abstractmethod
    def rows(
        self, blocks: Iterator[bytes], at: Workplace, source: str, *, proven: bool, file: Path | None = None
    ) -> Delivered:
        """The rows of a file.

        Args:
            blocks: its plain content.
            at: where to work.
            source: how messages name the file.
            proven: whether size or checksum have shown that it is whole; if not, its last line must have an end.
            file: a file that holds these very bytes, where there is one that stays as it is as long as the rows.

        Raises:
            SourceError: the content is not of this format, or not whole.
        """
