"""Tests of how the rows of a JSON answer become columns of text."""

from __future__ import annotations

import pytest

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.formats.json_rows import Answer


def columns(body: str) -> dict[str, list[str | None]]:
    return Answer(body.encode(), "https://shop.example/orders").rows(None).columns()


def test_values_are_as_they_are_written_whatever_else_their_column_holds() -> None:
    body = r"""[
        {"number": 12345678901234567890.10, "text": "a\"é\n,", "nested": {"a": [1, "x"]}, "any": "1", "truth": true},
        {"number": -0.0, "text": "null", "nested": [], "any": 1, "truth": null},
        {"number": null, "text": null, "nested": null, "any": {"a": 1, "a": 2}, "late": 1E+3}
    ]"""
    assert columns(body) == {
        "number": ["12345678901234567890.10", "-0.0", None],
        "text": ['a"é\n,', "null", None],
        "nested": ['{"a": [1, "x"]}', "[]", None],
        "any": ["1", "1", '{"a": 1, "a": 2}'],
        "truth": ["true", None, None],
        "late": [None, None, "1E+3"],
    }


@pytest.mark.parametrize(
    "body",
    [
        '[{"a": 1}, {"a": 1, "b": 2, "a": 3}]',
        r'[{"a": "\"", "\u0061": null}]',
        r'[{"q\"": 1, "a": 1, "a": 1}]',
        '[{"": 0, "": 0}]',
    ],
)
def test_a_name_that_comes_again_in_a_row_is_refused(body: str) -> None:
    with pytest.raises(SourceError, match="gives a name twice"):
        columns(body)


def test_quotes_in_names_and_values_are_no_name_that_comes_again() -> None:
    assert columns(r'[{"q\"": "\"\"", "q\u0022\"": {"q\"": "\\\""}, "": "{\"a\": 1}"}]') == {
        'q"': ['""'],
        'q""': [r'{"q\"": "\\\""}'],
        "": ['{"a": 1}'],
    }


def test_text_that_is_no_text_is_refused() -> None:
    with pytest.raises(SourceError, match="the JSON breaks"):
        columns(r'[{"a": "x"}, {"a": "\ud800"}]')
