"""Voter files as a test reads them: straight from the archive, with nothing of the platform in between.

Put here reading of dropped files. Keep out the pipelines' own readers, which are not under test here.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlops_assets.simulation.sources import SourceSystems

Row = dict[str, str]


class DroppedFiles:
    """Drops files of one simulation when they are asked for, and keeps them."""

    def __init__(self, systems: SourceSystems, landing: Path) -> None:
        self.systems = systems
        self.landing = landing

    def manifest(self, state: str, month: str) -> Mapping[str, object]:
        """The manifest."""
        target = self.landing / state / month / "manifest.json"
        if not target.is_file():
            self.systems.drop(state, month, self.landing)
        found: Mapping[str, object] = json.loads(target.read_text(encoding="utf-8"))
        return found

    def content(self, state: str, month: str) -> bytes:
        """The bytes of the text in the archive."""
        self.manifest(state, month)
        with zipfile.ZipFile(self.landing / state / month / "ncvoter.zip") as archive:
            assert archive.namelist() == ["ncvoter.txt"]
            return archive.read("ncvoter.txt")

    def rows(self, state: str, month: str) -> list[Row]:
        """The rows, by column."""
        text = io.StringIO(self.content(state, month).decode("latin-1"), newline="")
        return list(csv.DictReader(text, delimiter="\t"))

    def by_person(self, state: str, month: str) -> dict[str, Row]:
        """The rows by identification number; of a doubled file, one of each."""
        return {row["ncid"]: row for row in self.rows(state, month)}


def address_of(row: Row) -> tuple[str, str, str, str]:
    """What makes an address: two rows with equal parts live at the same place."""
    return row["county_id"], row["res_street_address"], row["res_city_desc"], row["zip_code"]


def flows(before: Mapping[str, Row], after: Mapping[str, Row]) -> Counter[tuple[str, str]]:
    """Of persons in both files at the same address: how many are now in another district, by both districts."""
    both = before.keys() & after.keys()
    return Counter(
        (f"{int(before[one]['cong_dist_abbrv']):02d}", f"{int(after[one]['cong_dist_abbrv']):02d}")
        for one in both
        if address_of(before[one]) == address_of(after[one])
        and before[one]["cong_dist_abbrv"] != after[one]["cong_dist_abbrv"]
    )
