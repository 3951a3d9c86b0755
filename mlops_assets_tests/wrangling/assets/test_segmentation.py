"""The assets of segments on a real lake: what is followed is read of the right forecast, and kept to its contract."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.contracts import features
from mlops_assets.contracts.segmentation import SEGMENT_TURNOUT, SEGMENTATION
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.inputs import ins_of, resolved
from mlops_assets.platform.assets.reading import upstream_keys
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import published_table
from mlops_assets.platform.settings import Settings
from mlops_assets.wrangling.assets.segmentation import segment_turnout
from mlops_assets_tests.wrangling.test_segment_turnout import two_districts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from mlops_assets.platform.assets.step import Partition


@asset(contract=dataclasses.replace(features.PERSON_TURNOUT, judged={}, judged_warnings=frozenset()))
def persons(partition: Partition) -> pa.Table:
    """Persons of two districts."""
    table = two_districts()
    for column, value in partition.values.items():
        table = table.filter(pc.equal(table.column(column), value))
    same: dict[str, Any] = {"gender": "FEMALE", "place_turnout": 0.5, "presidential": 0, "years_registered": 9}
    for name, value in same.items():
        table = table.set_column(table.column_names.index(name), name, pa.array([value] * table.num_rows))
    for name in ("voted_last", "voted_second_last", "voted_third_last"):
        table = table.set_column(table.column_names.index(name), name, pa.array([0] * table.num_rows, pa.int64()))
    return table


@asset(contract=SEGMENTATION)
def compared(partition: Partition) -> pa.Table:
    """The choice of 2022 is the district, that of another forecast the age group."""
    name = "district" if partition.values["election"] == "2022" else "age_group"
    numbers = dict.fromkeys(("small_share", "error", "error_above_best", "standard_error", "stability"), 0.0)
    row = {
        "election": partition.values["election"], "candidate": name, "series": "", "cells": 2, "smallest_cell": 500,
        **numbers, "tests": 2, "eligible": True, "chosen": True, "followed": True, "reason": "it tells most",
    }  # fmt: skip
    return pa.Table.from_pylist([row])


def test_segments_follow_the_choice_of_their_own_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:

        def made(asset: dg.AssetsDefinition, partition: str) -> None:
            others = [spec for each in (persons, compared, segment_turnout) if each is not asset for spec in each.specs]
            dg.materialize([asset, *others], partition_key=partition, instance=instance, selection=[asset.key])

        for year in ("2018", "2020", "2022"):
            made(persons, f"{year}|NC")
        for forecast in ("2020", "2022"):
            made(compared, forecast)
            made(segment_turnout, forecast)
    with LakeSession(Settings.load()) as session:
        entries = ledger.current(session, SEGMENT_TURNOUT, ["2020", "2022"])
        rows: list[dict[str, Any]] = (
            published_table(session, SEGMENT_TURNOUT, entries, version=0).to_pyarrow().to_pylist()
        )
    found = {(row["forecast"], row["election"], row["segment"]) for row in rows}
    assert {each for each in found if each[0] == "2020"} == {
        ("2020", election, "age_group=25-34") for election in ("2018", "2020")
    }
    assert {each[1:] for each in found if each[0] == "2022"} == {
        (election, f"district={number}") for election in ("2018", "2020", "2022") for number in ("01", "02")
    }


def test_only_the_forecasts_own_choice_is_mapped_to_its_segments() -> None:
    choice, *_ = resolved(ins_of(segment_turnout), {}, "segment_turnout").values()
    assert upstream_keys(choice, SEGMENT_TURNOUT, "2022") == ["2022"]
