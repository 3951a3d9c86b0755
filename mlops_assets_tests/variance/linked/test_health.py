"""Health before comparison: ordinary months have no finding, and each broken link has its name, units and figures."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa
import pytest

from mlops_assets.variance.linked.findings import (
    PARTIAL_LOAD,
    READDRESSED,
    REISSUED,
    REKEYED,
    UNLINKED,
    Finding,
    Words,
)
from mlops_assets.variance.linked.health import examine
from mlops_assets_tests.variance.linked import crowd
from mlops_assets_tests.variance.linked.register import (
    ADDRESS_ALONE,
    LAYOUT,
    SIZES,
    WITHOUT_ADDRESS,
    Row,
    month_later,
    register,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops_assets.variance.linked.snapshots import Layout

BEFORE = register(1)
LATER = month_later(2, BEFORE)
LAYOUTS = pytest.mark.parametrize("layout", [LAYOUT, ADDRESS_ALONE, WITHOUT_ADDRESS], ids=["all", "address", "classes"])


def _findings(before: Sequence[Row], after: Sequence[Row], layout: Layout = LAYOUT) -> Sequence[Finding]:
    return examine(table(before), table(after), layout).findings


def _named(before: Sequence[Row], after: Sequence[Row], layout: Layout = LAYOUT) -> list[tuple[str, tuple[str, ...]]]:
    return [(finding.name, finding.units) for finding in _findings(before, after, layout)]


def _rekeyed(rows: Sequence[Row]) -> list[Row]:
    return [{**row, "person": f"new {row['person']}"} for row in rows]


def _mixed(rows: Sequence[Row]) -> list[Row]:
    """The same identifiers, dealt to the same people anew."""
    identifiers = [row["person"] for row in rows]
    random.Random(5).shuffle(identifiers)  # noqa: S311  a population, not a secret
    return [{**row, "person": identifier} for row, identifier in zip(rows, identifiers, strict=True)]


def _rewritten(rows: Sequence[Row]) -> list[Row]:
    return [{**row, "street": row["street"].upper().replace("STREET", "ST")} for row in rows]


def _redrawn(rows: Sequence[Row]) -> list[Row]:
    """A new map: every third home of the two largest units is in the other one."""
    turned = {"U1": "U2", "U2": "U1"}
    return [
        {**row, "unit": turned.get(row["unit"], row["unit"])} if int(row["street"].split()[0]) % 3 == 0 else row
        for row in rows
        if not row["street"].startswith("new")
    ]


@LAYOUTS
@pytest.mark.parametrize("churn", [0.01, 0.03, 0.1])
@pytest.mark.parametrize("seed", range(10))
def test_ordinary_months_have_no_finding(seed: int, churn: float, layout: Layout) -> None:
    here = register(seed, [size // (1 + seed % 3) for size in SIZES])
    later = month_later(100 + seed, here, churn=churn, growth=(0.0, 0.1, 0.5)[seed % 3])
    assert _named(here, later, layout) == []


@pytest.mark.parametrize("seed", range(10))
def test_ordinary_months_of_a_town_have_no_finding(seed: int) -> None:
    here = crowd.town(seed, districts=2 + seed, households=20 + 60 * seed)
    before, after = (
        ibis.memtable(pa.Table.from_pylist(rows)) for rows in (here, crowd.ordinary_month(100 + seed, here))
    )
    assert examine(before, after, crowd.LAYOUT).findings == ()


@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_small_units_have_no_finding(seed: int) -> None:
    here = register(seed, [8 + number % 25 for number in range(100)])
    assert _named(here, month_later(seed + 50, here, churn=0.1)) == []


def test_a_redrawn_map_is_no_finding() -> None:
    assert _named(BEFORE, _redrawn(LATER)) == []


def test_recoded_classes_are_no_finding() -> None:
    assert _named(BEFORE, [{**row, "segment": f"new {row['segment']}", "gender": "?"} for row in LATER]) == []


def test_a_new_unit_with_many_newcomers_and_one_closed_by_moving_are_no_finding() -> None:
    opened = [{**row, "unit": "U9"} for row in month_later(9, register(9, [300]))]
    closed = [{**row, "unit": "U2"} if row["unit"] == "U3" else row for row in LATER]
    assert _named(BEFORE, [*closed, *opened]) == []


def test_half_of_a_panel_that_rotates_is_no_finding() -> None:
    fresh = [{**row, "person": f"x{row['person']}", "street": f"x{row['street']}"} for row in register(3)]
    kept = [row for row in LATER if int(row["person"]) % 2]
    assert _named(BEFORE, [*kept, *(row for row in fresh if int(row["person"][1:]) % 2)]) == []


@LAYOUTS
def test_reissued_identifiers_of_everybody_are_re_keyed(layout: Layout) -> None:
    assert _named(BEFORE, _rekeyed(LATER), layout) == [(REKEYED, ("all",))]


@LAYOUTS
def test_identifiers_dealt_anew_among_the_same_people_are_reissued(layout: Layout) -> None:
    assert _named(BEFORE, _mixed(LATER), layout) == [(REISSUED, ("all",))]


def test_a_re_keyed_month_with_a_new_map_is_re_keyed() -> None:
    (finding,) = _findings(BEFORE, _rekeyed(_redrawn(LATER)))
    assert finding.name == REKEYED
    assert finding.figures["link_rate"] == 0
    assert finding.figures["agreeing_otherwise"] > 0.9 * len(BEFORE)
    assert finding.figures["agreeing_beyond_chance"] > 0.8


def test_identifiers_written_in_another_way_are_re_keyed_and_say_so() -> None:
    (finding,) = _findings(BEFORE, [{**row, "person": row["person"].lstrip("0") + ".0"} for row in LATER])
    assert (finding.name, finding.remedy) == (REKEYED, "Write identifiers of both in one way.")


def test_identifiers_and_addresses_made_with_another_key_are_re_keyed() -> None:
    (finding,) = _findings(BEFORE, [{**row, "street": f"x{row['street']}"} for row in _rekeyed(LATER)])
    assert finding.name == REKEYED
    assert "agree with one there in every other column but the address" in finding.sentence


def test_another_population_is_unlinked_and_not_re_keyed() -> None:
    elsewhere = [{**row, "street": f"x{row['street']}"} for row in register(77)]
    for layout in (LAYOUT, ADDRESS_ALONE, WITHOUT_ADDRESS):
        assert _named(BEFORE, elsewhere, layout) == [(UNLINKED, ("all",))]


def test_other_people_in_the_same_homes_are_unlinked_and_not_re_keyed() -> None:
    assert _named(BEFORE, register(78)) == [(UNLINKED, ("all",))]


def test_one_unit_re_keyed_is_named_with_that_unit() -> None:
    after = [*_rekeyed([row for row in LATER if row["unit"] == "U2"]), *(r for r in LATER if r["unit"] != "U2")]
    assert _named(BEFORE, after) == [(REKEYED, ("U2",))]


@pytest.mark.parametrize(("change", "name"), [(_rekeyed, REKEYED), (_mixed, REISSUED)])
def test_a_tenth_of_identifiers_reissued_is_named(change: Callable[[Sequence[Row]], list[Row]], name: str) -> None:
    chosen = [row for number, row in enumerate(LATER) if number % 10 == 0]
    rest = [row for number, row in enumerate(LATER) if number % 10]
    (finding,) = _findings(BEFORE, [*change(chosen), *rest])
    assert (finding.name, finding.units) == (name, ("all",))
    assert finding.figures["agreeing"] == pytest.approx(len(chosen), rel=0.2)


@LAYOUTS
def test_half_of_every_unit_lost_is_a_partial_load_of_all(layout: Layout) -> None:
    (finding,) = _findings(BEFORE, [row for row in LATER if int(row["person"]) % 2], layout)
    assert (finding.name, finding.units) == (PARTIAL_LOAD, ("all",))
    assert finding.figures["lost_rate"] == pytest.approx(0.5, abs=0.05)


@LAYOUTS
@pytest.mark.parametrize("kept", [0, 3])
def test_units_that_lost_their_people_are_a_partial_load_of_those(kept: int, layout: Layout) -> None:
    after = [row for row in LATER if row["unit"] not in {"U2", "U4"} or int(row["person"]) % 10 < kept]
    assert _named(BEFORE, after, layout) == [(PARTIAL_LOAD, ("U2", "U4"))]


def test_an_empty_later_file_is_a_partial_load() -> None:
    assert _named(BEFORE, []) == [(PARTIAL_LOAD, ("all",))]


def test_empty_and_tiny_snapshots_have_no_finding() -> None:
    assert _named([], []) == _named([], LATER) == _named(BEFORE[:15], LATER[-15:]) == []


def test_the_month_after_a_partial_load_blames_the_earlier_file() -> None:
    (finding,) = _findings([row for row in BEFORE if int(row["person"]) % 2], LATER)
    assert finding.name == PARTIAL_LOAD
    assert "the earlier snapshot was not loaded whole" in finding.sentence


@pytest.mark.parametrize(
    "after", [_rewritten(LATER), _rewritten(_redrawn(LATER)), [{**r, "street": None} for r in LATER]]
)
def test_addresses_written_in_another_way_are_readdressed(after: list[Row]) -> None:
    for layout in (LAYOUT, ADDRESS_ALONE):
        assert _named(BEFORE, after, layout) == [(READDRESSED, ("all",))]
    assert _named(BEFORE, after, WITHOUT_ADDRESS) == []


def test_one_unit_readdressed_is_named_with_that_unit() -> None:
    after = [*_rewritten([row for row in LATER if row["unit"] == "U2"]), *(r for r in LATER if r["unit"] != "U2")]
    assert _named(BEFORE, after) == [(READDRESSED, ("U2",))]


def test_a_partial_load_with_rewritten_addresses_has_both_names() -> None:
    after = _rewritten([row for row in LATER if int(row["person"]) % 2])
    assert {finding.name for finding in _findings(BEFORE, after)} == {PARTIAL_LOAD, READDRESSED}


def test_history_tells_what_is_ordinary() -> None:
    steady = [examine(table(BEFORE), table(month_later(n, BEFORE)), LAYOUT).rates for n in range(20, 23)]
    purged = [row for row in LATER if int(row["person"]) % 10 < 7]
    before, after = table(BEFORE), table(purged)
    assert examine(before, after, LAYOUT).findings == ()
    assert [f.name for f in examine(before, after, LAYOUT, history=steady).findings] == [PARTIAL_LOAD]
    half = [row for row in LATER if int(row["person"]) % 2]
    restless = [examine(table(BEFORE), table(half), LAYOUT).rates] * 3
    assert examine(before, table(half), LAYOUT, history=restless).findings == ()


def test_entities_to_be_expected_that_are_not_there_are_named() -> None:
    voted = ibis.memtable(pa.table({"person": [row["person"] for row in BEFORE[::3]]}))
    health = examine(table(BEFORE), table(LATER), LAYOUT, expected=voted)
    assert health.findings == ()
    assert health.rates.expected_before == 1.0
    assert health.rates.expected_after == pytest.approx(0.98, abs=0.02)
    others = ibis.memtable(pa.table({"person": [f"of another key {row['person']}" for row in BEFORE]}))
    (finding,) = examine(table(BEFORE), table(LATER), LAYOUT, expected=others).findings
    assert (finding.name, finding.figures["expected_found"]) == (REKEYED, 0)


def test_sentences_are_in_the_words_of_the_caller_and_have_no_value_of_a_row() -> None:
    words = Words(entities="customers", unit="territory", earlier="January", later="February")
    after = [row for row in LATER if row["unit"] != "U2"]
    (finding,) = examine(table(BEFORE), table(after), LAYOUT, words=words).findings
    lost, before = int(finding.figures["lost"]), int(finding.figures["before"])
    assert finding.text == (
        f"partial load: {lost} of {before} customers of territory U2 are not in February, and nobody came in their "
        "place. Load it again, whole."
    )
