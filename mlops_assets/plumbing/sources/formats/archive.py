"""Zip archives from outside: their one text file as a stream of bytes, never unpacked to a name they choose.

Put here what makes reading a delivered archive safe. Keep out what the text inside means.
"""

from __future__ import annotations

import errno
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import SourceError, SourceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

MOST_BYTES: Final = 64 * 2**30
"""Declared size, in bytes, above which a member is refused; the largest file known has about 5 GB."""
MOST_RATIO: Final = 100
"""Declared size per compressed byte above which a member is refused; text has about 10, zip bombs 1000."""

_BLOCK: Final = 2**20
_ENCRYPTED: Final = 0x1
_SEND_AGAIN: Final = "Deliver the archive again, whole."


def read_only_member(archive: IO[bytes], source: str) -> Iterator[bytes]:
    """The content of the archive's only member, in blocks of at most 1 MiB, checked against its checksum at the end.

    Args:
        archive: the archive, seekable.
        source: how error messages name it.

    Raises:
        SourceError: it is not a whole zip archive, does not hold exactly one plain file, is encrypted, declares an
            absurd size, or its content does not agree with its checksum.
        SourceUnavailableError: its file system fails.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            member = _only_member(opened, source)
            with opened.open(member) as content:
                while block := content.read(_BLOCK):
                    yield block
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise _damaged(source) from error
    except OSError as error:
        if error.errno == errno.EINVAL:
            # Its directory names a place before its beginning.
            raise _damaged(source) from error
        raise SourceUnavailableError(
            source=source,
            culprit=f"reading it failed half-way ({error.strerror or type(error).__name__}).",
            remedy="Check the file system that it lies on, then try again.",
        ) from error
    except NotImplementedError as error:  # zipfile's own error for a method that it cannot unpack
        raise SourceError(
            source=source,
            culprit="its member is compressed by a method other than deflate.",
            remedy="Pack it with plain zip.",
        ) from error


def _damaged(source: str) -> SourceError:
    return SourceError(
        source=source, culprit="it is not a whole zip archive: truncated or damaged.", remedy=_SEND_AGAIN
    )


def _only_member(archive: zipfile.ZipFile, source: str) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1:
        raise SourceError(
            source=source, culprit=f"it holds {len(members)} members, not one text file.", remedy=_SEND_AGAIN
        )
    member = members[0]
    if not _is_plain(member):
        raise SourceError(
            source=source,
            culprit="the name of its member is a folder, a link or leads out of the archive.",
            remedy="Find out who packed it, and ask for an archive of one plain file.",
        )
    if member.flag_bits & _ENCRYPTED:
        raise SourceError(source=source, culprit="its member is encrypted.", remedy="Ask for it without a password.")
    if member.file_size > MOST_BYTES or member.file_size > MOST_RATIO * max(member.compress_size, 1):
        raise SourceError(
            source=source,
            culprit=f"its member declares {member.file_size} bytes from {member.compress_size} compressed ones; at "
            f"most {MOST_BYTES} bytes and {MOST_RATIO} per compressed byte are read.",
            remedy="Find out who packed it: a table does not look like this.",
        )
    return member


def _is_plain(member: zipfile.ZipInfo) -> bool:
    # The upper half of the attributes is the Unix mode, whose file type is 0 when the packer knew none.
    file_type = (member.external_attr >> 16) & 0o170000
    name = PurePosixPath(member.orig_filename.replace("\\", "/"))
    return (
        file_type in {0, 0o100000}
        and not member.orig_filename.endswith("/")
        and name.parts == (name.name,)
        and name.name not in {"", ".", ".."}
        and ":" not in name.name
        and "\0" not in member.orig_filename
    )
