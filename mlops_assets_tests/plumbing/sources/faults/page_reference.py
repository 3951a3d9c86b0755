"""A second reading of JSON and CSV pages, every number as it was written.

Put here what a page holds. Keep out the text of single values (``reference``), and the product's own parsers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlops_assets_tests.plumbing.sources.faults import reference
from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError

if TYPE_CHECKING:
    from mlops_assets_tests.plumbing.sources.faults.visits import Texts


def csv(content: bytes) -> list[Texts]:
    """The rows of a page; an empty one has none.

    Raises:
        RefusedError: it cannot be read.
    """
    if not content.strip():
        return []
    return reference.delimited(content, delimiter=",", quote='"', encoding="utf-8", names=None, proven=True)


def rows(content: bytes) -> list[Texts]:
    """The rows of a page by another reader.

    Raises:
        RefusedError: it has none.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise RefusedError("a name twice")
        return found

    def no_number(_: str) -> None:
        raise RefusedError("no number")

    try:
        document = json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=once,
            parse_int=_Literal,
            parse_float=_Literal,
            parse_constant=no_number,
        )
        rows = document["data"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RefusedError("JSON") from error
    if not isinstance(rows, list) or not all(isinstance(each, dict) for each in rows):
        raise RefusedError("rows")
    return [{name: _text(each) for name, each in row.items()} for row in rows]


def only_rows(content: bytes) -> bytes:
    """The rows of a broken page, without what it says of further pages."""
    try:
        return json.dumps(json.loads(content)["data"], ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, KeyError, TypeError, RecursionError):
        return b""


class _Literal(str):
    """A number as it is written."""

    __slots__ = ()


def _text(found: Any) -> str | None:  # noqa: ANN401  of any type
    if isinstance(found, bool):
        return str(found).lower()
    return found if found is None or isinstance(found, str) else _nested(found)


def _nested(found: Any) -> str:  # noqa: ANN401  of any type
    """JSON as ``json.dumps`` writes it, every number as it was written."""
    if isinstance(found, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {_nested(each)}" for name, each in found.items()) + "}"
    if isinstance(found, list):
        return "[" + ", ".join(map(_nested, found)) + "]"
    return str(found) if isinstance(found, _Literal) else json.dumps(found)
