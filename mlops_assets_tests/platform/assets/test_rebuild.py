"""Rebuilding: every publish is made again in another folder with an equal hash, or it is said why it cannot be."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import ibis
import ibis.expr.datatypes as dt  # noqa: TC002  pandera reads the annotations
import ibis.expr.types as ir  # noqa: TC002  Dagster resolves the asset's annotations
import pandera.ibis as pandera
import pytest

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.assets.rebuild import Rebuilt, rebuild
from mlops_assets.platform.contracts.volume import Volume
from mlops_assets.platform.errors import ContractError, LakeError
from mlops_assets.platform.lake import expiry, ledger
from mlops_assets.platform.lake.files import partition_files
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake import upkeep

if TYPE_CHECKING:
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry

ORCHARD = dg.Definitions(assets=list(orchard.ASSETS))
LAKES = (orchard.RESTRICTED.name, orchard.CURATED.name)


class WithKind(orchard.HarvestModel):
    """A harvest that tells the kind of apple."""

    kind: dt.String = pandera.Field(nullable=False)


HARVEST_OF_KINDS = dataclasses.replace(orchard.HARVEST, model=WithKind, defaults={"kind": "Boskoop"})


@asset(contract=HARVEST_OF_KINDS)
def harvest_of_kinds(partition: orchard.Partition) -> ir.Table:
    """What the scale wrote, once it told the kind."""
    return ibis.memtable(orchard.read_scale(str(partition.key))).mutate(kind=ibis.literal("Elstar"))


@asset(contract=orchard.YIELDS, ins={"harvest": In(HARVEST_OF_KINDS)})
def yields_of_kinds(harvest: ir.Table) -> ir.Table:
    """What the farm keeps: the same."""
    return harvest.drop("picker", "kind")


LATER = dg.Definitions(assets=[harvest_of_kinds, yields_of_kinds, orchard.season])
"""The orchard's definitions since the harvest has gained a column."""


def harvested(week: str, kilos: float, instance: dg.DagsterInstance, *, later: bool = False) -> None:
    """Pick that week and make all that follows."""
    orchard.weigh(week, [{**row, "kilos": kilos * 1.1} for row in orchard.good_rows(week)])
    made = [harvest_of_kinds, yields_of_kinds] if later else [orchard.harvest, orchard.yields]
    assert orchard.pick(week, made, instance=instance).success
    assert dg.materialize([orchard.season], instance=instance, raise_on_error=False).success


def current(contract: Contract, key: str | None) -> Entry:
    with LakeSession(Settings.load()) as session:
        return ledger.current(session, contract, [key])[key]


def file_of(contract: Contract, key: str | None, version: int) -> Path:
    with LakeSession(Settings.load()) as session:
        [file] = partition_files(session, contract, key, version=version)
        return file


def flip(file: Path, at: int) -> None:
    """Flip one bit of the file."""
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def expire() -> int:
    """Let everything go that nothing needs; returns how many versions that were."""
    gone = 0
    with LakeSession(Settings.load()) as session:
        for lake in LAKES:
            versions = expiry.expirable(session, lake, older_than_seconds=0, pins=lambda _: {})
            gone += expiry.expire(session, lake, versions).versions
    return gone


def state(instance: dg.DagsterInstance) -> tuple[object, ...]:
    """All that a rebuild must leave as it is: versions, publishes and files of the lakes, runs and events."""
    with LakeSession(Settings.load()) as session:
        lakes = [
            (
                ledger.latest_version(session, lake),
                len(ledger.since(session, lake, 0)),
                len(ledger.newest(session, lake)),
            )
            for lake in LAKES
        ]
    files = sorted(str(file) for lake in LAKES for file in Settings.load().lake_data_path(lake).rglob("*"))
    return lakes, files, instance.get_runs_count(), instance.event_log_storage.get_maximum_record_id()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.mark.usefixtures("on_each_catalog")
def test_after_fifty_publishes_a_new_column_and_an_expiry_all_is_rebuilt_with_equal_hashes(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    for number in range(12):
        harvested(orchard.WEEKS[number % 3], 1.0 + number, instance)
    for number in range(5):
        harvested(orchard.WEEKS[number % 2], 20.0 + number, instance, later=True)
    with LakeSession(Settings.load()) as session:
        assert sum(len(ledger.since(session, lake, 0)) for lake in LAKES) > 50
    assert expire() > 20
    before = state(instance)
    tables = [("wrangled/yields", orchard.YIELDS, week) for week in orchard.WEEKS]
    for name, contract, key in [*tables, ("features/season", orchard.SEASON, None)]:
        home = tmp_path / f"rebuild of {key}"
        home.mkdir()
        found = rebuild([LATER], name, key, instance=instance, home=home)
        assert found.equal, found.differences
        assert found.content_hash == current(contract, key).record.content_hash
        assert not found.counts
    assert state(instance) == before

    entry = current(orchard.YIELDS, "w3")
    read = current(orchard.HARVEST, "w3")
    file = file_of(orchard.HARVEST, "w3", read.version)
    flip(file, 60)
    with pytest.raises(LakeError, match="content hash|hash is|cannot be read") as refusal:
        rebuild([LATER], "wrangled/yields", "w3", instance=instance, home=fresh(tmp_path))
    assert str(file) in refusal.value.source
    assert read.record.publish_id in refusal.value.culprit
    assert entry == current(orchard.YIELDS, "w3")


def fresh(tmp_path: Path) -> Path:
    folder = tmp_path / "fresh"
    folder.mkdir()
    return folder


del Rebuilt, Volume, ContractError, upkeep
