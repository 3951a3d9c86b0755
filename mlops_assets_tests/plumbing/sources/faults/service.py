"""A service of pages in which one fault is, and what counts as complete of it.

Put here what is answered. Keep out how the service is declared and asked (``answers``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from mlops_assets_tests.plumbing.sources.api import Asked, Said
from mlops_assets_tests.plumbing.sources.faults import mutations, page_reference, visits
from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError, Row
from mlops_assets_tests.plumbing.sources.faults.rounds import complete
from mlops_assets_tests.plumbing.sources.faults.visits import NAMES, Texts

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

ATTEMPTS: Final = 3
TOKEN: Final = "tok-5e9f-given-by-the-server"  # noqa: S105  a made one
_STYLES: Final = ("none", "page_number", "offset", "cursor", "link_header", "next_address")
_FAULTS: Final = (
    "none", "again", "missing", "empty", "endless", "circle", "total wrong", "total changes", "row lost", "bytes",
    "bytes",
    "bytes", "tree", "tree", "tree", "status", "burst", "page of HTML", "type", "no length",
)  # fmt: skip
_STATUSES: Final = (
    204,
    206,
    301,
    302,
    304,
    307,
    400,
    401,
    403,
    404,
    405,
    409,
    410,
    418,
    422,
    451,
    500,
    502,
    503,
    504,
    599,
)
_NESTED: Final = 400


class Service:
    """A service of pages, which a fault can be in.

    Attributes:
        fault: what is broken; ``none`` once it is healed.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.given = visits.rows(chance, 12)
        self.style = chance.choice(_STYLES)
        self.csv = self.style in {"none", "page_number", "offset", "link_header"} and chance.random() < 0.3
        self.total = not self.csv and self.style != "none" and chance.random() < 0.5
        self.size = len(self.given) if self.style == "none" else chance.randint(1, 5)
        self.fault = chance.choice(_FAULTS)
        self.pages = [self.given[at : at + self.size] for at in range(0, len(self.given), self.size)]
        self.at = chance.randrange(len(self.pages))
        self.status = chance.choice(_STATUSES)
        self.failures = chance.randint(1, ATTEMPTS + 1)
        self.broken = b""
        if self.fault in {"bytes", "tree"}:
            self.broken = self._broken(self.body(self.at, self.pages[self.at]))
        self.answers = 0

    def body(self, number: int, page: Sequence[Texts], total: int | None = None) -> bytes:
        """A good page."""
        if self.csv:
            lines = [NAMES, *([_quoted(each[name]) for name in NAMES] for each in page)]
            return "".join(",".join(line) + "\n" for line in lines).encode()
        rows = [{name: _json(name, text) for name, text in each.items()} for each in page]
        meta: dict[str, Any] = {"total": len(self.given) if total is None else total}
        if number + 1 < len(self.pages):
            meta["next"] = f"mark-{number + 1}" if self.style == "cursor" else f"/?page={number + 1}"
        return json.dumps({"data": rows, "meta": meta}).encode()

    def _broken(self, good: bytes) -> bytes:
        if self.fault == "tree" and not self.csv:
            document = json.loads(good)
            _break(self.chance, document)
            return json.dumps(document, ensure_ascii=self.chance.random() < 0.5).encode("utf-8", "surrogatepass")
        return mutations.some(self.chance, good)[0]

    def __call__(self, asked: Asked) -> Said:
        if asked.path == "/token":
            return Said(value={"access_token": TOKEN, "token_type": "bearer", "expires_in": 60})
        number = self._number(asked)
        self.answers += 1
        wrong = self._wrong(number, asked)
        if wrong is not None:
            return wrong
        if number >= len(self.pages):
            return self._said(b"" if self.csv and self.chance.random() < 0.5 else self.body(number, []), number)
        return self._said(self.body(number, self.pages[number]), number)

    def _number(self, asked: Asked) -> int:
        try:
            if self.style == "page_number":
                return int(asked.query["page"]) - 1
            if self.style == "offset":
                return -(-int(asked.query["offset"]) // self.size)
            if self.style == "cursor":
                return int(asked.query.get("cursor", "mark-0").partition("-")[2])
            return int(asked.query.get("page", "0"))
        except (KeyError, ValueError):
            return len(self.pages) + 1

    def _said(self, body: bytes, number: int, status: int = 200) -> Said:
        headers = {}
        if self.style == "link_header" and number + 1 < len(self.pages):
            headers["Link"] = f'</?page={number + 1}>; rel="next", </?page=0>; rel="first"'
        return Said(
            value=body, status=status, headers=headers, content_type="text/csv" if self.csv else "application/json"
        )

    def _wrong(self, number: int, asked: Asked) -> Said | None:  # noqa: C901, PLR0911, PLR0912  one case for each fault
        """What comes instead of what was asked for."""
        here = number == self.at
        echo = json.dumps([dict(asked.headers), dict(asked.query), self.pages[0]]).encode()
        page = self.pages[min(number, len(self.pages) - 1)]
        match self.fault:
            case "again" if here and number:
                return self._said(self.body(number, self.pages[number - 1]), number)
            case "missing" if here:
                return Said(value=echo, status=404)
            case "empty" if here:
                return self._said(self.body(number, []), number)
            case "row lost" if here:
                return self._said(self.body(number, page[1:]), number)
            case "endless" if number >= len(self.pages) - 1:
                page = [visits.row(self.chance, self.answers)]
                self.pages.append(page)
                return self._said(self.body(number, page), number)
            case "circle" if number == len(self.pages) - 1:
                return self._said(self.body(-1, page), -1)
            case "total wrong":
                return self._said(
                    self.body(number, page if number < len(self.pages) else [], len(self.given) + 1), number
                )
            case "total changes" if here:
                return self._said(self.body(number, page, len(self.given) - 1), number)
            case "bytes" | "tree" if here:
                return self._said(self.broken, number)
            case "status" if here:
                again = f"/?{urlencode(dict(asked.query))}"
                return Said(value=echo, status=self.status, headers={"Location": again, "Retry-After": "0"})
            case "burst" if here and self.failures:
                self.failures -= 1
                return Said(
                    value=echo,
                    status=self.chance.choice([429, 500, 503]),
                    headers={"Retry-After": self.chance.choice(["0", "9" * 30, "x"])},
                )
            case "page of HTML" if here:
                return Said(value=b"<html><title>Log in, " + echo[:200] + b"</title></html>", content_type="text/html")
            case "type" if here:
                said = self._said(self.body(number, page), number)
                return Said(value=said.value, headers=said.headers, content_type="text/plain; charset=\xff")
        return None

    def accepted(self) -> list[list[Row]] | None:  # noqa: PLR0911  one case for each fault
        """What counts as complete."""
        before = [each for page in self.pages[: self.at] for each in page]
        here, behind = self.pages[self.at], [each for page in self.pages[self.at + 1 :] for each in page]
        match self.fault:
            case "empty" if not self.total:
                # Nobody can know that there is more, where each page may be the last.
                return complete(self.given, before, before + behind)
            case "missing" if not self.total and self.style != "none":
                return complete(self.given, before if self.at else self.given)
            case "row lost" if not self.total:
                return (
                    None
                    if self.style == "offset"
                    else complete(self.given, before + here[1:] + behind, before + here[1:], before)
                )
            case "endless":
                return [] if self.style != "none" else None
            case "bytes" | "tree":
                return self._accepted_broken(before, behind)
            case "status" if not self.total and self.status in {204, 404}:
                return complete(self.given, before)
        return complete(self.given)

    def _accepted_broken(self, before: list[Texts], behind: list[Texts]) -> list[list[Row]] | None:
        try:
            here = page_reference.csv(self.broken) if self.csv else page_reference.rows(self.broken)
        except RefusedError:
            return []
        if self.style == "offset" and len(here) != len(self.pages[self.at]):
            return None
        others = [] if self.total else [before + here, before]
        return complete(before + here + behind, *others)


def _quoted(text: str | None) -> str:
    return "" if text is None else '"' + text.replace('"', '""') + '"'


def _json(name: str, text: str | None) -> Any:  # noqa: ANN401  of any type
    if text is None:
        return None
    if name == "paid":
        return text.lower() == "true"
    return int(text) if name in {"visit", "small"} else text


def _break(chance: random.Random, document: dict[str, Any]) -> None:
    """Change a JSON document in one place."""
    odd: Any = chance.choice([
        None, True, [], {}, [1], {"a": 1}, "", "x", "\ud800", 0, -1, 1e308, 10**400, [[]] * 3, {"next": 1},
        "http://[::1", "//elsewhere/x",
        "https://example.org/", "mark-0", "javascript:x", "?page=\0", *mutations.VALUES[:20],
    ])  # fmt: skip
    deep: Any = []
    for _ in range(_NESTED):
        deep = [deep]
    odd = deep if chance.random() < 0.03 else odd
    rows, meta = document["data"], document["meta"]
    row = chance.choice(rows)
    match chance.randrange(8):
        case 0:
            row[chance.choice(NAMES)] = odd
        case 1:
            row[chance.choice(["more", "", "Visit", "visit ", "\x00", "month", *NAMES])] = odd
        case 2:
            row.pop(chance.choice(NAMES))
        case 3:
            document[chance.choice(["data", "meta"])] = odd
        case 4:
            meta[chance.choice(["next", "total"])] = odd
        case 5:
            rows[chance.randrange(len(rows))] = odd
        case 6:
            for each in rows:
                each.pop(chance.choice(NAMES), None)
        case _:
            rows.append(odd)
