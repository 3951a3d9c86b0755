"""The home folder of a demonstration: what may be removed, and what never is."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.demo import development
from mlops_assets.demo.surroundings import Surroundings
from mlops_assets.platform.errors import SettingsError


def test_what_a_demonstration_made_is_removed_by_the_next(tmp_path: Path) -> None:
    home = Surroundings(tmp_path / "home")
    home.prepare(["PSEUDONYM_KEY"])
    (home.home / "lakes" / "curated").mkdir(parents=True)
    (home.home / "link").symlink_to(tmp_path)
    home.clear()
    assert list(home.home.iterdir()) == []
    assert tmp_path.exists()


def test_a_folder_with_anything_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("precious", encoding="utf-8")
    home = Surroundings(tmp_path)
    with pytest.raises(SettingsError, match="no demonstration has made"):
        home.clear()
    home.prepare([])
    with pytest.raises(SettingsError, match="no demonstration has made"):
        home.clear()
    assert (tmp_path / "thesis" / "chapter.txt").read_text(encoding="utf-8") == "precious"


def test_the_user_interface_does_not_open_in_a_folder_with_anything_else(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    with pytest.raises(SettingsError, match="no demonstration has made"):
        development.run(home=tmp_path, port=0)
    assert {path.name for path in tmp_path.iterdir()} == {"thesis"}


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="no demonstration has made"):
        Surroundings(tmp_path / "file").clear()


def test_a_home_that_cannot_be_written_is_named() -> None:
    with pytest.raises(SettingsError, match="/proc/nowhere"):
        Surroundings(Path("/proc/nowhere")).prepare([])


@pytest.mark.parametrize("used", [False, True])
def test_an_instance_is_removed_only_while_nothing_has_run_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, used: bool
) -> None:
    made = Surroundings(tmp_path / "made")
    made.prepare([])
    home = Surroundings(tmp_path / "home")
    home.dagster_home.mkdir(parents=True)
    (home.dagster_home / "dagster.yaml").write_bytes((made.dagster_home / "dagster.yaml").read_bytes())
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster_home))

    @dg.asset
    def anything() -> None: ...

    with dg.DagsterInstance.from_config(str(home.dagster_home)) as instance:
        instance.get_runs()
        if used:
            dg.materialize([anything], instance=instance)
    if used:
        with pytest.raises(SettingsError):
            home.clear()
    else:
        home.clear()
    assert home.dagster_home.exists() is used
