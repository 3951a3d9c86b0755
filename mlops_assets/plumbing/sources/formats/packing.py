"""Packed files: zip, gzip and zstd as one stream of plain bytes, whole or refused.

Put here how a delivered file is unpacked, and never to a name that it chooses. Keep out what the bytes mean.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.formats import archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

PROVEN: Final = frozenset({"zip"})
"""Packings that prove that their content is whole: gzip and zstd may be cut between two members."""
MOST_BYTES: Final = archive.MOST_BYTES
"""Size, in bytes, above which what a file unpacks to is refused."""
MOST_RATIO: Final = 1000
"""Bytes per packed one above which it is refused, once it has given ``_GRACE`` bytes: text packs to a twentieth."""

_BLOCK: Final = 2**20
_BLOCKS_AHEAD: Final = 8
_GRACE: Final = 2**28
_LONGEST_MAGIC: Final = 4
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_PARTS: Final = "[Content_Types].xml"
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


def unpacked(delivered: IO[bytes], source: str) -> tuple[Iterator[bytes], str]:
    """The plain content in blocks, and how it was packed (``zip``, ``gzip``, ``zstd``, or nothing).

    How a file is packed is told by its first bytes and not by its name, which people change.

    Args:
        delivered: the file, seekable.
        source: how messages name it.

    Raises:
        SourceError: while the blocks are read: it is cut off, damaged, or unpacks to an absurd size; a zip archive does
            not hold exactly one plain file.
    """
    size = delivered.seek(0, 2)
    delivered.seek(0)
    start = delivered.read(_LONGEST_MAGIC)
    delivered.seek(0)
    if start in _ZIP and not _is_workbook(delivered):
        return _ahead(archive.read_only_member(delivered, source)), "zip"
    if start.startswith(_GZIP):
        return _ahead(_bounded(_blocks(gzip.GzipFile(fileobj=delivered), source, "gzip"), size, source)), "gzip"
    if start == _ZSTD:
        stream = pa.CompressedInputStream(pa.PythonFile(delivered, mode="r"), "zstd")
        return _ahead(_bounded(_blocks(stream, source, "zstd"), size, source)), "zstd"
    return _plain(delivered), ""


def _is_workbook(delivered: IO[bytes]) -> bool:
    """Whether that archive is a document of Office, which is a zip archive of many parts and read as it is."""
    try:
        with zipfile.ZipFile(delivered) as archive:
            return _PARTS in archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return False
    finally:
        delivered.seek(0)


def _ahead(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks, unpacked in a thread of their own while the ones before are worked on."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="unpacking") as thread:
        coming = deque(thread.submit(next, blocks, b"") for _ in range(_BLOCKS_AHEAD))
        while block := coming.popleft().result():
            coming.append(thread.submit(next, blocks, b""))
            yield block


def _plain(delivered: IO[bytes]) -> Iterator[bytes]:
    while block := delivered.read(_BLOCK):
        yield block


def _blocks(stream: IO[bytes] | gzip.GzipFile, source: str, packed: str) -> Iterator[bytes]:
    # Reading all of it checks the end of every member and its checksum.
    try:
        while block := stream.read(_BLOCK):
            yield block
    except (EOFError, OSError, zlib.error) as error:
        raise SourceError(
            source=source,
            culprit=f"the {packed} file cannot be unpacked: it is cut off or damaged ({type(error).__name__}).",
            remedy="Deliver it again, whole.",
        ) from None


def _bounded(blocks: Iterator[bytes], packed_bytes: int, source: str) -> Iterator[bytes]:
    total = 0
    for block in blocks:
        total += len(block)
        if total > MOST_BYTES or total > max(_GRACE, MOST_RATIO * packed_bytes):
            raise SourceError(
                source=source,
                culprit=f"its {packed_bytes:,} bytes unpack to more than {total:,}.",
                remedy="Find out who packed it: a table does not look like this.",
            )
        yield block
