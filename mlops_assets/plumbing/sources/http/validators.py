"""Validators: what an HTTP source says of the version that it gives, and the questions that it answers by them.

Put here how a version is told from another. Keep out what is done with one that is new (``downloads``,
``arrivals``).

Source: RFC 9110 sections 8.8 (validators), 13.1 (preconditions) and 14.4 (Content-Range).
"""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

_ETAG: Final = re.compile(r'(W/)?("[\x21\x23-\x7e]*")')
_SINCE: Final = "since "
_WEAK: Final = "weakly since "
_APART: Final = dt.timedelta(seconds=60)
"""Age from which on a time of change is a strong validator: clocks differ, and a file may change twice in a second."""


@dataclass(frozen=True)
class Validators:
    """What tells one version of a file from another.

    Attributes:
        etag: the entity tag as the source wrote it; empty where it sent none, or none that is well-formed.
        modified: the time of the last change as it wrote it; empty likewise.
        settled: whether that time lies so far back that no other version can have it.
    """

    etag: str = ""
    modified: str = ""
    settled: bool = False

    @classmethod
    def of(cls, response: httpx.Response) -> Validators:
        """Those of an answer."""
        etag = response.headers.get("ETag", "").strip()
        modified = response.headers.get("Last-Modified", "").strip()
        changed, now = _moment(modified), _moment(response.headers.get("Date", ""))
        return cls(
            etag=etag if _ETAG.fullmatch(etag) else "",
            modified=modified if changed is not None else "",
            settled=changed is not None and now is not None and now - changed >= _APART,
        )

    @property
    def strong(self) -> str:
        """What ``If-Range`` may hold: equal means equal to the byte. Empty where nothing does."""
        if self.etag:
            return "" if self.etag.startswith("W/") else self.etag
        return self.modified if self.settled else ""

    @property
    def told(self) -> str:
        """What tells that another version is there; empty where nothing does.

        A time that is too fresh is another one than the same time later on: what was changed again within it is asked
        for once more.
        """
        if found := _ETAG.fullmatch(self.etag):
            return found[2]
        if self.modified:
            return f"{_SINCE if self.settled else _WEAK}{self.modified}"
        return ""

    def contradicted_by(self, part: Validators) -> bool:
        """Whether an answer with a further part is of another version than this one."""
        if self.etag:
            return part.etag != self.etag
        # One that answers If-Range need not repeat it.
        return bool(part.etag) or part.modified not in {"", self.modified}


def condition(told: str) -> Mapping[str, str]:
    """The header that asks for another version than the one that ``told`` names; none where it names none."""
    if told.startswith('"'):
        return {"If-None-Match": told}
    return {"If-Modified-Since": told.removeprefix(_SINCE)} if told.startswith(_SINCE) else {}


@dataclass(frozen=True)
class Asked:
    """What a version is a version of, so that those of two addresses are not taken for each other.

    Attributes:
        mark: of all that was asked, no secret among it.
    """

    mark: str

    @classmethod
    def of(cls, *parts: object) -> Asked:
        """That of these parts."""
        return cls(hashlib.sha256(repr(parts).encode()).hexdigest()[:12])

    def identity(self, told: str) -> str:
        """How a publish names the version that it was made from; empty where nothing tells it."""
        return told and f"{told} of {self.mark}"

    def told(self, identity: str | None) -> str:
        """What tells the version that such a name names; empty where it was of something else."""
        told, _, mark = (identity or "").rpartition(" of ")
        return told if mark == self.mark else ""


@dataclass(frozen=True)
class Span:
    """Which bytes a part holds.

    Attributes:
        start: of the first byte.
        end: behind the last one.
        total: of the whole; ``None`` where the source does not say.
    """

    start: int
    end: int
    total: int | None

    @classmethod
    def of(cls, text: str) -> Span | None:
        """What ``Content-Range`` says; ``None`` where it says nothing that can be."""
        found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(?:(\d{1,18})|\*)", text.strip(), re.IGNORECASE | re.ASCII)
        if found is None:
            return None
        span = cls(int(found[1]), int(found[2]) + 1, int(found[3]) if found[3] else None)
        return span if span.start < span.end <= (span.end if span.total is None else span.total) else None


def _moment(text: str) -> dt.datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)
