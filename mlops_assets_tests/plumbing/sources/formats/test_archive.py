"""Tests of zip archives from outside: one plain file, whole, or one clear refusal."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import TYPE_CHECKING, Final

import pytest

from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources.formats import archive

if TYPE_CHECKING:
    from pathlib import Path

TEXT: Final = "".join(hashlib.sha256(bytes([number])).hexdigest() for number in range(255)) * 2


def packed(content: str | bytes = TEXT, *, member: str | zipfile.ZipInfo = "sales.txt") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(member, content)
    return target.getvalue()


def read(content: bytes) -> bytes:
    return b"".join(archive.read_only_member(io.BytesIO(content), "The archive"))


def refusal(content: bytes) -> str:
    with pytest.raises(SourceError) as caught:
        read(content)
    assert caught.value.source == "The archive"
    assert caught.value.remedy
    return caught.value.culprit


def test_its_only_member_is_read_whole() -> None:
    assert read(packed()) == TEXT.encode()


@pytest.mark.parametrize("missing", [1, 100, 7_000])
def test_a_truncated_archive_is_refused(missing: int) -> None:
    assert refusal(packed()[:-missing]) == "it is not a whole zip archive: truncated or damaged."


def test_an_archive_damaged_inside_is_refused() -> None:
    content = bytearray(packed())
    content[len(content) // 2] ^= 0xFF
    assert refusal(bytes(content)) == "it is not a whole zip archive: truncated or damaged."


def test_a_member_without_a_name_is_refused() -> None:
    assert "the name of its member" in refusal(packed(member="x").replace(b"x", b"\0"))


def test_an_archive_that_has_lost_bytes_amid_is_damaged_and_not_away(tmp_path: Path) -> None:
    file = tmp_path / "sales.zip"
    # By its directory its member begins before the file does.
    file.write_bytes(packed()[:100] + packed()[120:])
    with file.open("rb") as opened, pytest.raises(SourceError, match="truncated or damaged") as caught:
        list(archive.read_only_member(opened, "The archive"))
    assert not isinstance(caught.value, SourceUnavailableError)


@pytest.mark.parametrize("names", [(), ("a.txt", "b.txt")])
def test_an_archive_without_exactly_one_member_is_refused(names: tuple[str, ...]) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as opened:
        for name in names:
            opened.writestr(name, TEXT)
    assert refusal(target.getvalue()) == f"it holds {len(names)} members, not one text file."


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "in/side.txt", "C:out.txt", "..\\out.txt", "folder/"])
def test_a_member_whose_name_leads_elsewhere_is_refused(name: str) -> None:
    culprit = refusal(packed("" if name.endswith("/") else TEXT, member=name))
    assert culprit == "the name of its member is a folder, a link or leads out of the archive."


def test_a_member_that_is_a_link_is_refused() -> None:
    link = zipfile.ZipInfo("sales.txt")
    link.external_attr = 0o120777 << 16
    assert "is a folder, a link or leads out" in refusal(packed("/etc/passwd", member=link))


def test_a_zip_bomb_is_refused_by_what_it_declares() -> None:
    told = f"at most {archive.MOST_BYTES} bytes and {archive.MOST_RATIO} per compressed byte"
    assert told in refusal(packed(b"\t" * 2_000_000))
