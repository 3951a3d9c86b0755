"""REST sources that fail: whole data or one clear error, in bounded time."""

from __future__ import annotations

import gzip
import socket
import time
import zlib
from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources.http.auth import Bearer
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.sources.api import ApiServer, Bytes, RawServer, Said, head
from mlops_assets_tests.plumbing.sources.rest_orders import QUICK, SECRET, ids, order, read, source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("secrets")

BODY = b'[{"order_id": "1", "amount": 1.5}, {"order_id": "2", "amount": 2.5}]'
CSV = b"order_id,amount\n1,1.5\n2,2.5\n"
TOKEN = Bearer(secret=Secret(file="orders_token"))
LONGEST_SECONDS = 9.0


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """No fault takes long."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < LONGEST_SECONDS


def length(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


def gzipped(body: bytes, *, to: int | None = None) -> Bytes:
    return Bytes(parts=[head("Content-Encoding: gzip", length(body[:to])), body[:to]])


MEMBERS = gzip.compress(BODY[:30]) + gzip.compress(BODY[30:])
WHOLE = Bytes(parts=[head(length(BODY)), BODY])
FLUSHED = zlib.compressobj(wbits=31)
CUT_AT_FLUSH = FLUSHED.compress(CSV) + FLUSHED.flush(zlib.Z_SYNC_FLUSH)
DRIP = [bytes([letter]) for letter in head(length(BODY)) + BODY]

GOOD = {
    "a length": WHOLE,
    "chunks": Bytes(parts=[head("Transfer-Encoding: chunked"), b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)]),
    "gzip of two members": gzipped(MEMBERS),
    "JSON to the end of the connection": Bytes(parts=[head("Connection: close"), BODY]),
    "an early hint first": Bytes(parts=[b"HTTP/1.1 103 Early Hints\r\n\r\n", head(length(BODY)), BODY]),
}

BROKEN = {
    "reset": (Bytes(parts=[head(length(BODY)), BODY[:20]], reset=True), "broke off"),
    "reset before the head": (Bytes(parts=[b"HTTP/1.1 200"], reset=True), "broke off"),
    "truncated": (Bytes(parts=[head(length(BODY)), BODY[:20]]), "broke off"),
    "no answer": (Bytes(parts=[]), "broke off"),
    "silent": (Bytes(parts=[], stay=5), "time-out|no answer came"),
    "silent amid the body": (Bytes(parts=[head(length(BODY)), BODY[:20]], stay=5), "time-out"),
    "dripped head": (Bytes(parts=DRIP, pause=0.3), "no answer came within 2 s, connecting included"),
    "dripped body": (Bytes(parts=[head(length(BODY)), *DRIP], pause=0.3), "drips"),
    "too long a length": (Bytes(parts=[head("Content-Length: 1000"), BODY], stay=5), "time-out"),
    "too short a length": (Bytes(parts=[head("Content-Length: 30"), BODY]), "JSON breaks"),
    "no number as length": (Bytes(parts=[head("Content-Length: many"), BODY]), "broke off"),
    "chunks without end": (Bytes(parts=[head("Transfer-Encoding: chunked"), b"5\r\n[{}, \r\n"]), "broke off"),
    "no chunk": (Bytes(parts=[head("Transfer-Encoding: chunked"), b"zz\r\n"]), "broke off"),
    "gzip of two members cut in the second": (gzipped(MEMBERS, to=len(MEMBERS) - 4), "gzip has no end"),
    "gzip of two members cut between them": (gzipped(gzip.compress(BODY[:30])), "JSON breaks"),
    "damaged gzip": (gzipped(MEMBERS.replace(MEMBERS[40:44], b"abcd")), "gzip"),
    "JSON cut at the connection's end": (Bytes(parts=[head("Connection: close"), BODY[:36]]), "JSON has no end"),
    "deflate": (Bytes(parts=[head("Content-Encoding: deflate", "Content-Length: 3"), b"abc"]), "packed as 'deflate'"),
    "no HTTP": (Bytes(parts=[b"SSH-2.0-OpenSSH_9.6\r\n"], stay=5), "time-out|no answer came"),
    "endless head": (Bytes(parts=[b"HTTP/1.1 200 OK\r\n" + b"a" * 200_000], stay=5), "broke off"),
    "redirect loop": (Bytes(parts=[head("Location: /", "Content-Length: 0", status="302 Found")]), "redirects more"),
    "redirect elsewhere": (
        Bytes(parts=[head("Location: http://example.org/?a=b", "Content-Length: 0", status="302 Found")]),
        "redirects to another host",
    ),
    "only a part": (Bytes(parts=[head(length(BODY), status="206 Partial Content"), BODY]), "answers 206"),
}


@pytest.mark.parametrize("answer", GOOD.values(), ids=GOOD)
def test_a_whole_answer_is_read_however_it_comes(tmp_path: Path, answer: Bytes) -> None:
    with RawServer(answer) as server:
        assert ids(read(source(server.url), tmp_path / "s")) == [1, 2]


@pytest.mark.parametrize(("answer", "match"), BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_one_error_that_shows_no_secret(tmp_path: Path, answer: Bytes, match: str) -> None:
    with RawServer(answer) as server, pytest.raises(SourceError, match=match) as caught:
        read(source(server.url, auth=TOKEN, query={"signature": "hunter2"}), tmp_path / "s")

    assert SECRET not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["reset", "truncated", "no answer", "silent", "dripped head", "dripped body"])
def test_a_fault_that_passes_costs_no_data(tmp_path: Path, name: str) -> None:
    with RawServer(BROKEN[name][0], WHOLE) as server:
        assert ids(read(source(server.url), tmp_path / "s")) == [1, 2]


def test_a_long_steady_answer_is_not_cut(tmp_path: Path) -> None:
    rows = b"[" + b", ".join([b'{"order_id": "%d", "amount": 1}' % number for number in range(2000)]) + b"]"
    parts = [head(length(rows)), *(rows[start : start + 5000] for start in range(0, len(rows), 5000))]
    with RawServer(Bytes(parts=parts, pause=0.15)) as server:
        assert len(ids(read(source(server.url), tmp_path / "s"))) == 2000


def test_a_thoughtful_source_may_be_silent_before_its_answer_but_not_amid_it(tmp_path: Path) -> None:
    limits = QUICK.model_copy(update={"answer_seconds": 3.0, "idle_seconds": 0.3, "attempts": 1})
    with RawServer(Bytes(parts=[b"", head(length(BODY)) + BODY], pause=1.0)) as server:
        assert ids(read(source(server.url, limits=limits), tmp_path / "a")) == [1, 2]
    with (
        RawServer(Bytes(parts=[head(length(BODY)), BODY], pause=1.0)) as server,
        pytest.raises(SourceUnavailableError, match="time-out"),
    ):
        read(source(server.url, limits=limits), tmp_path / "b")


def test_an_answer_is_given_up_when_its_whole_time_is_over(tmp_path: Path) -> None:
    limits = QUICK.model_copy(update={"total_seconds": 1.0, "slowest_bytes_per_second": 0.0, "attempts": 1})
    drip = Bytes(parts=[head("Content-Type: application/json", "Connection: close"), *DRIP], pause=0.2)
    with RawServer(drip) as server, pytest.raises(SourceUnavailableError, match="did not arrive within 1 s"):
        read(source(server.url, limits=limits), tmp_path / "s")


@pytest.mark.parametrize(
    "answer",
    [
        Bytes(parts=[head("Connection: close"), CSV]),
        Bytes(parts=[head("Connection: close", "Content-Encoding: gzip"), gzip.compress(CSV)]),
    ],
)
def test_csv_whose_end_nothing_proves_is_refused(tmp_path: Path, answer: Bytes) -> None:
    with RawServer(answer) as server, pytest.raises(SourceError, match="nobody knows if it is whole"):
        read(source(server.url, format="csv"), tmp_path / "s")


def test_csv_whose_compression_is_cut_at_a_flush_is_refused(tmp_path: Path) -> None:
    with RawServer(gzipped(CUT_AT_FLUSH)) as server, pytest.raises(SourceError, match="gzip has no end"):
        read(source(server.url, format="csv"), tmp_path / "s")


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b'order_id,amount\n1,"1.5', "line 2 has a quotation mark"),
        (b"order_id,amount\n1\n", "line 2 has 1 fields where 2 are expected"),
        (b"order_id,order_id\n1,2\n", "names a column twice"),
        (b"order_id,amount\n\xff,2\n", "not utf-8"),
        (b"order_id,amount\n\0,2\n", "NUL bytes"),
    ],
)
def test_broken_csv_is_refused(tmp_path: Path, body: bytes, match: str) -> None:
    with RawServer(Bytes(parts=[head(length(body)), body])) as server, pytest.raises(SourceError, match=match):
        read(source(server.url, format="csv"), tmp_path / "s")


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"", "JSON breaks"),
        (b"null", "is null"),
        (b'{"error": "x"}', "is an object"),
        (b"[1]", "row 1 of the answer is no object"),
        (b'[{"a": "1"}, ["b"]]', "row 2 of the answer is no object"),
        (b"[{}]", "hold no values"),
        (b'[{"a": 1, "b": 2, "a": 3}]', "gives a name twice"),
        (b'[{"a": NaN}]', "JSON breaks"),
        (b'[{"a": Infinity}]', "JSON breaks"),
        (b'[{"a": "\\ud800"}]', "JSON breaks"),
        (b'[{"a": ["\\ud800x"]}]', "JSON breaks"),
        (b'[{"a": "\xff"}]', "not UTF-8"),
        (b'[{"a": 1}] x', "JSON breaks"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (b'[{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]", "nested too deep"),
        (b'[{"a": 1, "A": 2}]', "differ by their case"),
        (b'[{"": 1}]', "no name"),
        (b"[{" + b", ".join([b'"%d": 1' % number for number in range(2_001)]) + b"}]", "more than 2,000 columns"),
    ],
    ids=range(18),
)
def test_broken_json_is_refused(tmp_path: Path, body: bytes, match: str) -> None:
    with RawServer(Bytes(parts=[head(length(body)), body])) as server, pytest.raises(SourceError, match=match):
        read(source(server.url), tmp_path / "s")


def test_a_body_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    limits = QUICK.model_copy(update={"largest_body_bytes": 1_000_000})
    bomb = gzip.compress(b" " * 100_000_000, 9)
    with RawServer(gzipped(bomb)) as server, pytest.raises(SourceError, match="larger than 1,000,000 bytes"):
        read(source(server.url, limits=limits), tmp_path / "s")


def test_a_web_page_is_named_by_its_title(tmp_path: Path) -> None:
    page = Said(value=b"<html><title>Please log in</title></html>", content_type="text/html")
    with ApiServer(lambda _: page) as api, pytest.raises(SourceError, match="'Please log in' where JSON was due"):
        read(source(api.url), tmp_path / "s")


@pytest.mark.parametrize(
    ("said", "match"),
    [
        (Said(status=404), "answers 404.*nothing at it"),
        (Said(status=429, headers={"Retry-After": "3600"}), "asks to wait 3600 s"),
        (Said(status=429, headers={"Retry-After": "9" * 400}), "answers 429"),
        (Said(status=503), "answers 503.*attempt 2 of 2"),
        (Said(status=418, value={"token": SECRET}), "answers 418"),
    ],
)
def test_a_refusal_is_told_without_secrets(tmp_path: Path, said: Said, match: str) -> None:
    with ApiServer(lambda _: said) as api, pytest.raises(SourceError, match=match) as caught:
        read(source(api.url, auth=TOKEN), tmp_path / "s")

    assert SECRET not in str(caught.value)


def test_a_burst_of_absences_passes(tmp_path: Path) -> None:
    limits = QUICK.model_copy(update={"attempts": 4})
    with ApiServer(lambda _: Said(status=503) if len(api.asked) < 4 else Said(value=[order(1)])) as api:
        assert ids(read(source(api.url, limits=limits), tmp_path / "s")) == [1]


def test_a_source_that_is_not_there_is_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    with pytest.raises(SourceUnavailableError, match="it is refused, nothing listens there"):
        read(source(f"http://127.0.0.1:{port}"), tmp_path / "a")
    with pytest.raises(SourceUnavailableError, match="its host name cannot be resolved"):
        read(source("http://no-such-host.invalid/"), tmp_path / "b")


def test_a_source_without_tls_is_named(tmp_path: Path) -> None:
    with ApiServer(lambda _: Said(value=[])) as api, pytest.raises(SourceError, match="does not speak TLS"):
        read(source(api.url.replace("http:", "https:")), tmp_path / "s")
