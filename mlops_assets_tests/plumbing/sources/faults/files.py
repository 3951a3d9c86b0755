"""Rounds on files: what is in them, and what is said of them.

Put here faults of a ``FileSource``'s file. Keep out packed ones (``packings``), names and places (``files.places``).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Checksum, Manifest, Marker, Quiet
from mlops_assets.plumbing.sources.formats.kinds import FixedWidth
from mlops_assets_tests.plumbing.sources.faults import mutations, reference, visits
from mlops_assets_tests.plumbing.sources.faults.dialects import Dialect, accepted, contract
from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError, typed
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench, Case, complete
from mlops_assets_tests.plumbing.sources.faults.visits import MONTH, NAMES, Texts

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlops_assets.plumbing.sources.formats.plain_text import Encoding

WIDTHS: Final = {
    "visit": 20,
    "who": 40,
    "day": 12,
    "at": 28,
    "seen": 34,
    "amount": 24,
    "price": 16,
    "small": 8,
    "paid": 6,
}
_QUIET: Final = Quiet(seconds=0)


@contextmanager
def delimited(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """Delimited text with bytes, lines, columns or values that are not what they were."""
    dialect = Dialect(chance)
    given = dialect.rows()
    good = dialect.written(NAMES, given)
    if chance.random() < 0.5:
        columns, rows, fault = mutations.structure(chance, NAMES, given)
        content = dialect.written(columns, rows)
    else:
        content, fault = mutations.some(chance, good)
    with bench.room() as room:
        file = room / f"{MONTH}.csv"
        file.write_bytes(content)
        source = FileSource(
            contract=contract(chance), path=str(room), file="{month}.csv", whole=_QUIET, format=dialect.format()
        )
        yield Case(
            fault=fault,
            source=source,
            accepted=accepted(dialect, content),
            truth=typed(dialect.read(good)),
            heal=lambda: file.write_bytes(good),
            private=content + visits.words_of(given),
        )


@contextmanager
def fixed_width(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """Text at fixed places."""
    fields, start = {}, 1
    for name, width in WIDTHS.items():
        fields[name] = (start, width)
        start += width + chance.choice([0, 1])
    given = [{**each, "who": each["who"] and each["who"][:40]} for each in visits.rows(chance, plain=True)]
    encoding: Encoding = chance.choice(["utf-8", "latin-1", "utf-16"])

    def written(rows: Sequence[Texts]) -> bytes:
        lines = []
        for each in rows:
            line = ""
            for name, (first, width) in fields.items():
                line = line.ljust(first - 1) + (each.get(name) or "")[: width + chance.choice([0, 0, 0, 1])]
            lines.append(line.rstrip() if chance.random() < 0.2 else line.ljust(start - 1))
        return "".join(f"{line}\n" for line in lines).encode(encoding, "replace")

    chance_of_width, good = chance, written(given)
    if chance_of_width.random() < 0.3:
        _, rows, fault = mutations.structure(chance, NAMES, given)
        content = written(rows)
    else:
        content, fault = mutations.some(chance, good)
    try:
        truth = typed(reference.fixed_width(good, fields, encoding, proven=False))
    except RefusedError:
        # By chance a value was written over its width: then a file of no rows is what heals it.
        good, truth = b"", []
    try:
        whole = complete(reference.fixed_width(content, fields, encoding, proven=False))
    except RefusedError:
        whole = []
    with bench.room() as room:
        file = room / f"{MONTH}.txt"
        file.write_bytes(content)
        yield Case(
            fault=fault,
            source=FileSource(
                contract=contract(chance),
                path=str(room),
                file="{partition}.txt",
                whole=_QUIET,
                format=FixedWidth(fields=fields, encoding=encoding),
            ),
            accepted=whole,
            truth=truth,
            heal=lambda: file.write_bytes(good),
            private=content + visits.words_of(given),
        )


@contextmanager
def said(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """Manifests, checksums and markers that do not fit their file, or are none."""
    dialect = Dialect(chance)
    given = dialect.rows()
    good = dialect.written(NAMES, given)
    digest = hashlib.sha256(good).hexdigest()
    manifest = json.dumps({"sha256": digest, "bytes": len(good), "rows": len(given), "file": f"{MONTH}.csv"}).encode()
    sums = f"{digest}  {MONTH}.csv\n".encode()
    known: list[tuple[Quiet | Marker | Checksum | Manifest, str, bytes]] = [
        (Manifest(), "manifest.json", manifest),
        (Manifest(name="{file}.json", sha256="none"), f"{MONTH}.csv.json", manifest),
        (Checksum(), f"{MONTH}.csv.sha256", sums),
        (Checksum(name="SUMS"), "SUMS", b"0" * 64 + b"  other.csv\n" + sums),
        (Marker(), f"{MONTH}.csv.done", b""),
    ]  # fmt: skip
    whole, name, beside = chance.choice(known)
    content, note, fault = good, beside, ""
    if chance.random() < 0.6:
        content, fault = mutations.some(chance, content)
    if not fault or chance.random() < 0.3:
        note, done = mutations.some(chance, note)
        fault += f" beside: {done}"
    with bench.room() as room:
        file = room / f"{MONTH}.csv"

        def write(rows: bytes, text: bytes) -> None:
            file.write_bytes(rows)
            (room / name).write_bytes(text)
            if isinstance(whole, Marker) and chance.random() < 0.3:
                os.utime(room / name, (time.time() + 5, time.time() + 5))

        write(content, note)
        if chance.random() < 0.1:
            (room / name).unlink()
            fault = "nothing beside"
        yield Case(
            fault=f"{whole.type}: {fault}",
            source=FileSource(
                contract=contract(chance), path=str(room), file="{month}.csv", whole=whole, format=dialect.format()
            ),
            accepted=_as_said(whole, content, room / name, dialect),
            truth=typed(dialect.read(good)),
            heal=lambda: write(good, beside),
            private=content + good,
        )


def _as_said(  # noqa: PLR0911  one way for each
    whole: object, content: bytes, beside: Path, dialect: Dialect
) -> list[list[reference.Row]]:
    """What counts as complete by what stands beside the file: a second reading of that, too."""
    if not beside.exists():
        return []
    text, digest = beside.read_bytes().removeprefix(b"\xef\xbb\xbf"), hashlib.sha256(content).hexdigest()
    if isinstance(whole, Marker):
        return accepted(dialect, content)
    if isinstance(whole, Checksum):
        named = any(digest.encode() in line.lower() for line in text.splitlines())
        return accepted(dialect, content, proven=True) if named else []
    assert isinstance(whole, Manifest)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(found, dict):
        return []
    size, sha, rows = found.get("bytes"), found.get(whole.sha256), found.get("rows")
    fits = (size is None or size == len(content)) and (sha is None or sha.lower() == digest)
    if not fits or (size is None and sha is None):
        return []
    return [each for each in accepted(dialect, content, proven=True) if rows in {None, len(each)}]
