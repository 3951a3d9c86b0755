"""The example's customers in many worlds: what happened is named, whenever it did, and nothing else is."""

from __future__ import annotations

import csv
import importlib.util
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import ibis
import ibis.expr.datatypes as dt
import pandera.ibis as pandera
import pyarrow as pa
import pytest

import mlops_assets as ma

if TYPE_CHECKING:
    from types import ModuleType

SOURCES = Path(__file__).parents[3] / "examples" / "territories" / "territories" / "sources.py"
NEVER = "9999-12"
COLUMNS = ("month", "customer_id", "address", "territory", "segment")
COMPARED = ma.Compare(
    table=ma.Contract(
        layer="wrangled",
        table="customers",
        model=pandera.DataFrameSchema(
            {**{name: pandera.Column(dt.String) for name in COLUMNS}, "copies": pandera.Column(dt.Int64)}
        ),
        lake=ma.Lake("curated"),
        description="Customers.",
        owners=["team:sales"],
        partitions_def=dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m"),
        partition_columns={"month": "month"},
    ),
    entity="customer_id",
    unit="territory",
    address=["address"],
    attributes=["segment"],
    copies="copies",
    called="customer",
)


def world(*, redrawn: str, recoded: str, twice: str) -> ModuleType:
    """The example's simulation with these months of its three events."""
    spec = importlib.util.spec_from_file_location("territories_of_a_test", SOURCES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module).update(REDRAWN=redrawn, RECODED=recoded, TWICE=twice)
    return module


def month(folder: Path, name: str) -> list[dict[str, Any]]:
    """The customers of a month, each once."""
    with (folder / "customers" / f"{name}.csv").open(encoding="utf-8") as file:
        counts = Counter(tuple(row[column] for column in COLUMNS) for row in csv.DictReader(file))
    return [{**dict(zip(COLUMNS, row, strict=True)), "copies": copies} for row, copies in counts.items()]


def named(module: ModuleType, folder: Path, customers: int, seed: int) -> list[tuple[str, str]]:
    """Month and kind of every event."""
    module.write(folder, customers, seed)
    found, before = [], None
    for now in module.MONTHS:
        rows = month(folder, now) + (month(folder, before) if before else [])
        pair = COMPARED.pair(ibis.memtable(pa.Table.from_pylist(rows)), {"month": now}, before)
        found += [(now, row["kind"]) for row in pair.events()]
        before = now
    return found


@pytest.mark.parametrize("seed", range(10))
def test_the_three_events_are_named_in_their_months_and_none_is_invented(tmp_path: Path, seed: int) -> None:
    months = [f"2024-{number:02}" for number in range(2, 9)]
    redrawn, recoded, twice = (months[(seed * step + start) % 7] for step, start in ((1, 0), (2, 3), (4, 5)))
    module = world(redrawn=redrawn, recoded=recoded, twice=twice)
    size = 600 + 400 * (seed % 4)
    expected = sorted([(redrawn, "redrawn"), (recoded, "reclassed"), (twice, "repeated")])
    assert sorted(named(module, tmp_path, size, seed)) == expected


@pytest.mark.parametrize(("seed", "customers"), [(11, 200), (12, 600), (13, 2000), (14, 6000)])
def test_where_nothing_happened_nothing_is_named(tmp_path: Path, seed: int, customers: int) -> None:
    module = world(redrawn=NEVER, recoded=NEVER, twice=NEVER)
    assert named(module, tmp_path, customers, seed) == []
