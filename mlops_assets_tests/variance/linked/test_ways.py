"""How the change of each count splits by cause: examples worked by hand, and what holds for every population."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.variance.linked.recognition import Thresholds
from mlops_assets.variance.linked.snapshots import Layout
from mlops_assets.variance.linked.ways import PARTS
from mlops_assets_tests.variance.linked.crowd import Comparer, Row, but, changes_between, crowd, moved


def test_nothing_changes_between_equal_snapshots() -> None:
    people = crowd("a", 3, district="01") + crowd("b", 2, district="02", party="RED")
    assert changes_between(people, people) == {
        ("01", "all"): {"before": 3, "after": 3},
        ("01", "BLUE"): {"before": 3, "after": 3},
        ("02", "all"): {"before": 2, "after": 2},
        ("02", "RED"): {"before": 2, "after": 2},
    }


def test_who_changed_address_and_district_is_a_mover() -> None:
    stay, go = crowd("a", 5, district="01"), crowd("b", 2, district="01")
    cells = changes_between(stay + go, stay + moved(go, district="02"))
    assert cells["01", "all"] == {"before": 7, "movers": -2, "after": 5}
    assert cells["02", "BLUE"] == {"before": 0, "movers": 2, "after": 2}


def test_who_moved_within_a_district_changes_nothing() -> None:
    people = crowd("a", 4, district="01")
    assert changes_between(people, moved(people, district="01"))["01", "all"] == {"before": 4, "after": 4}


def test_who_is_in_another_district_at_the_same_address_was_redrawn() -> None:
    stay, redrawn = crowd("a", 60, district="01"), crowd("b", 40, district="01")
    cells = changes_between(stay + redrawn, stay + but(redrawn, district="02"))
    assert cells["01", "all"] == {"before": 100, "boundary": -40, "after": 60}
    assert cells["02", "all"] == {"before": 0, "boundary": 40, "after": 40}


def test_a_district_that_only_changed_its_number_was_renumbered() -> None:
    people = crowd("a", 50, district="01")
    cells = changes_between(people, but(people, district="07"))
    assert cells["01", "all"] == {"before": 50, "renumbering": -50, "after": 0}
    assert cells["07", "all"] == {"before": 0, "renumbering": 50, "after": 50}


def test_two_districts_that_exchanged_their_numbers_were_renumbered() -> None:
    one, two = crowd("a", 50, district="01"), crowd("b", 30, district="02", party="RED")
    cells = changes_between(one + two, but(one, district="02") + but(two, district="01"))
    assert cells["01", "all"] == {"before": 50, "renumbering": -20, "after": 30}
    assert cells["02", "all"] == {"before": 30, "renumbering": 20, "after": 50}
    assert cells["02", "BLUE"] == {"before": 0, "renumbering": 50, "after": 50}


def test_two_districts_that_merged_were_redrawn_not_renumbered() -> None:
    one, two = crowd("a", 50, district="01"), crowd("b", 30, district="02")
    cells = changes_between(one + two, but(one + two, district="03"))
    assert cells["03", "all"] == {"before": 0, "boundary": 80, "after": 80}


def test_leavers_and_movers_of_a_renumbered_district_go_from_its_new_number() -> None:
    stay, leave, go = crowd("a", 50, district="01"), crowd("b", 2, district="01"), crowd("c", 3, district="01")
    there = crowd("d", 10, district="02")
    cells = changes_between(stay + leave + go + there, but(stay, district="07") + moved(go, district="02") + there)
    assert cells["01", "all"] == {"before": 55, "renumbering": -55, "after": 0}
    assert cells["07", "all"] == {"before": 0, "renumbering": 55, "movers": -3, "leavers": -2, "after": 50}
    assert cells["02", "all"] == {"before": 10, "movers": 3, "after": 13}


def test_who_is_in_one_snapshot_only_joined_or_left() -> None:
    stay, leave, join = crowd("a", 5, district="01"), crowd("b", 2, district="01"), crowd("c", 3, district="01")
    cells = changes_between(stay + leave, stay + join)
    assert cells["01", "all"] == {"before": 7, "joiners": 3, "leavers": -2, "after": 8}


def test_a_stayer_of_another_class_really_changed() -> None:
    stay, switch = crowd("a", 50, district="01"), crowd("b", 4, district="01")
    cells = changes_between(stay + switch, stay + but(switch, party="RED", party_code="R"))
    assert cells["01", "BLUE"] == {"before": 54, "attributes": -4, "after": 50}
    assert cells["01", "RED"] == {"before": 0, "attributes": 4, "after": 4}
    assert cells["01", "all"] == {"before": 54, "after": 54}


def test_a_recoded_class_is_a_change_of_entry_for_leavers_too() -> None:
    none = crowd("a", 50, district="01", party="NONE", code="UNA")
    leave = crowd("b", 2, district="01", party="NONE", code="UNA")
    join = crowd("c", 3, district="01", party="UNKNOWN", code="NPA")
    cells = changes_between(none + leave, but(none, party="UNKNOWN", party_code="NPA") + join)
    assert cells["01", "NONE"] == {"before": 52, "entry": -52, "after": 0}
    assert cells["01", "UNKNOWN"] == {"before": 0, "joiners": 3, "leavers": -2, "entry": 52, "after": 53}


def test_two_codes_that_exchanged_their_meaning_are_changes_of_entry() -> None:
    red, blue = crowd("a", 40, district="01", party="RED"), crowd("b", 30, district="01", party="BLUE")
    after = but(red, party="BLUE", party_code="B") + but(blue, party="RED", party_code="R")
    cells = changes_between(red + blue, after)
    assert cells["01", "RED"] == {"before": 40, "entry": -10, "after": 30}
    assert cells["01", "BLUE"] == {"before": 30, "entry": 10, "after": 40}


def test_a_recoding_within_one_class_moves_no_count() -> None:
    none = crowd("a", 50, district="01", party="NONE", code="UNA")
    cells = changes_between(none, but(none, party_code="NPA"))
    assert cells["01", "NONE"] == {"before": 50, "after": 50}


def test_a_code_that_is_read_as_another_class_is_a_change_of_entry() -> None:
    odd = crowd("a", 50, district="01", party="UNKNOWN", code="NPA")
    cells = changes_between(odd, but(odd, party="NONE"))
    assert cells["01", "NONE"] == {"before": 0, "entry": 50, "after": 50}


def test_a_changed_value_beside_a_recoding_is_still_a_real_change() -> None:
    none = crowd("a", 98, district="01", party="NONE", code="UNA")
    switch = crowd("b", 2, district="01", party="NONE", code="UNA")
    after = but(none, party="UNKNOWN", party_code="NPA") + but(switch, party="RED", party_code="R")
    cells = changes_between(none + switch, after)
    assert cells["01", "NONE"] == {"before": 100, "entry": -100, "after": 0}
    assert cells["01", "UNKNOWN"] == {"before": 0, "attributes": -2, "entry": 100, "after": 98}
    assert cells["01", "RED"] == {"before": 0, "attributes": 2, "after": 2}


def test_a_value_that_a_recoding_passed_over_did_not_change() -> None:
    none = crowd("a", 98, district="01", party="NONE", code="UNA")
    same = crowd("b", 2, district="01", party="NONE", code="UNA")
    cells = changes_between(none + same, but(none, party="UNKNOWN", party_code="NPA") + same)
    assert cells["01", "NONE"] == {"before": 100, "entry": -98, "after": 2}


def test_who_moved_and_was_recoded_counts_in_both_parts() -> None:
    none = crowd("a", 50, district="01", party="NONE", code="UNA")
    go = crowd("b", 2, district="01", party="NONE", code="UNA")
    recoded = but(none, party="UNKNOWN", party_code="NPA")
    cells = changes_between(none + go, recoded + but(moved(go, district="02"), party="UNKNOWN", party_code="NPA"))
    assert cells["01", "NONE"] == {"before": 52, "entry": -52, "after": 0}
    assert cells["01", "UNKNOWN"] == {"before": 0, "movers": -2, "entry": 52, "after": 50}
    assert cells["02", "UNKNOWN"] == {"before": 0, "movers": 2, "after": 2}


def test_who_moved_from_a_redrawn_address_counts_in_both_parts() -> None:
    stay = crowd("a", 60, district="01")
    redrawn = crowd("b", 40, district="01")
    mates = [{**row, "person": f"mate {row['person']}"} for row in redrawn[:3]]
    after = stay + but(redrawn, district="02") + moved(mates, district="03")
    cells = changes_between(stay + redrawn + mates, after)
    assert cells["01", "all"] == {"before": 103, "boundary": -43, "after": 60}
    assert cells["02", "all"] == {"before": 0, "boundary": 43, "movers": -3, "after": 40}
    assert cells["03", "all"] == {"before": 0, "movers": 3, "after": 3}


def test_who_left_a_redrawn_address_where_others_live_now_left_the_new_district() -> None:
    stay, left = crowd("a", 60, district="01"), crowd("b", 2, district="01")
    heirs = [{**row, "person": f"heir {row['person']}", "district": "02"} for row in left]
    cells = changes_between(stay + left, stay + heirs)
    assert cells["01", "all"] == {"before": 62, "boundary": -2, "after": 60}
    assert cells["02", "all"] == {"before": 0, "boundary": 2, "joiners": 2, "leavers": -2, "after": 2}


def test_an_address_in_two_districts_says_nothing_about_those_who_left_it() -> None:
    stay = but(crowd("a", 2, district="01"), address="12 Main Street")
    other = but(crowd("b", 2, district="02"), address="12 Main Street")
    cells = changes_between(stay + other, other)
    assert cells["01", "all"] == {"before": 2, "leavers": -2, "after": 0}


def test_who_was_redrawn_and_really_changed_counts_in_both_parts() -> None:
    stay, both = crowd("a", 60, district="01"), crowd("b", 30, district="01")
    cells = changes_between(stay + both, stay + but(both, district="02", party="RED", party_code="R"))
    assert cells["01", "BLUE"] == {"before": 90, "boundary": -30, "after": 60}
    assert cells["02", "BLUE"] == {"before": 0, "boundary": 30, "attributes": -30, "after": 0}
    assert cells["02", "RED"] == {"before": 0, "attributes": 30, "after": 30}


def test_an_unknown_address_counts_as_left_but_two_unknown_ones_as_the_same() -> None:
    lost, hidden = crowd("a", 3, district="01"), but(crowd("b", 4, district="01"), address=None)
    after = but(lost, address=None, district="02") + but(hidden, district="02")
    cells = changes_between(lost + hidden, after)
    assert cells["02", "all"] == {"before": 0, "boundary": 4, "movers": 3, "after": 7}


def test_persons_without_district_or_class_are_counted_as_blank() -> None:
    people = but(crowd("a", 3, district="01"), district=None, party=None)
    assert changes_between(people, people)["(blank)", "(blank)"] == {"before": 3, "after": 3}


def test_everybody_joins_an_empty_snapshot_and_everybody_leaves_for_one() -> None:
    people = crowd("a", 3, district="01")
    assert changes_between([], people)["01", "all"] == {"before": 0, "joiners": 3, "after": 3}
    assert changes_between(people, [])["01", "all"] == {"before": 3, "leavers": -3, "after": 0}
    assert changes_between([], []) == {}


if TYPE_CHECKING:
    from collections.abc import Iterable

Life = tuple[Row | None, Row | None]
_UNITS, _ADDRESSES, _CLASSES, _CODES = "123", "abcd", "XYZ", "xyz"
_State = st.fixed_dictionaries(
    {
        "unit": st.sampled_from(_UNITS),
        "address": st.sampled_from(_ADDRESSES) | st.none(),
        "kind": st.sampled_from(_CLASSES) | st.none(),
        "code": st.sampled_from(_CODES) | st.none(),
        "size": st.sampled_from(_CLASSES),
    }
)
# A life is a state before and one after, often much alike, so that recodings and renumberings occur.
_Life = st.one_of(
    st.tuples(_State, st.none()),
    st.tuples(st.none(), _State),
    st.tuples(_State, _State),
    _State.map(lambda state: (state, state)),
    st.tuples(_State, st.sampled_from(_UNITS)).map(lambda pair: (pair[0], {**pair[0], "unit": pair[1]})),
    st.tuples(_State, st.sampled_from(_CODES)).map(lambda pair: (pair[0], {**pair[0], "code": pair[1], "kind": "X"})),
)
_POPULATION_LAYOUT = Layout(entity="id", unit="unit", address=("address",), attributes={"kind": "code", "size": None})
_EAGER = Thresholds(renumbered=0.6, recoded=0.6, least=1)


def _counted(lives: list[Life], side: int) -> Counter[tuple[str, str, str]]:
    cells: Counter[tuple[str, str, str]] = Counter()
    for life in lives:
        state = life[side]
        if state is not None:
            cells[state["unit"], "all", "all"] += 1
            cells[state["unit"], "kind", state["kind"] or "(blank)"] += 1
            cells[state["unit"], "size", state["size"]] += 1
    return cells


@pytest.fixture(scope="module")
def populations() -> Comparer:
    columns = dict.fromkeys(("id", "unit", "address", "kind", "code", "size"), "VARCHAR")
    return Comparer(columns, _POPULATION_LAYOUT, _EAGER)


def _cells(populations: Comparer, lives: list[Life]) -> list[Row]:
    def side(states: Iterable[Row | None]) -> list[Row]:
        return [{"id": str(n), **state} for n, state in enumerate(states) if state is not None]

    populations.fill(side(before for before, _ in lives), side(after for _, after in lives))
    return populations.rows(populations.changes)


@settings(max_examples=60)
@given(lives=st.lists(_Life, max_size=12))
def test_in_every_population_the_parts_add_up_and_each_is_what_it_says(
    populations: Comparer, lives: list[Life]
) -> None:
    cells = _cells(populations, lives)
    keys = [(cell["unit"], cell["attribute"], cell["category"]) for cell in cells]
    assert len(keys) == len(set(keys))
    for time in ("before", "after"):
        counted = Counter({key: cell[time] for key, cell in zip(keys, cells, strict=True) if cell[time]})
        assert counted == _counted(lives, ("before", "after").index(time))
    assert all(cell["before"] + sum(cell[part] for part in PARTS) == cell["after"] for cell in cells)

    # Entities are moved between cells, none made or lost, but by joining and leaving.
    for attribute in ("all", "kind", "size"):
        here = [cell for cell in cells if cell["attribute"] == attribute]
        for part in ("boundary", "renumbering", "movers", "attributes", "entry"):
            assert sum(cell[part] for cell in here) == 0
        assert sum(cell["joiners"] for cell in here) == sum(before is None for before, _ in lives)
        assert -sum(cell["leavers"] for cell in here) == sum(after is None for _, after in lives)
    # Places move people of one class, entry and attributes change classes within one place.
    for part, within in (("boundary", 2), ("renumbering", 2), ("movers", 2), ("attributes", 0), ("entry", 0)):
        sums: Counter[tuple[str, str]] = Counter()
        for key, cell in zip(keys, cells, strict=True):
            sums[key[1], key[within]] += cell[part]
        assert not any(sums.values())
    # A class without code is never recoded.
    assert not any(cell["entry"] for cell in cells if cell["attribute"] != "kind")


# Half of all lives move; leaving those out is what the test is about.
@settings(max_examples=20, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    lives=st.lists(
        _Life.filter(lambda life: life[0] and life[1] and life[0]["address"] == life[1]["address"]), max_size=12
    )
)
def test_where_nobody_moved_joined_or_left_those_parts_are_zero(populations: Comparer, lives: list[Life]) -> None:
    for cell in _cells(populations, lives):
        assert (cell["movers"], cell["joiners"], cell["leavers"]) == (0, 0, 0)
