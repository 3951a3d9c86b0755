"""The recorded truth, compared with what the published files themselves show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.simulation.dropped_files import DroppedFiles, address_of, flows

if TYPE_CHECKING:
    from mlops_assets.simulation.sources import SourceSystems
    from mlops_assets.simulation.truth import Event


def _event(systems: SourceSystems, cause: str, state: str, month: str) -> Event:
    (event,) = [each for each in systems.truth.events if (each.cause, each.state, each.month) == (cause, state, month)]
    return event


def test_the_events_are_the_announced_ones_and_no_others(systems: SourceSystems) -> None:
    events = {(event.month, event.state, event.cause) for event in systems.truth.events}

    assert events == {
        ("2022-02", "GA", "entry"),
        ("2022-03", "NC", "boundary"),
        ("2022-05", "GA", "renumbering"),
        ("2022-07", "GA", "entry"),
        ("2022-09", "NC", "population"),
    }


@pytest.mark.parametrize(
    ("cause", "state", "before", "month"),
    [("boundary", "NC", "2022-02", "2022-03"), ("renumbering", "GA", "2022-04", "2022-05")],
)
def test_district_events_count_whoever_changed_district_without_moving(
    systems: SourceSystems, dropped: DroppedFiles, cause: str, state: str, before: str, month: str
) -> None:
    event = _event(systems, cause, state, month)
    found = flows(dropped.by_person(state, before), dropped.by_person(state, month))

    assert {(flow.before, flow.after): flow.persons for flow in event.flows} == dict(found)
    assert event.persons == found.total()
    assert set(event.units) == {district for pair in found for district in pair}


def test_entry_and_population_events_count_whoever_the_files_show(
    systems: SourceSystems, dropped: DroppedFiles
) -> None:
    before, after = dropped.by_person("GA", "2022-01"), dropped.by_person("GA", "2022-02")
    pairs = [(before[one]["party_cd"], after[one]["party_cd"]) for one in before.keys() & after.keys()]
    assert _event(systems, "entry", "GA", "2022-02").persons == pairs.count(("UNA", "NPA"))

    doubled = dropped.rows("GA", "2022-07")
    assert _event(systems, "entry", "GA", "2022-07").persons == len(doubled) // 2

    shift = _event(systems, "population", "NC", "2022-09")
    month = systems.truth.state_month("NC", "2022-09")
    ordinary = month.joiners - shift.persons
    assert shift.units == ("04",)
    assert ordinary == round(0.006 * systems.truth.state_month("NC", "2022-08").voters)
    assert month.districts["04"].joiners >= shift.persons


@pytest.mark.parametrize("state", ["GA", "NC"])
@pytest.mark.parametrize(("before", "month"), [("2021-07", "2021-08"), ("2022-02", "2022-03"), ("2022-04", "2022-05")])
def test_monthly_changes_are_those_between_the_files(
    systems: SourceSystems, dropped: DroppedFiles, state: str, before: str, month: str
) -> None:
    old, new = dropped.by_person(state, before), dropped.by_person(state, month)
    both = old.keys() & new.keys()
    moved = [one for one in both if address_of(old[one]) != address_of(new[one])]
    truth = systems.truth.state_month(state, month)

    assert (truth.voters, truth.movers) == (len(new), len(moved))
    assert (truth.joiners, truth.leavers) == (len(new) - len(both), len(old) - len(both))
    for district, changes in truth.districts.items():
        was = {one for one in old if int(old[one]["cong_dist_abbrv"]) == int(district)}
        now = {one for one in new if int(new[one]["cong_dist_abbrv"]) == int(district)}
        movers = set(moved)
        assert changes.voters == len(now)
        assert changes.joiners == len(now - old.keys())
        assert changes.leavers == len(was - new.keys())
        assert changes.moved_in == len(movers & now - was)
        assert changes.moved_out == len(movers & was - now)
        assert changes.moved_within == len(movers & was & now)


def test_every_ordinary_month_has_the_announced_churn(systems: SourceSystems) -> None:
    truth = systems.truth
    for state in ("GA", "NC"):
        for before, month in zip(systems.months[1:-1], systems.months[2:], strict=True):
            voters, changes = truth.state_month(state, before).voters, truth.state_month(state, month)
            assert changes.movers == round(0.008 * voters)
            assert changes.leavers == round(0.005 * voters)
            assert changes.party_changes == round(0.002 * voters)
            assert 0.01 < (changes.movers + changes.leavers) / voters < 0.016


def test_about_a_third_of_the_movers_go_to_another_district(systems: SourceSystems) -> None:
    months = [month for month in systems.truth.months if (month.state, month.month) != ("NC", "2022-03")]
    movers = sum(month.movers for month in months if (month.state, month.month) != ("GA", "2022-05"))
    away = sum(
        district.moved_out
        for month in months
        if (month.state, month.month) != ("GA", "2022-05")
        for district in month.districts.values()
    )

    assert 0.25 < away / movers < 0.42


def test_the_truth_file_says_the_same_and_lies_apart(systems: SourceSystems) -> None:
    assert systems.truth_file.parent.name == "truth"
    found = json.loads(systems.truth_file.read_text(encoding="utf-8"))

    assert found == json.loads(json.dumps(systems.truth.as_json()))
    assert found["voters_per_state"] == 2000
