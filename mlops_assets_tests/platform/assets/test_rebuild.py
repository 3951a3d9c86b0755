"""Rebuilding: every publish is made again in another folder with an equal hash, or it is said why it cannot be."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import dagster as dg
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pandera
import pytest

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.assets.rebuild import Rebuilt, rebuild
from mlops_assets.platform.contracts.lake import Lake, placed
from mlops_assets.platform.contracts.volume import ACCEPTED_TAG
from mlops_assets.platform.errors import ContractError, LakeError
from mlops_assets.platform.lake import expiry, ledger, repair
from mlops_assets.platform.lake.files import partition_files
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake import upkeep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry

LAKES = (orchard.RESTRICTED.name, orchard.CURATED.name)


class WithKind(orchard.HarvestModel):
    """A harvest that tells the kind of apple."""

    kind: dt.String = pandera.Field(nullable=False, metadata={"default": "Boskoop"})


class WithGrade(orchard.YieldsModel):
    """Yields that tell a grade."""

    grade: dt.Int64 = pandera.Field(nullable=True)


HARVEST_OF_KINDS = dataclasses.replace(orchard.HARVEST, model=WithKind)
GRADED_YIELDS = dataclasses.replace(orchard.YIELDS, model=WithGrade)


@asset(contract=HARVEST_OF_KINDS)
def harvest_of_kinds(partition: Partition) -> ir.Table:
    """What the scale wrote, once it told the kind."""
    return ibis.memtable(orchard.read_scale(str(partition.key))).mutate(kind=ibis.literal("Elstar"))


def yields_of(change: Callable[[ir.Table], ir.Table], contract: Contract = orchard.YIELDS) -> dg.Definitions:
    """Definitions in which the farm keeps something else of the harvest."""

    @asset(contract=contract, ins={"harvest": In(HARVEST_OF_KINDS)})
    def yields(harvest: ir.Table) -> ir.Table:
        return change(harvest.drop("picker", "kind"))

    return dg.Definitions(assets=[harvest_of_kinds, yields, orchard.season])


ORCHARD = dg.Definitions(assets=list(orchard.ASSETS))
LATER = yields_of(lambda kept: kept)
"""The orchard since its harvest has gained a column."""


def harvested(week: str, kilos: float) -> Entry:
    """Publish a harvest of that week as its record would be, without a run."""
    rows = [{**row, "kilos": kilos * 1.1 * number} for number, row in enumerate(orchard.good_rows(week), 1)]
    return upkeep.publish_table(orchard.HARVEST, week, {name: [row[name] for row in rows] for name in rows[0]})


def made(instance: dg.DagsterInstance, definitions: dg.Definitions = ORCHARD, *tables: str, week: str = "w1") -> None:
    """Materialize those tables of a week; the yields if none are named."""
    for table in tables or ("wrangled/yields",):
        wanted = dg.AssetKey.from_user_string(table)
        chosen = [each for each in definitions.assets or () if isinstance(each, dg.AssetsDefinition)]
        [one] = [each for each in chosen if wanted in each.keys]
        key = week if one.partitions_def is not None else None
        assert dg.materialize(
            chosen, selection=[one], partition_key=key, instance=instance, resources=definitions.resources
        ).success


def current(contract: Contract, key: str | None) -> Entry:
    with LakeSession(Settings.load()) as session:
        return ledger.current(session, contract, [key])[key]


def file_of(contract: Contract, key: str | None) -> Path:
    with LakeSession(Settings.load()) as session:
        version = ledger.latest_version(session, contract.lake.name)
        [file] = partition_files(session, contract, key, version=version)
        return file


def expire() -> int:
    """Let everything go that nothing needs; returns how many versions that were."""
    gone = 0
    with LakeSession(Settings.load()) as session:
        for lake in LAKES:
            versions = expiry.expirable(session, lake, older_than_seconds=0, pins=lambda _: {})
            gone += expiry.expire(session, lake, versions).versions
    return gone


def state(instance: dg.DagsterInstance) -> tuple[object, ...]:
    """All that a rebuild must leave as it is: versions, publishes and files of the lakes, runs, events, environment."""
    with LakeSession(Settings.load()) as session:
        lakes = [(ledger.latest_version(session, lake), len(ledger.since(session, lake, 0))) for lake in LAKES]
    home = sorted(str(file) for file in Settings.load().home.rglob("*") if "sqlite" not in file.name)
    runs = instance.get_runs_count(), instance.event_log_storage.get_maximum_record_id()
    return lakes, home, runs, dict(os.environ)


class Rebuilding:
    """Rebuilds in other folders, of what runs of that instance have published."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path) -> None:
        self.instance, self._folder, self._count = instance, folder, 0

    def __call__(
        self,
        table: str = "wrangled/yields",
        key: str | None = "w1",
        *,
        of: dg.Definitions = ORCHARD,
        version: int | None = None,
        asked: bool = True,
    ) -> Rebuilt:
        self._count += 1
        home = self._folder / f"elsewhere-{self._count}"
        home.mkdir()
        before = state(self.instance)
        try:
            return rebuild(
                [of],
                table,
                key,
                version=version,
                instance=self.instance if asked else None,
                settings=Settings.load(),
                home=home,
            )
        finally:
            assert state(self.instance) == before


@pytest.fixture
def rebuilding(instance: dg.DagsterInstance, tmp_path: Path) -> Rebuilding:
    return Rebuilding(instance, tmp_path)


@pytest.mark.usefixtures("on_each_catalog")
def test_after_fifty_publishes_a_new_column_and_an_expiry_all_that_is_current_is_rebuilt(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    for number in range(39):
        harvested(orchard.WEEKS[number % 3], 1.0 + number)
        if number % 13 == 12:
            made(instance, ORCHARD, "wrangled/yields", "features/season", week=orchard.WEEKS[number % 3])
    for week in orchard.WEEKS[:2]:
        orchard.weigh(week, [{**row, "kilos": 77.7} for row in orchard.good_rows(week)])
        made(instance, LATER, "raw/harvest", "wrangled/yields", "features/season", week=week)
    with LakeSession(Settings.load()) as session:
        assert sum(len(ledger.since(session, lake, 0)) for lake in LAKES) > 50
    assert expire() > 40
    for key in orchard.WEEKS:
        found = rebuilding(key=key, of=LATER)
        assert found.equal, found
        assert found.content_hash == current(orchard.YIELDS, key).record.content_hash
    found = rebuilding("features/season", None, of=LATER)
    assert (found.equal, found.inputs) == (True, 3)

    read, file = current(orchard.HARVEST, "w3"), file_of(orchard.HARVEST, "w3")
    upkeep.flip(file, "kilos")
    with pytest.raises(LakeError, match=r"holds table raw/harvest, partition w3 of publish") as refusal:
        rebuilding(key="w3", of=LATER)
    assert str(file) in refusal.value.source
    assert read.record.publish_id in refusal.value.culprit


@pytest.mark.parametrize(
    ("damage", "told"), [(upkeep.cut, "it cannot be read"), (lambda file: file.unlink(), "No such file or directory")]
)
def test_a_file_that_is_cut_or_gone_is_refused_by_its_name(
    damage: Callable[[Path], None], told: str, instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    publish_id = harvested("w1", 1.0).record.publish_id
    made(instance)
    file = file_of(orchard.HARVEST, "w1")
    damage(file)
    with pytest.raises(LakeError, match=told) as refusal:
        rebuilding()
    assert str(file) in refusal.value.source
    assert publish_id in refusal.value.culprit


def test_a_superseded_publish_is_rebuilt_by_its_version_until_what_it_was_made_from_has_expired(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    read = harvested("w1", 1.0).record
    made(instance)
    first = current(orchard.YIELDS, "w1")
    harvested("w1", 2.0)
    made(instance)
    assert current(orchard.YIELDS, "w1").record.content_hash != first.record.content_hash
    found = rebuilding(version=first.version)
    assert (found.entry, found.equal) == (first, True)
    expire()
    said = rf"raw/harvest, partition w1: .*{read.content_hash}, and version \d+, .*{read.publish_id}\), has expired\."
    with pytest.raises(LakeError, match=said):
        rebuilding(version=first.version)
    assert rebuilding().equal


def test_what_was_lost_is_told_as_lost(instance: dg.DagsterInstance, rebuilding: Rebuilding) -> None:
    harvested("w1", 1.0)
    made(instance)
    with LakeSession(Settings.load()) as session:
        file_of(orchard.HARVEST, "w1").unlink()
        [planned] = repair.plan(session, "restricted", upkeep.CONTRACTS)
        repair.repair(session, planned)
    with pytest.raises(LakeError, match="its file was lost"):
        rebuilding()


def test_a_changed_function_is_told_as_the_cause_with_counts_and_no_values(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    harvested("w1", 1.0)
    made(instance)
    changed = yields_of(
        lambda kept: kept.mutate(kilos=ibis.ifelse(kept.tree == 2, 8.0, kept.kilos)).filter(kept.tree < 4)
    )
    found = rebuilding(of=changed)
    assert not found.equal
    assert set(found.differences) == {"code version"}
    assert found.counts == {"rows only as published": 1, "rows with another kilos": 1}


def test_a_column_that_the_table_has_gained_since_is_told_and_not_compared(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    harvested("w1", 1.0)
    made(instance)
    found = rebuilding(of=yields_of(lambda kept: kept.mutate(grade=kept.tree), GRADED_YIELDS))
    assert found.equal
    assert found.content_hash == current(orchard.YIELDS, "w1").record.content_hash
    assert found.differences["columns of the contract"] == ("week, tree, kilos", "week, tree, kilos, grade")


def test_a_function_of_chance_is_rebuilt_as_other_rows_without_a_cause_on_record(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    harvested("w1", 1.0)
    chance = yields_of(lambda kept: kept.mutate(kilos=ibis.random()))
    made(instance, chance)
    found = rebuilding(of=chance)
    assert (found.equal, dict(found.differences)) == (False, {})
    assert found.counts == {"rows with another kilos": 4}


def test_a_function_that_fails_is_told_with_its_changed_code(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    harvested("w1", 1.0)
    made(instance)

    def fails(kept: ir.Table) -> ir.Table:
        raise ValueError(kept)

    code = current(orchard.YIELDS, "w1").record.code_version
    said = rf"wrangled/yields: it cannot be run again: .*ValueError.* was {code}"
    with pytest.raises(LakeError, match=said):
        rebuilding(of=yields_of(fails))


def test_rows_that_break_the_contract_now_are_refused_by_its_checks(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    harvested("w1", 1.0)
    made(instance)
    with pytest.raises(LakeError, match="blocking asset check"):
        rebuilding(of=yields_of(lambda kept: kept.mutate(tree=1)))


def test_a_number_of_rows_that_was_accepted_then_is_accepted_again(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    harvested("w1", 1.0)
    none = yields_of(lambda kept: kept.filter(kept.tree > 9))
    [_, empty, _] = none.assets or ()
    assert isinstance(empty, dg.AssetsDefinition)
    assert dg.materialize([empty], partition_key="w1", instance=instance, tags={ACCEPTED_TAG: "0"}).success
    assert rebuilding(of=none).equal


def test_rows_that_were_set_aside_are_made_again_too(instance: dg.DagsterInstance, rebuilding: Rebuilding) -> None:
    @asset(contract=orchard.SORTED_HARVEST, ins={"harvest": In(orchard.HARVEST)})
    def sorted_harvest(harvest: ir.Table) -> ir.Table:
        return harvest.mutate(picker=ibis.ifelse(harvest.tree == 1, ibis.null(str), harvest.picker))

    @asset(contract=orchard.SORTED_HARVEST, ins={"harvest": In(orchard.HARVEST)})
    def other_harvest(harvest: ir.Table) -> ir.Table:
        named = ibis.ifelse(harvest.tree == 1, ibis.null(str), harvest.picker)
        return harvest.mutate(picker=named, kilos=ibis.ifelse(harvest.tree == 1, 5.0, harvest.kilos))

    harvested("w1", 1.0)
    definitions = dg.Definitions(assets=[sorted_harvest])
    made(instance, definitions, "raw/sorted_harvest")
    assert rebuilding("raw/sorted_harvest", of=definitions).equal
    found = rebuilding("raw/sorted_harvest", of=dg.Definitions(assets=[other_harvest]))
    assert found.content_hash == found.entry.record.content_hash
    assert not found.equal
    assert set(found.differences) == {"code version", "rows set aside"}


def test_what_was_made_from_a_source_is_refused_with_what_to_do(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    orchard.weigh("w1", orchard.good_rows("w1"))
    made(instance, ORCHARD, "raw/harvest")
    with pytest.raises(LakeError, match=r"was made from a source.* Keep the source's own file"):
        rebuilding("raw/harvest")


def test_a_table_that_no_asset_makes_a_partition_that_is_none_and_one_never_published_are_refused(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    harvested("w1", 1.0)
    made(instance)
    with pytest.raises(ContractError, match="no asset of these definitions publishes it"):
        rebuilding("wrangled/pears")
    with pytest.raises(ContractError, match="not one of the contract's partitions"):
        rebuilding(key="w9")
    with pytest.raises(LakeError, match="it was not published"):
        rebuilding(key="w2")
    with pytest.raises(LakeError, match="it was not published by version 1"):
        rebuilding(version=1)
    with pytest.raises(LakeError, match="version 99 is not made yet"):
        rebuilding(version=99)


def test_a_lake_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="catalog cannot be opened"):
        rebuild([ORCHARD], "wrangled/yields", "w1", settings=Settings.load(), home=tmp_path / "home")
    assert not (Settings.load().home / "lakes").exists()


def test_an_input_that_the_function_reads_only_now_is_told(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    @asset(contract=orchard.YIELDS, ins={"harvest": In(orchard.HARVEST), "sorted": In(orchard.SORTED_HARVEST)})
    def yields(harvest: ir.Table, sorted: ir.Table) -> ir.Table:  # noqa: A002
        return harvest.drop("picker").semi_join(sorted, "tree")

    harvested("w1", 1.0)
    made(instance)
    with pytest.raises(LakeError, match=r"reads raw/sorted_harvest now, and publish \w+ did not"):
        rebuilding(of=dg.Definitions(assets=[yields]))


def test_a_table_is_rebuilt_whose_neighbours_read_another_one_in_different_ways(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    total = dataclasses.replace(orchard.YIELDS, table="total")

    @asset(contract=total, ins={"harvest": In(orchard.HARVEST, window="all"), "yields": In("wrangled/yields")})
    def all_weeks(harvest: ir.Table, yields: ir.Table) -> ir.Table:
        return yields.semi_join(harvest, "week")

    next_week = dg.StaticPartitionMapping({"w1": "w2", "w2": "w3"})
    after = dataclasses.replace(total, table="after")

    @asset(contract=after, ins={"harvest": In(orchard.HARVEST, partition_mapping=next_week)})
    def weeks_after(harvest: ir.Table) -> ir.Table:
        return harvest.drop("picker")

    @asset(
        contract=orchard.SEASON,
        ins={"total": In("wrangled/total", window="all"), "yields": In("wrangled/yields", window="all")},
    )
    def season(total: ir.Table, yields: ir.Table) -> ir.Table:
        read = total.semi_join(yields, "week")
        return read.aggregate(weeks=read.week.nunique(), kilos=read.kilos.sum())

    definitions = dg.Definitions(assets=[orchard.harvest, orchard.yields, all_weeks, weeks_after, season])
    harvested("w1", 1.0)
    made(instance, definitions, "wrangled/yields", "wrangled/total", "features/season")
    assert rebuilding("features/season", None, of=definitions).equal


class Scale(dg.ConfigurableResource[object]):
    """A resource."""

    unit: float


class Scaled(dg.Config):
    """What a run says."""

    factor: float = 1.0


@asset(contract=orchard.YIELDS, ins={"harvest": In("raw/harvest")})
def scaled(harvest: ir.Table, config: Scaled, scale: Scale) -> ir.Table:
    """Yields in the unit of a resource, by a run's factor."""
    return harvest.drop("picker").mutate(kilos=harvest.kilos * config.factor * scale.unit)


def test_config_comes_from_the_run_and_resources_from_the_definitions(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    harvested("w1", 1.0)
    resources = {"scale": Scale(unit=3.0)}
    definitions = dg.Definitions(assets=[scaled, orchard.HARVEST.spec()], resources=resources)
    assert dg.materialize(
        [scaled, orchard.HARVEST.spec()],
        partition_key="w1",
        instance=instance,
        resources=resources,
        run_config={"ops": {scaled.op.name: {"config": {"factor": 2.0}}}},
    ).success
    assert rebuilding(of=definitions).equal
    with pytest.raises(LakeError, match=r"takes config, and run .* is not to be found. Set DAGSTER_HOME"):
        rebuilding(of=definitions, asked=False)


def test_an_input_that_is_in_no_lake_is_refused(instance: dg.DagsterInstance, rebuilding: Rebuilding) -> None:
    @dg.asset
    def weather() -> float:
        return 2.0

    @asset(contract=orchard.YIELDS, ins={"harvest": In(orchard.HARVEST), "weather": dg.AssetIn("weather")})
    def yields(harvest: ir.Table, weather: float) -> ir.Table:
        return harvest.drop("picker").mutate(kilos=harvest.kilos * weather)

    harvested("w1", 1.0)
    assert dg.materialize([weather, yields], partition_key="w1", instance=instance).success
    with pytest.raises(LakeError, match="its input weather is in no lake"):
        rebuilding(of=dg.Definitions(assets=[weather, yields]))


def test_partitions_that_are_added_as_it_goes_are_known_to_the_rebuild(
    instance: dg.DagsterInstance, rebuilding: Rebuilding
) -> None:
    weeks = dg.DynamicPartitionsDefinition(name="weeks")
    upstream = dataclasses.replace(orchard.HARVEST, partitions_def=weeks)

    @asset(contract=dataclasses.replace(orchard.YIELDS, partitions_def=weeks), ins={"harvest": In(upstream)})
    def yields(harvest: ir.Table) -> ir.Table:
        return harvest.drop("picker")

    harvested("w1", 1.0)
    instance.add_dynamic_partitions("weeks", ["w1"])
    made(instance, dg.Definitions(assets=[yields]))
    assert rebuilding(of=dg.Definitions(assets=[yields])).equal


def test_a_lake_is_read_where_a_resource_places_it_and_not_written(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    lake = Lake("curated", data_path=str(tmp_path / "placed"))
    definitions = dg.Definitions(assets=[orchard.yields], resources={"curated": lake})
    harvested("w1", 1.0)
    made(instance, definitions)
    files = sorted((tmp_path / "placed").rglob("*"))
    assert files
    home = tmp_path / "elsewhere"
    home.mkdir()
    settings = placed(Settings.load(), [lake])
    assert rebuild([definitions], "wrangled/yields", "w1", settings=settings, home=home).equal
    assert sorted((tmp_path / "placed").rglob("*")) == files
