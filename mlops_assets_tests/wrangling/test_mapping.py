"""Mappings and crosswalks: nothing is dropped or doubled, totals stay, and what is not mapped is counted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import ibis
import pyarrow as pa
import pytest

import mlops_assets as ma
from mlops_assets.platform.errors import ContractError
from mlops_assets.wrangling.mapping import MappingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir

SALES: Final = ibis.memtable({"place": ["A", "B", "B", "C"], "spend": [1.0, 2.0, 4.0, 8.0]})
REGIONS: Final = ibis.memtable({"place": ["A", "B", "C", "D"], "region": ["N", "N", "S", "S"]})
CUT: Final = ibis.memtable({"old": ["A", "B", "B", "C"], "new": ["X", "X", "Y", "Y"], "share": [1.0, 0.25, 0.75, 1.0]})


def told(table: ir.Table) -> list[tuple[Any, ...]]:
    """The rows, sorted."""
    return sorted(tuple(row.values()) for row in table.to_pyarrow().to_pylist())


def test_each_row_gets_what_the_mapping_says() -> None:
    assert told(ma.mapped(SALES, REGIONS, on="place")) == [
        ("A", 1.0, "N"),
        ("B", 2.0, "N"),
        ("B", 4.0, "N"),
        ("C", 8.0, "S"),
    ]


def test_measures_are_shared_out_and_their_total_stays() -> None:
    shared = ma.mapped(SALES, CUT, on={"place": "old"}, weight="share", measures=["spend"])
    assert told(shared.group_by("new").agg(spend=shared.spend.sum())) == [("X", 2.5), ("Y", 12.5)]


def test_two_columns_can_be_compared() -> None:
    years = ibis.memtable({"year": [1, 2], "place": ["A", "A"], "region": ["N", "S"]})
    rows = ibis.memtable({"place": ["A", "A"], "year": [2, 1]})
    assert told(ma.mapped(rows, years, on=["year", "place"])) == [("A", 1, "N"), ("A", 2, "S")]


@pytest.mark.parametrize("name_values", [False, True])
def test_what_is_not_mapped_is_counted_and_named_only_if_it_may_be(name_values: bool) -> None:  # noqa: FBT001
    regions = REGIONS.filter(REGIONS.place == "A")
    with pytest.raises(MappingError, match="2 values of 3 rows are not in it") as caught:
        ma.mapped(SALES, regions, on="place", name_values=name_values)
    assert ("'B', 'C'" in str(caught.value)) is name_values


def test_a_row_without_a_value_is_not_mapped_either() -> None:
    rows = ibis.memtable({"place": ["A", None]})
    with pytest.raises(MappingError, match="1 values of 1 rows are not in it"):
        ma.mapped(rows, REGIONS, on="place")


def test_what_is_not_mapped_is_kept_whole_where_that_is_said() -> None:
    cut = CUT.filter(CUT.old == "B")
    shared = ma.mapped(SALES, cut, on={"place": "old"}, weight="share", measures=["spend"], unmapped="keep")
    assert told(shared.filter(shared.new.isnull()).select("place", "spend")) == [("A", 1.0), ("C", 8.0)]
    assert shared.spend.sum().to_pyarrow().as_py() == 15.0


def test_a_mapping_that_would_double_rows_is_refused() -> None:
    with pytest.raises(MappingError, match="1 values are in the mapping more than once"):
        ma.mapped(SALES, CUT.select("old", "new"), on={"place": "old"})


def weighted(*shares: float | None) -> ir.Table:
    """A crosswalk that divides the place B by these shares, and leaves the others whole."""
    rows = [("A", "X", 1.0), ("C", "Y", 1.0), *(("B", f"B{number}", share) for number, share in enumerate(shares))]
    names = ("old", "new", "share")
    return ibis.memtable(
        pa.table({name: pa.array(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)})
    )


NO_SHARES: Final = pytest.mark.parametrize(
    "shares",
    [
        (0.5,),
        (1.0, None),
        (None,),
        (2.0, -1.0),
        (1.0, math.nan),
        (math.inf,),
        (math.inf, -math.inf),
        (1.0, 1.0),
        (0.0,),
    ],
)
"""Weights that would change a total, or of which nobody knows what they say."""


@NO_SHARES
def test_weights_that_are_no_shares_are_refused(shares: Sequence[float | None]) -> None:
    with pytest.raises(MappingError, match="1 values have weights that do not add up to 1, or one that is NULL or neg"):
        ma.mapped(SALES, weighted(*shares), on={"place": "old"}, weight="share", measures=["spend"])


@NO_SHARES
def test_the_rule_of_a_crosswalk_is_broken_by_the_same_weights(shares: Sequence[float | None]) -> None:
    cut = weighted(*shares)
    judged = cut.select("old", holds=ma.adds_up(cut, "share", over="old")).distinct()
    assert told(judged) == [("A", True), ("B", False), ("C", True)]


@pytest.mark.parametrize("weight", ["share", None])
def test_a_mapping_of_no_value_is_refused(weight: str | None) -> None:
    cut = ibis.memtable(pa.table({"place": ["A", None], "new": ["X", "Y"], "share": [1.0, 1.0]}))
    measures = [] if weight is None else ["spend"]
    with pytest.raises(MappingError, match="Mapping by place: 1 rows of the mapping have no value there"):
        ma.mapped(SALES, cut, on="place", weight=weight, measures=measures, unmapped="keep")


def test_whole_numbers_are_weights_and_measures_too() -> None:
    cut = ibis.memtable({"place": ["A", "B", "C", "C"], "new": ["X", "X", "Y", "Z"], "share": [1, 1, 0, 1]})
    sales = ibis.memtable({"place": ["B", "C"], "spend": [3, 5]})
    shared = ma.mapped(sales, cut, on="place", weight="share", measures=["spend"])
    assert told(shared) == [("B", 3.0, "X"), ("C", 0.0, "Y"), ("C", 5.0, "Z")]


@pytest.mark.parametrize(("weight", "measure"), [("text", "spend"), ("share", "name")])
def test_what_is_no_number_is_refused_without_its_values(weight: str, measure: str) -> None:
    sales, cut = SALES.mutate(name=ibis.literal("Ann")), CUT.mutate(text=ibis.literal("Ann"))
    with pytest.raises(ContractError, match=r"\(string\) is no number") as caught:
        ma.mapped(sales, cut, on={"place": "old"}, weight=weight, measures=[measure])
    assert "Ann" not in str(caught.value)
    with pytest.raises(ContractError, match=r"its weight text is string\."):
        ma.adds_up(cut, "text", over="old")


def test_columns_may_be_called_as_they_like() -> None:
    names = {"rows": ["a", "a"], "values": ["b", "c"], "self": [2.0, 4.0], "own 0": [1, 2], "key 0": [3, 4]}
    cut = ibis.memtable({"total": ["a", "a", "a"], "group": ["b", "b", "c"], "share": [0.5, 0.5, 1.0], "by": [7, 8, 9]})
    on = {"rows": "total", "values": "group"}
    shared = ma.mapped(ibis.memtable(names), cut.rename(right="share"), on=on, weight="right", measures=["self"])
    assert shared.columns == ("rows", "values", "self", "own 0", "key 0", "by")
    assert [row[2:] for row in told(shared)] == [(1.0, 1, 3, 7), (1.0, 1, 3, 8), (4.0, 2, 4, 9)]
    with pytest.raises(MappingError, match=r"1 values of 1 rows are not in it: 'a\|b'"):
        ma.mapped(ibis.memtable(names), cut.filter(cut.group == "c").drop("share"), on=on, name_values=True)
    assert told(cut.select(holds=ma.adds_up(cut, "share", over=["total", "group"]))) == [(True,)] * 3


def test_a_group_without_a_value_is_no_group_of_an_empty_one() -> None:
    cut = ibis.memtable(pa.table({"old": ["", None, "NULL"], "share": [1.0, 0.5, 1.0]}))
    judged = cut.select(holds=ma.adds_up(cut, "share", over="old"), share="share")
    assert told(judged) == [(False, 0.5), (True, 1.0), (True, 1.0)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on": "plce"}, "plce, plce is not there"),
        ({"on": "place", "weight": "spend"}, "spend is not there"),
        ({"on": "place", "measures": ["spend"]}, "weight and measures go together"),
        ({"on": {"spend": "place"}}, r"spend \(float64 and string\) is of two types"),
        ({"on": []}, "on names no column"),
        ({"on": "place", "unmapped": "keepp"}, "unmapped is 'keepp'. Say 'refuse' or 'keep'"),
        ({"on": "place", "weight": "place", "measures": ["spend"]}, r"place \(string\) is no number"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        ma.mapped(SALES, REGIONS, **options)


def test_a_column_of_both_is_refused() -> None:
    for name in ("region", "Region"):
        with pytest.raises(ContractError, match="region is in the table and in the mapping"):
            ma.mapped(SALES.mutate(**{name: ibis.literal("?")}), REGIONS, on="place")


def test_texts_that_only_seem_alike_are_different_groups() -> None:
    pairs = ibis.memtable({"a": ["x", "x1:y"], "b": ["1:y1:z", "z"], "share": [1.0, 0.5]})
    judged = pairs.select("a", holds=ma.adds_up(pairs, "share", over=["a", "b"]))
    assert told(judged) == [("x", True), ("x1:y", False)]
