"""Parts of counts and shares in one order and in all, and their standard errors: by hand and by brute force."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.variance.linked.explanation import ORDERS
from mlops_assets.variance.linked.orders import HAPPENED, RECORDED
from mlops_assets_tests.variance.linked.lives import Found, Life, expected, expected_errors, found

if TYPE_CHECKING:
    from mlops_assets.variance.linked.attribution import Measure
    from mlops_assets.variance.linked.explanation import OrderName

_CAUSES = (*RECORDED, *HAPPENED)
_BOTH: list[OrderName] = ["sequence", "shapley"]
_MEASURES: list[Measure] = ["count", "share"]

_Weight = st.floats(0.5, 900.0)
_Life = st.builds(
    Life,
    units=st.text("12", min_size=4, max_size=4),
    classes=st.text("AB", min_size=3, max_size=3),
    weights=st.one_of(
        st.tuples(_Weight, _Weight),
        _Weight.map(lambda weight: (weight, weight)),
        _Weight.map(lambda weight: (weight, None)),
        _Weight.map(lambda weight: (None, weight)),
    ),
)
_Lives = st.lists(_Life, min_size=1, max_size=6)


def _parts(rows: Found) -> dict[tuple[str, str, str], dict[str, float]]:
    """The parts that are not zero."""
    return {cell: {name: row[name] for name in _CAUSES if row.get(name)} for cell, row in rows.items()}  # type: ignore[misc]  # None is left out


def _plain(rows: Found) -> Found:
    return {
        cell: {name: value for name, value in row.items() if not name.endswith("_error")} for cell, row in rows.items()
    }


def _assert_equal(rows: Found, others: Found) -> None:
    assert rows.keys() == others.keys()
    for cell, row in others.items():
        for name, value in row.items():
            assert rows[cell][name] == (None if value is None else pytest.approx(value, abs=1e-9)), (cell, name)


@pytest.mark.parametrize("order", _BOTH)
@pytest.mark.parametrize("measure", _MEASURES)
@settings(max_examples=15)
@given(lives=_Lives)
def test_parts_are_what_leading_everybody_through_every_order_gives_and_add_up(
    measure: Measure, order: OrderName, lives: list[Life]
) -> None:
    rows = found(lives, measure=measure, order=order)
    _assert_equal(_plain(rows), expected(lives, measure=measure, order=order))
    for row in rows.values():
        before, after, parts = row["before"], row["after"], [row[cause] for cause in _CAUSES]
        if before is None or after is None:
            assert parts == [None] * len(parts)
        else:
            assert before + sum(part or 0.0 for part in parts) == pytest.approx(after, abs=1e-9)


@pytest.mark.parametrize("order", _BOTH)
@pytest.mark.parametrize("measure", _MEASURES)
@settings(max_examples=6)
@given(lives=st.lists(_Life, min_size=2, max_size=4))
def test_errors_are_those_of_the_influence_of_every_entity(
    measure: Measure, order: OrderName, lives: list[Life]
) -> None:
    rows = found(lives, measure=measure, order=order)
    for cell, row in expected_errors(lives, measure=measure, order=order).items():
        scale = 1.0 if measure == "share" else 900.0
        for name, value in row.items():
            missing = rows[cell].get(name.removesuffix("_error"), rows[cell]["entry"]) is None
            assert rows[cell][name] == (None if missing else pytest.approx(value, rel=1e-4, abs=1e-5 * scale)), name


@settings(max_examples=20)
@given(lives=st.lists(_Life.filter(lambda life: life.happened() <= 1), min_size=1, max_size=8))
def test_counts_depend_on_no_order_where_nobody_has_two_causes(lives: list[Life]) -> None:
    _assert_equal(_plain(found(lives, order="shapley")), _plain(found(lives, order="sequence")))


@settings(max_examples=20)
@given(lives=_Lives)
def test_whole_people_are_counted_in_whole_numbers_in_one_order(lives: list[Life]) -> None:
    one = [replace(life, weights=tuple(weight and 1.0 for weight in life.weights)) for life in lives]  # type: ignore[arg-type]  # of two
    plain = found(one, order="sequence", sampled=False)
    assert all(isinstance(value, int) for row in plain.values() for value in row.values())
    weighted = _plain(found(one, order="sequence"))
    assert [row.pop("weighting") for row in weighted.values()] == [0.0] * len(weighted)
    assert plain == weighted


def test_who_was_redrawn_and_changed_class_is_shared_equally_by_both_causes() -> None:
    rows = found([Life(units="1122", classes="AAB")], sampled=False)
    assert _parts(rows) == {
        ("1", "all", "all"): {"boundary": -1},
        ("2", "all", "all"): {"boundary": 1},
        ("1", "kind", "A"): {"boundary": -0.5, "attributes": -0.5},
        ("1", "kind", "B"): {"boundary": -0.5, "attributes": 0.5},
        ("2", "kind", "A"): {"boundary": 0.5, "attributes": -0.5},
        ("2", "kind", "B"): {"boundary": 0.5, "attributes": 0.5},
    }


def test_who_was_redrawn_and_moved_passes_the_new_map_in_half_of_the_orders() -> None:
    rows = found([Life(units="1123")], sampled=False)
    assert _parts(rows)["1", "all", "all"] == {"boundary": -0.5, "movers": -0.5}
    assert _parts(rows)["2", "all", "all"] == {"boundary": 0.5, "movers": -0.5}
    assert _parts(rows)["3", "all", "all"] == {"movers": 1}


def test_who_left_a_redrawn_home_left_the_old_unit_in_half_of_the_orders() -> None:
    rows = found([Life(units="1122", weights=(1.0, None))], sampled=False)
    assert _parts(rows)["1", "all", "all"] == {"boundary": -0.5, "leavers": -0.5}
    assert _parts(rows)["2", "all", "all"] == {"boundary": 0.5, "leavers": -0.5}


def test_codes_and_numbers_come_first_in_every_order() -> None:
    life = Life(units="1233", classes="ABC")
    for order in _BOTH:
        parts = _parts(found([life], order=order, sampled=False))
        assert parts["1", "kind", "A"] == {"entry": -1}
        assert parts["1", "kind", "B"] == {"entry": 1, "renumbering": -1}
        assert parts["2", "kind", "B"]["renumbering"] == 1


@pytest.mark.parametrize("order", _BOTH)
def test_joiners_like_the_others_are_not_blamed_for_exchanged_numbers(order: OrderName) -> None:
    stay = [Life(units="1222", classes=kind * 3) for kind in "AAAB"] + [
        Life(units="2111", classes=kind * 3) for kind in "ABBB"
    ]
    join = [Life(units="2222", classes=kind * 3, weights=(None, 1.0)) for kind in "AAAB"]
    rows = found(stay + join, measure="share", order=order, sampled=False)
    assert _parts(rows)["2", "kind", "A"] == {"renumbering": pytest.approx(0.5)}


def test_a_share_goes_through_numerator_and_denominator() -> None:
    stay = [Life(classes="AAA"), Life(classes="AAA"), Life(classes="BBB")]
    join = Life(classes="BBB", weights=(None, 1.0))
    rows = found([*stay, join], measure="share", order="sequence", sampled=False)
    # Nobody of class A joined; its share fell all the same.
    assert rows["1", "kind", "A"]["joiners"] == pytest.approx(2 / 4 - 2 / 3)


def test_the_order_matters_to_a_share_also_where_nobody_has_two_causes() -> None:
    lives = [Life(classes="AAA"), Life(weights=(1.0, None)), Life(classes="BBB", weights=(None, 1.0))]
    one, mean = (found(lives, measure="share", order=order, sampled=False)["1", "kind", "A"] for order in _BOTH)
    assert [one["joiners"], one["leavers"]] == pytest.approx([2 / 3 - 1, 1 / 2 - 2 / 3])
    assert [mean["joiners"], mean["leavers"]] == pytest.approx([-5 / 12, -1 / 12])


@pytest.mark.parametrize("order", _BOTH)
def test_a_unit_without_people_has_no_share_and_no_change_of_it(order: OrderName) -> None:
    rows = found([Life(units="1122", classes="AAA"), Life(units="3333")], measure="share", order=order)
    new = rows["2", "kind", "A"]
    assert (new["before"], new["after"], new["boundary"], new["boundary_error"], new["change_error"]) == (
        None, 1.0, None, None, None,
    )  # fmt: skip
    gone = rows["1", "kind", "A"]
    assert (gone["before"], gone["after"], gone["movers"]) == (1.0, None, None)


def test_a_unit_that_is_empty_on_the_way_keeps_the_share_it_had() -> None:
    rows = found(
        [Life(units="1122"), Life(units="2221", classes="BBB")], measure="share", order="sequence", sampled=False
    )
    assert _parts(rows)["1", "kind", "A"] == {"movers": -1}


@pytest.mark.parametrize("order", _BOTH)
def test_a_change_of_weight_alone_is_weighting_and_nothing_else(order: OrderName) -> None:
    rows = found([Life(weights=(100.0, 150.0)), Life(weights=(100.0, 80.0))], order=order)
    assert _parts(rows)["1", "kind", "A"] == {"weighting": 30.0}


def test_the_weight_of_those_who_moved_and_weigh_more_is_told_apart_from_their_moving() -> None:
    rows = found([Life(units="1112", weights=(100.0, 150.0))], order="sequence")
    assert _parts(rows)["1", "all", "all"] == {"weighting": 50.0, "movers": -150.0}
    assert _parts(rows)["2", "all", "all"] == {"movers": 150.0}


def test_what_stays_the_same_and_what_is_known_of_all_has_no_error() -> None:
    row = found([Life(weights=(7.0, 7.0)), Life(weights=(7.0, 7.0), classes="BBB"), Life(weights=(7.0, 7.0))])
    everybody, some = row["1", "all", "all"], row["1", "kind", "A"]
    assert (everybody["before_error"], everybody["change_error"], some["change_error"]) == (0.0, 0.0, 0.0)
    # Two of three at 7: 3/2 times the sum of (7 - 14/3)^2 twice and (14/3)^2.
    assert some["before_error"] == pytest.approx(7.0)


def test_a_sample_of_one_has_no_known_error() -> None:
    rows = found([Life(units="1122", weights=(7.0, 7.0))])
    assert rows["2", "all", "all"]["boundary"] == 7.0
    assert rows["2", "all", "all"]["boundary_error"] is None


@pytest.mark.parametrize(("measure", "order"), [("count", "sequence"), ("share", "shapley")])
def test_errors_are_the_scatter_of_repeated_samples(measure: Measure, order: OrderName) -> None:
    population = [
        Life(units=units, classes=classes, weights=weights)
        for units, classes, weights, times in (
            ("1111", "AAA", (9.0, 9.0), 12),
            ("1111", "BBB", (5.0, 6.0), 12),
            ("1122", "AAA", (9.0, 9.0), 5),
            ("1122", "AAB", (9.0, 9.0), 3),
            ("1112", "BBA", (5.0, 6.0), 3),
            ("2222", "BBB", (5.0, 5.0), 12),
            ("2222", "AAA", (5.0, None), 4),
            ("2222", "BBB", (None, 9.0), 4),
            ("1122", "AAA", (5.0, None), 4),
        )
        for _ in range(times)
    ]
    chance = np.random.default_rng(5)
    cell, names = ("2", "kind", "A"), (*_CAUSES[3:], "weighting", "before", "after")
    told: list[dict[str, Any]] = []
    for _ in range(100):
        drawn = chance.integers(len(population), size=400)
        told.append(found([population[place] for place in drawn], measure=measure, order=order)[cell])
    for name in names:
        scatter = float(np.std([row[name] for row in told], ddof=1))
        assert float(np.mean([row[f"{name}_error"] for row in told])) == pytest.approx(scatter, rel=0.2), name


def test_credits_of_every_order_pass_the_change_on_whole() -> None:
    for name in _BOTH:
        order = ORDERS[name](weighting=True)
        ends = np.zeros(len(order.worlds), dtype=np.int64)
        ends[[0, -1]] = -order.per, order.per
        assert order.credits.sum(axis=0).tolist() == ends.tolist()
        assert not order.credits.sum(axis=1).any()
