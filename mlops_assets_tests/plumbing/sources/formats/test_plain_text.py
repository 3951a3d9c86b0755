"""Delivered bytes become UTF-8 with LF line ends, wherever they are cut; text of another encoding is refused."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.formats.plain_text import as_utf8

PIECES: Final = st.sampled_from([b"A", b"\t", b"\n", b"\r", b"\r\n", b"\xe9", b"\xd1", b"\xc3\xb1", b"\xc3"])
BLOCKS: Final = st.lists(st.lists(PIECES, max_size=6).map(b"".join), max_size=6)
NAMES: Final = "JOSÉ\nÑANDÚ\n"


def is_utf8(group: bytes) -> bool:
    """Whether a group of bytes is well-formed UTF-8."""
    try:
        group.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(blocks=BLOCKS, encoding=st.sampled_from(["latin-1", "cp1252"]))
def test_however_it_is_cut_each_crlf_becomes_lf_and_each_character_its_utf8(
    blocks: list[bytes], encoding: Literal["latin-1", "cp1252"]
) -> None:
    whole = b"".join(blocks)
    groups = re.findall(rb"[\x80-\xff]+", whole)
    as_other = sum(is_utf8(group) for group in groups)
    # Text that is UTF-8 for the most part is refused.
    assume(not as_other or 2 * as_other < len(groups))
    with TemporaryDirectory() as folder:
        text = as_utf8(iter(blocks), Path(folder) / "text", "the text", encoding)
        assert text.file.read_bytes() == whole.replace(b"\r\n", b"\n").decode(encoding).encode()
        assert text.ended == (not whole or whole.endswith(b"\n"))


@given(blocks=BLOCKS)
def test_utf_8_is_taken_as_it_is_and_nothing_else_is(blocks: list[bytes]) -> None:
    whole = b"".join(blocks)
    with TemporaryDirectory() as folder:
        target = Path(folder) / "text"
        if is_utf8(whole):
            as_utf8(iter(blocks), target, "the text", "utf-8")
            assert target.read_bytes() == whole.replace(b"\r\n", b"\n")
        else:
            with pytest.raises(SourceError, match="its text is not utf-8"):
                as_utf8(iter(blocks), target, "the text", "utf-8")


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", "its text is UTF-8, not latin-1 (3 of 3 groups of non-ASCII bytes are UTF-8)."),
        ("utf-8-sig", "its text is UTF-8, not latin-1"),
        ("utf-16", "it is UTF-16, or no text at all."),
        ("utf-16-le", "it is UTF-16, or no text at all."),
    ],
)
def test_another_encoding_than_the_declared_one_is_refused_by_name(tmp_path: Path, encoding: str, told: str) -> None:
    with pytest.raises(SourceError) as caught:
        as_utf8([NAMES.encode(encoding)], tmp_path / "text", "the text", "latin-1")
    assert told in str(caught.value)
    assert "JOS" not in str(caught.value)


def test_mostly_utf_8_is_refused_and_a_garbled_name_among_others_passes(tmp_path: Path) -> None:
    latin, garbled = "JOSÉ\n".encode("latin-1"), "JOSÉ\n".encode()
    with pytest.raises(SourceError, match=r"2 of 4 groups"):
        as_utf8([latin * 2 + garbled * 2], tmp_path / "text", "the text", "latin-1")
    as_utf8([latin * 2, garbled], tmp_path / "text", "the text", "latin-1")
    assert (tmp_path / "text").read_text(encoding="utf-8") == "JOSÉ\nJOSÉ\nJOSÃ\x89\n"


def test_a_file_of_a_byte_order_mark_alone_is_empty(tmp_path: Path) -> None:
    as_utf8([b"\xef\xbb\xbf"], tmp_path / "text", "the text", "utf-8")
    assert (tmp_path / "text").read_bytes() == b""


@given(blocks=BLOCKS, encoding=st.sampled_from(["utf-8", "latin-1"]))
def test_a_file_is_not_written_once_more_where_nothing_in_it_changes(
    blocks: list[bytes], encoding: Literal["utf-8", "latin-1"]
) -> None:
    whole = b"".join(blocks)
    with TemporaryDirectory() as folder:
        target, file = Path(folder) / "text", Path(folder) / "file"
        file.write_bytes(whole)
        try:
            expected = as_utf8(iter(blocks), target, "the text", encoding)
        except SourceError:
            with pytest.raises(SourceError):
                as_utf8(iter(blocks), target, "the text", encoding, file=file)
            return
        text = expected.file.read_bytes()
        found = as_utf8(iter(blocks), target, "the text", encoding, file=file)
        assert (found.file.read_bytes(), found.ended) == (text, expected.ended)
        assert (found.file == file) == (text == whole)
        assert file.read_bytes() == whole


def test_utf_16_that_is_cut_off_has_no_end(tmp_path: Path) -> None:
    assert as_utf8(["a\n".encode("utf-16")], tmp_path / "text", "the text", "utf-16").ended
    assert not as_utf8(["a\nb".encode("utf-16")], tmp_path / "text", "the text", "utf-16").ended
