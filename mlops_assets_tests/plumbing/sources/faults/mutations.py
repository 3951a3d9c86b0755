"""Mutations: what happens to good bytes, lines and values on their way.

Put here how something is broken at random. Keep out what must come of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from mlops_assets_tests.plumbing.sources.faults.visits import Texts

_SIGNS: Final = (
    b"\0", b"\r", b"\n", b"\r\n", b'"', b"'", b",", b";", b"\t", b"|", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc3",
    b" ",
    b"\x1a", b"\x1f", b"\x85", b"\xc2\xa0", b"\xe2\x80\xa8", b"\\", b"{", b"}", b"[", b"]", b"null", b"-", b"0", b"e",
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"%s", b"NaN",
)  # fmt: skip
VALUES: Final = (
    "", " ", "1,291", "$1,200", "12%", "1.00E+03", "5.0", "0x10", "1_000", "\u0665", "½", "NaN", "-inf", "1e400",
    "1e-400", "9" * 19, "9" * 400,
    "-", "+", ".", "1.", "0.1" + "0" * 40, "12345678901234567.5", "9007199254740993", "2024-02-30", "2024-13-01",
    "0000-01-01", "10000-01-01", "24-1-3", "03.01.2024", "1/2/2024", "2024-01-01T24:00:00", "2024-01-01T23:59:60",
    "2024-01-01T00:00:00.1234567", "2024-01-01T00:00+15:00", "2024-01-01 BC", "infinity", "epoch", "yes", "t", "1",
    "TRUE ", "truE",
    "\u2028", "a\rb", "\ufeff", "\ufffd", "NULL", "\\N", "x" * 200_000, "\ud7ff", "2024-01.0", "2024-02", " 2024-01",
    "0.30000000000000004",
    "-0", "+5", "0005", "1e3", "-32769", "32768", "9223372036854775808", "12345678901.00", "1.005", "1.0000",
)  # fmt: skip


def some(chance: random.Random, content: bytes) -> tuple[bytes, str]:
    """The bytes after one to three mutations, and which those were."""
    names = []
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        name = chance.choice(list(_BYTES))
        content = _BYTES[name](chance, content)
        names.append(name)
    return content, "+".join(sorted(set(names)))


def _place(chance: random.Random, content: bytes) -> int:
    return chance.randrange(len(content) + 1)


def _span(chance: random.Random, content: bytes) -> tuple[int, int]:
    start = _place(chance, content)
    return start, min(len(content), start + chance.choice([1, 1, 2, 4, 8, 64, 1000]))


def _cut(chance: random.Random, content: bytes) -> bytes:
    return content[: _place(chance, content)]


def _cut_at_a_line(chance: random.Random, content: bytes) -> bytes:
    end = content.find(b"\n", _place(chance, content))
    return content[: end + 1] if end >= 0 else content


def _flip(chance: random.Random, content: bytes) -> bytes:
    if not content:
        return b"\xff"
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]


def _insert(chance: random.Random, content: bytes) -> bytes:
    at = _place(chance, content)
    return content[:at] + chance.choice(_SIGNS) + content[at:]


def _replace(chance: random.Random, content: bytes) -> bytes:
    start, end = _span(chance, content)
    return content[:start] + chance.choice([chance.choice(_SIGNS), chance.randbytes(end - start)]) + content[end:]


def _delete(chance: random.Random, content: bytes) -> bytes:
    start, end = _span(chance, content)
    return content[:start] + content[end:]


def _double(chance: random.Random, content: bytes) -> bytes:
    start, end = _span(chance, content)
    return content[:end] + content[start:end] * chance.choice([1, 1, 50]) + content[end:]


def _move(chance: random.Random, content: bytes) -> bytes:
    start, end = _span(chance, content)
    rest = content[:start] + content[end:]
    at = _place(chance, rest)
    return rest[:at] + content[start:end] + rest[at:]


def _zero(chance: random.Random, content: bytes) -> bytes:
    start, end = _span(chance, content)
    return content[:start] + bytes(end - start) + content[end:]


def _append(chance: random.Random, content: bytes) -> bytes:
    return content + chance.choice([b"\n", b"\0" * 512, chance.randbytes(16), content, b"\x1a", b"<html>", b"\r\n\r\n"])


def _begin(chance: random.Random, content: bytes) -> bytes:
    return (
        chance.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\n", b" ", b"sep=;\n", b"<!doctype html>", b"\x1f\x8b"])
        + content
    )


def _lines(chance: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            del lines[one]
        case 1:
            lines.insert(other, lines[one])
        case 2:
            lines[one], lines[other] = lines[other], lines[one]
        case _:
            lines.insert(one, chance.choice([b"\n", b",\n", b'""\n', b" \n", b"\r", b"# end\n", b"total: 3\n"]))
    return b"".join(lines)


_BYTES: Final[dict[str, Callable[[random.Random, bytes], bytes]]] = {
    "cut": _cut,
    "cut at a line": _cut_at_a_line,
    "bit": _flip,
    "inserted": _insert,
    "replaced": _replace,
    "deleted": _delete,
    "doubled": _double,
    "moved": _move,
    "zeros": _zero,
    "appended": _append,
    "prefixed": _begin,
    "lines": _lines,
}


def structure(
    chance: random.Random, names: Sequence[str], given: Sequence[Texts]
) -> tuple[list[str], list[Texts], str]:
    """The columns and rows after one change of their structure or of a value, and which that was."""
    columns, rows = list(names), [dict(each) for each in given]
    column = chance.choice(columns)
    kind = chance.choice(
        ["value", "value", "value", "lost", "gained", "renamed", "order", "doubled row", "month", "case"]
    )
    if kind == "value" and rows:
        chance.choice(rows)[column] = chance.choice(VALUES)
    elif kind == "lost":
        columns.remove(column)
    elif kind == "gained":
        columns.insert(
            chance.randrange(len(columns) + 1), chance.choice(["more", "id", "Visit", " visit", "month", "visit_1"])
        )
    elif kind in {"renamed", "case"}:
        other = (
            column.upper() if kind == "case" else chance.choice([column + "s", " " + column, "x", chance.choice(names)])
        )
        columns[columns.index(column)] = other
        rows = [{other if name == column else name: text for name, text in each.items()} for each in rows]
    elif kind == "order":
        chance.shuffle(columns)
    elif kind == "doubled row" and rows:
        rows.append(chance.choice(rows))
    elif kind == "month":
        columns.append("month")
        rows = [{**each, "month": "2024-01"} for each in rows]
        if rows and chance.random() < 0.7:
            chance.choice(rows)["month"] = chance.choice(["2024-02", "2024-01.0", "", " 2024-01", None, "2024-1"])
    return columns, rows, kind
