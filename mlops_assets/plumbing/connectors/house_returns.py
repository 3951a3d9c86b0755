"""US House returns as MEDSL publishes them: one CSV file of all elections, in several editions.

Put here how an edition is recognised and read. Keep out mending: doubled totals and mixed spellings flow through.

Source: MIT Election Data and Science Lab, "U.S. House 1976-2020", Harvard Dataverse, doi:10.7910/DVN/IG0UN2. What its
editions taught is in docs/sources/house-returns.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pyarrow as pa

from mlops_assets.contracts.raw import HOUSE_RETURN_COLUMNS, HOUSE_RETURNS
from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.connectors.delimited import decoded, rows, unpacked
from mlops_assets.plumbing.connectors.extract import Extract, arrow_schema
from mlops_assets.plumbing.sources.http_bodies import Kind

if TYPE_CHECKING:
    from mlops_assets.plumbing.sources.http import Fetcher

EDITIONS: Final = {
    "with fusion_ticket (1976-2020 and later)": HOUSE_RETURN_COLUMNS,
    "without fusion_ticket (1976-2018)": tuple(c for c in HOUSE_RETURN_COLUMNS if c != "fusion_ticket"),
}
"""Columns of the known editions, in order, by name."""

_YEAR: Final = HOUSE_RETURN_COLUMNS.index("year")


def fetch_house_returns(fetcher: Fetcher, address: str, election: str) -> Extract:
    """The returns of one election year: one row per candidate and party line, all values text as delivered.

    ``source_row`` counts the file's rows from 1, the header left out. A column that the edition lacks is NULL. ``NA``
    stays ``NA`` and an empty field stays an empty text.

    Args:
        fetcher: asks the source.
        address: the CSV file, gzipped or plain.
        election: the election's year.

    Raises:
        SourceError: the file is cut off, is of no known edition, or has no row of that election.
    """
    fetched = fetcher.get(address, Kind.CSV)
    text, encoding = decoded(unpacked(fetched.body, fetched.address), fetched.address, latin_1=True)
    header, *body = rows(text, fetched.address)
    edition = _edition(header, fetched.address)
    columns = EDITIONS[edition]
    fetched.accept()
    found = [(number, row) for number, row in enumerate(body, start=1) if row[_YEAR] == election]
    if not found:
        years = sorted({row[_YEAR] for row in body})
        raise SourceError(
            source=fetched.address,
            culprit=f"none of its {len(body):,} rows is of {election}; it holds {years[0]} to {years[-1]}.",
            remedy="Wait for an edition that covers this election, or give its address in the settings.",
        )
    values: dict[str, list[str] | list[int] | list[None]] = {
        "election": [election] * len(found),
        "source_file": [urlsplit(fetched.address).path.rsplit("/", 1)[-1]] * len(found),
        "source_row": [number for number, _ in found],
    }
    for column in HOUSE_RETURN_COLUMNS:
        place = columns.index(column) if column in columns else None
        values[column] = [None] * len(found) if place is None else [row[place] for _, row in found]
    schema = arrow_schema(HOUSE_RETURNS)
    return Extract(
        rows=pa.table({name: values[name] for name in schema.names}, schema=schema),
        facts={
            "address": fetched.address,
            "sha256": fetched.sha256,
            "edition": edition,
            "encoding": encoding,
            "rows_in_file": len(body),
            "downloaded": "unchanged since the last fetch" if fetched.unchanged else "anew",
        },
    )


def _edition(header: list[str], source: str) -> str:
    names = tuple(name.strip().lower() for name in header)
    for edition, columns in EDITIONS.items():
        if names == columns:
            return edition
    missing = [column for column in HOUSE_RETURN_COLUMNS if column not in names]
    unknown = [name for name in names if name not in HOUSE_RETURN_COLUMNS]
    raise SourceError(
        source=source,
        culprit=f"its {len(names)} columns are of no known edition (missing: {missing}, unknown: {unknown}"
        f"{', in another order' if not missing and not unknown else ''}).",
        remedy="Compare with docs/sources/house-returns.md; if MEDSL has a new edition, describe it in EDITIONS.",
    )
