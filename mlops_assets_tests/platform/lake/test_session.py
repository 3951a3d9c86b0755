"""Sessions: one that is to read only cannot write."""

from __future__ import annotations

import duckdb
import pytest

from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake import upkeep


@pytest.mark.usefixtures("on_each_catalog")
def test_a_session_that_only_reads_is_refused_every_write_and_the_next_may_write() -> None:
    upkeep.week("w1", [1])
    with LakeSession(Settings.load(), read_only=True) as session:
        session.attach(upkeep.CURATED)
        assert session.connection.execute("FROM curated.wrangled.yields").fetchall() == [("w1", 1, 1.0)]
        with pytest.raises(duckdb.InvalidInputException, match="read-only"):
            session.connection.execute("DELETE FROM curated.wrangled.yields")
    upkeep.week("w1", [2])
    assert orchard.visible(orchard.YIELDS) == [("w1", 2, 1.0)]


def test_a_session_that_only_reads_makes_no_lake() -> None:
    with LakeSession(Settings.load(), read_only=True) as session, pytest.raises(LakeError, match="cannot be opened"):
        session.attach("orchards")
    assert not (Settings.load().home / "lakes").exists()
