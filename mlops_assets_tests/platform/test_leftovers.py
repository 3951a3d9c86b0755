"""Leftovers: files are found by words in them, whatever their kind, and only by whole words."""

from __future__ import annotations

import sqlite3
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from mlops_assets.platform.leftovers import Words, files_with

if TYPE_CHECKING:
    from pathlib import Path

WORDS = Words(["AA1007", "Müller"])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"of aa1007.", True),
        (b"AA1007", True),
        (b"of AA10071 and XAA1007", False),
        (b"AA10071, AA1007", True),
        ("Frau M\u00fcller".encode(), True),
        ("Frau M\u00fcller".encode("latin-1"), True),
        ("FRAU M\u00dcLLER".encode(), True),
        ("frau m\u00fcller".encode("utf-16-le"), True),
        (b"x" * (2**22 - 3) + b" AA1007 ", True),
        (b"", False),
    ],
)
def test_a_word_is_found_in_bytes(tmp_path: Path, content: bytes, *, found: bool) -> None:
    (tmp_path / "file").write_bytes(content)
    assert (files_with(tmp_path, WORDS) == [tmp_path / "file"]) is found


def test_a_word_is_found_in_a_cell_of_sqlite_though_texts_abut_in_the_file(tmp_path: Path) -> None:
    for name, value in {"his": "AA1007", "other": "AA10071"}.items():
        with closing(sqlite3.connect(tmp_path / name)) as connection, connection:
            connection.execute("CREATE TABLE t (a TEXT, b TEXT)")
            connection.execute("INSERT INTO t VALUES ('NC', ?)", [value])
    assert files_with(tmp_path, WORDS) == [tmp_path / "his"]


def test_a_word_is_found_in_an_archive_and_in_a_name_but_not_in_folders_passed_over(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "his.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("text", "of AA1007 " * 50)
    (tmp_path / "aa1007.txt").touch()
    (tmp_path / "passed").mkdir()
    (tmp_path / "passed" / "file").write_text("AA1007", encoding="utf-8")
    found = files_with(tmp_path, WORDS, but=[tmp_path / "passed"])
    assert found == [tmp_path / "aa1007.txt", tmp_path / "his.zip"]
