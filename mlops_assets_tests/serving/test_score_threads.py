"""Where rows are scored: on the event loop while that is quick, else in a thread, with the same scores."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops_assets.scoring.scorer import Cost, load_unsigned
from mlops_assets.serving.exports.models import LoadedModel
from mlops_assets.serving.exports.scoring import RowsError, score_rows, score_tensors
from mlops_assets_tests.serving.sample import turnout_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.scoring.feeds import Feed, Tensor
    from mlops_assets.scoring.inputs import Value
    from mlops_assets.serving.exports.scoring import Scores


class Watched:
    """The sample's model, of which is seen in which thread it scores."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cost: Cost) -> None:
        self.threads: list[int] = []
        scorer = load_unsigned(turnout_model())
        scorer.cost = cost
        self.model = LoadedModel(trained_for="2024", scorer=scorer)
        run = scorer._run

        def watched(feed: Feed, rows: int) -> Scores:
            self.threads.append(threading.get_ident())
            return run(feed, rows)

        monkeypatch.setattr(scorer, "_run", watched)

    def rows(self, rows: Sequence[Mapping[str, Value]]) -> list[float]:
        """The scores of rows."""
        return asyncio.run(score_rows(self.model, rows)).tolist()  # type: ignore[no-any-return]

    def tensors(self, rows: int, tensors: dict[str, Tensor]) -> list[float]:
        """The scores of tensors that are said to have so many rows."""
        return asyncio.run(score_tensors(self.model, rows, lambda: tensors)).tolist()  # type: ignore[no-any-return]

    @property
    def here(self) -> bool:
        """Whether the last was scored in the thread of the event loop."""
        return self.threads[-1] == threading.get_ident()


@pytest.mark.parametrize(("rows", "here"), [(1, True), (9, True), (11, False), (1000, False)])
def test_what_is_likely_to_take_more_than_a_millisecond_is_scored_in_a_thread(
    monkeypatch: pytest.MonkeyPatch, rows: int, *, here: bool
) -> None:
    watched = Watched(monkeypatch, Cost(call=0.0, row=0.0001))
    assert watched.rows([{"age": 40, "party": "DEM"}] * rows) == [19.0] * rows
    assert watched.here is here
    tensors = {"age": np.full(rows, 40.0), "party": np.array(["DEM"] * rows, dtype=object)}
    assert watched.tensors(rows, tensors) == [19.0] * rows
    assert watched.here is here


def test_a_costly_model_scores_a_single_row_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, Cost(call=0.002, row=0.0))
    assert watched.rows([{"age": 40, "party": "DEM"}]) == [19.0]
    assert not watched.here


@pytest.mark.parametrize("row", [{"age": "old", "party": "DEM"}, {"age": 1}])
@pytest.mark.parametrize("cost", [0.0, 1.0])
def test_rows_that_do_not_fit_are_refused_from_either(
    monkeypatch: pytest.MonkeyPatch, row: dict[str, Value], cost: float
) -> None:
    with pytest.raises(RowsError):
        Watched(monkeypatch, Cost(call=cost, row=0.0)).rows([row])
