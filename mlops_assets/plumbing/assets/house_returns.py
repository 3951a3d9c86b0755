"""US House returns: the declaration of MEDSL's file of all elections, which comes in several editions.

Put here what the editions differ in. Keep out mending: doubled totals and mixed spellings flow through.

Source: MIT Election Data and Science Lab, "U.S. House 1976-2020", Harvard Dataverse, doi:10.7910/DVN/IG0UN2. What its
editions taught is in docs/sources/house-returns.md.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import urlsplit

from mlops_assets.contracts.partitions import ELECTION_YEARS, TIME_ZONE, election_day
from mlops_assets.contracts.raw import HOUSE_RETURN_COLUMNS, HOUSE_RETURNS
from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.assets.addresses import address_of
from mlops_assets.plumbing.connectors.delimited import decoded, rows, unpacked
from mlops_assets.plumbing.sources.delivered import Delivered
from mlops_assets.plumbing.sources.formats.text_files import TextFiles
from mlops_assets.plumbing.sources.http.bodies import Kind
from mlops_assets.plumbing.sources.http.fetched import FetchedSource

if TYPE_CHECKING:
    from mlops_assets.plumbing.sources.delivered import Request
    from mlops_assets.plumbing.sources.hidden import Hidden
    from mlops_assets.plumbing.sources.http.recording import Pages

_YEAR: Final = "year"
_ANY_YEAR: Final = re.compile(r"[0-9]{4}")
_LATER: Final = frozenset({"fusion_ticket"})
"""Columns that editions until 2018 lack."""
_CERTIFIED: Final = dt.timedelta(days=100)


class HouseReturns(FetchedSource):
    """One CSV file over HTTP, whose address the operator sets; each partition takes the rows of its year."""

    KIND: ClassVar[str] = "http"
    VERSION: ClassVar[str] = "1"

    def collected(self, request: Request, pages: Pages, hidden: Hidden) -> Delivered:  # noqa: ARG002  it has none
        """The rows of one election, each with its place in the file.

        ``source_row`` counts the file's rows from 1, the header left out. ``NA`` stays ``NA`` and an empty field stays
        an empty text. A row whose year is no year comes along and is refused: it may be of this election.
        """
        address = address_of(request.settings, "house_returns_url")
        election = request.partition.values["election"]
        fetched = pages.get(address, Kind.CSV)
        source = fetched.address
        text, encoding = decoded(unpacked(fetched.body, source), source, latin_1=True)
        header, *body = rows(text, source)
        names = [name.strip().lower() for name in header]
        if repeated := [name for at, name in enumerate(names) if name in names[:at]]:
            raise SourceError(
                source=source, culprit=f"it has two columns {repeated[0]}.", remedy="Ask for MEDSL's original format."
            )
        years = [row[names.index(_YEAR)] for row in body] if _YEAR in names else []
        own = [place for place, year in enumerate(years) if year == election or not _ANY_YEAR.fullmatch(year)]
        if years and not own:
            raise SourceError(
                source=source,
                culprit=f"none of its {len(body):,} rows is of {election}; it holds {min(years)} to {max(years)}.",
                remedy="Wait for an edition that covers this election, or give its address in the settings.",
            )
        absent = _LATER - {*names}
        if {*names} | absent == {*HOUSE_RETURN_COLUMNS} and all(years[place] == election for place in own):
            fetched.accept()
        with TextFiles(request.scratch, source) as taken:
            taken.add({
                **{name: [body[place][column] for place in own] for column, name in enumerate(names)},
                "source_file": [urlsplit(address).path.rsplit("/", 1)[-1]] * len(own),
                "source_row": [str(place + 1) for place in own],
            })  # fmt: skip
            return Delivered(
                source=source,
                rows=taken.relation(request.connection, ()),
                absent=absent,
                facts={
                    "address": source,
                    "sha256": fetched.sha256,
                    "encoding": encoding,
                    "rows_in_file": len(body),
                    "downloaded": "unchanged since the last fetch" if fetched.unchanged else "anew",
                },
            )


def house_returns_due(moment: dt.datetime) -> list[str]:
    """The House returns to refresh by then: those of the last election that is certified everywhere."""
    return [each for each in ELECTION_YEARS if election_day(each) + _CERTIFIED <= moment.date()][-1:]


house_returns: Final = HouseReturns(
    contract=HOUSE_RETURNS,
    columns={"election": _YEAR},
    # Every March.
    cron="0 7 1 3 *",
    timezone=TIME_ZONE,
    due=house_returns_due,
)
