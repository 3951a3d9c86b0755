"""Tables of census profiles in long form, as every transport gives them.

Put here what the transports share. Keep out how one of them is asked and read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ProfileCell(NamedTuple):
    """One published number: of which district, in which column, and the text found."""

    geo_id: str
    geo_name: str
    code: str
    label: str
    value: str | None


@dataclass(frozen=True, kw_only=True)
class ProfileTable:
    """What one file or answer holds.

    Attributes:
        name: how facts name it.
        dataset: ``acs1`` for the American Community Survey's one-year estimates, ``dec`` for the decennial census.
        source: the file, or path and query of the request.
        table_id: the table, as that release called it.
        cells: its numbers.
    """

    name: str
    dataset: str
    source: str
    table_id: str
    cells: Sequence[ProfileCell]

    def columns(self) -> Mapping[str, Sequence[str | None]]:
        """The contract's columns but for the year."""
        count = len(self.cells)
        return {
            "dataset": [self.dataset] * count,
            "source": [self.source] * count,
            "table_id": [self.table_id] * count,
            **dict(zip(ProfileCell._fields, zip(*self.cells, strict=True), strict=True)),
        }
