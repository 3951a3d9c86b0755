"""Tests of the log's lines."""

from __future__ import annotations

import json
import logging

import pytest

from mlops_assets.serving.logs import FIELDS, JsonLines


@pytest.mark.parametrize("value", ["plain", "Doña Ana\u2028", "damaged \udcff name", 'quote " and \n line', None, 1.5])
def test_a_line_is_one_json_object_in_ascii_whatever_a_field_holds(value: object) -> None:
    record = logging.makeLogRecord({"name": "test", "msg": "said", FIELDS: {"value": value}})
    line = JsonLines().format(record)
    assert line.isascii()
    assert "\n" not in line
    told = json.loads(line)
    assert told["value"] == value
    assert told["message"] == "said"


def test_a_field_that_json_does_not_know_is_written_as_text() -> None:
    record = logging.makeLogRecord({"name": "test", "msg": "said", FIELDS: {"error": OSError("no disk")}})
    assert json.loads(JsonLines().format(record))["error"] == "no disk"
