"""What the cache of fetched files gives back."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.plumbing.sources.http.cache import CacheEntry, HttpCache

ADDRESS = "https://example.org/a.csv"


@given(body=st.binary(max_size=2000), etag=st.text(max_size=40))
def test_an_entry_comes_back_as_it_was_written(body: bytes, etag: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = HttpCache(Path(folder))
        cache.write(ADDRESS, CacheEntry(etag=etag, body=body))

        assert cache.read(ADDRESS) == CacheEntry(etag=etag, body=body)


@given(body=st.binary(min_size=1, max_size=500), data=st.data())
def test_an_entry_cut_short_counts_as_none(body: bytes, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = HttpCache(Path(folder))
        cache.write(ADDRESS, CacheEntry(etag='"1"', body=body))
        (path,) = Path(folder).iterdir()
        whole = path.read_bytes()
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])

        assert cache.read(ADDRESS) is None


def test_addresses_do_not_share_entries(tmp_path: Path) -> None:
    cache = HttpCache(tmp_path)
    cache.write(ADDRESS, CacheEntry(etag='"1"', body=b"a"))

    assert cache.read("https://example.org/b.csv") is None
