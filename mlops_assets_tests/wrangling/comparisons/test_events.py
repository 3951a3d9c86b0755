"""Comparisons run by Dagster on a lake: events are named, gates stop, verdicts let pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import ibis.expr.types as ir  # noqa: TC002  of the table that a test makes
import pytest

import mlops_assets as ma
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.wrangling.comparisons import verdicts
from mlops_assets_tests.wrangling.comparisons.shops import (
    CURATED,
    CUSTOMERS,
    DAYS,
    TAKINGS,
    compared,
    customers,
    made,
    measured,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Rows = list[dict[str, Any]]

FIRST, NEXT, LATER = "2026-02-01", "2026-02-02", "2026-02-03"


@pytest.fixture(autouse=True)
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def run(
    instance: dg.DagsterInstance,
    assets: Sequence[dg.AssetsDefinition | ma.Compare],
    keys: Sequence[str],
    *days: str | None,
) -> dg.ExecuteInProcessResult:
    """Materialize these tables of each day; gives the last result."""
    job = ma.build_defs(assets, name="shops").resolve_implicit_global_asset_job_def()
    selection = [dg.AssetKey(key.split("/")) for key in keys]
    results = [
        job.execute_in_process(partition_key=day, instance=instance, asset_selection=selection, raise_on_error=False)
        for day in days
    ]
    return results[-1]


def rows(contract: ma.Contract) -> Rows:
    with LakeSession(ma.Settings.load()) as session:
        found: Rows = current_table(session, contract).to_pyarrow().to_pylist()
    return found


def found(
    instance: dg.DagsterInstance, changed: Callable[[str], Rows], *days: str, **fields: object
) -> list[tuple[str, ...]]:
    """Cause, kind, name and units of every event, where customers are as changed."""
    compare = compared(**fields)
    keys = ["wrangled/customers", "variance/customers_changes", "variance/customers_events"]
    assert run(instance, [made(CUSTOMERS, changed), compare], keys, *days).success
    return [(row["day"], row["cause"], row["kind"], row["units"]) for row in rows(compare.events())]


def redrawn(day: str) -> Rows:
    """From the next day on a third of the places of the first shop belong to the second."""
    return [
        {**row, "shop": "s1"} if day >= NEXT and row["shop"] == "s0" and int(row["customer"][1:]) % 9 == 0 else row
        for row in customers(day)
    ]


def test_a_redrawing_is_named_with_the_units_concerned_and_only_once(instance: dg.DagsterInstance) -> None:
    assert found(instance, redrawn, FIRST, NEXT, LATER) == [(NEXT, "boundary", "redrawn", "s0,s1")]


def renamed(day: str) -> Rows:
    """From the next day on a plan has another name."""
    return [{**row, "plan": "premium"} if day >= NEXT and row["plan"] == "gold" else row for row in customers(day)]


def test_a_recoding_is_told_from_a_change_of_every_entity(instance: dg.DagsterInstance) -> None:
    assert found(instance, renamed, FIRST, NEXT) == [(NEXT, "entry", "reclassed", "all")]


def test_where_every_change_of_a_class_is_real_nothing_is_a_recoding(instance: dg.DagsterInstance) -> None:
    assert found(instance, renamed, FIRST, NEXT, attributes={"plan": None}) == []


def test_a_day_that_is_missing_is_bridged_within_reach_and_no_further(instance: dg.DagsterInstance) -> None:
    assert found(instance, redrawn, FIRST, LATER, back=2) == [(LATER, "boundary", "redrawn", "s0,s1")]
    assert [row["compared_with"] for row in rows(compared().events())] == [FIRST]


def test_beyond_reach_nothing_is_compared(instance: dg.DagsterInstance) -> None:
    assert found(instance, redrawn, FIRST, LATER, back=1) == []


def test_rows_that_came_twice_are_named_even_of_the_first_day(instance: dg.DagsterInstance) -> None:
    def twice(day: str) -> Rows:
        return [{**row, "copies": 2} for row in customers(day)]

    assert found(instance, twice, FIRST) == [(FIRST, "entry", "repeated", "all")]


def test_where_nothing_happened_there_is_no_event_and_parts_add_up(instance: dg.DagsterInstance) -> None:
    assert found(instance, customers, FIRST, NEXT) == []
    counted = {
        row["shop"]: (row["before"], row["after"]) for row in rows(compared().changes()) if row["category"] == "all"
    }
    assert counted == dict.fromkeys(("s0", "s1", "s2"), (100, 100))


def test_small_counts_are_withheld(instance: dg.DagsterInstance) -> None:
    compare = compared(smallest=60)
    keys = ["wrangled/customers", "variance/customers_changes"]
    assert run(instance, [made(CUSTOMERS, customers), compare], keys, FIRST, NEXT).success
    plans = [row for row in rows(compare.changes()) if row["attribute"] == "plan"]
    assert {(row["suppressed"], row["before"]) for row in plans} == {(True, None)}


def takings(day: str) -> Rows:
    """Steady shops of ten regions; on one day one region is entered twice."""
    number = int(day[-2:])

    def twice(region: int) -> int:
        return 2 if (region, day) == (4, "2026-02-05") else 1

    return [
        {
            "day": day, "region": f"r{region}", "shop": f"s{shop}",
            "customers": (1000 + 37 * shop + 3 * ((shop * number) % 5)) * twice(region),
            "sales": float((5000 + 91 * shop + ((shop + number) % 7)) * twice(region)),
        }
        for region in range(10)
        for shop in range(8)
    ]  # fmt: skip


def test_a_panel_tells_which_group_was_entered_twice_and_when(instance: dg.DagsterInstance) -> None:
    compare = measured()
    keys = ["wrangled/takings", "variance/takings_changes", "variance/takings_events"]
    days = [f"2026-02-{day:02}" for day in range(1, 6)]
    assert run(instance, [made(TAKINGS, takings), compare], keys, *days).success
    (event,) = rows(compare.events())
    assert (event["day"], event["region"], event["cause"], event["kind"]) == ("2026-02-05", "r4", "entry", "detected")
    assert event["name"] == "entry of shops changed, by takings"
    assert {row["cause"] for row in rows(compare.changes()) if row["region"] != "r4"} == {"none"}


def test_the_same_without_groups_is_one_group(instance: dg.DagsterInstance) -> None:
    def of_one(day: str) -> Rows:
        return [row for row in takings(day) if row["region"] == "r4"]

    compare = measured(group=None)
    keys = ["wrangled/takings", "variance/takings_changes"]
    assert run(instance, [made(TAKINGS, of_one), compare], keys, "2026-02-03", "2026-02-04", "2026-02-05").success
    assert [(row["day"], row["group"], row["cause"]) for row in rows(compare.changes())] == [
        ("2026-02-05", "all", "entry")
    ]


def gated(compare: ma.Compare) -> dg.AssetsDefinition:
    """A table of what is made from customers, held back by the comparison's gate."""
    gate = compare.gate()

    @ma.asset(
        key="features/customers",
        schema=CUSTOMERS.model,
        lake=CURATED,
        partitions_def=DAYS,
        metadata={"partition_expr": "day"},
        ins={"customers": ma.In(CUSTOMERS), "events": gate.input},
        check_specs=gate.checks("features/customers"),
    )
    def features(customers: ir.Table, events: ir.Table, settings: ma.Settings) -> dg.MaterializeResult[ir.Table]:
        return dg.MaterializeResult(value=customers, check_results=gate.judged(events, settings.entry_policy))

    return features


def test_a_gate_stops_what_is_made_until_somebody_rejects_the_event(instance: dg.DagsterInstance) -> None:
    compare = compared()
    assets = (made(CUSTOMERS, renamed), compare, gated(compare))
    keys = ["wrangled/customers", "variance/customers_changes", "variance/customers_events", "features/customers"]
    assert run(instance, assets, keys, FIRST).success
    assert not run(instance, assets, keys, NEXT).success
    (event,) = rows(compare.events())
    tables = {compare.events().key.to_user_string(): compare.events()}

    verdicts.judge(ma.Settings.load(), tables, event["event_id"], "confirm", by="Ann")
    assert not run(instance, assets, keys[2:], NEXT).success
    verdicts.judge(ma.Settings.load(), tables, event["event_id"], "reject", by="Bob", note="a new name only")
    assert run(instance, assets, keys[2:], NEXT).success
    (judged,) = rows(compare.events())
    assert (judged["judgement"], judged["judged_by"], judged["notes"]) == ("rejected", "Bob", "Bob: a new name only")


def test_a_verdict_on_few_entities_is_none_on_many(instance: dg.DagsterInstance) -> None:
    twice = {"few": 90}

    def some(day: str) -> Rows:
        return [{**row, "copies": 2 if int(row["customer"][1:]) < twice["few"] else 1} for row in customers(day)]

    compare = compared()
    assets = (made(CUSTOMERS, some), compare)
    keys = ["wrangled/customers", "variance/customers_changes", "variance/customers_events"]
    assert run(instance, assets, keys, FIRST).success
    (event,) = rows(compare.events())
    tables = {compare.events().key.to_user_string(): compare.events()}
    verdicts.judge(ma.Settings.load(), tables, event["event_id"], "reject", by="Ann")
    judgements = []
    for few in (90, 135, 210):
        twice["few"] = few
        assert run(instance, assets, keys, FIRST).success
        judgements.append([(row["judgement"], int(row["size"])) for row in rows(compare.events())])
    assert judgements == [[("rejected", 90)], [("rejected", 135)], [("open", 210)]]


def test_two_days_that_cannot_be_compared_are_stopped_by_name_and_nothing_is_said_of_them(
    instance: dg.DagsterInstance,
) -> None:
    def reissued(day: str) -> Rows:
        return [
            {**row, "customer": f"{row['customer']}-{day >= NEXT}", "plan": f"plan {number % 7}"}
            for number, row in enumerate(customers(day))
        ]

    compare = compared()
    assets = (made(CUSTOMERS, reissued), compare)
    keys = ["wrangled/customers", "variance/customers_changes", "variance/customers_events"]
    assert run(instance, assets, keys, FIRST).success
    stopped = run(instance, assets, keys, NEXT)
    assert not stopped.success
    failed = {check.check_name for check in stopped.get_asset_check_evaluations() if not check.passed}
    assert failed == {"not_re_keyed"}
    assert rows(compare.changes()) == []
