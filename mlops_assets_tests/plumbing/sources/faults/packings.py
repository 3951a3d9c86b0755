"""Rounds on packed files: cut, damaged, or packed in ways that nobody expects.

Put here faults of zip, gzip and zstd. Keep out those of what is in them (``files``).
"""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Quiet
from mlops_assets_tests.plumbing.sources.faults import mutations
from mlops_assets_tests.plumbing.sources.faults.dialects import Dialect, accepted, contract
from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError, typed
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench, Case
from mlops_assets_tests.plumbing.sources.faults.visits import MONTH, NAMES

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator


@contextmanager
def packed(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """Packed files, cut, damaged, or packed in ways that nobody expects."""
    dialect = Dialect(chance)
    given = dialect.rows()
    plain = dialect.written(NAMES, given)
    content, fault = pack(chance, plain)
    if chance.random() < 0.75:
        content, done = mutations.some(chance, content)
        fault = f"{fault}: {done}"
    with bench.room() as room:
        file = room / f"{MONTH}.csv.gz"
        file.write_bytes(content)
        source = FileSource(
            contract=contract(chance),
            path=str(room),
            file="{month}.csv.gz",
            whole=Quiet(seconds=0),
            format=dialect.format(),
        )
        try:
            whole = accepted(dialect, unpacked(content), proven=content.startswith(b"PK"))
        except RefusedError:
            whole = []
        yield Case(
            fault=fault,
            source=source,
            accepted=whole,
            truth=typed(dialect.read(plain)),
            heal=lambda: file.write_bytes(gzip.compress(plain)),
            private=plain,
        )


def pack(chance: random.Random, content: bytes) -> tuple[bytes, str]:  # noqa: PLR0911  one for each way
    """The content packed in one of many ways, not all of them good."""
    half = len(content) // 2
    way = chance.choice(
        [
            "zip",
            "zip",
            "stored",
            "gzip",
            "gzip",
            "members",
            "zstd",
            "frames",
            "two",
            "nested",
            "bz2",
            "folder",
            "padded",
            "named",
        ]
    )
    target = io.BytesIO()
    match way:
        case "gzip":
            return gzip.compress(content), way
        case "members":
            return gzip.compress(content[:half]) + gzip.compress(content[half:]), way
        case "padded":
            return gzip.compress(content) + bytes(512), way
        case "zstd":
            return _zstd(content), way
        case "frames":
            return _zstd(content[:half]) + _zstd(content[half:]), way
        case "nested":
            return gzip.compress(gzip.compress(content)), way
        case "bz2":
            return bz2.compress(content), way
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED if way == "stored" else zipfile.ZIP_DEFLATED) as archive:
        name = chance.choice(["visits.csv", "sub/visits.csv", "../visits.csv", "/etc/visits.csv", "a\\b", "ü.csv"])
        archive.writestr(name if way == "named" else "visits.csv", content)
        if way == "two":
            archive.writestr("more.csv", content)
        if way == "folder":
            archive.writestr("__MACOSX/", b"")
        archive.comment = chance.choice([b"", b"a comment", b"PK\x05\x06" * 3])
    return target.getvalue(), way


def _zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def unpacked(content: bytes) -> bytes:
    """What a packed file holds, by other readers than the product's, as far as there are any."""
    try:
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                [member] = archive.infolist()
                return archive.read(member)
        if content.startswith(b"\x1f\x8b"):
            return gzip.decompress(content)
        if content.startswith(b"\x28\xb5\x2f\xfd"):
            return bytes(pa.CompressedInputStream(pa.BufferReader(content), "zstd").read())
    except Exception as error:  # each library has its own
        raise RefusedError("packed") from error
    return content
