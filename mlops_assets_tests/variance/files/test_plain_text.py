"""Encodings, compression and line ends: read, or refused with the line, the column and the remedy."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files.opening import Reading
from mlops_assets_tests.variance.files.reading_files import texts, written

_TEXT = "u,g\nA,Córdoba\nB,Ávila\n"
_READ = {"u": ["A", "B"], "g": ["Córdoba", "Ávila"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_utf_8_and_text_with_a_mark_are_read(tmp_path: Path, encoding: str) -> None:
    assert texts(written(tmp_path / "a.csv", _TEXT.encode(encoding))) == _READ


def test_big_endian_text_with_a_mark_is_read(tmp_path: Path) -> None:
    assert texts(written(tmp_path / "a.csv", b"\xfe\xff" + _TEXT.encode("utf-16-be"))) == _READ


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le"])
def test_another_encoding_is_read_when_it_is_named(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path / "a.csv", _TEXT.encode(encoding))
    assert texts(path, Reading(encoding=encoding)) == _READ


def test_utf_8_stays_so_when_another_encoding_is_named_for_the_other_file(tmp_path: Path) -> None:
    assert texts(written(tmp_path / "a.csv", _TEXT), Reading(encoding="latin-1")) == _READ


def test_text_that_is_not_utf_8_is_refused_with_line_and_column_and_remedy(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'u,g,x\nA,b,1\nB,"c, d",1\nC,Ávila,2\n'.encode("latin-1"))
    with pytest.raises(ComparisonError, match=r"a.csv: line 4, column g: the text is not UTF-8. Say .*--encoding"):
        texts(path)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_place_is_found_across_blocks(tmp_path: Path, cut: int) -> None:
    filler = "a,b\n" * ((1 << 18) - 2) + "x" * (4 - cut)
    path = written(tmp_path / "a.csv", f"u,g\n{filler}".encode() + "€€".encode() + b"\n\xff,b\n")
    with pytest.raises(ComparisonError, match=r"line 262145, column u: the text is not UTF-8"):
        texts(path)


def test_the_latin_panel_is_refused_by_name_and_read_with_its_encoding() -> None:
    data = os.environ.get("MLOPS_ASSETS_TEST_DATA")
    if not data:
        pytest.skip("the small panels are not there (set MLOPS_ASSETS_TEST_DATA)")
    path = Path(data) / "variance-faults" / "mini_latin.csv"
    raw = path.read_bytes()
    if raw.isascii():
        pytest.skip("the panel is kept without the byte that it is about")
    with pytest.raises(ComparisonError, match="column g: the text is not UTF-8"):
        texts(path)
    assert set(texts(path, Reading(encoding="latin-1"))["g"]) == {"Córdoba"}


def test_an_encoding_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    for name in ("klingon", "base64"):
        with pytest.raises(ComparisonError, match=f"an encoding {name} is not known"):
            texts(written(tmp_path / "a.csv", b"u\n\xff\n"), Reading(encoding=name))


def test_text_that_is_not_of_the_named_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match="line 3: the text is not shift_jis"):
        texts(written(tmp_path / "a.csv", b"u\na\n\xff\xff\n"), Reading(encoding="shift_jis"))


def test_text_with_nul_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match="holds NUL characters"):
        texts(written(tmp_path / "a.csv", b"u,g\na\0,b\n"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_are_read(tmp_path: Path, end: str) -> None:
    path = written(tmp_path / "a.csv", f'u,g{end}A,"x{end}y"{end}')
    assert texts(path)["u"] == ["A"]


def test_texts_of_several_lines_are_equal_whatever_the_line_ends(tmp_path: Path) -> None:
    unix, windows = ('u,g\nA,"x\ny"\n', 'u,g\r\nA,"x\r\ny"\r\n')
    assert texts(written(tmp_path / "a.csv", unix)) == texts(written(tmp_path / "b.csv", windows))


def test_mixed_line_ends_are_read(tmp_path: Path) -> None:
    assert texts(written(tmp_path / "a.csv", "u,g\r\nA,b\nC,d\r\n")) == {"u": ["A", "C"], "g": ["b", "d"]}


def test_a_packed_file_of_several_members_is_read_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv.gz", gzip.compress(b"u,g\nA,b\n") + gzip.compress(b"C,d\n"))
    assert texts(path)["u"] == ["A", "C"]


def test_a_packed_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv.gz", gzip.compress(os.urandom(3000))[:-5])
    with pytest.raises(ComparisonError, match="packed by gzip and not whole"):
        texts(path)


def test_a_workbook_is_refused_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match="a zip archive or a workbook"):
        texts(written(tmp_path / "a.csv", b"PK\x03\x04" + bytes(30)))
