"""Scratch folders: what a killed process has left goes, what is in use stays."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform import scratch
from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

LEFT = """
import os, signal
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
session = LakeSession(Settings.load())
[(spill,)] = session.connection.execute("SELECT current_setting('temp_directory')").fetchall()
for folder in (spill, session.scratch):
    with open(f"{folder}/rows", "w") as file:
        file.write("a person")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_what_a_killed_process_has_left_is_removed_by_the_next_one(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", LEFT], check=False)
    assert len(list(folder.glob("mlops-assets-*/rows"))) == 2
    subprocess.run([sys.executable, "-c", LEFT], check=False)
    assert len(list(folder.glob("mlops-assets-*/rows"))) == 2
    scratch.remove_abandoned()
    assert not list(folder.glob("mlops-assets-*"))


def test_what_is_in_use_and_what_is_somebody_elses_stays(folder: Path) -> None:
    (folder / "mlops-assets-notes").mkdir()
    (folder / "mlops-assets-of_users").mkdir()
    with LakeSession(Settings.load()) as session:
        used = session.scratch
        scratch.remove_abandoned()
        assert sorted(path.name for path in folder.glob("mlops-assets-*")) == sorted(
            ["mlops-assets-notes", "mlops-assets-of_users", used.name]
        )
    assert not used.exists()


def test_no_room_for_any_temporary_file_is_told_with_what_gives_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(SettingsError, match="TMPDIR"):
            scratch.make()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
