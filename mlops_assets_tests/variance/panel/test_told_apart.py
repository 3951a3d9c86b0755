"""Small panels that look like one thing and are another, or nothing: the right name, and why.

Put here panels of a few rows, or a few groups, that a single rule must tell right. Keep out real tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.variance.panel.boundaries import contradicted
from mlops_assets.variance.panel.detection import detect
from mlops_assets.variance.panel.evidence import evidence_of
from mlops_assets.variance.panel.measures import cumulative
from mlops_assets.variance.panel.panels import Columns, Panel, read_panel
from mlops_assets.variance.panel.steps import steps_of
from mlops_assets.variance.panel.turnover import turnover_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

CLINICS, YEARS, REGIONS = 6, 8, 14


def _panel(table: pa.Table, measures: Sequence[str]) -> Panel:
    return read_panel(
        duckdb.from_arrow(table), Columns(unit="unit", group="group", time="time", measures=tuple(measures))
    )


def _rows(table: pa.Table, *measures: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["group"], row["time"]): row for row in detect(_panel(table, measures)).to_pylist()}


def _named(table: pa.Table, *measures: str) -> dict[tuple[str, str], str]:
    return {key: row["cause"] for key, row in _rows(table, *measures).items() if row["cause"] != "none"}


def _small(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]], *groups: str) -> pa.Table:
    """Two times; each measure lists the units of the groups one after another, as many for each group."""
    size = len(next(iter(first.values())))
    each = size // len(groups)
    return pa.table(
        {
            "group": [groups[place // each] for place in range(size)] * 2,
            "unit": list(range(size)) * 2,
            "time": [1] * size + [2] * size,
            **{name: [*first[name], *second[name]] for name in first},
        }
    )


def _regions(seed: int = 5) -> Values:
    """Patients and visits of clinics: regions by years by clinics by two measures, ordinary change of 2 %."""
    random = np.random.default_rng(seed)
    size = random.lognormal(9, 0.5, (REGIONS, 1, CLINICS, 2))
    return np.rint(size * np.exp(np.cumsum(random.normal(0, 0.02, (REGIONS, YEARS, CLINICS, 2)), axis=1)))


def _table(values: Values) -> pa.Table:
    """A table of the clinics; those without any patient have no row."""
    region, year, clinic = np.indices(values.shape[:3])
    there = np.isfinite(values).any(axis=-1).ravel()
    names = np.array([f"r{number:02d}" for number in range(len(values))], dtype=object)
    columns = {
        "group": names[region],
        "unit": clinic,
        "time": year,
        "patients": values[..., 0],
        "visits": values[..., 1],
    }
    return pa.table({name: column.ravel()[there] for name, column in columns.items()})


def test_every_other_year_twice_as_many_in_all_regions_is_a_season_and_no_factor() -> None:
    values = _regions() * (1 + np.arange(YEARS) % 2)[None, :, None, None]
    assert _named(_table(values), "patients", "visits") == {}


def test_one_year_a_hundred_times_as_many_in_all_regions_is_entry() -> None:
    values = _regions()
    values[:, 4, :, 0] *= 100
    assert _named(_table(values), "patients", "visits")[("r03", "4")] == "entry"


def test_a_small_number_that_is_the_same_everywhere_once_is_chance() -> None:
    first: dict[str, list[float]] = {"votes": [210e3, 180e3, 250e3, 190e3], "candidates": [2, 3, 2, 2]}
    second: dict[str, list[float]] = {"votes": [214e3, 183e3, 247e3, 193e3], "candidates": [2, 2, 2, 2]}
    assert _named(_small(first, second, "s"), "votes", "candidates") == {}


def test_one_value_that_a_measure_never_had_in_all_units_is_entry() -> None:
    values = _regions()
    values[3, 5, :, 1] = 1000
    row = _rows(_table(values), "patients", "visits")["r03", "5"]
    assert row["cause"] == "entry"
    assert "one and the same value" in row["evidence"]


def test_units_made_equal_by_a_new_map_are_a_boundary_as_their_sum_is_kept() -> None:
    first = {"people": [702e3, 664e3, 693e3, 640e3, 710e3, 655e3], "black": [14e3, 52e3, 77e3, 30e3, 41e3, 66e3]}
    second = {
        "people": [686_333, 686_333, 686_334, *first["people"][3:]],
        "black": [20e3, 47e3, 76e3, *first["black"][3:]],
    }
    assert _named(_small(first, second, "a", "b"), "people", "black") == {("a", "2"): "boundary"}


@pytest.mark.parametrize("measures", [("patients", "visits", "both"), ("patients", "visits")])
def test_a_class_defined_anew_within_units_is_entry_with_and_without_their_total(measures: tuple[str, ...]) -> None:
    values = _regions()[:1]
    moved = np.rint(0.4 * values[0, 4:, :, 1])
    values[0, 4:, :, 1] -= moved
    values[0, 4:, :, 0] += moved
    table = _table(values)
    table = table.append_column("both", pa.array(values.sum(axis=-1).ravel()))
    assert _named(table, *measures) == {("r00", "4"): "entry"}


def test_a_count_that_is_carried_on_and_stands_still_is_no_event() -> None:
    first = {"cases": [120, 340, 95, 410, 60, 220, 310, 75, 150, 505]}
    second = {"cases": [120, 340, 95, 410, 60, 220, 310, 78, 155, 513]}
    assert _named(_small(first, second, "a", "b"), "cases") == {}


def test_the_same_record_on_another_map_is_a_boundary_where_the_total_is_kept() -> None:
    first = {"votes": [300e3, 310e3, 305e3, 290e3, 280e3, 315e3], "dem": [150e3, 120e3, 200e3, 90e3, 130e3, 170e3]}
    second = {
        "votes": [350e3, 260e3, *first["votes"][2:]],
        "dem": [180e3, 90e3, *first["dem"][2:]],
    }
    assert _named(_small(first, second, "a", "b"), "votes", "dem") == {("a", "2"): "boundary"}


def test_units_that_leave_while_the_others_go_on_are_units_and_no_boundary() -> None:
    values = _regions()
    values[:9, 5:, 3:] = np.nan
    found = _rows(_table(values), "patients", "visits")
    assert {row["cause"] for row in found.values()} == {"none", "units"}
    assert {key for key, row in found.items() if row["cause"] == "units"} == {
        (f"r{number:02d}", "5") for number in range(9)
    }
    assert found["r02", "5"]["units"] == "3,4,5"
    assert "3 of 6 units left" in found["r02", "5"]["evidence"]


def test_units_whose_people_the_others_took_over_are_a_boundary() -> None:
    values = _regions()
    gone = values[4, 5:, 5].copy()
    values[4, 5:, :5] += np.rint(gone[:, None, :] * np.array([0.4, 0.3, 0.15, 0.1, 0.05])[None, :, None])
    values[4, 5:, 5] = np.nan
    assert _named(_table(values), "patients", "visits") == {("r04", "5"): "boundary"}


def test_where_units_come_and_go_at_every_time_as_many_more_are_nothing() -> None:
    values = _regions()
    random = np.random.default_rng(6)
    for region in range(REGIONS):
        for clinic in range(CLINICS):
            start = int(random.integers(0, YEARS - 2)) if random.random() < 0.7 else 0
            if start:
                values[region, :start, clinic] = np.nan
            if random.random() < 0.7:
                values[region, int(random.integers(start + 2, YEARS + 1)) :, clinic] = np.nan
    named = _named(_table(values), "patients", "visits")
    assert "boundary" not in named.values()
    assert len(named) <= 0.25 * REGIONS * (YEARS - 1)


def test_turnover_learns_how_many_units_come_and_go_ordinarily() -> None:
    values = _regions()
    for region in range(REGIONS):
        values[region, 1 + region % (YEARS - 1) :, 0] = np.nan
    panel = _panel(_table(values), ("patients", "visits"))
    steps = steps_of(panel)
    turnover = turnover_of(panel, steps, evidence_of(panel, steps, np.zeros(len(panel.unit), dtype=np.bool_)))
    assert turnover.rate == pytest.approx(2 / (CLINICS * REGIONS), rel=0.2)


def test_a_redrawing_with_another_number_of_units_speaks_against_coming_and_going() -> None:
    values = _regions()
    gone = values[4, 5:, 5].copy()
    values[4, 5:, :5] += np.rint(gone[:, None, :] / 5)
    values[4:6, 5:, 5] = np.nan
    panel = _panel(_table(values), ("patients", "visits"))
    steps = steps_of(panel)
    turnover = turnover_of(panel, steps, evidence_of(panel, steps, np.zeros(len(panel.unit), dtype=np.bool_)))
    redrawn, closed = (region * YEARS + 5 for region in (4, 5))
    assert turnover.odds[redrawn] > 1
    assert turnover.odds[closed] < -1
    assert turnover.undisturbed[closed]
    assert not turnover.undisturbed[redrawn]


def test_a_group_that_stood_still_is_not_named_though_all_others_were_redrawn() -> None:
    values = _regions()
    moved = 0.3 * values[1:, 4:]
    values[1:, 4:] += np.roll(moved, 1, axis=2) - moved
    values[0, 4] = values[0, 3]
    named = _named(_table(values), "patients", "visits")
    assert ("r00", "4") not in named
    assert set(named.values()) == {"boundary"}
    assert len(named) >= REGIONS - 2


def test_counts_that_only_went_on_counting_contradict_a_redrawing() -> None:
    random = np.random.default_rng(2)
    values = np.cumsum(random.poisson(40, (REGIONS, YEARS, CLINICS, 2)), axis=1).astype(float)
    values[:, 3] = values[:, 2]
    values[2, 5:, :2] += np.array([300.0, -300.0])[None, :, None]
    panel = _panel(_table(values), ("patients", "visits"))
    steps = steps_of(panel)
    found = contradicted(evidence_of(panel, steps, np.zeros(len(panel.unit), dtype=np.bool_)))
    assert cumulative(panel, ~steps.first).all()
    assert not found[2 * YEARS + 5]
    assert found.reshape(REGIONS, YEARS)[3:, 5].all()


def test_units_whose_changes_are_explained_by_a_factor_contradict_nothing() -> None:
    values = _regions() * 1000
    values[6, 4, 1:] *= 1000
    panel = _panel(_table(values), ("patients", "visits"))
    steps = steps_of(panel)
    left_out = (panel.group == 6) & (panel.time == 4) & (panel.unit % CLINICS > 0)
    found = contradicted(evidence_of(panel, steps, left_out))
    assert not found[6 * YEARS + 4]


def test_two_counts_that_some_units_lost_and_others_gained_exactly_are_exchanged() -> None:
    values = _regions()
    values[8, 5] = values[8, 4]
    values[8, 5, 0] += (900, 700)
    values[8, 5, 1] -= (900, 700)
    values[8, 6:] = values[8, 5]
    row = _rows(_table(values), "patients", "visits")["r08", "5"]
    assert row["cause"] == "boundary"
    assert row["units"] == "0,1"
    assert "exactly" in row["evidence"]


def test_a_handful_of_cases_that_balance_is_chance() -> None:
    values = np.rint(_regions() / 200)
    values[8, 5] = values[8, 4]
    values[8, 5, 0] += (2, 1)
    values[8, 5, 1] -= (2, 1)
    assert ("r08", "5") not in _named(_table(values), "patients", "visits")


def test_of_many_units_that_are_alike_some_pair_fits_crosswise_and_none_is_renumbered() -> None:
    random = np.random.default_rng(8)
    sizes = 1000 + 3 * np.arange(300)
    values = np.rint(sizes * np.exp(np.cumsum(random.normal(0, 0.004, (4, 300)), axis=0)))
    time, unit = np.indices(values.shape)
    table = pa.table({"group": ["all"] * values.size, "unit": unit.ravel(), "time": time.ravel(), "x": values.ravel()})
    assert "renumbering" not in _named(table, "x").values()


def test_two_units_of_one_measure_that_crossed_are_not_renumbered() -> None:
    random = np.random.default_rng(3)
    values = np.rint(np.exp(np.cumsum(random.normal(0, 0.03, (REGIONS, YEARS, 2)), axis=1)) * [1000, 1040])
    region, year, unit = np.indices(values.shape)
    columns = {"group": region, "unit": unit, "time": year, "x": values}
    assert _named(pa.table({name: column.ravel() for name, column in columns.items()}), "x") == {}
