"""Tests of the queries of predictions against a plain reading of the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.platform.exports.export import open_export, write_export
from mlops_assets.serving.exports.predictions import KEY, TABLE, PredictionTable
from mlops_assets_tests.serving.sample import ELECTIONS, MEASURES, export_predictions, predictions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS: list[dict[str, Any]] = sorted(predictions().to_pylist(), key=lambda row: [row[column] for column in KEY])


@pytest.fixture(name="table", scope="module")
def _table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PredictionTable]:
    folder = tmp_path_factory.mktemp("exports")
    export_predictions(folder)
    table = PredictionTable(open_export(folder))
    yield table
    table.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    filters=st.fixed_dictionaries(
        {
            "election": st.sampled_from([None, *ELECTIONS, "1900"]),
            "state": st.sampled_from([None, "NC", "GA", "ZZ"]),
            "district": st.sampled_from([None, "01", "14", "99"]),
            "measure": st.sampled_from([None, *MEASURES, "democratic_share"]),
        }
    ),
    states=st.none() | st.sets(st.sampled_from(["NC", "GA", "TX"])),
    limit=st.integers(1, 40),
)
def test_the_pages_of_any_question_are_the_rows_that_fit_it_in_order(
    table: PredictionTable, filters: dict[str, str | None], states: set[str] | None, limit: int
) -> None:
    expected = [
        tuple(row[column] for column in KEY)
        for row in ROWS
        if all(value is None or row[column] == value for column, value in filters.items())
        and (states is None or row["state"] in states)
    ]
    found: list[tuple[str, ...]] = []
    cursor: str | None = None
    while True:
        items, cursor = table.page(filters=filters, states=states, limit=limit, cursor=cursor)
        assert len(items) <= limit
        found += [(item.election, item.state, item.district, item.measure) for item in items]
        if cursor is None:
            break
    assert found == expected


def test_an_export_of_an_earlier_version_answers_without_the_columns_it_lacks(tmp_path: Path) -> None:
    rows = predictions().drop_columns(["expected_error", "expected_brier"])
    write_export(tmp_path, {TABLE: rows}, {}, keys={TABLE: KEY})
    table = PredictionTable(open_export(tmp_path))
    [votes, turnout] = table.of_district(election="2022", state="NC", district="12")
    assert (votes.value, votes.expected_error, turnout.expected_brier) == (0.5, None, None)
    table.close()
