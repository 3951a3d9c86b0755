"""Files under version control: found beside their declaration, whole as they are, another one by their content."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa
import pytest
from dagster.components.testing import create_defs_folder_sandbox

import mlops_assets as ma
from mlops_assets.platform.errors import ContractError
from mlops_assets_tests.plumbing.sources.shop import contract, rows, run

if TYPE_CHECKING:
    from pathlib import Path


class Crosswalk(pa.DataFrameModel):
    old: dt.String
    new: dt.String
    share: dt.Float64 = pa.Field(gt=0, le=1)

    class Config:
        """No pair twice."""

        unique = ("old", "new")

    @pa.dataframe_check(name="shares_add_up")
    @classmethod
    def shares_add_up(cls, data: pa.IbisData) -> ir.BooleanValue:
        return ma.adds_up(data.table, "share", over="old")


CROSSWALK: Final = contract("crosswalk", Crosswalk, partitions_def=None, partition_columns={})
TEXT: Final = "old,new,share\nA,X,1\nB,X,0.3\nB,Y,0.7"


def given(folder: Path, text: str = TEXT) -> ma.VersionedFile:
    """The source of a file with that text."""
    (folder / "crosswalk.csv").write_text(text, encoding="utf-8")
    return ma.VersionedFile(contract=CROSSWALK, path=str(folder), file="crosswalk.csv", retries=0)


def asked(source: ma.VersionedFile, instance: dg.DagsterInstance) -> int:
    """How many runs its sensor asks for now."""
    [sensor] = source.sensors()
    result: Any = sensor(dg.build_sensor_context(instance=instance))
    return len(result.run_requests or [])


def test_a_file_that_says_when_it_is_whole_is_refused() -> None:
    with pytest.raises(ContractError, match="it says when it is whole"):
        ma.VersionedFile(contract=CROSSWALK, path="x", file="crosswalk.csv", whole=ma.Marker())


def test_a_file_is_taken_at_once_as_it_was_saved(tmp_path: Path) -> None:
    ran = run(given(tmp_path), None)
    assert ran.success, ran.told
    assert rows(CROSSWALK) == [("A", "X", 1.0), ("B", "X", 0.3), ("B", "Y", 0.7)]


def test_an_edit_asks_for_a_run_and_another_checkout_of_the_same_text_does_not(tmp_path: Path) -> None:
    instance = dg.DagsterInstance.ephemeral()
    source = given(tmp_path)
    assert asked(source, instance) == 1
    assert run(source, None, instance=instance).success
    os.utime(tmp_path / "crosswalk.csv", (1, 1))
    other = tmp_path / "other"
    other.mkdir()
    assert asked(source, instance) == asked(given(other), instance) == 0
    given(tmp_path, TEXT.replace("0.3", "0.4").replace("0.7", "0.6"))
    assert asked(source, instance) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{TEXT}\nA,X,1", "keys"),
        (TEXT.replace("0.7", "0.6"), "shares_add_up, broken by 2 rows"),
    ],
)
def test_a_crosswalk_that_would_double_or_lose_is_not_published(tmp_path: Path, text: str, told: str) -> None:
    ran = run(given(tmp_path, text), None)
    assert not ran.success
    assert any(told in each for each in ran.descriptions), ran.descriptions


def test_a_file_that_is_not_there_says_that_it_must_be_packed(tmp_path: Path) -> None:
    source = given(tmp_path)
    (tmp_path / "crosswalk.csv").unlink()
    assert "in an image it is only if it was packed with it" in run(source, None).told


def test_what_is_too_large_to_be_edited_is_refused(tmp_path: Path) -> None:
    source = given(tmp_path)
    with (tmp_path / "crosswalk.csv").open("ab") as file:
        file.truncate(2**24 + 1)
    assert "more than a file that people edit" in run(source, None).told


def test_without_a_folder_it_says_how_to_give_it() -> None:
    with pytest.raises(ContractError, match=r"Give path=str\(Path\(__file__\)\.parent\)"):
        ma.VersionedFile(contract=CROSSWALK, file="crosswalk.csv").asset()


def test_in_yaml_the_file_lies_beside_its_declaration() -> None:
    with create_defs_folder_sandbox() as sandbox:
        folder = sandbox.scaffold_component(
            component_cls=ma.VersionedFile,
            defs_yaml_contents={
                "type": "mlops_assets.VersionedFile",
                "attributes": {"contract": f"{__name__}.CROSSWALK", "file": "crosswalk.csv"},
            },
        )
        (folder / "crosswalk.csv").write_text(TEXT, encoding="utf-8")
        with sandbox.load_component_and_build_defs(folder) as (_, defs):
            [made] = defs.resolve_asset_graph().assets_defs
            assert dg.materialize([made]).success
    assert len(rows(CROSSWALK)) == 3
