"""One list of events from every source: ids that stay, repetitions that are marked, and what linked months deny."""

from __future__ import annotations

from typing import Any

import ibis
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.contracts.events import EVENTS
from mlops_assets.wrangling.named_events import Found, event_id, named_events
from mlops_assets_tests.wrangling.kept_contract import kept_rows


def _voter_event(
    month: str = "2022-03", *, cause: str = "boundary", kind: str = "redrawn", **given_: object
) -> dict[str, Any]:
    return {
        "state": "NC", "month": month, "cause": cause, "kind": kind, "name": "redrawn: 14 districts after 13",
        "units": "01,14", "persons": 500, "share": 0.1, "evidence": "500 of 5000", **given_,
    }  # fmt: skip


def _change(time: str, before: str, *, column: str = "election", **given_: object) -> dict[str, Any]:
    return {
        "state": "NC", "compared_with": before, "states": 50, "cause": "boundary", "probability": 0.97,
        "magnitude": 0.2, "units": "all", "evidence": "units moved", column: time, **given_,
    }  # fmt: skip


def _events(found: Found) -> list[dict[str, Any]]:
    rows = kept_rows(ibis.memtable(named_events(found)), EVENTS)
    return sorted(rows, key=lambda row: row["until"])


def test_an_event_of_linked_persons_is_certain_and_cuts_series() -> None:
    (event,) = _events(Found(voter_events=[_voter_event()]))
    assert (event["probability"], event["size"], event["size_unit"], event["cuts"]) == (1.0, 500.0, "persons", True)
    assert (event["since"], event["until"]) == ("2022-02-01", "2022-03-01")


def test_a_map_change_seen_again_in_results_and_profiles_is_one_event() -> None:
    results = [_change("2022", "2020", cause="boundary")]
    profiles = [_change("2022", "2021", column="year")]
    found = Found(
        voter_events=[_voter_event(cause="renumbering", kind="renumbered")],
        detected={"result_changes": results, "profile_changes": profiles},
    )
    events = _events(found)
    (linked,) = [event for event in events if event["source"] == "voter_events"]
    assert {event["same_as"] for event in events if event is not linked} == {linked["event_id"]}
    assert [event["cuts"] for event in events if event is not linked] == [False, False]


def test_without_a_voter_file_the_more_probable_detection_is_the_event() -> None:
    found = Found(
        detected={
            "result_changes": [_change("2012", "2010", probability=0.9)],
            "profile_changes": [_change("2012", "2011", column="year", probability=0.99)],
        }
    )
    profile, result = sorted(_events(found), key=lambda event: event["source"])
    assert (profile["same_as"], result["same_as"]) == ("", profile["event_id"])


def test_a_rejected_event_cuts_nothing_and_hides_no_other() -> None:
    linked = _voter_event()
    key = event_id("voter_events", "2022-03|NC", "NC", "boundary", linked["name"])
    verdicts = [{"event_id": key, "number": 1, "verdict": "reject", "by": "Ann", "note": "a wrong file"}]
    events = _events(
        Found(voter_events=[linked], detected={"result_changes": [_change("2022", "2020")]}, verdicts=verdicts)
    )
    by_source = {event["source"]: event for event in events}
    assert (by_source["voter_events"]["judgement"], by_source["voter_events"]["cuts"]) == ("rejected", False)
    assert (by_source["result_changes"]["same_as"], by_source["result_changes"]["cuts"]) == ("", True)


def test_a_map_change_that_linked_months_deny_is_none_unless_somebody_confirms_it() -> None:
    months = [f"2022-{month:02d}|NC" for month in range(1, 13)]
    change = _change("2022", "2021", column="year")
    assert _events(Found(detected={"profile_changes": [change]}, compared_months=months)) == []
    assert len(_events(Found(detected={"profile_changes": [change]}, compared_months=months[1:]))) == 1
    key = event_id("profile_changes", "2022", "NC", "boundary")
    said = [{"event_id": key, "number": 1, "verdict": "confirm", "by": "Ann", "note": ""}]
    confirmed = Found(detected={"profile_changes": [change]}, compared_months=months, verdicts=said)
    assert [event["judgement"] for event in _events(confirmed)] == ["confirmed"]


def test_few_states_must_be_surer() -> None:
    def events(states: int, probability: float) -> int:
        changes = [_change("2012", "2010", states=states, probability=probability)]
        return len(_events(Found(detected={"result_changes": changes})))

    assert [events(50, 0.6), events(2, 0.6), events(2, 0.995), events(50, 0.4)] == [1, 0, 1, 0]


def test_entry_events_of_different_sources_stay_apart() -> None:
    doubled = _voter_event("2022-07", cause="entry", kind="repeated", name="every record loaded twice", units="all")
    changes = [_change("2022", "2020", cause="entry")]
    events = named_events(Found(voter_events=[doubled], detected={"result_changes": changes}))
    assert events.column("same_as").to_pylist() == ["", ""]


@given(
    persons=st.integers(1, 10**6),
    evidence=st.text(max_size=20),
    order=st.permutations(["2021-09", "2022-03", "2022-07"]),
)
def test_ids_depend_on_what_happened_and_not_on_size_evidence_or_order(
    persons: int, evidence: str, order: list[str]
) -> None:
    plain = named_events(Found(voter_events=[_voter_event(month) for month in sorted(order)]))
    other = named_events(
        Found(voter_events=[_voter_event(month, persons=persons, evidence=evidence) for month in order])
    )
    assert plain.column("event_id").to_pylist() == other.column("event_id").to_pylist()
    assert len(set(plain.column("event_id").to_pylist())) == len(order)
