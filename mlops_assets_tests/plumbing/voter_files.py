"""Deliveries of voter files for tests, whole ones and broken ones.

Put here how a test drops a file with its manifest. Keep out expectations.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.contracts.layouts import COLUMNS_FROM_2022_02_12

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

LAST_NAME: Final = "UNMISTAKABLE"
"""Last name of every voter here, which no message may hold."""

VOTER: Final = {
    "county_id": "1",
    "county_desc": "ALAMANCE",
    "last_name": LAST_NAME,
    "first_name": "JOS\u00c9",
    "status_cd": "A",
    "res_street_address": "12  MAIN ST   ",
    "state_cd": "NC",
    "race_code": "W",
    "ethnic_code": "NL",
    "party_cd": "UNA",
    "gender_code": "F",
    "cong_dist_abbrv": "4",
}


def voters(count: int, **values: str) -> list[dict[str, str]]:
    """That many voters, alike but for their numbers."""
    return [{**VOTER, "ncid": f"AA{n}", "voter_reg_num": f"{n:012d}", **values} for n in range(1, count + 1)]


def text(
    rows: Iterable[Mapping[str, str]],
    *,
    columns: Sequence[str] = COLUMNS_FROM_2022_02_12,
    line_end: str = "\r\n",
) -> str:
    """The rows as the office writes them: a header line, tabs, every field quoted."""
    lines = [columns, *([row.get(column, "") for column in columns] for row in rows)]
    return "".join("\t".join(f'"{field}"' for field in line) + line_end for line in lines)


@dataclass(frozen=True)
class Delivery:
    """The folder of one state and month in a landing folder.

    Attributes:
        landing: the landing folder.
        state: postal code.
        month: ``YYYY-MM``.
    """

    landing: Path
    state: str = "NC"
    month: str = "2022-03"

    @property
    def folder(self) -> Path:
        """The folder, which exists."""
        folder = self.landing / self.state / self.month
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def file(self) -> Path:
        """The delivered file."""
        return self.folder / "ncvoter.zip"

    def drop(self, content: str | bytes, *, rows: int, member: str = "ncvoter_Statewide.txt") -> None:
        """Deliver that text in an archive, with a manifest that agrees with it and states that many rows."""
        with zipfile.ZipFile(self.file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, content.encode("latin-1") if isinstance(content, str) else content)
        self.write_manifest(rows=rows)

    def drop_voters(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Deliver those voters in the layout now in force."""
        self.drop(text(rows), rows=len(rows))

    def write_manifest(self, *, rows: int, **other: Any) -> None:  # noqa: ANN401  any JSON value, wrong ones too
        """Write the manifest of the file that lies there, with some entries changed."""
        content = self.file.read_bytes() if self.file.exists() else b""
        manifest = {
            "state": self.state,
            "month": self.month,
            "snapshot_date": f"{self.month}-01",
            "file": self.file.name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "rows": rows,
            "layout": "from-2022-02-12",
            **other,
        }
        (self.folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
