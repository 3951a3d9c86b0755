"""Downloads from real servers: all of one version, resumed where that is safe, or one clear error."""

from __future__ import annotations

import email.utils
import hashlib
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources.http.downloads import Downloader
from mlops_assets.plumbing.sources.http.faults import HtmlInsteadError, RefusedRequestError
from mlops_assets.plumbing.sources.http.limits import FileLimits
from mlops_assets_tests.plumbing.sources.api import Bytes, RawServer
from mlops_assets_tests.plumbing.sources.file_server import OLD, FileServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.plumbing.sources.http.downloads import Download

BODY: Final = b"".join(b"%07d\n" % number for number in range(37_500))
OTHER: Final = BODY[::-1]
QUICK: Final = FileLimits(
    connect_seconds=0.5,
    answer_seconds=1.0,
    idle_seconds=0.5,
    total_seconds=6.0,
    attempts=2,
    first_delay_seconds=0.01,
    longest_delay_seconds=1.0,
)
SMALL: Final = b"0123456789"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        running.files["/a"] = BODY
        yield running


def download(url: str, target: Path, **limits: Any) -> Download:  # noqa: ANN401  of any limit
    with Downloader(limits=QUICK.model_copy(update=limits)) as client:
        return client.download(f"{url}/a", target, parameters={}, headers={})


def answer(*lines: str, status: str = "200 OK", body: bytes = SMALL, **how: Any) -> Bytes:  # noqa: ANN401
    head = "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: text/csv", *lines, "", ""]).encode()
    return Bytes(parts=[head, body], **how)


CUT: Final = answer('ETag: "1"', "Content-Length: 10", body=SMALL[:4])
WHOLE: Final = answer('ETag: "1"', "Content-Length: 10")
REST: Final = answer('ETag: "1"', "Content-Length: 6", "Content-Range: bytes 4-9/10", status="206 OK", body=SMALL[4:])


def test_a_whole_file_arrives_with_what_tells_its_version(server: FileServer, tmp_path: Path) -> None:
    server.manners.modified = OLD
    done = download(server.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert (done.size, done.digest.hexdigest(), done.framed) == (len(BODY), hashlib.sha256(BODY).hexdigest(), True)
    assert done.validators.etag
    assert done.validators.modified
    assert server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize(("etags", "modified"), [("strong", None), ("", OLD)])
def test_what_breaks_off_is_resumed_under_a_strong_validator(
    server: FileServer, tmp_path: Path, framing: str, etags: str, modified: str | None
) -> None:
    server.manners.etags, server.manners.modified, server.manners.chunked = etags, modified, framing == "chunks"
    server.manners.cuts = [100_000, 100_000]
    done = download(server.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert done.digest.hexdigest() == hashlib.sha256(BODY).hexdigest()
    assert done.attempts == 3
    # What was on its way when the connection broke may be sent again.
    assert server.sent < len(BODY) + 2 * 100_000
    assert all("if-range" in each.headers for each in server.asked[1:])


@pytest.mark.parametrize(("etags", "age"), [("weak", None), ("", 5), ("", None), ("weak", 3600)])
def test_without_a_strong_validator_it_begins_anew(
    server: FileServer, tmp_path: Path, etags: str, age: float | None
) -> None:
    server.manners.etags, server.manners.cuts = etags, [100_000]
    server.manners.modified = None if age is None else email.utils.formatdate(time.time() - age, usegmt=True)
    download(server.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert not [each for each in server.asked if "range" in each.headers]


@pytest.mark.parametrize("heeds", ["Range", "nothing"])
def test_a_file_that_changes_meanwhile_is_fetched_whole(server: FileServer, tmp_path: Path, heeds: str) -> None:
    server.manners.ranges, server.manners.cuts = heeds == "Range", [100_000]
    server.manners.cut = lambda: server.files.update({"/a": OTHER})
    done = download(server.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == OTHER
    assert done.digest.hexdigest() == hashlib.sha256(OTHER).hexdigest()


def test_attempts_that_bring_more_are_not_counted(server: FileServer, tmp_path: Path) -> None:
    server.manners.cuts = [30_000] * 9
    assert download(server.url, tmp_path / "a", attempts=1).attempts == 10
    assert (tmp_path / "a").read_bytes() == BODY


def test_attempts_that_bring_nothing_more_are(server: FileServer, tmp_path: Path) -> None:
    server.manners.etags, server.manners.cuts = "", [30_000] * 9
    with pytest.raises(SourceUnavailableError, match=r"broke off.*attempt 2 of 2"):
        download(server.url, tmp_path / "a")


def test_a_server_that_could_resume_and_sends_all_again_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.manners.ranges, server.manners.cuts = False, [30_000] * 9
    with pytest.raises(SourceUnavailableError, match=r"attempt 2 of 2"):
        download(server.url, tmp_path / "a")
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "second",
    [
        answer('ETag: "1"', "Content-Length: 6", "Content-Range: bytes 3-8/10", status="206 OK", body=SMALL[3:9]),
        answer('ETag: "1"', "Content-Length: 6", "Content-Range: bytes 4-9/11", status="206 OK", body=SMALL[4:]),
        answer('ETag: "1"', "Content-Length: 6", "Content-Range: bytes 4-9/*", status="206 OK", body=SMALL[4:]),
        answer('ETag: "1"', "Content-Length: 6", "Content-Range: nonsense", status="206 OK", body=SMALL[4:]),
        answer('ETag: "1"', "Content-Length: 6", status="206 OK", body=SMALL[4:]),
        answer('ETag: "1"', "Content-Length: 5", "Content-Range: bytes 4-9/10", status="206 OK", body=SMALL[5:]),
        answer('ETag: "2"', "Content-Length: 6", "Content-Range: bytes 4-9/10", status="206 OK", body=b"abcdef"),
        answer("Content-Length: 6", "Content-Range: bytes 4-9/10", status="206 OK", body=b"abcdef"),
        answer("Content-Length: 0", "Content-Range: bytes */4", status="416 No", body=b""),
    ],
    ids=["other start", "other total", "no total", "nonsense", "no range", "shorter", "etag", "no etag", "416"],
)
def test_a_part_that_is_not_the_one_that_was_asked_for_is_thrown_away(tmp_path: Path, second: Bytes) -> None:
    with RawServer(CUT, second, WHOLE) as raw:
        download(raw.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == SMALL
    assert "Range: bytes=4-" in raw.asked[1]
    assert 'If-Range: "1"' in raw.asked[1]
    assert "Range:" not in raw.asked[2]


def test_parts_that_the_server_makes_smaller_are_put_together(tmp_path: Path) -> None:
    small = answer('ETag: "1"', "Content-Length: 2", "Content-Range: bytes 4-5/10", status="206 OK", body=b"45")
    last = answer('ETag: "1"', "Content-Length: 4", "Content-Range: bytes 6-9/10", status="206 OK", body=b"6789")
    with RawServer(CUT, small, last) as raw:
        download(raw.url, tmp_path / "a", attempts=1)
    assert (tmp_path / "a").read_bytes() == SMALL


def test_a_part_that_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    with RawServer(REST) as raw, pytest.raises(SourceError, match="answers 206"):
        download(raw.url, tmp_path / "a")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_fault_that_may_pass_between_parts_loses_nothing(tmp_path: Path, status: int) -> None:
    busy = answer("Content-Length: 0", "Retry-After: 0", status=f"{status} Busy", body=b"")
    with RawServer(CUT, busy, REST) as raw:
        download(raw.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == SMALL


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_told_at_once(server: FileServer, tmp_path: Path, status: int) -> None:
    server.manners.status = status
    with pytest.raises(RefusedRequestError, match=f"answers {status}"):
        download(server.url, tmp_path / "a")
    assert len(server.asked) == 1


def test_a_reset_in_the_body_is_resumed(tmp_path: Path) -> None:
    reset = answer('ETag: "1"', "Content-Length: 10", body=SMALL[:4], reset=True)
    with RawServer(reset, REST) as raw:
        download(raw.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == SMALL


def test_silence_in_the_body_is_resumed(tmp_path: Path) -> None:
    silent = answer('ETag: "1"', "Content-Length: 10", body=SMALL[:4], stay=5.0)
    with RawServer(silent, REST) as raw:
        download(raw.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == SMALL


def test_a_file_that_takes_longer_than_the_total_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.manners.bytes_per_second = 40_000
    start = time.monotonic()
    with pytest.raises(SourceUnavailableError, match=r"of 300,000 bytes came within 1\.5 s"):
        download(server.url, tmp_path / "a", total_seconds=1.5)
    assert time.monotonic() - start < 4


def test_a_drip_is_given_up_though_each_attempt_brings_something(server: FileServer, tmp_path: Path) -> None:
    server.manners.bytes_per_second = 40
    start = time.monotonic()
    with pytest.raises(SourceUnavailableError, match=r"bytes came within 3 s"):
        download(server.url, tmp_path / "a", total_seconds=3.0)
    assert time.monotonic() - start < 6


def test_a_redirect_on_the_same_host_is_followed_at_each_attempt(tmp_path: Path) -> None:
    moved = answer("Location: /b", "Content-Length: 0", status="302 Found", body=b"")
    with RawServer(moved, CUT, moved, REST) as raw:
        download(raw.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == SMALL
    assert "Range: bytes=4-" in raw.asked[3]


def test_a_file_that_another_host_breaks_off_goes_on_there(server: FileServer, tmp_path: Path) -> None:
    server.files["/a"], server.manners.cuts = SMALL, [4]
    moved = answer(f"Location: {server.url}/a?signed=1", "Content-Length: 0", status="302 Found", body=b"")
    with RawServer(moved) as raw:
        done = download(raw.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == SMALL
    assert [each.headers.get("range") for each in server.asked] == [None, "bytes=4-"]
    assert done.led_to == f"{server.url}/a"


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "text/csv"])
def test_a_web_page_is_refused_by_its_type_or_its_text(server: FileServer, tmp_path: Path, kind: str) -> None:
    server.files["/a"] = b"<!DOCTYPE html><html><title>Please log in</title></html>"
    server.manners.headers["Content-Type"] = kind
    with pytest.raises(HtmlInsteadError, match="titled 'Please log in' where a file was due"):
        download(server.url, tmp_path / "a")


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_file_that_is_too_large_is_refused(server: FileServer, tmp_path: Path, framing: str) -> None:
    server.manners.chunked = framing == "chunks"
    with pytest.raises(SourceError, match="larger than 100,000 bytes"):
        download(server.url, tmp_path / "a", largest_body_bytes=100_000)
    assert (tmp_path / "a").stat().st_size <= 100_000


def test_a_body_that_ends_with_its_connection_is_not_framed(tmp_path: Path) -> None:
    with RawServer(answer('ETag: "1"', "Connection: close")) as raw:
        assert not download(raw.url, tmp_path / "a").framed


def test_an_empty_file_arrives(server: FileServer, tmp_path: Path) -> None:
    server.files["/a"] = b""
    assert download(server.url, tmp_path / "a").size == 0
