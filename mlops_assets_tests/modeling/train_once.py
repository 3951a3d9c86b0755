"""A process that trains every form of every model on the small tables and prints them, for the test of determinism.

Put here one training in a process of its own. Keep out the comparison.
"""

from __future__ import annotations

from typing import Final

import ibis

from mlops_assets.modeling import turnout_cells
from mlops_assets.modeling.district_model import labelled_rows
from mlops_assets.modeling.district_share import SHARE
from mlops_assets.modeling.district_votes import VOTES
from mlops_assets.modeling.fitting import model_record
from mlops_assets.modeling.forms import BOOSTED, LINEAR
from mlops_assets.modeling.person_turnout import fit
from mlops_assets.modeling.training_sets import person_cells
from mlops_assets_tests.modeling.districts import returns
from mlops_assets_tests.modeling.persons import electorate

ENOUGH_FOR_SEVERAL_THREADS: Final = 20_000
"""Persons at which libraries share the work between threads, and sums would come out otherwise (4,000 do not)."""

if __name__ == "__main__":
    persons = electorate(persons=ENOUGH_FOR_SEVERAL_THREADS)
    cells, history = turnout_cells.most_telling(
        turnout_cells.stored_cells(ibis.memtable(person_cells(persons.features(), "2022")))
    )
    for form in (LINEAR, BOOSTED):
        turnout = fit(cells, history, form)
        print(form, model_record("turnout", turnout, cells.select(turnout.encoding.columns), {}))  # noqa: T201  answer
        for target in (VOTES, SHARE):
            rows = labelled_rows(target, returns().training_set("2022"), "2022")
            fitted = target.fit(rows, form)
            print(form, model_record(target.name, fitted, rows.select(fitted.encoding.columns), {}))  # noqa: T201
