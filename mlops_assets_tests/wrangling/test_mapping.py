"""Mappings and crosswalks: nothing is dropped or doubled, totals stay, and what is not mapped is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import ibis
import pytest

import mlops_assets as ma
from mlops_assets.platform.errors import ContractError
from mlops_assets.wrangling.mapping import MappingError

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def test_weights_that_do_not_add_up_are_refused() -> None:
    cut = CUT.mutate(share=CUT.share / 2)
    with pytest.raises(MappingError, match="3 values have weights that do not add up to 1"):
        ma.mapped(SALES, cut, on={"place": "old"}, weight="share", measures=["spend"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on": "plce"}, "plce, plce is not there"),
        ({"on": "place", "weight": "spend"}, "spend is not there"),
        ({"on": "place", "measures": ["spend"]}, "weight and measures go together"),
        ({"on": {"spend": "place"}}, r"spend \(float64 and string\) is of two types"),
        ({"on": []}, "on names no column"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        ma.mapped(SALES, REGIONS, **options)


def test_a_column_of_both_is_refused() -> None:
    with pytest.raises(ContractError, match="region is in the table and in the mapping"):
        ma.mapped(SALES.mutate(region=ibis.literal("?")), REGIONS, on="place")


def test_texts_that_only_seem_alike_are_different_groups() -> None:
    pairs = ibis.memtable({"a": ["x", "x1:y"], "b": ["1:y1:z", "z"], "share": [1.0, 0.5]})
    judged = pairs.select("a", holds=ma.adds_up(pairs, "share", over=["a", "b"]))
    assert told(judged) == [("x", True), ("x1:y", False)]
