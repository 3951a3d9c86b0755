"""Choosing segments: what tells cases apart in a time not yet seen wins, and a redrawn map ends or bridges a series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.variance.linked.crosswalk import carried, shares
from mlops_assets.variance.segmentation.choice import SegmentationError, segmentation
from mlops_assets.variance.segmentation.segments import BRIDGED, CUT, Candidate, Cells, Finest, expected

TIMES = ("2014", "2016", "2018", "2020")


def _cells(
    rate: Any,  # noqa: ANN401  a function of a row
    *,
    redrawn: str | None = None,
    bridge: bool = False,
    cases: int = 400,
    times: tuple[str, ...] = TIMES,
) -> Cells:
    """Two groups of four units, two ages, two parties; from a time on unit 1 is what unit 2 was, and so on."""
    chance = np.random.default_rng(5)
    rows = []
    for time in times:
        later = redrawn is not None and time >= redrawn
        for group in ("A", "B"):
            for place in range(4):
                for age in ("old", "young"):
                    for party in ("x", "y"):
                        unit = str((place + 1) % 4 if later else place)
                        p = rate(place=place, age=age, party=party)
                        rows.append(
                            {
                                "time": time, "group": group, "unit": unit, "vintage": int(later), "age": age,
                                "party": party, "cases": cases, "successes": int(chance.binomial(cases, p)),
                            }
                        )  # fmt: skip
    walk = shares([(str(place), str((place + 1) % 4), 100) for place in range(4)])
    crosswalks = {(group, 1): walk for group in ("A", "B")} if bridge else {}
    return Cells(table=pa.Table.from_pylist(rows), dimensions=("age", "party"), crosswalks=crosswalks)


def _chosen(cells: Cells, **given_: Any) -> dict[str, Any]:  # noqa: ANN401  passed on
    rows: list[dict[str, Any]] = segmentation(cells, **given_).to_pylist()
    (row,) = [row for row in rows if row["chosen"]]
    return row


def test_the_class_that_decides_is_chosen_and_not_its_crossings() -> None:
    row = _chosen(_cells(lambda age, **_: 0.7 if age == "old" else 0.3))
    assert row["candidate"] == "age"
    assert (row["tests"], row["eligible"]) == (3, True)


def test_two_classes_that_decide_together_are_crossed() -> None:
    row = _chosen(_cells(lambda age, party, **_: 0.8 if (age == "old") == (party == "x") else 0.3))
    assert row["candidate"] == "age x party"


def test_where_nothing_differs_whole_groups_are_chosen() -> None:
    assert _chosen(_cells(lambda **_: 0.5))["candidate"] == "whole groups"


def test_units_over_a_redrawn_map_are_refused_cut_or_bridged() -> None:
    def rate(place: int, **_: str) -> float:
        return 0.2 + 0.2 * place

    rows = segmentation(_cells(rate, redrawn="2018", bridge=True)).to_pylist()
    of_units = {row["series"]: row for row in rows if row["candidate"] == "unit"}
    assert not of_units["as labelled"]["eligible"]
    assert "not the same before and after a map changed" in of_units["as labelled"]["reason"]
    assert of_units["bridged"]["error"] < of_units["cut"]["error"] < of_units["as labelled"]["error"]
    assert of_units["bridged"]["chosen"]


def test_without_a_crosswalk_the_series_is_cut() -> None:
    rows = segmentation(_cells(lambda place, **_: 0.2 + 0.2 * place, redrawn="2018")).to_pylist()
    assert {row["series"] for row in rows if row["candidate"] == "unit"} == {"as labelled", "cut"}


def test_cells_of_few_cases_are_refused_with_the_share() -> None:
    rows = segmentation(_cells(lambda age, **_: 0.7 if age == "old" else 0.3, cases=10), least_cell=30).to_pylist()
    small = [row for row in rows if row["smallest_cell"] < 30]
    assert small
    assert all(not row["eligible"] and "of the cases are in cells of fewer than 30" in row["reason"] for row in small)


def test_times_are_in_the_order_of_the_calendar() -> None:
    data = Finest(_cells(lambda **_: 0.5, times=("Feb 2020", "Jan 2020", "Apr 2020")))
    assert data.times == ["Jan 2020", "Feb 2020", "Apr 2020"]
    assert [set(data.codes["time"][rows].tolist()) for rows in data.rows] == [{0}, {1}, {2}]


def test_one_time_is_refused() -> None:
    with pytest.raises(SegmentationError, match=r"Cases of 1 times cannot be segmented"):
        segmentation(_cells(lambda **_: 0.5, times=("2014",)))


def test_a_barred_class_is_compared_and_chosen_but_not_followed() -> None:
    cells = _cells(lambda age, party, **_: (0.8 if age == "old" else 0.2) + (0.1 if party == "x" else 0.0))
    rows = segmentation(cells, barred=("age",)).to_pylist()
    (chosen,), (followed,) = ([row for row in rows if row[column]] for column in ("chosen", "followed"))
    assert "age" in chosen["candidate"]
    assert followed["candidate"] == "party"
    assert followed["reason"].endswith("; the best without age")
    assert _chosen(cells, barred=("unit",))["followed"]


def test_the_past_of_a_unit_comes_over_the_crosswalk_and_ends_at_a_cut() -> None:
    cells = _cells(lambda place, **_: 0.2 + 0.2 * place, redrawn="2018", bridge=True)
    last = {}
    for series in (BRIDGED, CUT):
        rows = expected(cells, Candidate(dimensions=("unit",), series=series)).to_pylist()
        last[series] = {row["unit"]: row for row in rows if (row["time"], row["group"]) == ("2018", "A")}
    # Unit 0 is what unit 3 was: with the highest rate.
    assert last[BRIDGED]["0"]["difference"] == pytest.approx(0.3, abs=0.03)
    assert last[BRIDGED]["0"]["past_cases"] == 2 * 4 * 400
    assert {(row["difference"], row["past_cases"]) for row in last[CUT].values()} == {(0.0, 0.0)}


def test_what_is_expected_at_a_time_knows_nothing_of_that_time_or_later() -> None:
    cells = _cells(lambda place, **_: 0.2 + 0.2 * place)
    later = pc.greater_equal(cells.table.column("time"), "2018")
    place = cells.table.column_names.index("successes")
    told = cells.table.set_column(place, "successes", pc.if_else(later, 0, cells.table.column("successes")))
    known, changed = (
        expected(Cells(table=table, dimensions=cells.dimensions, crosswalks={}), Candidate(dimensions=("unit", "age")))
        for table in (cells.table, told)
    )
    until = pc.less_equal(known.column("time"), "2018")
    assert changed.filter(until).equals(known.filter(until))
    assert not changed.equals(known)


def test_a_candidate_is_found_again_by_its_name() -> None:
    for candidate in (Candidate(dimensions=()), Candidate(dimensions=("unit", "age"), series=BRIDGED)):
        assert Candidate.named(candidate.name, candidate.series) == candidate


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.integers(1, 1000)), min_size=1))
def test_what_is_carried_over_a_crosswalk_keeps_its_sum(flows: list[tuple[str, str, int]]) -> None:
    counts = {"a": 10.0, "b": 5.0, "z": 1.0}
    assert sum(carried(counts, shares(flows)).values()) == pytest.approx(16.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(64)
    cells = _cells(lambda place, **_: 0.2 + 0.1 * place, times=("2014", "2016"))
    mixed = Cells(table=cells.table.take(order), dimensions=cells.dimensions, crosswalks={})
    assert segmentation(mixed).equals(segmentation(cells))
