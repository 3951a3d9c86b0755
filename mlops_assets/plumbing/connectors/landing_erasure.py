"""Erasure in the landing folder: delivered voter files without the lines of given voters.

Put here how a delivery is replaced by one without them. Keep out who they are, and the lakes.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import re
import uuid
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.durable_files import replace_durably, sync_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path
    from typing import IO

MANIFEST: Final = "manifest.json"
_COLUMN: Final = "ncid"
_ENCODING: Final = "latin-1"


def listing(landing: Path, voters: Collection[str]) -> list[Path]:
    """The delivered files that list one of the voters, who are given as for `erase`."""
    return [file for file in sorted(landing.glob("*/*/*.zip")) if voters and _removed(file, voters, None)]


def erase(landing: Path, voters: Collection[str]) -> list[Path]:
    """Replace each delivery that lists one of the voters by one without their lines, under a manifest of its own.

    The new file is complete before the manifest names it, so a killed erasure leaves a delivery that can be read. Files
    that no manifest names any more and that list them are removed.

    Args:
        landing: the folder.
        voters: state and voter identification number, such as ``NC:AA100``, in upper case.

    Returns:
        The files that were replaced or removed.

    Raises:
        OSError: the folder cannot be written.
    """
    gone = []
    for file in listing(landing, voters):
        with suppress(FileNotFoundError):
            _replace(file, file.with_name(MANIFEST), voters)
        file.unlink()
        gone.append(file)
    return gone


def _replace(file: Path, manifest: Path, voters: Collection[str]) -> None:
    said = json.loads(manifest.read_bytes())
    if said.get("file") != file.name:
        return
    new = file.with_name(f"{file.stem[:100]}-{uuid.uuid4().hex[:8]}.zip")
    removed = _removed(file, voters, new)
    sync_file(new)
    with new.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    changed = {"file": new.name, "sha256": digest, "bytes": new.stat().st_size, "rows": said["rows"] - removed}
    replace_durably(manifest, json.dumps({**said, **changed}, indent=2).encode())


def _removed(file: Path, voters: Collection[str], target: Path | None) -> int:
    """How many lines list them; the others are written to the target, if there is one."""
    removed = 0
    try:
        with zipfile.ZipFile(file) as archive, archive.open(member := archive.infolist()[0]) as text:
            lines = _lines(text, file.parent.parent.name, voters)
            if target is None:
                return sum(theirs for _, theirs in lines)
            with (
                zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed,
                packed.open(member.filename, "w", force_zip64=True) as left,
            ):
                for line, theirs in lines:
                    removed += theirs
                    if not theirs:
                        left.write(line)
    except (zipfile.BadZipFile, IndexError):
        # Nobody can read it, plumbing neither.
        return 0
    return removed


def _lines(text: IO[bytes], state: str, voters: Collection[str]) -> Iterator[tuple[bytes, bool]]:
    header = text.readline()
    yield header, False
    names = _fields(header.removeprefix(codecs.BOM_UTF8))
    place = names.index(_COLUMN) if _COLUMN in names else len(names)
    numbers = (voter.rpartition(":")[2].encode(_ENCODING, errors="replace") for voter in voters)
    # Taking every line apart would take a minute for a large state.
    likely = re.compile(b"|".join(map(re.escape, numbers)), re.IGNORECASE)
    for line in text:
        fields = _fields(line) if likely.search(line) else []
        yield line, place < len(fields) and f"{state}:{fields[place].strip().upper()}" in voters


def _fields(line: bytes) -> list[str]:
    return next(csv.reader([line.decode(_ENCODING).rstrip("\r\n")], delimiter="\t"), [])
