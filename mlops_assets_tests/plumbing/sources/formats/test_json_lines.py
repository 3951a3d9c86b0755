"""JSON Lines keep the text of every value, and refuse by its number a line that is no object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.delivered import Workplace
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Quiet
from mlops_assets.plumbing.sources.formats.json_lines import JsonLines
from mlops_assets.plumbing.sources.formats.json_rows import Answer
from mlops_assets_tests.plumbing.sources.commands import shell
from mlops_assets_tests.plumbing.sources.shop import SALES, rows, run

if TYPE_CHECKING:
    from pathlib import Path

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
OBJECTS = st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES, min_size=1), min_size=1, max_size=6)


def read(content: bytes, scratch: Path, cut: int | None = None) -> list[dict[str, Any]]:
    """The rows by name."""
    cuts = [*range(0, max(1, len(content)), 2**20)] if cut is None else [0, cut]
    blocks = [content[start:end] for start, end in zip(cuts, [*cuts[1:], len(content)], strict=True)]
    with duckdb.connect() as connection:
        work = Workplace(connection=connection, scratch=scratch)
        found = JsonLines().rows(iter(blocks), work, "File x", proven=False).rows
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def refusal(content: bytes, scratch: Path) -> str:
    """What is told of it."""
    with pytest.raises(SourceError) as caught:
        read(content, scratch)
    return str(caught.value)


def test_numbers_and_nested_values_keep_their_text(tmp_path: Path) -> None:
    lines = b"""\
{"id": 12345678901234567890123, "price": 1.10, "e": 1e400, "zero": -0, "on": true, "note": null}
{"id":7,"price":-0.0,"tags":[1.50, {"a" : "x:\\u00e9"}],"note":"a \\"b\\": c \\ud83d\\ude42"}
"""
    first, second = read(lines, tmp_path)
    assert first == {
        "id": "12345678901234567890123",
        "price": "1.10",
        "e": "1e400",
        "zero": "-0",
        "on": "true",
        "note": None,
        "tags": None,
    }
    assert second == {
        "id": "7",
        "price": "-0.0",
        "e": None,
        "zero": None,
        "on": None,
        "note": 'a "b": c 🙂',
        "tags": '[1.50, {"a" : "x:\\u00e9"}]',
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(objects=OBJECTS, data=st.data())
def test_values_are_those_of_a_rest_source_wherever_the_file_is_cut(
    tmp_path: Path, objects: list[dict[str, Any]], data: st.DataObject
) -> None:
    texts = [json.dumps(each, ensure_ascii=data.draw(st.booleans())) for each in objects]
    try:
        answer = Answer(f"[{','.join(texts)}]".encode(), "answer").rows(None).columns()
    except SourceError:
        return
    content = "\n".join(texts).encode()
    found = read(content, tmp_path, data.draw(st.integers(0, len(content))))
    assert {name: [row[name] for row in found] for name in answer} == answer


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_line_is_whole_when_its_object_is(tmp_path: Path, end: bytes) -> None:
    assert read(b'\xef\xbb\xbf{"a":1}\r\n{"a":2}' + end, tmp_path) == [{"a": "1"}, {"a": "2"}]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"a":1}\n{"a":2', "Line 2 of File x"),
        (b'{"a":1}\n\n{"a":2}\n', "its line 2 is blank"),
        (b'{"a":1}\n{"a":2}\n\n', "its line 3 is blank"),
        (b'{"a":1}\n{"a":[1\n2]},{"a":3}\n', "Line 2 of File x"),
        (b'{"a":1}{"a":2}\n', "Line 1 of File x"),
        (b'{"a":1}\n[1]\n', "its line 2 is no object"),
        (b'[{"a":1},{"a":2}]\n', "its line 1 is no object"),
        (b'{"a":1}\n{"a":1,"b":2,"a":3}\n', "gives a name twice"),
        (b'{"a":1}\n{"a" \t: "x\\": y", "a":3}\n', "Line 2 of File x: an object of its JSON gives a name twice"),
        (b'{"a":1}\n{"a":' + b"[" * 5000 + b"]" * 5000 + b"}\n", "nested too deep"),
        (b'{"a":"\\ud800"}\n', "Line 1 of File x"),
        (b'{"a":"x\xff"}\n', "its JSON is not UTF-8"),
        (b'{"a":NaN}\n', "Line 1 of File x"),
        (b'{"a":' + b"1" * 5000 + b"}\n", "line 1 "),
        (b'{"a":1,"A":2}\n', "differ by their case alone"),
        (b'{"":1}\n', "one of its columns has no name"),
        (b"{}\n", "its rows hold no values"),
        (b"", "it is empty"),
        (b'{"a":"' + b"x" * 18_000_000 + b'"}\n', "its line 1 is longer than"),
        (b"".join(b'{"k%d":1}\n' % number for number in range(3_000)), "more than 2,000 columns"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
def test_what_is_no_object_for_each_line_is_refused_by_its_number(tmp_path: Path, content: bytes, told: str) -> None:
    message = refusal(content, tmp_path)
    assert told in message
    assert "xx" not in message


def test_a_file_of_many_lines_is_read_in_parts_and_the_bad_one_is_told(tmp_path: Path) -> None:
    lines = [b'{"id":%d,"text":"%s"}' % (number, b"x" * 200) for number in range(30_000)]
    assert [row["id"] for row in read(b"\n".join(lines), tmp_path)] == [str(number) for number in range(30_000)]
    lines[25_000] = b'{"id":'
    assert "Line 25,001 of File x" in refusal(b"\n".join(lines), tmp_path)


def test_files_and_commands_give_it_by_yaml_and_python(tmp_path: Path) -> None:
    line = {"sale": 1, "day": "2024-01-03", "amount": 1.5, "note": "words"}
    (tmp_path / "2024-01.jsonl").write_text(json.dumps(line), encoding="utf-8")
    whole = Quiet(seconds=0)
    source = FileSource(
        contract=SALES, path=str(tmp_path), file="{month}.jsonl", format=JsonLines(), whole=whole, retries=0
    )
    assert run(source).success
    published = rows()
    assert len(published) == 1
    assert run(shell('cat "$1"', str(tmp_path / "2024-01.jsonl"), format=JsonLines())).success
    assert rows() == published
