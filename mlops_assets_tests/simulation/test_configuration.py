"""What a simulation may be made from."""

from __future__ import annotations

import pytest

from mlops_assets.simulation.configuration import MONTHS, SimulationConfig, SimulationError, month_index


def test_the_months_are_eighteen_from_july_2021() -> None:
    assert (MONTHS[0], MONTHS[5], MONTHS[6], MONTHS[-1], len(MONTHS)) == (
        "2021-07", "2021-12", "2022-01", "2022-12", 18,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"voters_per_state": 10}, "voters_per_state is 10. Give 500 or more"),
        ({"months": 0}, "months is 0"),
        ({"months": 19}, "Give 1 to 18"),
    ],
)
def test_a_world_that_cannot_be_made_is_refused_with_the_range(given: dict[str, int], message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        SimulationConfig(**given)


def test_an_unknown_month_is_refused_with_the_range() -> None:
    with pytest.raises(SimulationError, match="from 2021-07 to 2022-12"):
        month_index("2023-01")


def test_random_streams_depend_on_seed_and_name_alone() -> None:
    def first(seed: int, *names: str) -> float:
        return float(SimulationConfig(seed=seed, voters_per_state=1000).stream(*names).random())

    assert first(1, "NC", "a") == first(1, "NC", "a")
    assert len({first(1, "NC", "a"), first(2, "NC", "a"), first(1, "GA", "a"), first(1, "NC", "b")}) == 4
