"""A demographics API shaped like the Census Bureau's, as a function from request to answer.

Put here what the API answers, its errors included. Keep out sockets (those are the servers') and how estimates come
about (those are the profiles).

Source of paths, parameters and errors: the Census Data API User Guide, and the answers of the real API: rows are arrays
with a header row first; a missing or wrong key redirects to an HTML page that is served with status 200.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_PROFILE: Final = re.compile(r"/data/(\d{4})/acs/acs1/profile")
_GROUP: Final = re.compile(r"/data/(\d{4})/acs/acs1/profile/groups/(\w+)\.json")
_GEOGRAPHY: Final = "congressional district"
_NUMBER: Final = re.compile(r"\d{2}(,\d{2})*|\*")
_PAGES: Final = {"/data/missing_key.html": "Missing Key", "/data/invalid_key.html": "Invalid Key"}
_NAMES: Final = ("NAME", "GEO_ID")


@dataclass(frozen=True)
class Answer:
    """What a server sends back.

    Attributes:
        status: HTTP status.
        body: content.
        headers: headers beside length and date.
    """

    status: HTTPStatus
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def page(title: str, text: str, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """An HTML page."""
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{text}</p></body></html>"
    return Answer(status, body.encode(), {"Content-Type": "text/html"})


class CensusApi:
    """Answers requests for the profiles in a folder.

    Attributes:
        key: the only valid key.
    """

    def __init__(self, folder: Path, key: str) -> None:
        """Serve the files that ``write_profiles`` put into the folder; they are read when asked for."""
        self._folder = folder
        self._years: dict[int, dict[str, Any]] = {}
        self.key = key

    def answer(self, path: str, query: Mapping[str, Sequence[str]]) -> Answer:
        """Answer a request for that path and its parsed query."""
        if path in _PAGES:
            return page(_PAGES[path], "A valid key must be included with each data API request.")
        group, profile = _GROUP.fullmatch(path), _PROFILE.fullmatch(path)
        if group and group[2] == "DP05" and (found := self._year(int(group[1]))):
            return _json({"variables": {code: {"label": label} for code, label in found["variables"].items()}})
        if not profile or not (found := self._year(int(profile[1]))):
            return page("404 Not Found", "The requested resource is not available.", HTTPStatus.NOT_FOUND)
        key = query.get("key")
        if not key or key[0] != self.key:
            location = "/data/invalid_key.html" if key else "/data/missing_key.html"
            return Answer(HTTPStatus.FOUND, headers={"Location": location, "X-DataWebAPI-KeyError": "1"})
        return _select(found, query)

    def _year(self, year: int) -> dict[str, Any] | None:
        source = self._folder / f"{year}.json"
        if year not in self._years and source.is_file():
            self._years[year] = json.loads(source.read_text(encoding="utf-8"))
        return self._years.get(year)


def _select(found: Mapping[str, Any], query: Mapping[str, Sequence[str]]) -> Answer:
    if "get" not in query:
        return _refusal("missing 'get' argument")
    columns: list[str] = []
    for name in query["get"][0].split(","):
        if name == "group(DP05)":
            columns += [*found["variables"], *_NAMES]
        elif name in found["variables"] or name in _NAMES:
            columns.append(name)
        else:
            return _refusal(f"unknown variable '{name}'")
    level, _, wanted = query.get("for", [""])[0].partition(":")
    if level != _GEOGRAPHY or not _NUMBER.fullmatch(wanted):
        return _refusal("unknown/unsupported geography hierarchy")
    outer, _, states = query.get("in", ["state:*"])[0].partition(":")
    if outer != "state" or not _NUMBER.fullmatch(states):
        return _refusal("unknown/unsupported geography hierarchy")
    columns += ["state", _GEOGRAPHY]
    rows = [
        [row[name] for name in columns]
        for row in found["rows"]
        if states in ("*", row["state"]) or row["state"] in states.split(",")
        if wanted == "*" or row[_GEOGRAPHY] in wanted.split(",")
    ]
    if not rows:
        return Answer(HTTPStatus.NO_CONTENT)
    return _json([columns, *rows])


def _refusal(text: str) -> Answer:
    return Answer(HTTPStatus.BAD_REQUEST, f"error: {text}".encode(), {"Content-Type": "text/plain"})


def _json(value: object) -> Answer:
    return Answer(HTTPStatus.OK, json.dumps(value).encode(), {"Content-Type": "application/json"})
