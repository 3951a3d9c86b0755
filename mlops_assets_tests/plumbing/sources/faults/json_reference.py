"""A second reading of JSON Lines by Python's own decoder, every number and nested value as it was written.

Put here what a line means. Keep out the text of single values (``reference``) and pages (``page_reference``).
"""

from __future__ import annotations

import json
from json import decoder, scanner
from typing import TYPE_CHECKING, Any

from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError

if TYPE_CHECKING:
    from mlops_assets_tests.plumbing.sources.faults.visits import Texts


class _Written(str):
    """A value as it is written."""

    __slots__ = ()


class _Decoder(json.JSONDecoder):
    """Gives each value of an object as it is written, but for texts, truths and null."""

    def __init__(self) -> None:
        super().__init__(
            object_pairs_hook=self._once, parse_int=_Written, parse_float=_Written, parse_constant=_refused, strict=True
        )
        plain_object, plain_array, self._depth = decoder.JSONObject, decoder.JSONArray, 0  # type: ignore[attr-defined]

        def within(read: Any) -> Any:  # noqa: ANN401  the library's have no types
            def parse(place: tuple[str, int], *others: Any) -> tuple[Any, int]:  # noqa: ANN401
                self._depth += 1
                value, end = read(place, *others)
                self._depth -= 1
                text, start = place
                return (_Written(text[start - 1 : end]) if self._depth else value), end

            return parse

        self.parse_object, self.parse_array = within(plain_object), within(plain_array)
        self.scan_once = scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def _once(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        # What is within a value is kept as it is written, twice or not.
        if len(found) < len(pairs) and self._depth == 1:
            raise RefusedError("a name twice")
        return found


def _refused(_: str) -> None:
    raise RefusedError("no number")


def lines(content: bytes) -> list[Texts]:
    """The rows of a file, a value that a line lacks being none.

    Raises:
        RefusedError: it cannot be read.
    """
    found = [_row(line) for line in content.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n")]
    names = dict.fromkeys(name for each in found for name in each)
    return [{name: each.get(name) for name in names} for each in found]


def _row(line: bytes) -> Texts:
    try:
        text = line.decode().strip(" \t\r")
        if not text.startswith("{"):
            raise RefusedError("object")
        row = _Decoder().decode(text)
        json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RefusedError("JSON") from error
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in row.items()}
