"""Census profiles from the Census Bureau's REST API: the demographic profile (DP05) of a state's districts.

Put here what the API's answers mean and how they can be wrong. Keep out how HTTP is spoken, and what a label means.

Source: U.S. Census Bureau, "Census Data API User Guide", and the ACS one-year data profiles at api.census.gov.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from mlops_assets.contracts.codes import FIPS_BY_STATE
from mlops_assets.contracts.partitions import STATES
from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.connectors.profile_tables import ProfileCell, ProfileTable
from mlops_assets.plumbing.sources.http.bodies import Kind
from mlops_assets.plumbing.sources.http.faults import HtmlInsteadError, RefusedRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_assets.plumbing.sources.http.answers import Fetched
    from mlops_assets.plumbing.sources.http.recording import Pages

GROUP: Final = "DP05"
_ESTIMATE: Final = re.compile(rf"{GROUP}_\d+E")
_DISTRICT: Final = re.compile(r"\d{2}|ZZ")
_NAME: Final = "NAME"
_GEOGRAPHY: Final = ("state", "congressional district")
_NOT_FOUND: Final = 404
_TELL: Final = "Compare with docs/sources/district-profiles.md; if the API has changed, the connector must follow."


def asked_profiles(
    pages: Pages, base: str, year: str, key: str, *, states: Sequence[str] = STATES
) -> Iterator[ProfileTable]:
    """The demographic profile of one year, state by state: one cell per district and estimate, values as text.

    Only estimates are kept (``DP05_0001E``), not the margins, percentages and annotations beside them. ``geo_id`` is
    state FIPS and district, such as ``3701``. The API's negative codes for missing values stay as they are.

    Args:
        pages: asks the API.
        base: the API's address, with or without the ``/data`` at its end.
        year: the survey's year.
        key: the API key; it is in no cell and no message.
        states: postal codes of the states, one request each.

    Raises:
        SourceError: the API refuses the key, has no such year, or answers something that is not the whole profile.
        SourceUnavailableError: the API gave no whole answer in any attempt.
    """
    endpoint = f"{base.removesuffix('/data')}/data/{year}/acs/acs1/profile"
    labels = _labels(_ask(pages, f"{endpoint}/groups/{GROUP}.json", year, {}))
    for state in states:
        asked = {
            "get": f"{_NAME},group({GROUP})",
            "for": "congressional district:*",
            "in": f"state:{FIPS_BY_STATE[state]}",
        }
        fetched = _ask(pages, endpoint, year, {**asked, "key": key})
        cells = list(_cells(fetched, FIPS_BY_STATE[state], labels))
        fetched.accept()
        # Without the host, equal profiles give equal rows wherever they are mirrored.
        source = f"{urlsplit(endpoint).path}?{urlencode(asked)}"
        yield ProfileTable(name=state, dataset="acs1", source=source, table_id=GROUP, cells=cells)


def _ask(pages: Pages, endpoint: str, year: str, parameters: dict[str, str]) -> Fetched:
    """The answer to one request, the API's ways of refusing told apart."""
    try:
        return pages.get(endpoint, Kind.JSON, parameters=parameters)
    except RefusedRequestError as error:
        if error.status != _NOT_FOUND:
            raise
        raise SourceError(
            source=error.source,
            culprit=f"the API has no one-year profile of {year} (404).",
            remedy="Choose a year that it has (none was released for 2020), or the table downloads.",
        ) from error
    except HtmlInsteadError as error:
        if "key" not in error.title.lower():
            raise
        raise SourceError(
            source=error.source,
            culprit=f"the API refuses the key with a page titled {error.title!r}.",
            remedy="Set MLOPS_ASSETS_SOURCES__PROFILES_KEY to an activated key (api.census.gov/data/key_signup.html).",
        ) from error


def _labels(fetched: Fetched) -> dict[str, str]:
    """Label of each estimate of the group."""
    found = fetched.json()
    variables = found.get("variables") if isinstance(found, dict) else None
    if not isinstance(variables, dict):
        raise _wrong(fetched, "it has no object 'variables'")
    labels = {}
    for code, variable in variables.items():
        if _ESTIMATE.fullmatch(code):
            label = variable.get("label") if isinstance(variable, dict) else None
            if not isinstance(label, str) or not label:
                raise _wrong(fetched, f"variable {code} has no label")
            labels[code] = label
    if not labels:
        raise _wrong(fetched, f"none of its {len(variables)} variables is an estimate of {GROUP}")
    fetched.accept()
    return labels


def _cells(fetched: Fetched, fips: str, labels: dict[str, str]) -> Iterator[ProfileCell]:
    """The estimates of one answer."""
    header, body = _table(fetched)
    missing = [name for name in (_NAME, *_GEOGRAPHY) if name not in header]
    if missing:
        raise _wrong(fetched, f"its header lacks {missing}")
    estimates = [(place, code) for place, code in enumerate(header) if _ESTIMATE.fullmatch(code)]
    codes = [code for _, code in estimates]
    if set(codes) != set(labels) or len(codes) != len(labels):
        differing = sorted(set(codes) ^ set(labels)) or sorted({code for code in codes if codes.count(code) > 1})
        raise _wrong(fetched, f"its estimates are not those that the group labels ({differing[:5]})")
    name, state, district = (header.index(column) for column in (_NAME, *_GEOGRAPHY))
    for row in body:
        geo_name, place, number = (_text(row[index], fetched) or "" for index in (name, state, district))
        if place != fips or not _DISTRICT.fullmatch(number):
            raise _wrong(fetched, f"a row is of state {place!r} and district {number!r}; asked was state {fips}")
        for index, code in estimates:
            yield ProfileCell(f"{place}{number}", geo_name, code, labels[code], _text(row[index], fetched))


def _table(fetched: Fetched) -> tuple[list[str], list[list[object]]]:
    """The answer as a header of texts and rows that are all as wide."""
    found = fetched.json()
    if not isinstance(found, list) or not all(isinstance(row, list) for row in found):
        raise _wrong(fetched, "it is not an array of arrays")
    header_rows = 1
    if len(found) <= header_rows:
        raise _wrong(fetched, f"it has {len(found)} rows, header included: there are no districts")
    header, *body = found
    if not all(isinstance(name, str) for name in header):
        raise _wrong(fetched, "its header is not text")
    for number, row in enumerate(body, start=1):
        if len(row) != len(header):
            raise _wrong(fetched, f"row {number} of {len(body)} has {len(row)} values, the header {len(header)}")
    return header, body


def _text(cell: object, fetched: Fetched) -> str | None:
    """A JSON value as text; ``null`` stays missing."""
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return str(cell)
    raise _wrong(fetched, f"a value is {type(cell).__name__}, neither text nor number")


def _wrong(fetched: Fetched, culprit: str) -> SourceError:
    return SourceError(source=fetched.address, culprit=f"the answer is not a census profile: {culprit}.", remedy=_TELL)
