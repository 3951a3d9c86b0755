"""How the fetch layer behaves towards real answers of a real server, faults included."""

from __future__ import annotations

import email.utils
import logging
import socket
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.platform.settings import Settings, SourceSettings
from mlops_assets.plumbing.sources.hidden import addresses
from mlops_assets.plumbing.sources.http.bodies import Kind
from mlops_assets.plumbing.sources.http.cache import HttpCache
from mlops_assets.plumbing.sources.http.faults import HtmlInsteadError, RefusedRequestError
from mlops_assets.plumbing.sources.http.fetcher import Fetcher
from mlops_assets.plumbing.sources.http.limits import Limits
from mlops_assets_tests.plumbing.loopback import LoopbackServer, Reply, json_reply, page_reply

if TYPE_CHECKING:
    from pathlib import Path

BODY = b"year,votes\n2018,12\n" * 50
KEY = "s3cr3tkey"


def patient(sleeps: list[float], *, longest: float = 60.0) -> Fetcher:
    limits = Limits(attempts=3, longest_delay_seconds=longest)
    return Fetcher(limits=limits, sleep=sleeps.append)


def test_a_whole_body_arrives(server: LoopbackServer, fetcher: Fetcher) -> None:
    fetched = fetcher.get(server.serve("/a.csv", Reply(body=BODY)), Kind.CSV)

    assert fetched.body == BODY
    assert not fetched.unchanged


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_passing_fault_is_tried_again(server: LoopbackServer, fetcher: Fetcher, status: int) -> None:
    address = server.serve("/a.csv", Reply(status=status), Reply(status=status), Reply(body=BODY))

    assert fetcher.get(address, Kind.CSV).body == BODY
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [429, 500])
def test_a_lasting_fault_is_given_up_after_the_declared_attempts(
    server: LoopbackServer, fetcher: Fetcher, status: int
) -> None:
    address = server.serve("/a.csv", Reply(status=status))

    with pytest.raises(SourceUnavailableError, match=rf"it answers {status} .*attempt 3 of 3") as caught:
        fetcher.get(address, Kind.CSV)

    assert caught.value.source == address
    assert len(server.asked) == 3


def test_waits_grow_and_stay_within_their_bounds(server: LoopbackServer) -> None:
    address = server.serve("/a.csv", Reply(status=500))
    sleeps: list[float] = []
    limits = Limits(attempts=12, first_delay_seconds=1.0, longest_delay_seconds=9.0)

    with Fetcher(limits=limits, sleep=sleeps.append) as client, pytest.raises(SourceUnavailableError):
        client.get(address, Kind.CSV)

    assert len(sleeps) == 11
    assert all(0.0 <= sleep <= min(9.0, 2.0 ** (n + 1)) for n, sleep in enumerate(sleeps))
    assert len(set(sleeps)) > 1


def test_the_wait_that_the_source_asks_for_is_kept(server: LoopbackServer) -> None:
    address = server.serve("/a.csv", Reply(status=429, headers={"Retry-After": "7"}), Reply(body=BODY))
    sleeps: list[float] = []

    with patient(sleeps) as client:
        assert client.get(address, Kind.CSV).body == BODY

    assert sleeps == [7.0]


def test_a_wait_given_as_a_date_is_kept(server: LoopbackServer) -> None:
    until = email.utils.formatdate(time.time() + 30, usegmt=True)
    address = server.serve("/a.csv", Reply(status=503, headers={"Retry-After": until}), Reply(body=BODY))
    sleeps: list[float] = []

    with patient(sleeps) as client:
        client.get(address, Kind.CSV)

    assert 25.0 < sleeps[0] <= 30.0


def test_a_source_that_asks_for_too_long_a_wait_is_given_up_at_once(server: LoopbackServer) -> None:
    address = server.serve("/a.csv", Reply(status=429, headers={"Retry-After": "3600"}))
    sleeps: list[float] = []

    with patient(sleeps) as client, pytest.raises(SourceUnavailableError, match="asks to wait 3600 s"):
        client.get(address, Kind.CSV)

    assert sleeps == []
    assert len(server.asked) == 1


def test_an_unreadable_wait_falls_back_to_our_own(server: LoopbackServer) -> None:
    address = server.serve("/a.csv", Reply(status=429, headers={"Retry-After": "soon"}), Reply(body=BODY))
    sleeps: list[float] = []

    with patient(sleeps) as client:
        client.get(address, Kind.CSV)

    assert 0.0 <= sleeps[0] <= 1.0


def test_a_closed_port_is_a_source_that_is_away(fetcher: Fetcher) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    with pytest.raises(SourceUnavailableError, match="no connection"):
        fetcher.get(f"http://127.0.0.1:{port}/a.csv", Kind.CSV)


def test_a_connection_closed_without_an_answer_is_tried_again(server: LoopbackServer, fetcher: Fetcher) -> None:
    address = server.serve("/a.csv", Reply(hang_up=True), Reply(body=BODY))

    assert fetcher.get(address, Kind.CSV).body == BODY


def test_half_a_body_is_fetched_again(server: LoopbackServer, fetcher: Fetcher) -> None:
    address = server.serve("/a.csv", Reply(body=BODY, send_only=100), Reply(body=BODY))

    assert fetcher.get(address, Kind.CSV).body == BODY
    assert len(server.asked) == 2


def test_half_a_body_is_refused_when_it_stays_half(server: LoopbackServer, fetcher: Fetcher) -> None:
    address = server.serve("/a.csv", Reply(body=BODY, send_only=100))

    with pytest.raises(SourceUnavailableError, match=rf"broke off.*100.*{len(BODY)}"):
        fetcher.get(address, Kind.CSV)


def test_half_a_body_never_enters_the_cache(server: LoopbackServer, tmp_path: Path) -> None:
    address = server.serve("/a.csv", Reply(body=BODY, send_only=100, etag='"1"'))

    limits = Limits(attempts=1)
    with Fetcher(limits=limits, cache=HttpCache(tmp_path)) as client, pytest.raises(SourceUnavailableError):
        client.get(address, Kind.CSV)

    assert list(tmp_path.iterdir()) == []


def test_a_body_that_drips_is_given_up_at_the_time_out(server: LoopbackServer) -> None:
    address = server.serve("/a.csv", Reply(body=BODY, pause=0.1))

    late = pytest.raises(SourceUnavailableError, match=r"did not arrive within 0\.35 s")
    with Fetcher(limits=Limits(total_seconds=0.35, attempts=1)) as client, late:
        client.get(address, Kind.CSV)


def test_a_redirect_on_the_same_host_is_followed(server: LoopbackServer, fetcher: Fetcher) -> None:
    address = server.serve("/old.csv", Reply(status=302, headers={"Location": "/new.csv"}))
    server.serve("/new.csv", Reply(body=BODY))

    assert fetcher.get(address, Kind.CSV).body == BODY


@pytest.mark.parametrize("target", ["http://example.org/a.csv", "ftp://example.org/a.csv"])
def test_a_redirect_to_another_host_by_plain_http_is_refused(
    server: LoopbackServer, fetcher: Fetcher, target: str
) -> None:
    address = server.serve("/a.csv", Reply(status=302, headers={"Location": target}))

    with pytest.raises(SourceError, match="and not from https to https"):
        fetcher.get(address, Kind.CSV)


def test_a_circle_of_redirects_is_refused(server: LoopbackServer, fetcher: Fetcher) -> None:
    address = server.serve("/a.csv", Reply(status=302, headers={"Location": "/a.csv"}))

    with pytest.raises(SourceError, match="redirects more than 5 times"):
        fetcher.get(address, Kind.CSV)


def test_a_body_above_the_limit_is_refused(server: LoopbackServer) -> None:
    address = server.serve("/a.csv", Reply(body=BODY))

    too_large = pytest.raises(SourceError, match="larger than 500 bytes")
    with Fetcher(limits=Limits(largest_body_bytes=500)) as client, too_large:
        client.get(address, Kind.CSV)


def test_a_web_page_is_refused_by_its_type(server: LoopbackServer, fetcher: Fetcher) -> None:
    address = server.serve("/a.csv", page_reply("Please log in"))

    with pytest.raises(HtmlInsteadError, match="HTML page titled 'Please log in' where CSV was due") as caught:
        fetcher.get(address, Kind.CSV)

    assert caught.value.title == "Please log in"


def test_a_web_page_that_claims_to_be_json_is_refused_by_its_text(server: LoopbackServer, fetcher: Fetcher) -> None:
    page = Reply(body=b"\n <html><body>sorry</body></html>", content_type="application/json")

    with pytest.raises(HtmlInsteadError, match="where JSON was due"):
        fetcher.get(server.serve("/a.json", page), Kind.JSON)


def test_a_refusal_tells_status_and_text(server: LoopbackServer, fetcher: Fetcher) -> None:
    address = server.serve("/a", Reply(status=400, body=b"error: unknown variable 'X'", content_type="text/plain"))

    with pytest.raises(RefusedRequestError, match=r"answers 400: .*error: unknown variable 'X'") as caught:
        fetcher.get(address, Kind.JSON)

    assert caught.value.status == 400
    assert len(server.asked) == 1


def test_an_answer_without_content_is_refused(server: LoopbackServer, fetcher: Fetcher) -> None:
    with pytest.raises(SourceError, match="answers 204"):
        fetcher.get(server.serve("/a", Reply(status=204)), Kind.JSON)


@pytest.mark.parametrize("address", ["", "house.csv", "ftp://example.org/a.csv", "http://", "http://a:b:c/"])
def test_something_that_is_no_address_is_refused_without_an_attempt(fetcher: Fetcher, address: str) -> None:
    with pytest.raises(SourceError, match="not an http or https address"):
        fetcher.get(address, Kind.CSV)


def test_json_that_is_cut_off_is_refused(server: LoopbackServer, fetcher: Fetcher) -> None:
    address = server.serve("/a.json", Reply(body=b'[["NAME","state"],["Dist', content_type="application/json"))

    with pytest.raises(SourceError, match="JSON breaks") as caught:
        fetcher.get(address, Kind.JSON).json()

    assert caught.value.source == address


def test_an_unchanged_file_is_not_sent_again(server: LoopbackServer, tmp_path: Path) -> None:
    address = server.serve("/a.csv", Reply(body=BODY, etag='"v1"'))

    with Fetcher(cache=HttpCache(tmp_path)) as client:
        first = client.get(address, Kind.CSV)
        first.accept()
        second = client.get(address, Kind.CSV)

    assert (first.unchanged, second.unchanged) == (False, True)
    assert second.body == BODY
    assert server.conditions == [None, '"v1"']


def test_a_changed_file_replaces_the_cached_one(server: LoopbackServer, tmp_path: Path) -> None:
    address = server.serve("/a.csv", Reply(body=BODY, etag='"v1"'), Reply(body=b"new", etag='"v2"'))

    with Fetcher(cache=HttpCache(tmp_path)) as client:
        client.get(address, Kind.CSV).accept()
        changed = client.get(address, Kind.CSV)
        changed.accept()
        assert changed.body == b"new"
        assert client.get(address, Kind.CSV).unchanged

    assert server.conditions == [None, '"v1"', '"v2"']


def test_a_body_that_was_not_accepted_is_sent_again(server: LoopbackServer, tmp_path: Path) -> None:
    address = server.serve("/a.csv", Reply(body=BODY, etag='"v1"'))

    with Fetcher(cache=HttpCache(tmp_path)) as client:
        client.get(address, Kind.CSV)
        again = client.get(address, Kind.CSV)

    assert not again.unchanged
    assert server.conditions == [None, None]


def test_an_altered_cache_entry_is_fetched_whole(server: LoopbackServer, tmp_path: Path) -> None:
    address = server.serve("/a.csv", Reply(body=BODY, etag='"v1"'))

    with Fetcher(cache=HttpCache(tmp_path)) as client:
        client.get(address, Kind.CSV).accept()
        (entry,) = tmp_path.iterdir()
        entry.write_bytes(entry.read_bytes()[:-1] + b"!")
        again = client.get(address, Kind.CSV)

    assert again.body == BODY
    assert not again.unchanged


def test_a_cache_that_cannot_be_written_costs_no_data(
    server: LoopbackServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("in the way")
    address = server.serve("/a.csv", Reply(body=BODY, etag='"v1"'))

    with Fetcher(cache=HttpCache(tmp_path / "cache")) as client:
        fetched = client.get(address, Kind.CSV)
        fetched.accept()

    assert fetched.body == BODY
    assert "could not be cached" in caplog.text


def test_the_key_is_sent_and_shows_nowhere(
    server: LoopbackServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = Reply(status=400, body=f"error: invalid key '{KEY}'".encode(), content_type="text/plain")
    moved = Reply(status=302, headers={"Location": f"/new?get=NAME&key={KEY}"})
    server.serve("/new", json_reply([1]))
    asked = {"get": "NAME", "key": KEY}

    with Fetcher(limits=Limits(attempts=1), cache=HttpCache(tmp_path)) as client:
        good = client.get(server.serve("/old", moved), Kind.JSON, parameters=asked)
        with pytest.raises(RefusedRequestError) as refused:
            client.get(server.serve("/bad", echo), Kind.JSON, parameters=asked)
        with pytest.raises(SourceUnavailableError) as away:
            client.get(server.serve("/away", Reply(status=500)), Kind.JSON, parameters=asked)

    assert all(f"key={KEY}" in path for path in server.asked)
    assert good.address == f"{server.url}/old?get=[hidden]&key=[hidden]"
    seen = [good.address, str(refused.value), str(away.value), caplog.text]
    assert not [text for text in seen if KEY in text]
    assert "HTTP Request" in caplog.text


def test_an_account_in_an_address_shows_nowhere(server: LoopbackServer, fetcher: Fetcher) -> None:
    address = server.serve("/a.csv", Reply(status=404)).replace("http://", "http://reader:hidden@")

    with pytest.raises(RefusedRequestError) as caught:
        fetcher.get(address, Kind.CSV)

    assert "hidden" not in str(caught.value)


def test_the_settings_give_attempts_time_out_and_cache_folder(server: LoopbackServer, tmp_path: Path) -> None:
    sources = SourceSettings(attempts=1, timeout_seconds=60.0)
    settings = Settings(home=tmp_path, sources=sources)
    good = server.serve("/a.csv", Reply(body=BODY, etag='"v1"'))

    with Fetcher.from_settings(settings) as client:
        client.get(good, Kind.CSV).accept()
        with pytest.raises(SourceUnavailableError, match="attempt 1 of 1"):
            client.get(server.serve("/away", Reply(status=500)), Kind.CSV)

    assert len(list((tmp_path / "cache").iterdir())) == 1


@given(
    value=st.text("abcdefghijklmnopqrstuvwxyz0123456789%-_.:", min_size=8),
    names=st.lists(st.sampled_from(["get", "X-Amz-Signature", "key", "$filter"]), min_size=1, max_size=3),
)
def test_an_address_shows_the_names_of_its_query_and_no_value(value: str, names: list[str]) -> None:
    query = "&".join(f"{name}={value}" for name in names)

    shown = addresses(f"say https://user:{value}@example.org/data?{query}#{value} end")

    kept = "&".join(f"{name}=[hidden]" for name in names)
    assert shown == f"say https://example.org/data?{kept} end"
