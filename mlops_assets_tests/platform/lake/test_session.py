"""Sessions: one that is to read only cannot write, and a lake is found where its home folder is now."""

from __future__ import annotations

import resource
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb
import pytest

from mlops_assets.platform.errors import LakeError, SettingsError
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.platform.withheld import withhold
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake import upkeep

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_home_that_was_moved_or_copied_is_read_and_published_to_where_it_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep.week("w1", [1])
    with LakeSession(Settings.load()) as session:
        session.detach(upkeep.CURATED)
    copied, moved = home.with_name("copied"), home.with_name("moved")
    shutil.copytree(home, copied)
    home.rename(moved)
    for place, tree in ((copied, 2), (moved, 3)):
        monkeypatch.setenv("MLOPS_ASSETS_HOME", str(place))
        assert orchard.visible(orchard.YIELDS) == [("w1", 1, 1.0)]
        upkeep.week("w1", [tree])
        assert orchard.visible(orchard.YIELDS) == [("w1", tree, 1.0)]
        assert upkeep.faults(hashes=True) == []
        assert {file.is_relative_to(place) for file in upkeep.current_files(orchard.YIELDS)} == {True}


def test_a_lake_whose_data_was_set_elsewhere_is_refused_where_the_setting_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("MLOPS_ASSETS_LAKES__CURATED__DATA_PATH", str(tmp_path / "elsewhere"))
        upkeep.week("w1", [1])
    with LakeSession(Settings.load()) as session, pytest.raises(LakeError, match="made for data in another folder"):
        session.attach(upkeep.CURATED)


@pytest.mark.parametrize("most_bytes", [0, 4_096, 8_192, 40_000, 90_000])
def test_a_lake_whose_disk_was_full_is_there_once_there_is_room(most_bytes: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        with LakeSession(Settings.load()) as session, suppress(LakeError):
            session.attach(upkeep.CURATED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    upkeep.week("w1", [1])
    assert orchard.visible(orchard.YIELDS) == [("w1", 1, 1.0)]


def test_what_duckdb_may_take_is_set_and_holds_for_what_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = "SELECT current_setting('memory_limit'), current_setting('max_temp_directory_size')"
    with LakeSession(Settings.load()) as session:
        unset = session.connection.execute(asked).fetchone()
    monkeypatch.setenv("MLOPS_ASSETS_ENGINE__MEMORY", "512MiB")
    monkeypatch.setenv("MLOPS_ASSETS_ENGINE__SCRATCH", "3 GiB")
    with LakeSession(Settings.load()) as session:
        assert session.connection.execute(asked).fetchone() == ("512.0 MiB", "3.0 GiB")
    monkeypatch.undo()
    with LakeSession(Settings.load()) as session:
        assert session.connection.execute(asked).fetchone() == unset


@pytest.mark.parametrize("value", ["2", "-1", "80%", "2 PB", "2GB; SELECT 1"])
def test_an_amount_that_duckdb_does_not_know_is_refused_by_the_name_of_its_setting(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_ENGINE__MEMORY", value)
    with pytest.raises(SettingsError, match=r"MLOPS_ASSETS_ENGINE__MEMORY: .*such as 2GB"):
        Settings.load()


def test_too_little_memory_is_told_with_the_settings_that_give_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_ENGINE__MEMORY", "20MB")
    monkeypatch.setenv("MLOPS_ASSETS_ENGINE__SCRATCH", "1KB")
    with LakeSession(Settings.load()) as session, pytest.raises(duckdb.OutOfMemoryException) as caught:
        session.connection.execute("SELECT range, list(range) FROM range(10000000) GROUP BY ALL").fetchall()
    told = str(withhold(caught.value, source="Asset yields"))
    assert "MLOPS_ASSETS_ENGINE__MEMORY, MLOPS_ASSETS_ENGINE__SCRATCH" in told
