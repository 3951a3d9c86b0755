"""Hostile requests, drawn at random: good ones of every route, of which something is broken, byte by byte.

Put here what an attacker may send. Keep out sending it (``hostile_campaign``), and what may be answered.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mlops_assets.platform.security.token_keys import key_id_of
from mlops_assets_tests.serving.hostile_values import MARK, broken_bytes, broken_json, hostile_text
from mlops_assets_tests.serving.sample import (
    CUSTOMERS,
    EVERY_KIND,
    EVERYTHING,
    FEATURES,
    MODEL,
    PERSONS,
    TABLE,
    turnout_model,
)
from mlops_assets_tests.serving.service_process import AUDIENCE, ISSUER

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from mlops_assets_tests.serving.service_process import Service

PUBLIC: Final = ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready")
BINARY: Final = "Inference-Header-Content-Length"
SCORE, INFER = f"/v1/models/{MODEL}/score", f"/v2/models/{MODEL}/infer"
JSON: Final = "application/json"
_VERSION: Final = turnout_model().version
_METHODS: Final = ("HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PROPFIND", "get", "M-SEARCH", "X")
_GETS: Final = (
    *PUBLIC,
    *("/v1/tables", "/v1/exports", "/v1/models", "/v2", "/metrics", "/health/dependencies", "/openapi.json"),
    *(f"/v1/tables/{TABLE}?state=NC&limit=5", f"/v1/tables/{TABLE}/NC/12/turnout?as_of=2024-11-05T12:00:00Z"),
    *(f"/v1/tables/{TABLE}?election=latest&district=01&measure=turnout&cursor=AAAA", f"/v1/exports/{TABLE}"),
    *(f"/v1/tables/{CUSTOMERS}?month=latest&active=true&since=2020-01-03", f"/v1/tables/{CUSTOMERS}/3?month=2024-01"),
    *(f"/v1/tables/{FEATURES}", f"/v1/tables/{CUSTOMERS}?seen=2024-01-03T12:00:00Z&note=note%201&customer=3"),
    *(f"/v1/models/{MODEL}", f"/v2/models/{MODEL}", f"/v2/models/{EVERY_KIND}/ready"),
    f"/v2/models/{MODEL}/versions/{_VERSION}",
)
_KINDS: Final[dict[str, object]] = {
    "amount": 1.5,
    "rate": 0.5,
    "count": 3,
    "level": 2,
    "active": True,
    "segment": "gold",
}
_OUTCOME: Final = {"request_id": "order-20241105-17", "row": 0, "outcome": True, "observed": "2024-12-01T00:00:00Z"}
_OTHERWISE: Final = 0.8
"""How often the query is broken in place of a body where none is taken."""
_CURSOR: Final = b'["2022","NC","12","turnout"]'
_POSTS: Final[tuple[tuple[str, object], ...]] = (
    (SCORE, {"rows": [{"age": 40, "party": "DEM"}, {"age": None, "party": "REP"}], "model_version": _VERSION}),
    (f"/v1/models/{EVERY_KIND}/score", {"rows": [_KINDS]}),
    (
        INFER,
        {
            "id": "a",
            "parameters": {"binary_data_output": True},
            "inputs": [
                {"name": "age", "shape": [1, 1], "datatype": "FP64", "data": [[40]], "parameters": {"a": [1]}},
                {"name": "party", "shape": [1], "datatype": "BYTES", "data": ["DEM"]},
            ],
            "outputs": [{"name": "score", "parameters": {"binary_data": False}}],
        },
    ),
    (f"/v1/lookup/{TABLE}", {"keys": [{"state": "NC", "district": "01", "measure": "turnout"}]}),
    (f"/v1/lookup/{CUSTOMERS}", {"keys": [{"customer": 3}, {"customer": 4, "month": "2024-01"}]}),
    (f"/v1/lookup/{FEATURES}", {"keys": [{"state": "NC", "person_token": PERSONS[0]}]}),
    (f"/v1/outcomes/{MODEL}", {"outcomes": [_OUTCOME, {**_OUTCOME, "row": 1, "outcome": False}]}),
)


@dataclass
class Hostile:
    """A request while it is being broken.

    Attributes:
        method, target, headers, body: what is sent.
        admitted: whether its token is good.
        limited: whether that token is good for North Carolina alone.
        broken: what was broken, in words.
        framed: whether a reader must find the same end of it as its writer; if not, its connection ends with it.
    """

    method: str
    target: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    admitted: bool = True
    limited: bool = False
    broken: list[str] = field(default_factory=list)
    framed: bool = True
    version: str = "HTTP/1.1"
    length: str | None = None
    """What is said of the body's length, if not the truth."""

    @property
    def sent(self) -> bytes:
        """Its bytes on the wire."""
        length = str(len(self.body)) if self.length is None else self.length
        said = [("Content-Length", length)] if length and (self.body or self.method != "GET") else []
        head = [f"{self.method} {self.target} {self.version}", *(f"{name}: {value}" for name, value in self.headers)]
        head += [f"{name}: {value}" for name, value in said]
        return "\r\n".join([*head, "", ""]).encode("utf-8", "surrogateescape") + self.body


class Attacker:
    """Draws requests, the same again from equal random numbers."""

    def __init__(self, service: Service, draw: random.Random) -> None:
        self._draw = draw
        self._stranger = Ed25519PrivateKey.generate()
        self._good = service.token(scopes=EVERYTHING)
        self._limited = service.token(scopes=EVERYTHING, states=["NC"])
        self._bad = self._bad_credentials(service)
        self._breaks: tuple[tuple[Callable[[Hostile], None], int], ...] = (
            (self._break_target, 4),
            (self._break_query, 3),
            (self._break_headers, 4),
            (self._break_credentials, 3),
            (self._break_body, 8),
            (self._break_method, 1),
            (self._break_framing, 1),
        )

    def drawn(self) -> Hostile:
        """The next request."""
        hostile = self._good_request()
        hostile.headers.insert(0, ("Host", "localhost"))
        token = self._good
        if self._draw.random() < 0.2:
            token, hostile.limited = self._limited, True
        hostile.headers.append(("Authorization", f"Bearer {token}"))
        kinds, weights = zip(*self._breaks, strict=True)
        for each in self._draw.choices(kinds, weights, k=self._draw.choice((1, 1, 1, 2, 3))):
            each(hostile)
            hostile.broken.append(each.__name__.removeprefix("_break_"))
        return hostile

    def _good_request(self) -> Hostile:
        draw = self._draw
        if draw.random() < 0.4:
            return Hostile("GET", draw.choice(_GETS))
        if draw.random() < 0.2:
            return _binary(draw)
        path, body = draw.choice(_POSTS)
        return Hostile("POST", path, [("Content-Type", JSON)], json.dumps(body).encode())

    def _break_method(self, hostile: Hostile) -> None:
        hostile.method = self._draw.choice(_METHODS)
        hostile.framed = hostile.method not in ("CONNECT", "HEAD")

    def _break_target(self, hostile: Hostile) -> None:
        path, mark, query = hostile.target.partition("?")
        parts = path.split("/")
        if len(parts) == 1:
            # It was broken before, and has no part left.
            return
        place = self._draw.randrange(1, len(parts))
        text = hostile_text(self._draw)
        parts[place : place + self._draw.choice((0, 1))] = [self._draw.choice((text, parts[place] + text))]
        path = "/".join(parts)
        if self._draw.random() < 0.1:
            path = self._draw.choice((f"http://{MARK}{path}", f"*{path}", path[1:], path.upper(), f"{path}#{MARK}"))
        hostile.target = f"{path}{mark}{query}"

    def _break_query(self, hostile: Hostile) -> None:
        draw = self._draw
        path, _, query = hostile.target.partition("?")
        pairs = [*query.split("&"), "limit=5", "as_of=latest", "cursor=a", "state=NC"]
        name, _, _ = draw.choice(pairs).partition("=")
        text = hostile_text(draw)
        broken = draw.choice((f"{name}={text}", f"{text}={text}", f"{name}[]={text}", text, f"{name}=1&{name}={text}"))
        if name == "cursor" and draw.random() < 0.5:
            cursor = base64.urlsafe_b64encode(broken_bytes(_CURSOR, draw)).decode()
            broken = f"cursor={cursor[:4000]}"
        kept = f"{query}&" if query and draw.random() < 0.5 else ""
        hostile.target = f"{path}?{kept}{'&'.join([broken] * draw.choice((1, 1, 1, 2, 300)))}"

    def _break_headers(self, hostile: Hostile) -> None:
        draw, text = self._draw, hostile_text(self._draw)
        forged = f"-----BEGIN%20CERTIFICATE-----%0A{base64.b64encode(draw.randbytes(300)).decode()}"
        said: list[list[tuple[str, str]]] = [
            [("X-Client-Certificate", forged)] * draw.choice((1, 2)),
            [(draw.choice(("X-Request-ID", "traceparent", "If-None-Match", "Accept-Encoding", "Accept")), text)],
            [(draw.choice(("X-Forwarded-For", "X-Forwarded-Host", "X-Original-URL", "Forwarded", "Via")), text)],
            [(draw.choice(("Range", "Expect", "Upgrade", "Connection", "TE", "Cookie", "Origin")), text)],
            [("Expect", "100-continue"), ("Range", "bytes=0-1,5-"), ("Upgrade", "h2c"), ("Connection", "Upgrade")],
            [("Content-Encoding", draw.choice(("gzip", "br", "identity", "gzip, gzip", text)))],
            [("Content-Type", draw.choice(("text/plain", JSON, "application/octet-stream", "", text)))],
            [(f"X-{MARK}-{number}", text[:100]) for number in range(draw.choice((20, 100, 400)))],
            [("Host", text)],
            [(BINARY, draw.choice((text, "0", "1", "-1", "9" * 5000, "999999999", "\u096b")))],
            [(draw.choice(("X:", "X Y", "\x00", "X\r", "", "é", f"X\r\nX-Injected: {MARK}\r\nX")), text)],
        ]
        hostile.headers += draw.choice(said)

    def _break_credentials(self, hostile: Hostile) -> None:
        given = [(name, value) for name, value in hostile.headers if name != "Authorization"]
        hostile.headers = given + self._draw.choice(self._bad)
        hostile.admitted = False

    def _break_body(self, hostile: Hostile) -> None:
        draw = self._draw
        if hostile.method == "GET" and draw.random() < _OTHERWISE:
            self._break_query(hostile)
        elif not hostile.body:
            hostile.body = draw.choice((b"{}", b"[" * 1000, draw.randbytes(100)))
        elif draw.random() < 0.75 and not {"body", "framing"} & {*hostile.broken} and not _measured(hostile):
            hostile.body = broken_json(hostile.body, draw)
        else:
            hostile.body = broken_bytes(hostile.body, draw)
        if draw.random() < 0.02:
            hostile.headers.append(("Content-Encoding", "gzip"))
            hostile.body = gzip.compress(bytes(10_000_000), 1)

    def _break_framing(self, hostile: Hostile) -> None:
        draw = self._draw
        hostile.framed = False
        inner = f"GET /v1/exports HTTP/1.1\r\nHost: a\r\nX-Smuggled: {MARK}\r\n\r\n".encode()
        chunks = f"{len(hostile.body):x}\r\n".encode() + hostile.body + b"\r\n0\r\n\r\n"
        coding = draw.choice(("chunked", "Chunked", "identity", "chunked, identity", "xchunked", "gzip, chunked", ""))
        name = draw.choice(("Transfer-Encoding", "Transfer-Encoding ", "transfer_encoding", " Transfer-Encoding"))
        kind = draw.randrange(6)
        if kind == 0:
            hostile.headers.append((name, coding))
            hostile.length = draw.choice((None, "", "4", "0"))
            hostile.body = draw.choice((chunks, b"0\r\n\r\n")) + inner
        elif kind == 1:
            hostile.headers.append(("Content-Length", draw.choice(("0", "5", "+5", "-1", "0x5", "5, 5", "9" * 40))))
            hostile.body += inner
        elif kind == 2:
            hostile.length = str(max(len(hostile.body) - draw.choice((1, 5)), 0))
        elif kind == 3:
            hostile.length = ""
            hostile.headers.append(("Transfer-Encoding", "chunked"))
            size = draw.choice(("-1", "f" * 16, "5;a=b", "0x5", "g", f"5;{MARK * 100}", "00000000000000005", ""))
            hostile.body = (
                f"{size}\r\n".encode() + hostile.body + b"\r\n0\r\n" + draw.choice((b"", b"X: y\r\n")) + b"\r\n"
            )
        elif kind == 4:
            hostile.version = draw.choice(("HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/9.9", "HTTP/1.1 x", "", "HTTP/11"))
        else:
            hostile.headers.append(("X-Folded", f"a\r\n b\r\n\tX-Injected: {MARK}"))
            hostile.body += inner

    def _bad_credentials(self, service: Service) -> list[list[tuple[str, str]]]:
        """Headers that let nobody in."""
        now, own = int(time.time()), self._stranger
        (known, *_) = json.loads(service.config.keys.read_text(encoding="utf-8"))["keys"]
        claims: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "test-client", "scope": " ".join(EVERYTHING)}
        claims |= {"iat": now, "nbf": now, "exp": now + 3600, "jti": "0" * 32}
        head = {"kid": known["kid"], "typ": "at+jwt"}

        def forged(*, by: Any = own, algorithm: str = "EdDSA", kid: str = head["kid"], **others: object) -> str:  # noqa: ANN401
            return jwt.encode({**claims, **others}, by, algorithm=algorithm, headers={**head, "kid": kid})

        signing = service.signing_key.read_bytes()
        good, (front, _, signature) = self._good, self._good.split(".")
        texts = [
            *(forged(), forged(kid=key_id_of(own.public_key())), forged(by=None, algorithm="none")),
            *(forged(by=known["x"], algorithm="HS256"), forged(by=signing, aud="another")),
            *(forged(by=signing, exp=now - 10, iat=now - 20, nbf=now - 20), forged(by=signing, nbf=now + 3000)),
            *(forged(by=signing, iss="another"), forged(by=signing, exp=10**400)),
            *(forged(by=signing, sub=MARK * 30), forged(by=signing, scope=7), forged(by=signing, limits=[1])),
            *(good[:-4], f"{good}.{MARK}", f"{front}..{signature}", f"{front}.{'A' * 3000}.{signature}", "", MARK, "."),
            base64.urlsafe_b64encode(b'{"alg":' + b"[" * 2000).decode() + ".e30.AA",
            base64.urlsafe_b64encode(b'{"alg":"EdDSA","kid":' + b"9" * 3000 + b"}").decode().rstrip("=") + ".e30.AA",
        ]
        found = [[("Authorization", f"Bearer {text}")] for text in texts]
        found += [[], [("Authorization", f"Basic {good}")], [("Authorization", good)], [("authorization", "Bearer")]]
        found += [[("Authorization", f"Bearer {good}")] * 2, [("Cookie", f"token={good}")], [("X-Authorization", good)]]
        return [*found, [("Authorization", f"Bearer\t{good}")], [("Authorization", "Bearer \x80\xff")]]


def _measured(hostile: Hostile) -> bool:
    return any(name == BINARY for name, _ in hostile.headers)


def _binary(draw: random.Random) -> Hostile:
    """A request with binary tensors, of which sizes, lengths or bytes are wrong now and then."""
    text, flag = struct.pack("<I", 4) + b"gold", b"\x00"
    tensors: dict[str, tuple[str, bytes]] = {
        "amount": ("FP64", struct.pack("<d", 1.5)),
        "rate": ("FP32", struct.pack("<f", draw.choice((0.5, float("nan"), float("inf"), 3e38)))),
        "count": ("INT64", struct.pack("<q", draw.choice((3, 2**63 - 1, -(2**63))))),
        "level": ("INT32", struct.pack("<i", 2)),
        "active": ("BOOL", draw.choice((b"\x01", b"\x02"))),
        "segment": ("BYTES", draw.choice((text, struct.pack("<I", 2**32 - 1) + b"gold", b"\x01", text * 2))),
        "count_is_null": ("BOOL", flag),
        "segment_is_null": ("BOOL", flag),
    }
    wrong = draw.choice((0, 0, 0, 1, -1, 10**12, -(10**12), 2**70))
    inputs = [
        {
            "name": name,
            "shape": [draw.choice((1, 1, 1, 1, 1, 1, 1, 0, 2, 1_000_000))],
            "datatype": datatype,
            "parameters": {"binary_data_size": len(part) + (wrong if draw.random() < 0.2 else 0)},
        }
        for name, (datatype, part) in tensors.items()
    ]
    head = json.dumps({"inputs": inputs}).encode()
    tail = b"".join(part for _, part in tensors.values())
    length = len(head) + draw.choice((0, 0, 0, 0, 1, -1, 10**6))
    headers = [("Content-Type", "application/octet-stream"), (BINARY, str(length))]
    return Hostile("POST", f"/v2/models/{EVERY_KIND}/infer", headers, head + tail)
