"""One list of events from every source: ids that stay, repetitions that are marked, and what linked months deny."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import ibis

from mlops_assets.contracts.events import EVENTS
from mlops_assets.wrangling.named_events import Found, named_events
from mlops_assets_tests.wrangling.kept_contract import kept_rows

if TYPE_CHECKING:
    from collections.abc import Collection


def _event(source: str, of: dict[str, str], before: str, **given_: object) -> dict[str, Any]:
    """A row of a table of events."""
    row = {
        "state": "NC", **of, "compared_with": before, "cause": "boundary", "kind": "detected", "name": "redrawn",
        "probability": 0.97, "units": "all", "size": 0.2, "size_unit": "log change", "share": None,
        "evidence": "units moved", "judgement": "open", "judged_by": "", "notes": "", **given_,
    }  # fmt: skip
    told = [str(row[name]) for name in ("state", *of, "cause", "name")]
    digits = hashlib.sha256("|".join([source, *told]).encode()).hexdigest()[:12]
    cuts = row["cause"] in {"boundary", "renumbering"} and row["judgement"] != "rejected"
    return {"event_id": digits, "cuts": cuts, **row}


def _linked(month: str = "2022-03", before: str = "2022-02", **given_: object) -> dict[str, Any]:
    own: dict[str, Any] = {
        "kind": "redrawn", "name": "redrawn: 14 districts after 13", "units": "01,14", "probability": 1.0,
        "size": 500.0, "size_unit": "persons", "share": 0.1, **given_,
    }  # fmt: skip
    return _event("voter", {"month": month}, before, **own)


def _result(election: str, before: str, **given_: object) -> dict[str, Any]:
    return _event("result", {"election": election}, before, **given_)


def _profile(year: str, before: str, **given_: object) -> dict[str, Any]:
    return _event("profile", {"year": year}, before, **given_)


def _events(compared_months: Collection[str] = (), **found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = kept_rows(ibis.memtable(named_events(Found(events=found, compared_months=compared_months))), EVENTS)
    return sorted(rows, key=lambda row: row["until"])


def test_an_event_of_linked_persons_is_certain_and_cuts_series() -> None:
    (event,) = _events(voter_events=[_linked()])
    assert (event["probability"], event["size"], event["size_unit"], event["cuts"]) == (1.0, 500.0, "persons", True)
    assert (event["since"], event["until"]) == ("2022-02-01", "2022-03-01")
    assert (event["source"], event["partition"]) == ("voter_events", "2022-03|NC")


def test_a_map_change_seen_again_in_results_and_profiles_is_one_event() -> None:
    events = _events(
        voter_events=[_linked(cause="renumbering", kind="renumbered")],
        result_events=[_result("2022", "2020")],
        profile_events=[_profile("2022", "2021")],
    )
    (linked,) = [event for event in events if event["source"] == "voter_events"]
    assert {event["same_as"] for event in events if event is not linked} == {linked["event_id"]}
    assert [event["cuts"] for event in events if event is not linked] == [False, False]


def test_a_change_of_counties_is_never_that_of_districts() -> None:
    counties = _event("registration", {"month": "2022-03"}, "2022-02")
    events = _events(voter_events=[_linked()], registration_events=[counties])
    assert {event["source"]: (event["same_as"], event["cuts"]) for event in events} == {
        "voter_events": ("", True),
        "registration_events": ("", False),
    }


def test_without_a_voter_file_the_more_probable_detection_is_the_event() -> None:
    found = _events(
        result_events=[_result("2012", "2010", probability=0.9)],
        profile_events=[_profile("2012", "2011", probability=0.99)],
    )
    profile, result = sorted(found, key=lambda event: event["source"])
    assert (profile["same_as"], result["same_as"]) == ("", profile["event_id"])


def test_a_rejected_event_cuts_nothing_and_hides_no_other() -> None:
    events = _events(voter_events=[_linked(judgement="rejected")], result_events=[_result("2022", "2020")])
    by_source = {event["source"]: event for event in events}
    assert (by_source["voter_events"]["judgement"], by_source["voter_events"]["cuts"]) == ("rejected", False)
    assert (by_source["result_events"]["same_as"], by_source["result_events"]["cuts"]) == ("", True)


def test_a_map_change_that_linked_months_deny_is_none_unless_somebody_confirms_it() -> None:
    months = [f"2022-{month:02d}|NC" for month in range(1, 13)]
    change = _profile("2022", "2021")
    assert _events(months, profile_events=[change]) == []
    assert len(_events(months[1:], profile_events=[change])) == 1
    confirmed = _events(months, profile_events=[{**change, "judgement": "confirmed"}])
    assert [event["judgement"] for event in confirmed] == ["confirmed"]


def test_entry_events_of_different_sources_stay_apart() -> None:
    doubled = _linked("2022-07", "2022-06", cause="entry", kind="repeated", name="every record loaded twice")
    events = _events(voter_events=[doubled], result_events=[_result("2022", "2020", cause="entry")])
    assert [event["same_as"] for event in events] == ["", ""]
