"""CSV answers: their rows as columns of text, some thousands at a time.

Put here how CSV that a transport has proved whole is read. Keep out where it comes from.

Source: RFC 4180. The first row names the columns.
"""

from __future__ import annotations

import csv
import io
import itertools
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCH: Final = 20_000


def batches(body: bytes, source: str) -> Iterator[dict[str, list[str]]]:
    """The values by column; one batch without rows where there is a header alone, none of an empty body.

    Args:
        body: UTF-8, with or without a byte order mark.
        source: how messages name it.

    Raises:
        SourceError: it is not UTF-8, its quoting is broken, columns have the same name, or a row is narrower or wider.
    """
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline=""), strict=True)
    count = 0
    try:
        header = next(reader, [])
        if len({*header}) < len(header):
            raise _broken(source, "two of its columns have the same name")
        filled = (row for row in reader if row)
        while rows := list(itertools.islice(filled, _BATCH)):
            for number, row in enumerate(rows, start=count + 1):
                if len(row) != len(header):
                    raise _broken(source, f"row {number:,} holds {len(row)} fields, the header {len(header)}")
            count += len(rows)
            yield dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    except UnicodeDecodeError:
        raise _broken(source, "its text is not UTF-8") from None
    except csv.Error as error:
        raise _broken(source, f"in line {reader.line_num:,}, {error}") from None
    if header and not count:
        yield {name: [] for name in header}


def _broken(source: str, culprit: str) -> SourceError:
    return SourceError(
        source=source,
        culprit=f"its CSV breaks: {culprit}.",
        remedy="It may be cut off or wrongly quoted: fetch it again; if it stays so, tell the source's owner.",
    )
