"""Bodies of HTTP answers, whole or not at all: what their length, their compression and their form prove.

Put here when a body is known to be whole. Keep out what it holds.

Source: RFC 9112 section 6.3 (the length of a message), RFC 1952 section 2.2 (a gzip file is a series of members).
"""

from __future__ import annotations

import time
import zlib
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import httpx

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.http.faults import TryAgainError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_assets.plumbing.sources.http.limits import Limits

ACCEPTED: Final = "gzip"
"""The compression that is asked for: of those in use, gzip alone has a mark at its end."""

AS_IT_IS: Final = {"Accept-Encoding": "identity"}
"""Asks for a file itself: packed for the way, its bytes and its validator could be other ones each time."""

_GZIP: Final = frozenset({"gzip", "x-gzip"})
_PLAIN: Final = frozenset({"", "identity"})
_WITH_GZIP_HEADER: Final = 16 + zlib.MAX_WBITS
_GLIMPSE: Final = 65_536


class Kind(StrEnum):
    """What an address should deliver; named in the error when it delivers a web page."""

    CSV = "CSV"
    JSON = "JSON"
    FILE = "a file"


def whole(response: httpx.Response, kind: Kind, limits: Limits, source: str) -> bytes:
    """The body, unpacked.

    Args:
        response: an answer whose body has not been read.
        kind: what it should be. JSON says itself where it ends, once it is parsed; CSV may end after any row.
        limits: how large it may be, and how slow.
        source: how messages name it.

    Raises:
        TryAgainError: it broke off, came too slowly, or its compression has no end.
        SourceError: it is too large, compressed otherwise, or nothing tells whether it is whole.
    """
    body = bytearray()
    members = _Members() if is_packed(response, source) else None
    for chunk in chunks(response, limits):
        body += members.fed(chunk, limits.largest_body_bytes + 1 - len(body)) if members else chunk
        if len(body) > limits.largest_body_bytes:
            raise SourceError(
                source=source,
                culprit=f"the body is larger than {limits.largest_body_bytes:,} bytes.",
                remedy="Check that the address is the right one.",
            )
    if members and not members.ended:
        raise TryAgainError("the answer broke off: its gzip has no end")
    if is_framed(response):
        return bytes(body)
    if kind is Kind.JSON:
        if not body.rstrip().endswith((b"}", b"]")):
            raise TryAgainError("the answer broke off: its JSON has no end")
    else:
        raise SourceError(
            source=source,
            culprit="it tells neither how long its answer is nor where it ends, so that nobody knows if it is whole.",
            remedy="Ask its operator for a Content-Length, or for chunked answers of HTTP/1.1.",
        )
    return bytes(body)


def glimpse(response: httpx.Response, limits: Limits) -> bytes:
    """How the body of an answer begins that is only told of; whatever can be had of it."""
    raw = bytearray()
    try:
        for chunk in chunks(response, limits):
            raw += chunk
            if len(raw) > _GLIMPSE:
                break
        if _encoding(response) in _GZIP:
            return zlib.decompressobj(_WITH_GZIP_HEADER).decompress(bytes(raw), _GLIMPSE)
    except (httpx.RequestError, TryAgainError, zlib.error):
        return b""
    return bytes(raw[:_GLIMPSE]) if _encoding(response) in _PLAIN else b""


def is_packed(response: httpx.Response, source: str) -> bool:
    """Whether a body is packed for the way, by gzip.

    Raises:
        SourceError: it is packed otherwise.
    """
    encoding = _encoding(response)
    if encoding not in _GZIP | _PLAIN:
        raise SourceError(
            source=source,
            culprit=f"it sends a body packed as {encoding[:20]!r}, which was not asked for.",
            remedy="Ask its operator to heed Accept-Encoding; gzip or none is read.",
        )
    return encoding in _GZIP


def _encoding(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Encoding", "")).strip().lower()


def is_framed(response: httpx.Response) -> bool:
    """Whether the transport tells the end of the body from a connection that broke off."""
    codings = response.headers.get("Transfer-Encoding", "").lower()
    return "Content-Length" in response.headers or codings.endswith("chunked")


def chunks(response: httpx.Response, limits: Limits) -> Iterator[bytes]:
    """The bytes as they come, unless they drip.

    Raises:
        TryAgainError: they do.
    """
    start = time.monotonic()
    received = 0
    for chunk in response.iter_raw():
        received += len(chunk)
        passed = time.monotonic() - start
        if passed > limits.idle_seconds and received < limits.slowest_bytes_per_second * passed:
            raise TryAgainError(f"the answer drips: {received:,} bytes of its body came in {passed:.0f} s")
        yield chunk


class _Members:
    """The members of a gzip file, unpacked one after the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_WITH_GZIP_HEADER)

    @property
    def ended(self) -> bool:
        """Whether the last member is there to its checksum."""
        return self._member.eof

    def fed(self, data: bytes, most: int) -> bytes:
        """What these bytes unpack to, at most so many of it."""
        plain = bytearray()
        try:
            while data and len(plain) < most:
                if self._member.eof:
                    self._member = zlib.decompressobj(_WITH_GZIP_HEADER)
                plain += self._member.decompress(data, most - len(plain))
                data = self._member.unused_data or self._member.unconsumed_tail
        except zlib.error:
            raise TryAgainError("the answer broke off: its gzip is damaged") from None
        return bytes(plain)
