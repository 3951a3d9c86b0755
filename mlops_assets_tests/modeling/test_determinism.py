"""Equal rows give equal models: in whatever order, by however many threads."""

from __future__ import annotations

import os
import subprocess
import sys

import ibis
import numpy as np

from mlops_assets.modeling import district_votes, person_turnout
from mlops_assets_tests.modeling.districts import returns
from mlops_assets_tests.modeling.persons import electorate


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
    answers = [training.communicate(timeout=280)[0].splitlines() for training in trainings]
    assert [training.returncode for training in trainings] == [0, 0]
    assert len(answers[0]) == 2
    assert answers[0] == answers[1]


def test_the_order_of_the_rows_does_not_matter() -> None:
    persons, drawn = electorate().table, returns()
    shuffled = persons.take(np.random.default_rng(7).permutation(persons.num_rows))
    backwards = drawn.features.take(np.arange(drawn.features.num_rows)[::-1])
    assert (
        person_turnout.train(ibis.memtable(shuffled), "2022").record
        == person_turnout.train(ibis.memtable(persons), "2022").record
    )
    assert (
        district_votes.train(ibis.memtable(backwards), drawn.tables()[1], "2022").record
        == district_votes.train(*drawn.tables(), "2022").record
    )
