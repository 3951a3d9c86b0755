"""Inspection: every kind of fault, made for real, is found and named; a sound lake has none."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt  # noqa: TC002  pandera reads the annotation
import pandera.ibis as pandera
import pyarrow as pa
import pytest

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.expiry import expire
from mlops_assets.platform.lake.frames import as_ibis
from mlops_assets.platform.lake.inspection import inspect
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import lease, stage
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake import upkeep

if TYPE_CHECKING:
    from mlops_assets.platform.settings import Settings

pytestmark = pytest.mark.usefixtures("on_each_catalog")


def test_a_sound_lake_has_no_faults_and_its_tables_are_listed() -> None:
    upkeep.week("w1", [1, 2])
    upkeep.week("w2", [])
    upkeep.week("w1", [1, 2, 3])
    upkeep.season(3.0)
    assert upkeep.faults(hashes=True) == []


def test_the_state_of_each_table_is_told(on_each_catalog: Settings) -> None:
    upkeep.week("w1", [1, 2])
    upkeep.week("w2", [1])
    with LakeSession(on_each_catalog) as session:
        [state] = inspect(session, upkeep.CURATED, upkeep.CONTRACTS).tables
    assert (state.asset, state.partitions, state.rows, state.faults) == ("wrangled/yields", 2, 3, 0)


@pytest.mark.parametrize("hashes", [False, True])
def test_a_file_that_is_gone_is_named_with_its_partition(hashes: bool) -> None:  # noqa: FBT001
    upkeep.week("w1", [1])
    upkeep.week("w2", [1])
    file = upkeep.current_files()[1]
    file.unlink()
    partition, of_file = upkeep.faults(hashes=hashes)
    assert partition.startswith("Lake curated, table wrangled/yields, partition w2: its rows cannot be read")
    assert of_file.startswith(f"Lake curated, file {file}: the catalog names it, and it is not there.")
    assert "lake repair curated" in of_file


def test_a_file_that_is_cut_is_named_with_its_partition() -> None:
    upkeep.week("w1", [1])
    upkeep.week("w2", [1])
    upkeep.cut(upkeep.current_files()[0])
    partition, of_file = upkeep.faults()
    assert "partition w1: its rows cannot be read" in partition
    assert "bytes of" in of_file


def test_a_file_that_only_old_versions_need_is_named_as_such() -> None:
    upkeep.week("w1", [1])
    old = upkeep.current_files()[0]
    upkeep.week("w1", [2])
    old.unlink()
    [fault] = upkeep.faults()
    assert str(old) in fault
    assert "Only old versions need it" in fault


def test_other_rows_in_the_place_of_a_file_are_found_by_their_hash() -> None:
    upkeep.week("w1", [1])
    [other] = upkeep.current_files()
    upkeep.week("w2", [2])
    upkeep.week("w1", [3])
    upkeep.current_files()[1].write_bytes(other.read_bytes())
    assert upkeep.faults() == [], "there are as many rows, and they can be read"
    [fault] = upkeep.faults(hashes=True)
    assert "partition w1: its content hash is" in fault
    assert f"Its rows are in {upkeep.current_files()[1]}." in fault


def test_a_flipped_bit_that_no_engine_sees_is_found_by_the_hash_and_its_file_is_named() -> None:
    upkeep.week("w1", [1, 2, 3])
    upkeep.week("w2", list(range(2000)))
    file = upkeep.current_files()[1]
    upkeep.flip(file, "tree")
    assert upkeep.faults() == [], "there are as many rows, and they can be read"
    [fault] = upkeep.faults(hashes=True)
    assert fault.startswith("Lake curated, table wrangled/yields, partition w2: its content hash is")
    assert f"Its rows are in {file}." in fault


def test_rows_that_somebody_deleted_are_missed_and_the_commit_is_named() -> None:
    upkeep.week("w1", [1, 2])
    upkeep.execute("DELETE FROM curated.wrangled.yields WHERE tree = 2")
    rows, commit = upkeep.faults()
    assert "partition w1: it has 1 rows, and 2 were published." in rows
    assert "committed without a record, by an unnamed author" in commit


def test_rows_of_a_partition_that_was_never_published_are_counted() -> None:
    upkeep.week("w1", [1, 2])
    upkeep.execute("INSERT INTO curated.wrangled.yields VALUES ('w2', 1, 1.0)")
    rows, commit = upkeep.faults()
    assert "it has 1 rows in partitions that were never published" in rows
    assert "committed without a record" in commit


def test_a_staged_file_that_no_step_is_at_work_on_is_named(on_each_catalog: Settings) -> None:
    upkeep.week("w1", [1])
    contract = orchard.YIELDS
    with LakeSession(on_each_catalog) as session:
        rows = pa.table({"week": ["w2"], "tree": [1], "kilos": [1.0]})
        table = as_ibis(session, rows, rules.columns_of(contract))
        with lease(session, contract.lake.name) as attempt:
            file = stage(session, contract, table, attempt=attempt)
            assert upkeep.faults() == [], "its step is at work"
    [fault] = upkeep.faults()
    assert str(file.path.parent) in fault
    assert "lake sweep curated" in fault


def test_a_column_that_the_contract_has_gained_changes_no_earlier_hash() -> None:
    upkeep.publish_table(upkeep.NARROW_YIELDS, "w1", {"week": ["w1"], "tree": [1]})
    upkeep.week("w2", [1])
    assert upkeep.faults(hashes=True) == []


class OpenHarvestModel(orchard.HarvestModel):
    """The harvest before anybody minded that pickers are persons."""

    picker: dt.String = pandera.Field(nullable=True)


def test_a_column_that_became_personal_is_named_until_its_old_versions_have_expired(on_each_catalog: Settings) -> None:
    rows: dict[str, list[object]] = {"week": ["w1"], "tree": [1], "picker": ["Ann"], "kilos": [1.0]}
    upkeep.publish_table(dataclasses.replace(orchard.HARVEST, model=OpenHarvestModel), "w1", rows)
    with LakeSession(on_each_catalog) as session:
        [fault] = inspect(session, "restricted", upkeep.CONTRACTS).faults
        assert "the least and greatest value of picker, which became personal" in str(fault)
        upkeep.publish_table(orchard.HARVEST, "w1", {**rows, "kilos": [2.0]})
        expire(session, "restricted", range(1, ledger.latest_version(session, "restricted")))
        assert inspect(session, "restricted", upkeep.CONTRACTS).faults == []
