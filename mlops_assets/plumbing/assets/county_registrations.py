"""County registrations: the declaration of the publications that hold them, and which files of theirs make up a month.

Put here what holds for all publications. Keep out the layout of any one (that is ``registration_layouts``).

A publication is a folder served over HTTP whose address, ending in a slash, answers a JSON array of its file names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from mlops_assets.contracts.raw import COUNTY_REGISTRATIONS
from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.assets.addresses import address_of
from mlops_assets.plumbing.connectors.delimited import decoded, rows, unpacked
from mlops_assets.plumbing.connectors.registration_layouts import (
    COMPILED_STATES,
    Cell,
    compiled_cells,
    compiled_file,
    maryland_cells,
    maryland_file,
    south_dakota_cells,
    south_dakota_file,
)
from mlops_assets.plumbing.sources.delivered import Delivered
from mlops_assets.plumbing.sources.formats.text_files import TextFiles
from mlops_assets.plumbing.sources.hidden import addresses
from mlops_assets.plumbing.sources.http.bodies import Kind
from mlops_assets.plumbing.sources.http.fetched import FetchedSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops_assets.plumbing.connectors.registration_layouts import SeriesFile
    from mlops_assets.plumbing.sources.delivered import Request
    from mlops_assets.plumbing.sources.hidden import Hidden
    from mlops_assets.plumbing.sources.http.recording import Pages


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A series of files with one layout.

    Attributes:
        name: what messages call it.
        folder: its folder below the base address.
        states: the states that it has in every month it has at all.
        file: what a file's name says; ``None`` for a file that is not of the series.
        cells: the cells of one month, from the file's name, its rows (header first), the month and its address.
    """

    name: str
    folder: str
    states: tuple[str, ...]
    file: Callable[[str], SeriesFile | None]
    cells: Callable[[str, list[list[str]], str, str], Iterator[Cell]]


PUBLICATIONS: Final = (
    Publication(
        name="South Dakota",
        folder="sd-voter-registration/snapshots",
        states=("SD",),
        file=south_dakota_file,
        cells=south_dakota_cells,
    ),
    Publication(
        name="Maryland",
        folder="md-voter-registration/input",
        states=("MD",),
        file=maryland_file,
        cells=maryland_cells,
    ),
    Publication(
        name="six states, presidential years",
        folder="county-registration-2004-2020",
        states=tuple(COMPILED_STATES.values()),
        file=compiled_file,
        cells=compiled_cells,
    ),
)
"""The publications that are read."""


class CountyRegistrations(FetchedSource):
    """The publications below an address that the operator sets."""

    KIND: ClassVar[str] = "http"
    VERSION: ClassVar[str] = "1"

    def collected(self, request: Request, pages: Pages, hidden: Hidden) -> Delivered:  # noqa: ARG002  it has none
        """All statistics of one month: one row per county and published column, values as delivered.

        Every publication's index must answer, so that a month is never published without a state that has it. Where a
        series has several files of one month, the last by name counts and the facts name the others.
        """
        base, month = address_of(request.settings, "registrations_url"), request.partition.values["month"]
        source = addresses(base)
        used: list[str] = []
        superseded: list[str] = []
        found: set[Cell] = set()
        with TextFiles(request.scratch, source) as taken:
            for publication in PUBLICATIONS:
                chosen, passed_over = _files_of(_index(pages, base, publication), publication, month, base)
                superseded += [f"{publication.folder}/{name}" for name in passed_over]
                for name in chosen:
                    fetched = pages.get(f"{base}/{publication.folder}/{name}", Kind.CSV)
                    text, _ = decoded(unpacked(fetched.body, fetched.address), fetched.address)
                    cells = list(publication.cells(name, rows(text, fetched.address), month, fetched.address))
                    taken.add(
                        {
                            **dict(zip(Cell._fields, zip(*cells, strict=True), strict=True)),
                            "source_file": [name] * len(cells),
                        }
                    )
                    fetched.accept()
                    used.append(f"{publication.folder}/{name}")
                    found.update(cells)
            if not used:
                raise SourceError(
                    source=source,
                    culprit=f"no publication has county registrations of {month} "
                    f"({', '.join(publication.name for publication in PUBLICATIONS)} were asked).",
                    remedy="Materialize only months that were published; the indexes of the publications list their "
                    "files.",
                )
            counties = Counter(state for state, _ in {(cell.state, cell.county) for cell in found})
            return Delivered(
                source=source,
                rows=taken.relation(request.connection, ()),
                facts={
                    "files": ", ".join(used),
                    "superseded_files": ", ".join(superseded),
                    "counties": ", ".join(f"{state}: {count}" for state, count in sorted(counties.items())),
                    "columns": ", ".join(sorted({cell.party_column for cell in found})),
                    "reported": ", ".join(sorted({cell.reported for cell in found})),
                },
            )


def available_months(pages: Pages, base: str) -> dict[str, list[str]]:
    """The files of each month, as addresses below the base, months in order.

    Raises:
        SourceError: the index of a publication cannot be read.
    """
    files: dict[str, list[str]] = defaultdict(list)
    for publication in PUBLICATIONS:
        for name, found in _index(pages, base, publication):
            for month in found.months:
                files[month].append(f"{publication.folder}/{name}")
    return dict(sorted(files.items()))


def _index(pages: Pages, base: str, publication: Publication) -> list[tuple[str, SeriesFile]]:
    """The names of the series' files, sorted, with what they say."""
    fetched = pages.get(f"{base}/{publication.folder}/", Kind.JSON)
    names = fetched.json()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SourceError(
            source=fetched.address,
            culprit="the index is not an array of file names.",
            remedy=f"An address ending in a slash should answer the names of the files of {publication.name} as JSON.",
        )
    fetched.accept()
    return [(name, found) for name in sorted(names) if (found := publication.file(name)) is not None]


def _files_of(
    index: list[tuple[str, SeriesFile]], publication: Publication, month: str, base: str
) -> tuple[list[str], list[str]]:
    """One file per state of that month, the last by name, and the names passed over."""
    last: dict[str, str] = {}
    passed_over = []
    for name, found in index:
        if month in found.months:
            if found.state in last:
                passed_over.append(last[found.state])
            last[found.state] = name
    absent = sorted(set(publication.states) - set(last))
    if last and absent:
        raise SourceError(
            source=addresses(f"{base}/{publication.folder}/"),
            culprit=f"the index lists files of {month} for {sorted(last)} and none for {absent}.",
            remedy="Put the missing files there: a month is published whole or not at all.",
        )
    return list(last.values()), passed_over


county_registrations: Final = CountyRegistrations(contract=COUNTY_REGISTRATIONS)
