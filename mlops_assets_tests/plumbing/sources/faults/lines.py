"""Rounds on JSON Lines: bytes, lines, names and values that are not what they were.

Put here faults of JSON Lines. Keep out one JSON document (``service``) and how a line is read (``json_reference``).
"""

from __future__ import annotations

import gzip
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Quiet
from mlops_assets.plumbing.sources.formats.json_lines import JsonLines
from mlops_assets_tests.plumbing.sources.faults import json_reference, mutations, visits
from mlops_assets_tests.plumbing.sources.faults.dialects import contract
from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError, Row, typed
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench, Case, complete
from mlops_assets_tests.plumbing.sources.faults.visits import MONTH, NAMES, Texts

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?")
_NUMBERS: Final = frozenset({"visit", "amount", "price", "small"})
_ODD: Final = (
    "null", "true", "false", "NaN", "-Infinity", "-0", "-0.0", "1E5", "1e400", "0.10", "01", "+1", ".5", "1.", "0x1",
    "12345678901234567890123", "9" * 5000, "1.5e-400", '""', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude42"', '"a\\/b"',
    '"\t"', '"\\x"', "'a'", "[]", "[1,  2.50]", '{"a" : 1}', '{"a":1,"a":2}', '[{"b":1,"b":1}]', '{"a":{"":[]}}',
    "[" * 300 + "]" * 300, "[" * 3000 + "]" * 3000, "{}", "", "1 2", "undefined", '"2024-01-01T00:00:00Z"',
    '"\u2028"', '"\x7f"', '"' + "x" * 70_000 + '"', "/* */ 1", "\\u0031",
)  # fmt: skip
_LINES: Final = (
    b"", b" ", b"\r", b"{}", b"[]", b"null", b"1", b'"x"', b"[{}]", b'{"visit": 1}', b'{"VISIT": 1}', b"{", b"}",
    b'{"visit": 1}{"visit": 2}', b'{"visit": 1,}', b"# end", b"\xef\xbb\xbf{}", b'{"who": "\xff"}', b"\0", b"\x1e",
    b'{"month": "2024-01"}', b'{"": null}', b'{"more": null}', b'{"visit ": 1}', b'\t{"visit":\t1}\t',
)  # fmt: skip


@contextmanager
def json_lines(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """JSON Lines with bytes, lines, names or values that are not what they were."""
    given = visits.rows(chance)
    good = written(chance, NAMES, given)
    content, fault = _broken(chance, good, given)
    pack = chance.random() < 0.2
    with bench.room() as room:
        file = room / f"{MONTH}.jsonl"
        file.write_bytes(gzip.compress(content) if pack else content)
        yield Case(
            fault=fault,
            source=FileSource(
                contract=contract(chance),
                path=str(room),
                file="{month}.jsonl",
                whole=Quiet(seconds=0),
                format=JsonLines(),
            ),
            accepted=accepted(content),
            truth=typed(json_reference.lines(good)),
            heal=lambda: file.write_bytes(good),
            private=content + visits.words_of(given),
        )


def accepted(content: bytes) -> list[list[Row]]:
    """What counts as complete of that content."""
    try:
        return complete(json_reference.lines(content))
    except RefusedError:
        return []


def written(chance: random.Random, names: Sequence[str], given: Sequence[Texts]) -> bytes:
    """A good file of these rows, in one of the ways in which there are."""
    end = chance.choice(["\n", "\n", "\n", "\r\n"])
    plain, space = chance.random() < 0.5, chance.choice(["", " "])
    found = []
    for each in given:
        order = chance.sample(list(names), len(names)) if chance.random() < 0.2 else names
        values = {name: _value(name, each.get(name), plain=plain) for name in order}
        pairs = [
            f"{json.dumps(name)}:{space}{value}"
            for name, value in values.items()
            if value != "null" or chance.random() < 0.8
        ]
        found.append("{" + f",{space}".join(pairs) + "}")
    text = end.join(found) + chance.choice([end, end, ""])
    mark = b"\xef\xbb\xbf" if chance.random() < 0.1 else b""
    # A name that all lines lack would be missing.
    whole = all(any(f"{json.dumps(name)}:" in line for line in found) for name in names)
    return mark + text.encode() if whole else written(chance, names, given)


def _value(name: str, text: str | None, *, plain: bool) -> str:
    if text is None:
        return "null"
    if name == "paid" and text.lower() in {"true", "false"}:
        return text.lower()
    if name in _NUMBERS and _NUMBER.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=plain)


def _broken(chance: random.Random, good: bytes, given: Sequence[Texts]) -> tuple[bytes, str]:
    match chance.randrange(6):
        case 0 | 1:
            return mutations.some(chance, good)
        case 2:
            columns, rows, fault = mutations.structure(chance, NAMES, given)
            return _plainly(columns, rows), fault
        case 3:
            lines = good.split(b"\n")
            lines.insert(chance.randrange(len(lines) + 1), chance.choice(_LINES))
            return b"\n".join(lines), "a line"
        case 4:
            return _odd_value(chance, given), "a value as it is written"
        case _:
            return _otherwise(chance, good)


def _plainly(names: Sequence[str], given: Sequence[Texts]) -> bytes:
    lines = [
        "{" + ",".join(f"{json.dumps(name)}:{json.dumps(each.get(name))}" for name in names) + "}" for each in given
    ]
    return "".join(line + "\n" for line in lines).encode()


def _odd_value(chance: random.Random, given: Sequence[Texts]) -> bytes:
    at, name, odd = chance.randrange(len(given)), chance.choice([*NAMES, "who", "who"]), chance.choice(_ODD)
    lines = []
    for number, each in enumerate(given):
        values = {each_name: _value(each_name, text, plain=True) for each_name, text in each.items()}
        if number == at:
            values[name] = odd
        lines.append("{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in values.items()) + "}\n")
    return "".join(lines).encode("utf-8", "surrogatepass")


def _otherwise(chance: random.Random, good: bytes) -> tuple[bytes, str]:
    """The same rows in another form than lines."""
    rows: list[Any] = [json.loads(line) for line in good.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    form = chance.choice(["a list", "indented", "UTF-16", "one line", "records", "CR"])
    match form:
        case "a list":
            return json.dumps(rows).encode(), form
        case "indented":
            return "\n".join(json.dumps(row, indent=1) for row in rows).encode(), form
        case "UTF-16":
            return good.decode("utf-8-sig").encode("utf-16"), form
        case "one line":
            return "".join(json.dumps(row) for row in rows).encode(), form
        case "records":
            return b"".join(b"\x1e%b\n" % json.dumps(row).encode() for row in rows), form
        case _:
            return good.replace(b"\n", b"\r"), form
