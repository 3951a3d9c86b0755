"""Segments of registered persons: by which classes they are told apart, on maps of which vintage."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import ibis
import numpy as np

from mlops_assets.contracts.features import PERSON_TURNOUT
from mlops_assets.contracts.partitions import FIRST_SNAPSHOT
from mlops_assets.contracts.segmentation import SEGMENTATION
from mlops_assets.contracts.wrangled import VOTERS
from mlops_assets.platform.contracts import rules
from mlops_assets.wrangling.voter_segments import earlier_elections, snapshots_used, voter_segmentation
from mlops_assets_tests.wrangling.kept_contract import kept_rows

PERSONS: Final = 1200
FIRST: Final = f"{FIRST_SNAPSHOT:%Y-%m}"
_ELECTIONS: Final = {"2018": FIRST, "2020": FIRST, "2022": "2022-11"}


def _token(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def _district(number: int, month: str) -> str:
    """Two districts that exchange their numbers before the second snapshot."""
    return f"{(number % 2 == (month == FIRST)) + 1:02d}"


def _race(number: int) -> str:
    return "BLACK" if number % 5 == 0 else "WHITE"


def _tables(*, by_race: bool = False) -> tuple[ibis.Table, ibis.Table]:
    """Persons of two ages and two districts; the old vote, and more so in one district, whatever it is called.

    Or those of one race do, and half as much the old.
    """
    chance = np.random.default_rng(4)
    known: list[dict[str, Any]] = []
    for election, month in _ELECTIONS.items():
        for number in range(PERSONS):
            old = number % 3 == 0
            rate = (0.8 if old else 0.3) + (0.15 if number % 2 else 0.0)
            if by_race:
                rate = 0.2 + (0.5 if _race(number) == "BLACK" else 0.0) + (0.25 if old else 0.0)
            known.append(
                {
                    "state": "NC", "election": election, "person_token": _token(number),
                    "district": _district(number, month), "snapshot_month": month, "age": 70 if old else 30,
                    "age_group": "65-74" if old else "25-34", "county": "WAKE",
                    "party_last": "NONE", "voted": int(chance.random() < rate),
                }
            )  # fmt: skip
    voters = [
        {"state": "NC", "month": month, "person_token": _token(number), "race": _race(number) if by_race else "WHITE"}
        for month in set(_ELECTIONS.values())
        for number in range(PERSONS)
    ]
    return _memtable(known, PERSON_TURNOUT), _memtable(voters, VOTERS)


def _memtable(rows: list[dict[str, Any]], contract: Any) -> ibis.Table:  # noqa: ANN401  a contract
    kinds = {name: kind.copy(nullable=True) for name, kind in rules.columns_of(contract).items()}
    return ibis.memtable([tuple(row.get(name) for name in kinds) for row in rows], schema=kinds)


def _chosen(*, cuts: bool, flows: list[dict[str, Any]]) -> dict[str, Any]:
    persons, voters = _tables()
    event = {"cuts": cuts, "source": "voter_events", "state": "NC", "time": "2022-05"}
    rows = kept_rows(ibis.memtable(voter_segmentation(persons, voters, flows, [event], election="2024")), SEGMENTATION)
    (row,) = [row for row in rows if row["chosen"]]
    return {**row, "candidates": {(each["candidate"], each["series"]): each for each in rows}}


def test_a_renumbered_map_is_bridged_by_its_flows_and_the_telling_classes_are_chosen() -> None:
    flows = [
        {"state": "NC", "month": "2022-05", "district_before": old, "district_after": new, "entities": 600}
        for old, new in (("01", "02"), ("02", "01"))
    ]
    chosen = _chosen(cuts=True, flows=flows)
    assert (chosen["candidate"], chosen["series"], chosen["tests"]) == ("district x age_group", "bridged", 2)
    bridged, cut, labelled = (chosen["candidates"]["district", kind] for kind in ("bridged", "cut", "as labelled"))
    assert bridged["error"] < cut["error"] < labelled["error"]
    assert not labelled["eligible"]


def test_race_may_describe_turnout_best_and_is_never_followed() -> None:
    persons, voters = _tables(by_race=True)
    rows = voter_segmentation(persons, voters, [], [], election="2024").to_pylist()
    (chosen,), (followed,) = ([row for row in rows if row[column]] for column in ("chosen", "followed"))
    assert chosen["candidate"] == "age_group x race"
    assert (followed["candidate"], followed["eligible"]) == ("age_group", True)
    assert followed["reason"].endswith("; the best without race")


def test_a_rejected_event_cuts_no_series() -> None:
    assert {series for _, series in _chosen(cuts=False, flows=[])["candidates"]} == {"", "as labelled"}


def test_with_fewer_than_two_earlier_elections_there_are_no_rows() -> None:
    persons, voters = _tables()
    assert voter_segmentation(persons, voters, [], [], election="2020").num_rows == 0


def test_only_earlier_elections_and_their_snapshots_are_read() -> None:
    assert list(earlier_elections("2022", ["2018|NC", "2020|NC", "2022|NC"])) == ["2018|NC", "2020|NC"]
    months = [f"{FIRST}|NC", "2022-10|NC", "2022-11|NC", "2022-12|NC", f"{FIRST}|GA"]
    assert list(snapshots_used("2024", months)) == [f"{FIRST}|GA", f"{FIRST}|NC", "2022-11|NC"]
