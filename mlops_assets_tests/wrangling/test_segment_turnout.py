"""What earlier elections let expect of segments: of the followed classes, from before, and of no small cell."""

from __future__ import annotations

import functools
from typing import Any, Final

import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.contracts.features import PERSON_TURNOUT, SMALLEST_CELL
from mlops_assets.contracts.partitions import FIRST_SNAPSHOT
from mlops_assets.contracts.segmentation import POOLED, SEGMENT_TURNOUT
from mlops_assets.platform.contracts import rules
from mlops_assets.wrangling.segment_turnout import elections_used, segment_turnout
from mlops_assets_tests.wrangling.kept_contract import kept_rows

FIRST: Final = f"{FIRST_SNAPSHOT:%Y-%m}"
_MONTHS: Final = {"2016": FIRST, "2018": FIRST, "2020": FIRST, "2022": "2022-11"}
_TURNOUT: Final = {"2016": 60, "2018": 40, "2020": 70, "2022": 50}
"""Of each hundred in district 01; in 02 it is 20 less."""
_CUT: Final = {"cuts": True, "source": "voter_events", "state": "NC", "time": "2022-05"}
_FLOWS: Final = [
    {"state": "NC", "month": "2022-05", "district_before": old, "district_after": new, "entities": 600}
    for old, new in (("01", "02"), ("02", "01"))
]


def _person(election: str, number: int, district: str, **given_: Any) -> dict[str, Any]:  # noqa: ANN401  columns
    turnout = _TURNOUT[election] - (20 if district == "02" else 0)
    return {
        "state": "NC", "election": election, "person_token": f"{number:032x}", "snapshot_month": _MONTHS[election],
        "district": district, "age": 30, "age_group": "25-34", "party_last": "NONE", "county": "WAKE",
        "voted": int(number % 100 < turnout), **given_,
    }  # fmt: skip


@functools.cache
def two_districts() -> pa.Table:
    """Two districts of 500, which exchange their numbers before 2022."""
    rows = []
    for election in _MONTHS:
        for number in range(1000):
            row = _person(election, number, "01" if number < 500 else "02")
            if election == "2022":
                row["district"] = "02" if number < 500 else "01"
            rows.append(row)
    return _table(rows)


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {name: kind.copy(nullable=True) for name, kind in rules.columns_of(PERSON_TURNOUT).items()}
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, kind.to_pyarrow()) for name, kind in kinds.items()]))


def _found(
    persons: pa.Table, *, candidate: str, series: str = "", forecast: str = "2022", known: bool = True
) -> list[dict[str, Any]]:
    row = {"candidate": candidate, "series": series, "followed": True, "reason": "so it is"}
    events, flows = ([_CUT], _FLOWS) if known else ([_CUT], [])
    table = segment_turnout(ibis.memtable(persons), [row], flows, events, forecast=forecast)
    return kept_rows(ibis.memtable(table), SEGMENT_TURNOUT)


def _of(rows: list[dict[str, Any]], election: str) -> dict[str, dict[str, Any]]:
    return {row["segment"]: row for row in rows if row["election"] == election}


@pytest.mark.parametrize("series", ["bridged", "as labelled"])
def test_a_district_with_a_new_number_has_its_own_past(series: str) -> None:
    rows = _of(_found(two_districts(), candidate="district", series=series), "2022")
    # The state's turnout of 2018 (30 %), and 10 points more where they always were.
    assert rows["district=02"]["state_turnout"] == pytest.approx(0.3)
    assert rows["district=02"]["turnout"] == pytest.approx(0.4, abs=0.005)
    assert rows["district=01"]["turnout"] == pytest.approx(0.2, abs=0.005)
    assert (rows["district=02"]["persons"], rows["district=02"]["past_persons"]) == (500, 1500)
    assert rows["district=02"]["segmentation"] == f"district {series}: so it is"


@pytest.mark.parametrize(("series", "known"), [("cut", True), ("bridged", False)])
def test_where_no_way_leads_over_a_new_map_the_states_turnout_is_expected(series: str, *, known: bool) -> None:
    for row in _of(_found(two_districts(), candidate="district", series=series, known=known), "2022").values():
        assert (row["past_persons"], row["above_state"], row["turnout"]) == (None, 0.0, pytest.approx(0.3))


@pytest.mark.parametrize("election", ["2018", "2020", "2022"])
def test_votes_of_an_election_and_of_later_ones_say_nothing_of_its_segments(election: str) -> None:
    persons = two_districts()
    later = pc.greater_equal(persons.column("election"), election)
    place = persons.column_names.index("voted")
    told = persons.set_column(place, "voted", pc.if_else(later, pa.scalar(1, pa.int64()), persons.column("voted")))
    known, changed = (_of(_found(table, candidate="age_group x party"), election) for table in (persons, told))
    assert known == changed


def test_votes_that_are_not_known_yet_hinder_nothing() -> None:
    persons = two_districts()
    place = persons.column_names.index("voted")
    ahead = pc.equal(persons.column("election"), "2022")
    unknown = persons.set_column(
        place, "voted", pc.if_else(ahead, pa.scalar(None, pa.int64()), persons.column("voted"))
    )
    assert _found(unknown, candidate="party") == _found(persons, candidate="party")


def test_the_first_election_has_nothing_to_expect() -> None:
    (row,) = _of(_found(two_districts(), candidate="whole groups"), "2016").values()
    assert (row["segment"], row["turnout"], row["past_persons"]) == ("whole state", None, None)


@settings(max_examples=15)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_small_segments_are_one_and_nobody_is_lost(sizes: list[int]) -> None:
    rows = [
        _person(election, 100 * place + number, f"{place + 1:02d}")
        for election in ("2018", "2020")
        for place, size in enumerate(sizes)
        for number in range(size)
    ]
    found = _of(_found(_table(rows), candidate="district", forecast="2020"), "2020")
    assert sum(row["persons"] for row in found.values()) == (sum(sizes) if sum(sizes) >= SMALLEST_CELL else 0)
    if min(sizes) < SMALLEST_CELL <= sum(sizes):
        assert found[POOLED]["above_state"] == 0.0
    else:
        assert POOLED not in found


def test_without_a_choice_there_are_no_segments() -> None:
    table = segment_turnout(ibis.memtable(two_districts()), [], [], [], forecast="2022")
    assert table.num_rows == 0
    assert kept_rows(ibis.memtable(table), SEGMENT_TURNOUT) == []


def test_only_the_forecasts_election_and_earlier_ones_are_read() -> None:
    assert elections_used("2022", ["2020|NC", "2022|NC", "2024|NC"]) == ["2020|NC", "2022|NC"]
