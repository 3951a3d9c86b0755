"""Comparisons as declared: what is refused, which assets follow, and how the table is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from dagster.components.resolved.errors import ResolutionException

import mlops_assets as ma
from mlops_assets_tests.wrangling.comparisons.shops import CUSTOMERS, TAKINGS, compared, customers, made, measured

if TYPE_CHECKING:
    import ibis.expr.types as ir


def keys(definitions: dg.Definitions) -> set[str]:
    graph = definitions.resolve_asset_graph()
    return {key.to_user_string() for key in graph.get_all_asset_keys() if key.path[0] == "variance"}


def test_linked_entities_have_changes_events_flows_and_verdicts() -> None:
    kinds = ("summaries", "drift", "changes", "events", "flows", "verdicts")
    assert keys(ma.build_defs([compared()], name="shops")) == {f"variance/customers_{kind}" for kind in kinds}


def test_a_panel_has_changes_events_and_verdicts_under_the_name_given() -> None:
    found = keys(ma.build_defs([measured(name="sales")], name="shops"))
    assert found == {f"variance/sales_{kind}" for kind in ("summaries", "drift", "changes", "events", "verdicts")}


def test_a_table_named_by_its_key_is_found_among_the_other_assets_in_any_order() -> None:
    by_key, table = compared(table="wrangled/customers"), made(CUSTOMERS, customers)
    definitions = (
        ma.build_defs([by_key, table], name="shops"),
        ma.build_defs([table, by_key], name="shops"),
        ma.build_defs([CUSTOMERS.spec(), by_key], name="shops"),
    )
    assert all("variance/customers_events" in keys(each) for each in definitions)


def test_a_table_that_is_nowhere_is_refused_by_name() -> None:
    with pytest.raises(ma.PlatformError, match="no table of a lake among these definitions"):
        ma.build_defs([compared(table="wrangled/customer"), CUSTOMERS.spec()], name="shops")


def test_an_arrival_wakes_the_own_comparison_and_its_summary_those_in_reach() -> None:
    definitions = ma.build_defs([compared(back=2), made(CUSTOMERS, customers)], name="shops")
    graph = definitions.resolve_asset_graph()
    days = CUSTOMERS.partitions_def
    assert days is not None
    arrived = days.subset_with_partition_keys(["2026-02-01"])
    woken = []
    for upstream in (CUSTOMERS.key, dg.AssetKey(["variance", "customers_summaries"])):
        mapping = graph.get_partition_mapping(dg.AssetKey(["variance", "customers_changes"]), upstream)
        woken.append(sorted(mapping.get_downstream_partitions_for_partitions(arrived, days, days).get_partition_keys()))
    assert woken == [["2026-02-01"], ["2026-02-02", "2026-02-03"]]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"measures": ["copies"]}, "names both entity and measures"),
        ({"entity": None, "copies": None, "address": [], "attributes": []}, "names neither entity nor measures"),
        ({"address": []}, "who moved cannot be told from what was redrawn"),
        ({"cases": "copies"}, "cases says nothing of linked entities"),
        ({"attributes": ["all"]}, "an attribute is called all"),
        ({"back": 0}, "back is 0"),
        ({"smallest": 0}, "smallest is 0"),
        ({"name": "Our Customers"}, "its name is 'Our Customers'"),
    ],
)
def test_what_contradicts_itself_is_refused_when_it_is_declared(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ma.PlatformError, match=told):
        compared(**changes)


@pytest.mark.parametrize(
    ("compare", "told"),
    [
        (compared(unit="store"), "its unit names store, which is no column"),
        (compared(attributes={"plan": "plan_code"}), "its attributes names plan_code, which is no column"),
        (measured(measures=["region"]), "column region is string, no number"),
        (measured(time="month"), "no partition column month"),
        (compared(table="wrangled/customers"), "it knows the key alone"),
    ],
)
def test_what_does_not_fit_the_table_is_refused_when_the_assets_are_made(compare: ma.Compare, told: str) -> None:
    with pytest.raises(ma.PlatformError, match=told):
        compare.assets()


def of(**changes: Any) -> ma.Contract:  # noqa: ANN401  any field of a contract
    fields = {name: getattr(TAKINGS, name) for name in ("layer", "table", "model", "lake", "description", "owners")}
    return ma.Contract(**{**fields, **changes})


@pytest.mark.parametrize(
    ("contract", "told"),
    [
        (of(), "the table has no partitions"),
        (
            of(partitions_def=dg.DynamicPartitionsDefinition(name="days"), partition_columns={"day": "day"}),
            "are added as it goes, in no known order",
        ),
        (
            of(
                partitions_def=dg.MultiPartitionsDefinition(
                    {"day": dg.DailyPartitionsDefinition("2026-01-01"), "region": dg.StaticPartitionsDefinition(["n"])}
                ),
                partition_columns={"day": "day", "region": "region"},
            ),
            "several partition columns",
        ),
    ],
)
def test_a_table_without_an_order_in_time_is_refused(contract: ma.Contract, told: str) -> None:
    with pytest.raises(ma.PlatformError, match=told):
        measured(table=contract).assets()


def test_changes_of_a_table_of_persons_are_not_put_into_its_lake() -> None:
    partitioned = {name: getattr(TAKINGS, name) for name in ("partitions_def", "partition_columns")}
    personal = of(lake=ma.Lake("restricted", personal=True), **partitioned)
    with pytest.raises(ma.PlatformError, match="lake restricted is for personal data"):
        measured(table=personal).assets()
    assert measured(table=personal, lake=ma.Lake("curated")).changes().lake.name == "curated"


def test_a_component_names_table_function_and_lake_by_their_dotted_names() -> None:
    declared = ma.Compare.resolve_from_yaml(
        """
        table: mlops_assets_tests.wrangling.comparisons.shops.TAKINGS
        lake: mlops_assets_tests.wrangling.comparisons.shops.CURATED
        prepare: mlops_assets_tests.wrangling.comparisons.test_declaration.unchanged
        unit: shop
        group: region
        measures: [customers, sales]
        """
    )
    assert declared.table is TAKINGS
    assert declared.prepare is unchanged
    assert [each.key.path[-1] for each in declared.assets()] == ["takings_changes", "takings_events"]


def unchanged(rows: ir.Table) -> ir.Table:
    """The rows as they are."""
    return rows


def test_a_dotted_name_of_nothing_is_refused_by_name() -> None:
    with pytest.raises(ResolutionException, match=r"shops.TAKING: there is nothing of that name to import"):
        ma.Compare.resolve_from_yaml(
            "table: mlops_assets_tests.wrangling.comparisons.shops.TAKING\nunit: shop\nmeasures: [sales]"
        )
