"""A contract that gains a column: what was published before stays readable, and says what it does not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt  # noqa: TC002  pandera reads the annotations
import pandera.ibis as pandera
import pyarrow as pa
import pytest

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.errors import MissingInputError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.recorded import recorded_contents
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table, published_table
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard

if TYPE_CHECKING:
    import dagster as dg

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract


class WithKind(orchard.YieldsModel):
    """Yields that tell the kind of apple, always."""

    kind: dt.String = pandera.Field(nullable=False)


class WithDefaultKind(orchard.YieldsModel):
    """Yields that tell the kind of apple, for which there was one before."""

    kind: dt.String = pandera.Field(nullable=False, metadata={"default": "Boskoop"})


class PerhapsWithKind(orchard.YieldsModel):
    """Yields that tell the kind of apple where it is known."""

    kind: dt.String = pandera.Field(nullable=True)


PLAIN = orchard.YIELDS
REQUIRED = replace(PLAIN, model=WithKind)
DEFAULTED = replace(PLAIN, model=WithDefaultKind)
OPTIONAL = replace(PLAIN, model=PerhapsWithKind)


def publish(contract: Contract, week: str, instance: dg.DagsterInstance) -> None:
    """Publish one tree of that week."""

    @asset(contract=contract)
    def yields(partition: Partition) -> pa.Table:
        row = {"week": partition.key, "tree": 1, "kilos": 2.0}
        return pa.Table.from_pylist([row if contract is PLAIN else {**row, "kind": "Elstar"}])

    assert orchard.pick(week, [yields], instance=instance).success


def rows(contract: Contract) -> list[dict[str, object]]:
    """What a reader of the contract sees now."""
    with LakeSession(Settings.load()) as session:
        found: list[dict[str, object]] = current_table(session, contract).order_by("week").to_pyarrow().to_pylist()
        return found


def kinds(contract: Contract) -> dict[object, object]:
    """The kind of apple by week."""
    return {row["week"]: row["kind"] for row in rows(contract)}


def test_a_reader_of_a_gained_column_sees_its_default_before_and_after_the_first_new_publish(
    instance: dg.DagsterInstance,
) -> None:
    publish(PLAIN, "w1", instance)
    assert kinds(DEFAULTED) == {"w1": "Boskoop"}
    publish(DEFAULTED, "w2", instance)
    assert kinds(DEFAULTED) == {"w1": "Boskoop", "w2": "Elstar"}


def test_a_gained_column_that_may_be_null_is_null_in_earlier_partitions(instance: dg.DagsterInstance) -> None:
    publish(PLAIN, "w1", instance)
    publish(OPTIONAL, "w2", instance)
    assert kinds(OPTIONAL) == {"w1": None, "w2": "Elstar"}


def test_a_gained_column_that_must_hold_a_value_is_asked_for_and_never_null(instance: dg.DagsterInstance) -> None:
    publish(PLAIN, "w1", instance)
    said = r"wrangled/yields: partition w1 was published before .* the column kind, .*'default'"
    with pytest.raises(MissingInputError, match=said):
        rows(REQUIRED)
    publish(REQUIRED, "w2", instance)
    with pytest.raises(MissingInputError, match=said):
        rows(REQUIRED)
    publish(REQUIRED, "w1", instance)
    assert kinds(REQUIRED) == {"w1": "Elstar", "w2": "Elstar"}


def test_a_reader_of_the_earlier_contract_goes_on_reading(instance: dg.DagsterInstance) -> None:
    publish(PLAIN, "w1", instance)
    publish(REQUIRED, "w2", instance)
    assert [set(row) for row in rows(PLAIN)] == [{"week", "tree", "kilos"}] * 2


def test_what_was_read_before_the_column_came_is_read_again_as_recorded(instance: dg.DagsterInstance) -> None:
    publish(PLAIN, "w1", instance)
    with LakeSession(Settings.load()) as session:
        content = ledger.current(session, PLAIN, ["w1"])["w1"].record.content_hash
    publish(DEFAULTED, "w1", instance)
    with LakeSession(Settings.load()) as session:
        found = recorded_contents(session, DEFAULTED, {"w1": content})
        [row] = published_table(session, DEFAULTED, found, version=0).to_pyarrow().to_pylist()
    assert row["kind"] == "Boskoop"
