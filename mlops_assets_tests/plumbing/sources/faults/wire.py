"""Rounds on the wire: connections that are refused, reset, dripped, cut, mangled or not what TLS asks for.

Put here faults between a question and its answer. Keep out what an answer holds (``answers``).
"""

from __future__ import annotations

import gzip
import json
import socket
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources.http.limits import Limits
from mlops_assets_tests.plumbing.sources.api import ApiServer, Bytes, RawServer, Said, head, server_context
from mlops_assets_tests.plumbing.sources.faults import mutations, visits
from mlops_assets_tests.plumbing.sources.faults.answers import QUICK, SIGNATURE, declared
from mlops_assets_tests.plumbing.sources.faults.reference import typed
from mlops_assets_tests.plumbing.sources.faults.rounds import SECRET, Bench, Case
from mlops_assets_tests.plumbing.sources.faults.service import ATTEMPTS, TOKEN
from mlops_assets_tests.serving.certificates import Office

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from mlops_assets.platform.errors import PlatformError

SHORT: Final = Limits(
    connect_seconds=0.3,
    answer_seconds=0.25,
    idle_seconds=0.15,
    total_seconds=0.8,
    attempts=ATTEMPTS,
    first_delay_seconds=0.002,
    longest_delay_seconds=0.02,
    largest_body_bytes=200_000,
)
MOST_SECONDS: Final = ATTEMPTS * (0.8 + 0.25 + 2 * 0.3) + 3.0
"""What the limits allow, and a busy machine."""


def _whole(chance: random.Random, body: bytes) -> list[bytes]:
    """A good answer: its head, and its body as it is sent."""
    match chance.randrange(4):
        case 0:
            return [head(f"Content-Length: {len(body)}"), body]
        case 1:
            packed = gzip.compress(body)
            return [head("Content-Encoding: gzip", f"Content-Length: {len(packed)}"), packed]
        case 2:
            half = len(body) // 2
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in (body[:half], body[half:]) if each)
            return [head("Transfer-Encoding: chunked"), chunks + b"0\r\n\r\n"]
        case _:
            return [head("Connection: close"), body]


def _broken(chance: random.Random, body: bytes) -> tuple[Bytes, str, bool]:  # noqa: C901, PLR0911  one for each fault
    """An answer that something is wrong with, what that is, and whether other rows could be in it."""
    parts = _whole(chance, body)
    sent = b"".join(parts)
    at = chance.randrange(len(sent))
    match chance.randrange(12):
        case 0:
            return Bytes(parts=[sent[:at]], reset=True), "reset", False
        case 1:
            return Bytes(parts=[sent[:at]]), "cut", False
        case 2:
            return Bytes(parts=[sent[:at]], stay=3.0), "silent", False
        case 3:
            drip = [sent[each : each + 1] for each in range(at, min(len(sent), at + 60))]
            return Bytes(parts=[sent[:at], *drip], pause=0.05), "dripped", False
        case 4:
            length = max(0, len(body) + chance.choice([-20, -1, 1, 1000, 10**12]))
            return Bytes(parts=[head(f"Content-Length: {length}"), body]), "wrong length", False
        case 5:
            mangled, how = mutations.some(chance, parts[0])
            return Bytes(parts=[mangled, parts[1]]), f"head {how}", False
        case 6:
            mangled, how = mutations.some(chance, sent)
            return Bytes(parts=[mangled]), f"all {how}", True
        case 7:
            status = chance.choice(["301 Moved", "302 Found", "307 x", "308 y"])
            target = chance.choice(
                [
                    "/",
                    "/?a=1",
                    "http://example.org/",
                    "https://127.0.0.1/",
                    "//",
                    "http://[",
                    "ftp://x/",
                    "\\",
                    "http://a@127.0.0.1/",
                ]
            )
            return (
                Bytes(parts=[head(f"Location: {target}", "Content-Length: 0", status=status)]),
                f"redirect to {target}",
                False,
            )
        case 8:
            early = b"HTTP/1.1 103 Early Hints\r\n\r\n" * chance.choice([1, 5000])
            return Bytes(parts=[early, sent]), "early hints", False
        case 9:
            line = chance.choice(
                [
                    "Content-Encoding: br",
                    "Content-Encoding: gzip, gzip",
                    "Content-Length: -1",
                    "Transfer-Encoding: gzip, chunked",
                ]
            )
            return Bytes(parts=[head(line, f"Content-Length: {len(body)}"), body]), line, False
        case 10:
            bomb = gzip.compress(b" " * 5_000_000 + body)
            return Bytes(parts=[head("Content-Encoding: gzip", f"Content-Length: {len(bomb)}"), bomb]), "bomb", False
        case _:
            return (
                Bytes(parts=[chance.randbytes(chance.choice([1, 100, 100_000]))], stay=chance.choice([0.0, 1.0])),
                "noise",
                False,
            )


@contextmanager
def answers(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """Answers that break off or are mangled, as often as is tried or less."""
    del bench
    given = visits.rows(chance, 10)
    body = json.dumps(given).encode()
    times = chance.randint(1, ATTEMPTS + 1)
    broken = [_broken(chance, body) for _ in range(times)]
    good = Bytes(parts=_whole(chance, body))
    any_rows = any(others for *_, others in broken)
    truth = typed(given)
    with RawServer(*(each for each, *_ in broken), good) as server:
        source = declared(chance, server.url, limits=SHORT, auth=None)
        source = (
            source.model_copy(update={"auth": declared(chance, server.url).auth}) if chance.random() < 0.3 else source
        )
        most = ATTEMPTS * 6 * 2

        def also(_: PlatformError | None) -> str | None:
            return f"{server.connections} connections" if server.connections > most else None

        def heal() -> None:
            server._answers = [good]

        token = source.auth is not None and source.auth.type == "oauth2"
        source = source.model_copy(update={"auth": None}) if token else source
        yield Case(
            fault=", ".join(how for _, how, _ in broken),
            source=source,
            healed=source.model_copy(update={"limits": QUICK}),
            accepted=None if any_rows else [truth],
            truth=truth,
            heal=heal,
            private=visits.words_of(given),
            secrets=(SECRET, SIGNATURE, TOKEN),
            also=also,
            most_seconds=MOST_SECONDS,
        )


@contextmanager
def places(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """Nobody listens, no such host, no TLS, or not the TLS that was to be."""
    given = visits.rows(chance, 10)
    body = given
    office = bench.server("office", lambda: _office(bench))
    fault = chance.choice(
        ["refused", "no host", "no TLS", "noise for TLS", "cut TLS", "strange issuer", "ended", "client's certificate"]
    )
    files = office.server(lifetime=timedelta(seconds=-60)) if fault == "ended" else office.server()
    context = server_context(files[0], files[1], office.client_authority if fault == "client's certificate" else None)
    noise = Bytes(parts=[chance.randbytes(200)] if fault == "noise for TLS" else [])
    with (
        ApiServer(lambda _: Said(value=body)) as api,
        ApiServer(lambda _: Said(value=body), context) as tls,
        RawServer(noise) as raw,
    ):
        port = _free()
        url = {
            "refused": f"http://127.0.0.1:{port}",
            "no host": "https://no-such-host.invalid",
            "no TLS": api.url.replace("http:", "https:"),
            "noise for TLS": raw.url.replace("http:", "https:"),
            "cut TLS": raw.url.replace("http:", "https:"),
        }.get(fault, tls.url)
        kind = SourceUnavailableError if fault in {"refused", "no host", "cut TLS"} else SourceError
        source = declared(chance, url, limits=QUICK)
        yield Case(
            fault=fault,
            source=source,
            healed=source.model_copy(update={"url": f"{api.url}/", "auth": None}),
            accepted=[],
            truth=typed(given),
            heal=lambda: None,
            private=visits.words_of(given),
            secrets=(SECRET, SIGNATURE, TOKEN),
            also=lambda error: None if isinstance(error, kind) else f"{kind.__name__} was due",
        )


@contextmanager
def _office(bench: Bench) -> Iterator[Office]:
    folder = bench.folder / "office"
    folder.mkdir()
    yield Office(folder)


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
