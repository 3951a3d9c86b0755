"""The public files that tests of ``real_data`` read, in the shape of the raw contracts.

Put here the folder they are in and plain readings of them. Keep out connectors (tests of plumbing read through those).
"""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa
import pytest

from mlops_assets.contracts.raw import HOUSE_RETURN_COLUMNS

if TYPE_CHECKING:
    import ibis.expr.types as ir

_BESIDE_THE_REPOSITORY = Path(__file__).parents[3] / "shared" / "data"


def public_folder(name: str) -> Path:
    """One folder of the public files; the test is skipped, saying so, where it is not there."""
    folder = Path(os.environ.get("MLOPS_ASSETS_TEST_DATA", str(_BESIDE_THE_REPOSITORY))) / name
    if not folder.is_dir():
        pytest.skip(f"the public files are not there: {folder} (set MLOPS_ASSETS_TEST_DATA)")
    return folder


def house_returns(edition: str, *, encoding: str) -> ir.Table:
    """All elections of one edition of MEDSL's returns as ``raw/house_returns``."""
    file = public_folder("medsl-house") / edition
    text = gzip.decompress(file.read_bytes()).decode(encoding)
    rows = list(csv.DictReader(text.splitlines()))
    return ibis.memtable(
        pa.table(
            {
                "election": [row["year"] for row in rows],
                "source_file": [edition] * len(rows),
                "source_row": list(range(1, len(rows) + 1)),
                **{name: pa.array([row.get(name) for row in rows], pa.string()) for name in HOUSE_RETURN_COLUMNS},
            }
        )
    )


def profiles(stem: str, *, year: str, dataset: str) -> ir.Table:
    """One table download, whose first two lines are the codes and the labels of its columns, as raw profiles."""
    text = gzip.decompress((public_folder("acs-cd-profiles") / f"{stem}_with_ann.csv.gz").read_bytes())
    codes, labels, *districts = csv.reader(text.decode("latin-1").splitlines())
    places = range(3, len(codes))
    cells = len(districts) * len(places)
    return ibis.memtable(
        pa.table(
            {
                "year": [year] * cells,
                "dataset": [dataset] * cells,
                "source": [stem] * cells,
                "geo_id": [district[0] for district in districts for _ in places],
                "geo_name": [district[2] for district in districts for _ in places],
                "table_id": [stem.rsplit("_", 1)[-1]] * cells,
                "code": codes[3:] * len(districts),
                "label": labels[3:] * len(districts),
                "value": [value for district in districts for value in district[3:]],
            }
        )
    )


def registrations(file: Path, *, month: str, state: str, encoding: str = "utf-8-sig") -> ir.Table:
    """One county statistic as ``raw/county_registrations``, one row per cell."""
    cells: list[dict[str, str]] = []
    with file.open(encoding=encoding, newline="") as lines:
        for row in csv.DictReader(lines):
            county = next(row[name] for name in row if name.strip().lower() == "county")
            cells.extend(
                {
                    "month": month,
                    "state": state,
                    "reported": row.get("date") or month,
                    "county": county,
                    "party_column": name,
                    "value": value,
                    "source_file": file.name,
                }
                for name, value in row.items()
                if name.strip().lower() not in {"county", "date"}
            )
    return ibis.memtable(pa.Table.from_pylist(cells))
