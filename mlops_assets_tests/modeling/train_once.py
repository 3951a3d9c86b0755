"""A process that trains both models on the small tables and prints their versions, for the test of determinism.

Put here one training in a process of its own. Keep out the comparison.
"""

from __future__ import annotations

from typing import Final

from mlops_assets.modeling import district_votes, person_turnout
from mlops_assets_tests.modeling.districts import returns
from mlops_assets_tests.modeling.persons import electorate

ENOUGH_FOR_SEVERAL_THREADS: Final = 20_000
"""Persons at which libraries share the work between threads, and sums would come out otherwise (4,000 do not)."""

if __name__ == "__main__":
    for trained in (
        person_turnout.train(electorate(persons=ENOUGH_FOR_SEVERAL_THREADS).features(), "2022"),
        district_votes.train(*returns().tables(), "2022"),
    ):
        print(trained.record.version, trained.record.row()["parameters"])  # noqa: T201 - the answer of the process
