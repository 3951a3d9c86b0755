"""A server of files in whose answers one fault is, and what counts as complete of it.

Put here what is answered. Keep out how the file is declared and asked for (``downloads``).
"""

from __future__ import annotations

import gzip
import hashlib
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

from mlops_assets_tests.plumbing.sources.faults import mutations
from mlops_assets_tests.plumbing.sources.file_server import OLD, FileServer

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping
    from http.server import BaseHTTPRequestHandler

FAULTS: Final = (
    "none", "cut", "cut", "cut", "reset", "changed", "changed", "changed in silence", "too long", "too short",
    "no length", "chunks", "chunks cut", "chunks mangled", "part", "part", "part", "416", "206 unasked", "304 unasked",
    "packed", "packed cut", "says packed", "br", "status", "page", "two lengths", "bytes", "bytes", "redirect",
    "silent", "every machine its own validator", "beside", "beside", "half written",
)  # fmt: skip
_STATUSES: Final = (204, 400, 401, 403, 404, 410, 416, 429, 451, 500, 502, 503, 599)
_ETAGS: Final = ('W/"x', '"', "", "x", '"\xff"', '"' + "x" * 9000 + '"', '"a" "b"', 'w/"a"', '"a", "b"', "*")
_TARGETS: Final = ("{here}?again=1", "/elsewhere.csv", "//", "http://[", "ftp://x/", "https://127.0.0.1:1/", "{here}")
_PARTS: Final = ("later", "earlier", "longer", "shorter", "no range", "another total", "no total", "several", "of all")


class FaultyServer(FileServer):
    """A server of one file, a fault being in its first answers.

    Attributes:
        fault: what is broken; ``none`` once it is healed.
        left: in how many answers.
        other: the version that takes the place of the file.
        broken: what is sent instead where bytes are.
    """

    def __init__(self, chance: random.Random, path: str, content: bytes, other: bytes) -> None:
        super().__init__()
        self.chance, self.path, self.content, self.other = chance, path, content, other
        self.fault = chance.choice(FAULTS)
        self.left = chance.choice([1, 1, 2, 5])
        self.mangled, self.how = mutations.some(chance, content)
        self.at = chance.randrange(len(content))
        self.short = chance.randrange(len(content))
        self.part = chance.choice(_PARTS)
        self.status = chance.choice(_STATUSES)
        self.files[path] = self.mangled if self.fault == "bytes" else content
        self.manners.etags = chance.choice(["strong", "strong", "strong", "weak", ""])
        self.manners.modified = chance.choice([None, OLD, "yesterday", "Thu, 01 Jan 2099 00:00:00 GMT"])
        self.manners.ranges = chance.random() < 0.9
        self.odd_etag = chance.choice(_ETAGS) if chance.random() < 0.15 else None
        if self.fault == "half written":
            self.files[path] = content[: self.short]

    def heal(self) -> None:
        """From now on every answer is good."""
        self.fault = "none"
        self.files[self.path] = self.content
        self.manners.etags, self.odd_etag = "strong", None

    def _sent(self, handler: BaseHTTPRequestHandler, status: int, told: Mapping[str, str], body: bytes) -> None:
        told = dict(told)
        if self.odd_etag is not None:
            told["ETag"] = self.odd_etag
        of_file = handler.path.partition("?")[0] == self.path and handler.command == "GET"
        if of_file and self.fault == "every machine its own validator":
            told["ETag"] = f'"{self.chance.random()}"'
            self.manners.cuts = [self.at]
        if not of_file or self.left <= 0 or status not in {200, 206}:
            super()._sent(handler, status, told, body)
            return
        self._faulty(handler, status, told, body)

    def _faulty(  # noqa: C901, PLR0912, PLR0915  one case for each fault
        self, handler: BaseHTTPRequestHandler, status: int, told: dict[str, str], body: bytes
    ) -> None:
        self.left -= 1
        at = min(self.at, max(len(body) - 1, 0))
        match self.fault:
            case "cut" | "reset" | "silent":
                self._raw(handler, status, told, body[:at], len(body))
            case "changed" | "changed in silence":
                self._raw(handler, status, told, body[:at], len(body))
                self.files[self.path] = self.other
                if self.fault == "changed in silence":
                    self.odd_etag = told.get("ETag")
            case "too long":
                self._raw(handler, status, told, body, len(body) + self.chance.choice([1, 1000, 10**15]))
            case "too short":
                self._raw(handler, status, told, body, min(self.short, len(body)))
            case "no length":
                self._raw(handler, status, told, body, None)
            case "chunks" | "chunks cut" | "chunks mangled":
                half = b"%x\r\n%b\r\n" % (len(body[:at]), body[:at]) if at else b""
                rest = b"%x;a=b\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(body[at:]), body[at:])
                sent = half + rest if self.fault == "chunks" else half + rest[: self.chance.randrange(len(rest))]
                if self.fault == "chunks mangled":
                    sent = half + b"zz\r\n" + rest
                self._raw(handler, status, {**told, "Transfer-Encoding": "chunked"}, sent, None)
            case "part" | "416" if status == 200:
                self.left += 1
                self._raw(handler, status, told, body[:at], len(body))
                self.at, self.left = -1, self.left if self.at >= 0 else self.left - 2
            case "part":
                self._part(handler, told, body)
            case "416":
                super()._sent(handler, 416, told, b"")
            case "206 unasked":
                super()._sent(handler, 206, {**told, "Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}"}, body)
            case "304 unasked":
                super()._sent(handler, 304, told, b"")
            case "packed" | "packed cut":
                packed = gzip.compress(body)
                packed = packed[: 1 + self.chance.randrange(len(packed) - 1)] if self.fault == "packed cut" else packed
                self._raw(handler, 200, {**told, "Content-Encoding": "gzip"}, packed, len(packed))
            case "says packed" | "br":
                coding = "gzip" if self.fault == "says packed" else "br"
                self._raw(handler, status, {**told, "Content-Encoding": coding}, body, len(body))
            case "status":
                retry = self.chance.choice(["0", "9" * 30, "x"])
                super()._sent(handler, self.status, {"Retry-After": retry}, body[:100])
            case "page":
                kind = self.chance.choice(["text/html", "text/csv"])
                super()._sent(handler, 200, {**told, "Content-Type": kind}, b"<!doctype html><title>x</title>" + body)
            case "two lengths":
                self._raw(handler, status, {**told, "content-length": str(len(body) // 2)}, body, len(body))
            case "redirect":
                target = self.chance.choice(_TARGETS).replace("{here}", self.path)
                super()._sent(handler, self.chance.choice([301, 302, 307, 308]), {"Location": target}, b"")
            case _:
                super()._sent(handler, status, told, body)

    def _part(self, handler: BaseHTTPRequestHandler, told: dict[str, str], body: bytes) -> None:
        """Another part than the one that was asked for, or none."""
        whole = self.files[self.path]
        start = len(whole) - len(body)
        end, total = len(whole) - 1, str(len(whole))
        match self.part:
            case "later":
                start, body = start + 1, body[1:]
            case "earlier" if start:
                start, body = start - 1, whole[start - 1 :]
            case "longer":
                body += b"x"
            case "shorter":
                body = body[:-1]
            case "another total":
                total = str(len(whole) + 7)
            case "no total":
                total = "*"
            case "of all":
                start, body = 0, whole
        told["Content-Range"] = f"bytes {start}-{end}/{total}"
        if self.part == "no range":
            del told["Content-Range"]
        if self.part == "several":
            told["Content-Type"] = "multipart/byteranges; boundary=x"
            body = b"--x\r\nContent-Range: bytes 0-1/2\r\n\r\n" + body + b"\r\n--x--\r\n"
        self._raw(handler, 206, told, body, len(body))

    def _raw(
        self, handler: BaseHTTPRequestHandler, status: int, told: Mapping[str, str], sent: bytes, length: int | None
    ) -> None:
        """Send these bytes behind that length, and end the connection."""
        handler.send_response(status)
        for name, value in told.items():
            handler.send_header(name, value)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(sent)
        handler.wfile.flush()
        handler.close_connection = True
        if self.fault == "silent":
            time.sleep(0.4)
        if self.fault == "reset":
            time.sleep(0.01)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()

    def beside(self) -> str:
        """Put a checksum beside the file, and break it where that is the fault; which that was."""
        name = self.path.rpartition("/")[2]
        good = f"{hashlib.sha256(self.content).hexdigest()}  {name}\n".encode()
        files = self.files
        files[f"{self.path}.sha256"] = good
        if self.fault != "beside":
            return ""
        how = self.chance.choice(["gone", "page", "other", "bytes", "bytes", "digest", "upper", "many", "of another"])
        other = hashlib.sha256(self.other).hexdigest()
        files[f"{self.path}.sha256"] = {
            "page": b"<html>" + good,
            "other": f"{other}  {name}\n".encode(),
            "bytes": mutations.some(self.chance, good)[0],
            "digest": good.split()[0],
            "upper": good.upper(),
            "many": f"{other}  other.csv\n".encode() + good + f"{other} *more.csv\n".encode(),
            "of another": good.replace(name.encode(), b"other.csv"),
        }.get(how, b"")
        if how == "gone":
            del files[f"{self.path}.sha256"]
        return how
