"""What makes a finding an event: its id, and from which probability."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.wrangling.comparisons.named import detected_event, event_id, is_named, linked_event

DAY = {"day": "2026-02-02"}


def test_few_groups_must_be_surer_above_all_of_a_redrawing() -> None:
    def named(cause: str, groups: int, probability: float) -> bool:
        return is_named({"cause": cause, "groups": groups, "probability": probability}, 0.5)

    assert [named("boundary", *of) for of in ((50, 0.6), (6, 0.6), (6, 0.995), (50, 0.4))] == [True, False, True, False]
    assert [named(cause, 6, 0.95) for cause in ("entry", "units", "population")] == [True, True, True]
    assert [named("entry", *of) for of in ((6, 0.8), (50, 0.8))] == [False, True]


@given(persons=st.integers(1, 10**6), share=st.floats(0, 1), evidence=st.text(max_size=20))
def test_ids_depend_on_what_happened_and_not_on_size_or_evidence(persons: int, share: float, evidence: str) -> None:
    def told(**changes: Any) -> str:  # noqa: ANN401  any column
        found = {
            "cause": "entry", "kind": "repeated", "name": "every record loaded twice", "units": "all", "persons": 5,
            "share": 0.1, "evidence": "10 rows for 5", **changes,
        }  # fmt: skip
        return event_id(linked_event(found, before="2026-02-01", entities="customers"), DAY, of="customers", group=None)

    assert told() == told(persons=persons, share=share, evidence=evidence)
    assert told() != told(cause="boundary")
    assert told() != told(name="plan gold recoded to premium")


def test_events_of_two_groups_or_partitions_or_comparisons_are_apart() -> None:
    change = {
        "region": "r1", "compared_with": "2026-02-01", "cause": "entry", "probability": 0.9, "units": "all",
        "magnitude": 0.7, "evidence": "",
    }  # fmt: skip
    event = detected_event(change, group="region", units="shops", of="takings")
    ids = {
        event_id(event, DAY, of="takings", group="region"),
        event_id({**event, "region": "r2"}, DAY, of="takings", group="region"),
        event_id(event, {"day": "2026-02-03"}, of="takings", group="region"),
        event_id(event, DAY, of="sales", group="region"),
    }
    assert len(ids) == 4
