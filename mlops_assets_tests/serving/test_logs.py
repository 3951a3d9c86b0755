"""Tests of the log's lines."""

from __future__ import annotations

import io
import json
import logging
from datetime import datetime, timedelta

import pytest

from mlops_assets.serving.http.logs import FIELDS, JsonLines, JsonOutput, write_line

FIVE_SECONDS = timedelta(seconds=5)


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


@pytest.mark.parametrize("value", ["plain", "Doña Ana", 'quote " and \n line', None])
def test_a_line_that_passes_the_library_by_is_the_one_that_the_library_writes(
    monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written)
    monkeypatch.setattr(logging.root, "handlers", [JsonOutput(stream)])
    logger = logging.getLogger("mlops_assets.serving.of_tests")
    logger.setLevel(logging.INFO)
    logger.info("said", extra={FIELDS: {"value": value}})
    write_line(logger, "said", {"value": value})
    first, second = (json.loads(line) for line in written.getvalue().splitlines())
    assert abs(datetime.fromisoformat(first.pop("time")) - datetime.fromisoformat(second.pop("time"))) < FIVE_SECONDS
    assert list(first.items()) == list(second.items())


def test_a_line_is_logged_also_where_nobody_has_set_the_log_up(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        write_line(logging.getLogger("mlops_assets.serving.of_tests"), "said", {"value": 1})
    assert [record.message for record in caplog.records] == ["said"]


def test_a_stream_that_takes_nothing_ends_no_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()
    monkeypatch.setattr(logging.root, "handlers", [JsonOutput(stream)])
    logger = logging.getLogger("mlops_assets.serving.of_tests")
    logger.setLevel(logging.INFO)
    write_line(logger, "said", {})
    assert "Logging error" in capsys.readouterr().err
