"""Times lie as far apart on a chart as they are, in whatever way a table writes them."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from mlops_assets.variance.report.time_axis import TimeAxis


def _ticks(axis: TimeAxis, most: int = 12) -> list[str]:
    figure = Figure(figsize=(10, 2))
    axes = figure.add_subplot()
    axis.dress(axes, most=most)
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    return [label.get_text() for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["2024-01", "2024-02"], "days"),
        (["202401", "202402"], "days"),
        (["1976", "2024-03-05", "2024-03-05 00:00:00"], "days"),
        (["1", "2", "30"], "numbers"),
        (["spring", "summer"], "texts"),
        (["2024-01", "later"], "texts"),
    ],
)
def test_dates_and_numbers_are_recognised(labels: list[str], kind: str) -> None:
    assert TimeAxis.of(labels).kind == kind


def test_a_gap_of_four_months_is_four_times_as_wide_as_one() -> None:
    places = TimeAxis.of(["2025-09", "2025-01", "2025-05", "2025-01"]).places
    assert list(places) == ["2025-01", "2025-05", "2025-09"]
    assert places["2025-09"] - places["2025-05"] == 123
    assert places["2025-05"] - places["2025-01"] == 120


def test_texts_keep_their_order_one_step_apart() -> None:
    assert TimeAxis.of(["summer", "autumn", "summer"]).places == {"summer": 0, "autumn": 1}


@pytest.mark.parametrize(
    ("labels", "ticks"),
    [
        (["1976", "2020"], {"1980", "1990", "2020"}),
        (["2024-01", "2024-06"], {"2024-01", "2024-06"}),
        (["1", "2", "3"], {"1", "2", "3"}),
        (["spring", "summer"], {"spring", "summer"}),
        (["2024"], {"2024"}),
    ],
)
def test_ticks_are_written_as_the_table_writes_its_times(labels: list[str], ticks: set[str]) -> None:
    assert ticks <= set(_ticks(TimeAxis.of(labels)))


def test_many_times_have_few_ticks_and_with_room_for_two_the_ends() -> None:
    axis = TimeAxis.of([f"2020-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 29)])
    assert len(_ticks(axis)) <= 13
    assert _ticks(axis, most=2) == ["2020-01-01", "2020-12-28"]
    texts = TimeAxis.of([f"wave {n}" for n in range(100)])
    assert len(_ticks(texts)) <= 12


def test_no_times_have_no_axis() -> None:
    TimeAxis.of([]).dress(Figure().add_subplot(), most=5)
