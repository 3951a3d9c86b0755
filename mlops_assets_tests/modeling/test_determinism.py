"""Equal rows give equal models: in whatever order, by however many threads."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import ibis
import numpy as np

from mlops_assets.modeling import turnout_cells
from mlops_assets.modeling.district_model import labelled_rows
from mlops_assets.modeling.district_share import SHARE
from mlops_assets.modeling.district_votes import VOTES
from mlops_assets.modeling.fitting import model_record
from mlops_assets.modeling.forms import BOOSTED, LINEAR
from mlops_assets.modeling.person_turnout import fit
from mlops_assets.modeling.training_sets import person_cells
from mlops_assets_tests.modeling.districts import Returns, returns
from mlops_assets_tests.modeling.persons import electorate

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_assets.modeling.district_model import Target
    from mlops_assets.scoring.records import ModelRecord


def _training(threads: int) -> subprocess.Popen[str]:
    limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}
    return subprocess.Popen(
        [sys.executable, "-m", "mlops_assets_tests.modeling.train_once"],
        env={**os.environ, **limits},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_with_different_numbers_of_threads_train_the_same_files() -> None:
    trainings = [_training(threads) for threads in (1, 2)]
    answers = [training.communicate()[0].splitlines() for training in trainings]
    assert [training.returncode for training in trainings] == [0, 0]
    assert len(answers[0]) == 6
    assert answers[0] == answers[1]


def test_the_order_of_the_rows_does_not_matter() -> None:
    persons, drawn = electorate().table, returns()
    shuffled = persons.take(np.random.default_rng(7).permutation(persons.num_rows))
    backwards = drawn.features.take(np.arange(drawn.features.num_rows)[::-1])
    for form in (LINEAR, BOOSTED):
        assert _turnout(shuffled, form) == _turnout(persons, form)
        for target in (VOTES, SHARE):
            assert _of_districts(target, Returns(features=backwards, results=drawn.results), form) == _of_districts(
                target, drawn, form
            )


def _turnout(persons: pa.Table, form: str) -> ModelRecord:
    cells, history = turnout_cells.most_telling(
        turnout_cells.stored_cells(ibis.memtable(person_cells(ibis.memtable(persons), "2022")))
    )
    fitted = fit(cells, history, form)
    return model_record("turnout", fitted, cells.select(fitted.encoding.columns), {})


def _of_districts(target: Target, drawn: Returns, form: str) -> ModelRecord:
    rows = labelled_rows(target, drawn.training_set("2022"), "2022")
    fitted = target.fit(rows, form)
    return model_record(target.name, fitted, rows.select(fitted.encoding.columns), {})
