"""What is recognised as renumbered or recoded, and what is too little to count."""

from __future__ import annotations

import ibis
import pytest

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.linked.kinds import condense
from mlops_assets.variance.linked.recognition import Thresholds, recodings, renumberings
from mlops_assets.variance.linked.snapshots import Layout, link
from mlops_assets_tests.variance.linked.crowd import LAYOUT, Row, but, comparer, crowd


def _renumberings(before: list[Row], after: list[Row]) -> list[tuple[str, str, int]]:
    comparer().fill(before, after)
    rows = comparer().engine.to_pyarrow(renumberings(comparer().kinds)).to_pylist()
    return sorted((row["old"], row["new"], row["entities"]) for row in rows)


def _recodings(before: list[Row], after: list[Row]) -> list[tuple[str, str, int]]:
    comparer().fill(before, after)
    rows = comparer().engine.to_pyarrow(recodings(comparer().kinds, LAYOUT)).to_pylist()
    return sorted((row["code_before"], row["code_after"], row["entities"]) for row in rows)


def test_a_cycle_of_three_numbers_is_three_renumberings() -> None:
    one, two, three = (crowd(number, 30, district=number) for number in ("01", "02", "03"))
    after = but(one, district="02") + but(two, district="03") + but(three, district="01")
    assert _renumberings(one + two + three, after) == [("01", "02", 30), ("02", "03", 30), ("03", "01", 30)]


def test_a_district_of_which_more_than_a_few_went_elsewhere_was_not_renumbered() -> None:
    most, few = crowd("a", 98, district="01"), crowd("b", 2, district="01")
    assert _renumberings(most + few, but(most, district="05") + few) == []
    assert _renumberings(most + few[:0], but(most, district="05")) == [("01", "05", 98)]


def test_a_district_to_which_more_than_a_few_came_from_elsewhere_was_not_renumbered() -> None:
    most, few = crowd("a", 98, district="01"), crowd("b", 2, district="05")
    assert _renumberings(most + few, but(most, district="05") + few) == []


def test_too_few_entities_show_neither_renumbering_nor_recoding() -> None:
    people = crowd("a", 19, district="01")
    assert _renumberings(people, but(people, district="02")) == []
    assert _recodings(people, but(people, party_code="Z")) == []


def test_a_code_that_a_twentieth_or_less_kept_was_recoded() -> None:
    most, few = crowd("a", 95, district="01"), crowd("b", 5, district="01")
    assert _recodings(most + few, but(most, party_code="Z") + few) == [("B", "Z", 95)]
    assert _recodings(most[1:] + few, but(most[1:], party_code="Z") + few) == []


def test_a_layout_without_codes_has_no_recodings() -> None:
    columns = {"id": "int64", "unit": "string", "address": "string", "kind": "string"}
    before = ibis.memtable([(n, "1", str(n), "A") for n in range(50)], schema=columns)
    after = ibis.memtable([(n, "1", str(n), "B") for n in range(50)], schema=columns)
    layout = Layout(entity="id", unit="unit", address=("address",), attributes={"kind": None})
    found = recodings(condense(link(before, after, layout), layout), layout)
    assert ibis.duckdb.connect().to_pyarrow(found).num_rows == 0


@pytest.mark.parametrize(("name", "value"), [("renumbered", 0.5), ("recoded", 1.01), ("redrawn", 0.0), ("least", 0)])
def test_a_threshold_out_of_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ComparisonError, match=f"Threshold {name} is {value}"):
        Thresholds(**{name: value})  # type: ignore[arg-type]  # one of several types


def test_no_window_function_is_used_because_they_fail_at_times_on_few_rows() -> None:
    assert " OVER " not in comparer().changes.upper() + comparer().events.upper()
