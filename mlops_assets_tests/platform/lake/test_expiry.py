"""Expiry: what nothing needs goes, with its files; what is current, or what it was made from, stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform.errors import LakeError, MissingInputError
from mlops_assets.platform.lake import expiry, ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import published_table
from mlops_assets.platform.settings import Settings
from mlops_assets_tests import processes
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake import upkeep
from mlops_assets_tests.platform.lake.test_publishing import publish_often

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.usefixtures("on_each_catalog")


def expire(
    lake: str = upkeep.CURATED, *, older_than_seconds: float = 0.0, pins: Mapping[str, int] | None = None
) -> expiry.Expired:
    """Let everything go that nothing needs."""
    with LakeSession(Settings.load()) as session:
        versions = expiry.expirable(session, lake, older_than_seconds=older_than_seconds, pins=lambda _: pins or {})
        return expiry.expire(session, lake, versions)


def test_superseded_publishes_go_with_their_files() -> None:
    upkeep.week("w1", [1])
    old = upkeep.current_files()
    upkeep.week("w1", [2])
    done = expire()
    assert list(done.files) == old
    assert not old[0].parent.exists()
    assert done.kept == 1
    assert orchard.visible(orchard.YIELDS) == [("w1", 2, 1.0)]
    assert upkeep.faults(hashes=True) == []


def test_what_was_published_lately_stays() -> None:
    first = upkeep.week("w1", [1])
    upkeep.week("w1", [2])
    assert expire(older_than_seconds=3600).versions == 0
    assert len(upkeep.as_recorded(first)) == 1


def test_what_was_current_lately_stays_however_long_ago_it_was_made() -> None:
    first = upkeep.week("w1", [1])
    upkeep.made_earlier(days=1)
    upkeep.week("w1", [2])
    expire(older_than_seconds=3600)
    assert len(upkeep.as_recorded(first)) == 1
    upkeep.made_earlier(days=1)
    expire(older_than_seconds=3600)
    with pytest.raises(LakeError, match="has expired"):
        upkeep.as_recorded(first)


def test_what_a_current_table_was_made_from_stays_until_it_is_made_anew() -> None:
    first = upkeep.week("w1", [1])
    upkeep.season(1.0, yields=first)
    second = upkeep.week("w1", [2])
    upkeep.week("w1", [3])
    expire()
    assert upkeep.as_recorded(first) == [{"week": "w1", "tree": 1, "kilos": 1.0}]
    with pytest.raises(LakeError, match=r"partition w1: .* which held it .* has expired"):
        upkeep.as_recorded(second)
    upkeep.season(3.0, yields=upkeep.week("w1", [4]))
    expire()
    with pytest.raises(LakeError, match="has expired"):
        upkeep.as_recorded(first)


def test_what_that_was_made_from_stays_too_in_whatever_lake() -> None:
    harvests = [
        upkeep.publish_table(orchard.HARVEST, "w1", {"week": ["w1"], "tree": [1], "picker": ["Ann"], "kilos": [kilos]})
        for kilos in (1.0, 2.0, 3.0)
    ]
    weighed = upkeep.publish_table(
        orchard.YIELDS, "w1", {"week": ["w1"], "tree": [1], "kilos": [1.0]}, inputs={"harvest": harvests[0]}
    )
    upkeep.season(1.0, yields=weighed)
    upkeep.week("w1", [7])
    expire("restricted")
    assert len(upkeep.as_recorded(harvests[0], orchard.HARVEST)) == 1
    with pytest.raises(LakeError, match="has expired"):
        upkeep.as_recorded(harvests[1], orchard.HARVEST)


def test_what_is_current_is_read_as_recorded_after_the_version_that_made_it_has_expired() -> None:
    long_ago = upkeep.week("w1", [1])
    upkeep.week("w2", [2])
    upkeep.week("w2", [3])
    expire()
    assert upkeep.as_recorded(long_ago) == [{"week": "w1", "tree": 1, "kilos": 1.0}]
    with LakeSession(Settings.load()) as session:
        entries = ledger.current(session, orchard.YIELDS, ["w1"])
        assert published_table(session, orchard.YIELDS, entries, version=0).count().to_pyarrow().as_py() == 1


def test_what_was_current_when_versions_expired_stays_while_it_is_needed_after_being_replaced() -> None:
    first = upkeep.week("w1", [1])
    upkeep.season(1.0, yields=first)
    expire()
    upkeep.week("w1", [2])
    expire()
    assert upkeep.as_recorded(first) == [{"week": "w1", "tree": 1, "kilos": 1.0}]


def test_what_a_run_under_way_has_pinned_or_published_stays() -> None:
    upkeep.week("w1", [1])
    pinned = upkeep.week("w2", [1]).version
    own = upkeep.publish_table(orchard.YIELDS, "w3", {"week": ["w3"], "tree": [5], "kilos": [1.0]}, run_id="reader")
    upkeep.week("w3", [6])
    upkeep.week("w1", [2])
    expire(pins={"reader": pinned})
    with LakeSession(Settings.load()) as session:
        entries = ledger.current(session, orchard.YIELDS, orchard.WEEKS, version=pinned)
        table = published_table(session, orchard.YIELDS, {**entries, "w3": own}, version=pinned)
        assert sorted((row["week"], row["tree"]) for row in table.to_pyarrow().to_pylist()) == [
            ("w1", 1),
            ("w2", 1),
            ("w3", 5),
        ]


def test_a_version_that_has_expired_under_its_reader_ends_in_a_clear_error() -> None:
    first = upkeep.week("w1", [1])
    upkeep.week("w1", [2])
    expire()
    with LakeSession(Settings.load()) as session, pytest.raises(MissingInputError, match="as it was at version"):
        published_table(session, orchard.YIELDS, {"w1": first}, version=first.version)


def test_files_that_an_expiry_left_when_it_was_cut_off_are_removed_by_the_next() -> None:
    upkeep.week("w1", [1])
    [old] = upkeep.current_files()
    upkeep.week("w1", [2])
    upkeep.execute("CALL ducklake_expire_snapshots('curated', older_than => now())")
    assert old.exists()
    assert list(expire().files) == [old]


def test_publishes_go_on_while_versions_expire() -> None:
    publisher = processes.started(publish_often, "w1", 8)
    while publisher.is_alive():
        expire()
    assert publisher.exitcode == 0
    assert orchard.visible(orchard.YIELDS) == [("w1", 8, 1.0)]
    assert upkeep.faults() == []
