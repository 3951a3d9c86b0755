"""JSON answers: their rows as columns of text, every number as it was written.

Put here how JSON is read. Keep out where it comes from, and which page follows (``http.pages``).

Source: RFC 8259. A number of an answer is an identifier as often as a quantity, and 20 digits fit no binary number.
"""

from __future__ import annotations

import hashlib
import re
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mlops_assets.platform.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MARK: Final = b"\xef\xbb\xbf"
_STRING: Final = msgspec.json.Decoder(str)
_STRINGS: Final = msgspec.json.Decoder(list[str | None])
_OBJECTS: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_NULL: Final = msgspec.Raw(b"null")
_NO_SCALAR: Final = re.compile(rb'["\[{]')
_ANY: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder()
_AT_ROW: Final = re.compile(r"\$\[(\d+)\]")
_CONTENT: Final = {ord('"'): "a text", ord("["): "a list", ord("{"): "an object", ord("n"): "null"}


def parsed(body: bytes, source: str) -> object:
    """JSON as Python's objects.

    Raises:
        SourceError: it is not JSON, or only the beginning of it.
    """
    return _decoded(_ANY, body.removeprefix(_MARK), source)


class _Name(str):
    """A name in an object, which is told as it is read."""

    __slots__ = ()


class Answer:
    """A JSON document, whole.

    Args:
        body: its bytes.
        source: how messages name it.

    Raises:
        SourceError: it is not JSON (RFC 8259, UTF-8), or only the beginning of it.
    """

    def __init__(self, body: bytes, source: str) -> None:
        self._source = source
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise SourceError(
                source=source,
                culprit=f"its JSON is not UTF-8 (byte {error.start} of {len(body)}).",
                remedy="Ask the source's owner to send UTF-8.",
            ) from None
        self._whole: msgspec.Raw = _decoded(msgspec.json.Decoder(msgspec.Raw), body.removeprefix(_MARK).strip(), source)

    def at(self, path: str | None) -> msgspec.Raw | None:
        """What lies at a dotted path, not yet read; ``None`` where nothing does."""
        found = self._whole
        for name in path.split(".") if path else ():
            if _kind(found) != "an object":
                return None
            [names] = _objects(b"[%b]" % bytes(found), self._source)
            inner = names.get(name)
            if inner is None:
                return None
            found = inner
        return found

    def text_at(self, path: str) -> str | None:
        """The text or number at a path; ``None`` where there is none, or null, false or an empty text.

        Raises:
            SourceError: it is a list, an object or ``true``.
        """
        raw = self.at(path)
        text = None if raw is None else _text(raw, self._source)
        if raw is not None and (_kind(raw) in {"a list", "an object"} or text == "true"):
            raise SourceError(
                source=self._source,
                culprit=f"its {path} is {_kind(raw)}, neither a text nor a number.",
                remedy="Correct the path in the declaration's paginate.",
            )
        return None if text in {None, "", "false"} else text

    def rows(self, path: str | None) -> Rows:
        """The rows at a path, where the whole answer is the list of them if there is none.

        Raises:
            SourceError: there is no list, or one of its rows is no object.
        """
        raw, place = self.at(path), f"its {path}" if path else "the answer"
        if raw is None or _kind(raw) != "a list":
            what = "is not there" if raw is None else f"is {_kind(raw)}"
            raise SourceError(
                source=self._source,
                culprit=f"{place}, where the list of rows is due, {what}.",
                remedy="Name the dotted path of the list in the declaration's rows, such as data.items.",
            )
        try:
            found = _objects(raw, self._source)
        except msgspec.ValidationError as error:
            where = _AT_ROW.search(str(error))
            raise SourceError(
                source=self._source,
                culprit=f"row {int(where.group(1)) + 1 if where else '?'} of {place} is no object.",
                remedy="Rows are objects with a name for each value: ask the source for those.",
            ) from None
        return Rows(found, hashlib.sha256(raw).hexdigest(), self._source)


class Rows:
    """The rows of one answer.

    Attributes:
        digest: SHA-256 of their JSON.
    """

    def __init__(self, rows: Sequence[Mapping[str, msgspec.Raw]], digest: str, source: str) -> None:
        self._rows = rows
        self._source = source
        self.digest = digest

    def __len__(self) -> int:
        return len(self._rows)

    def columns(self) -> dict[str, list[str | None]]:
        """Their values by name: numbers as they are written, nested values as JSON, ``None`` for null and nothing."""
        names = dict.fromkeys(chain.from_iterable(self._rows))
        return {name: _texts([row.get(name, _NULL) for row in self._rows], self._source) for name in names}


def _kind(raw: msgspec.Raw) -> str:
    return _CONTENT.get(memoryview(raw)[0], "a number or a truth")


def _text(raw: msgspec.Raw, source: str) -> str | None:
    match _kind(raw):
        case "a text":
            return str(_decoded(_STRING, raw, source))
        case "null":
            return None
        case _:
            return bytes(raw).decode()


def _texts(raws: Sequence[msgspec.Raw], source: str) -> list[str | None]:
    """What ``_text`` gives for each. Most columns are of one kind, and all their values are read at once."""
    joined = b",".join(raws)
    if _NO_SCALAR.search(joined) is None:
        return [None if text == "null" else text for text in joined.decode().split(",")]
    try:
        found: list[str | None] = _STRINGS.decode(b"[%b]" % joined)
    except msgspec.MsgspecError:
        return [_text(raw, source) for raw in raws]
    return found


def _objects(raw: bytes | msgspec.Raw, source: str) -> Sequence[Mapping[str, msgspec.Raw]]:
    """The objects of a list.

    Raises:
        SourceError: one gives a name twice, of which the decoder would keep the last value alone.
    """
    found: list[dict[str, msgspec.Raw]] = _decoded(_OBJECTS, raw, source)
    names = sum(map(len, found))
    # A name stands between two quotes, so that no quote is left over where all names and values were kept.
    quotes = 2 * names + b"".join(chain.from_iterable(row.values() for row in found)).count(b'"')
    if bytes(raw).count(b'"') != quotes and _names(raw, source) != names:
        raise SourceError(
            source=source,
            culprit="an object of its JSON gives a name twice.",
            remedy="Ask the source's owner which value is meant.",
        )
    return found


def _names(raw: bytes | msgspec.Raw, source: str) -> int:
    """How many names the objects of a list give, those that come again included."""
    read = 0

    def named(kind: type[_Name], name: str) -> _Name:
        nonlocal read
        read += 1
        return kind(name)

    _decoded(msgspec.json.Decoder(list[dict[_Name, msgspec.Raw]], dec_hook=named), raw, source)
    return read


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes | msgspec.Raw, source: str) -> Any:  # noqa: ANN401
    try:
        return decoder.decode(body)
    except RecursionError:
        culprit = "its JSON is nested too deep to be read."
    except UnicodeDecodeError:
        culprit = "its JSON is not UTF-8."
    except msgspec.ValidationError as error:
        if "Expected" in str(error):
            raise
        # A number that is none of Python's: connectors that read values as such do not know what it is.
        culprit = f"its JSON holds a number that cannot be held ({error})."
    except msgspec.DecodeError as error:
        culprit = f"the JSON breaks ({str(error).removeprefix('JSON is malformed: ')})."
    raise SourceError(
        source=source,
        culprit=culprit,
        remedy="It may be cut off: fetch it again; if it stays so, tell the source's owner.",
    )
