"""Segments in models: every person is in one, errors are told by it, and no model reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis
import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.contracts.models import FORMS
from mlops_assets.contracts.segmentation import POOLED
from mlops_assets.modeling import turnout_cells
from mlops_assets.modeling.person_turnout import fit, past_tests
from mlops_assets.modeling.person_turnout_evaluation import SAME_AS_SEGMENT, evaluate
from mlops_assets.modeling.segments import EXPECTED, SEGMENT, UNKNOWN, with_segments
from mlops_assets.modeling.trained import MODEL
from mlops_assets.modeling.training_sets import person_cells
from mlops_assets.wrangling.segment_turnout import segment_turnout
from mlops_assets_tests.modeling.persons import electorate

if TYPE_CHECKING:
    from mlops_assets.modeling.trained import Measured

DRAWN: Final = electorate(persons=6_000)
FORECAST: Final = "2022"


def segments(candidate: str = "age_group") -> pa.Table:
    """What wrangling would publish of the drawn persons."""
    row = {"candidate": candidate, "series": "", "followed": True, "reason": "it tells most"}
    return segment_turnout(DRAWN.features(), [row], [], [], forecast=FORECAST)


@pytest.fixture(scope="module")
def cells() -> pa.Table:
    """The training set with segments, as a model reads it."""
    return turnout_cells.stored_cells(ibis.memtable(person_cells(DRAWN.features(), FORECAST, segments())))


@pytest.fixture(scope="module")
def measured(cells: pa.Table) -> list[Measured]:
    return evaluate(cells, FORECAST)


def test_every_person_is_named_after_a_segment_and_nobody_is_counted_twice() -> None:
    table = with_segments(DRAWN.features(), segments("district x age_group")).to_pyarrow()
    assert table.num_rows == DRAWN.table.num_rows
    for row in table.slice(0, 50).to_pylist():
        assert row[SEGMENT] == f"district={row['district']}, age_group={row['age_group']}"


def test_who_is_in_no_listed_segment_is_in_the_small_ones_with_the_states_turnout() -> None:
    listed = segments()
    listed = listed.filter(pa.array([row["age_group"] != "UNKNOWN" for row in listed.to_pylist()]))
    rows = with_segments(DRAWN.features(), listed).to_pyarrow().to_pylist()
    small = [row for row in rows if row["age_group"] == "UNKNOWN" and row["election"] == "2020"]
    levels = {row["state"]: row["state_turnout"] for row in listed.to_pylist() if row["election"] == "2020"}
    assert small
    assert all((row[SEGMENT], row[EXPECTED]) == (POOLED, levels[row["state"]]) for row in small)


@pytest.mark.parametrize("none", [None, segments().slice(0, 0)])
def test_without_segments_they_are_unknown(none: pa.Table | None) -> None:
    cells = person_cells(DRAWN.features(), FORECAST, none)
    assert set(cells.column(SEGMENT).to_pylist()) == {UNKNOWN}
    assert cells.column(EXPECTED).null_count == cells.num_rows
    assert set(cells.column("segmentation").to_pylist()) == {""}


def test_segments_leave_every_form_as_it_was(cells: pa.Table) -> None:
    known, history = turnout_cells.most_telling(cells)
    for form in FORMS:
        assert not {SEGMENT, EXPECTED, "segmentation"} & set(fit(known, history, form).encoding.columns)
    without = turnout_cells.stored_cells(ibis.memtable(person_cells(DRAWN.features(), FORECAST)))
    for test, other in zip(past_tests(cells), past_tests(without), strict=True):
        for form in FORMS:
            assert np.array_equal(test.probabilities[form], other.probabilities[form])


def test_the_past_of_segments_is_a_guess_beside_the_others(measured: list[Measured]) -> None:
    overall = {
        (one.estimator, one.level): one.metrics for one in measured if (one.tested_on, one.segment) == ("2020", "all")
    }
    own = overall[SAME_AS_SEGMENT, "person"]["log_loss"]
    assert overall[MODEL, "person"]["log_loss"] < own < overall["same_as_last_time", "person"]["log_loss"]
    assert (SAME_AS_SEGMENT, "district") in overall


def test_errors_are_told_by_segment(cells: pa.Table, measured: list[Measured]) -> None:
    rows = [one for one in measured if one.segment == "segment=age_group=45+" and one.tested_on == "2020"]
    assert {one.estimator for one in rows} == {MODEL, SAME_AS_SEGMENT}
    here = [row for row in cells.to_pylist() if row["election"] == "2020" and row[SEGMENT] == "age_group=45+"]
    turnout = sum(row["voted"] for row in here) / sum(row["labelled"] for row in here)
    for one in rows:
        assert one.metrics["observed"] == pytest.approx(turnout)
        assert one.metrics["error"] == pytest.approx(turnout - one.metrics["predicted"])


def test_segments_whose_past_is_not_known_give_no_guess(cells: pa.Table) -> None:
    place = cells.column_names.index(EXPECTED)
    unknown = cells.set_column(place, EXPECTED, pa.nulls(cells.num_rows, pa.float64()))
    assert SAME_AS_SEGMENT not in {one.estimator for one in evaluate(unknown, FORECAST)}
