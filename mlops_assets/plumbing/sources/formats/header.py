"""Headers: the names of the columns of text, as its first line or a declaration gives them.

Put here how names are read, and that they tell columns apart. Keep out the rows (``kinds``). No message holds a name:
a first line may be no header, but a person's data.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.errors import ContractError, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MOST_BYTES: Final = 2**20


def require_names(names: Sequence[str]) -> None:
    """Refuse no columns, and names that do not tell them apart.

    Raises:
        ContractError: so it is.
    """
    if not names or "" in names or len({name.casefold() for name in names}) < len(names):
        raise ContractError(
            source="Format of files",
            culprit="it names no columns, one without a name, or two that differ by their case at most.",
            remedy="Name each column once.",
        )


def read(file: Path, source: str, *, delimiter: str, quote_character: str) -> list[str]:
    """The fields of the first line.

    Raises:
        SourceError: there is none, or it names a column twice.
    """
    with file.open("rb") as opened:
        line = opened.readline(_MOST_BYTES).decode("utf-8", errors="replace").rstrip("\n")
    if not line:
        raise SourceError(
            source=source, culprit="it is empty.", remedy="Deliver it with its header line, even where it has no rows."
        )
    if quote_character:
        try:
            names = next(csv.reader([line], delimiter=delimiter, quotechar=quote_character))
        except csv.Error:
            raise SourceError(
                source=source,
                culprit="its first line has an end of CR alone, or a field of more than 131,072 characters.",
                remedy="Deliver it with line ends of LF or CRLF; look for a quotation mark that is not closed.",
            ) from None
    else:
        names = line.split(delimiter)
    folded = [name.casefold() for name in names]
    if "" in names or len(set(folded)) < len(folded):
        # None of it is shown: the line may be no header but a person's data.
        raise SourceError(
            source=source,
            culprit="its first line names a column twice, or not at all: it may be no header.",
            remedy="Ask for the file with a header that names each column once, or give names in the declaration's "
            "format.",
        )
    return names
