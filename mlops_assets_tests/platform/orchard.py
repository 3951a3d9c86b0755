"""The orchard: one small awkward pipeline that the platform's tests share.

Pickers bring apples week by week. ``raw/harvest`` is what the scale wrote (file ``<home>/scale/<week>.json``), and
``wrangled/yields`` what the farm keeps of it. Names of pickers are personal. A week may be late, empty or rotten.
Put here definitions and ways to run them. Keep out assertions.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dagster as dg
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pandera
import pyarrow as pa

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.contracts.contract import Contract, Quarantine
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests import processes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlops_assets.platform.assets.step import Partition

RESTRICTED: Final = Lake("restricted", personal=True)
CURATED: Final = Lake("curated")

Row = dict[str, object]
WEEKS: Final = ("w1", "w2", "w3")
PARTITIONS: Final = dg.StaticPartitionsDefinition(list(WEEKS))


class HarvestModel(pandera.DataFrameModel):
    """One row per tree and week."""

    week: dt.String = pandera.Field(nullable=False)
    tree: dt.Int64 = pandera.Field(nullable=False, ge=1)
    picker: dt.String = pandera.Field(nullable=True, metadata={"personal": True})
    kilos: dt.Float64 = pandera.Field(nullable=False, ge=0, metadata={"decimals": 3})

    class Config:
        """Strict, keyed by tree."""

        strict = True
        unique = ("week", "tree")

    @pandera.dataframe_check(name="no_windfall", raise_warning=True)
    @classmethod
    def no_windfall(cls, data: pandera.IbisData) -> ir.BooleanValue:
        """More than a hundred kilos from one tree is a windfall."""
        return data.table.kilos.isnull() | (data.table.kilos <= 100.0)

    @pandera.dataframe_check(name="picked_by_somebody")
    @classmethod
    def picked_by_somebody(cls, data: pandera.IbisData) -> ir.BooleanValue:
        """Apples do not pick themselves."""
        return data.table.kilos.isnull() | (data.table.kilos == 0) | data.table.picker.notnull()


HARVEST: Final = Contract(
    layer="raw",
    table="harvest",
    model=HarvestModel,
    lake=RESTRICTED,
    description="What the scale wrote.",
    owners=["team:pickers"],
    partitions_def=PARTITIONS,
    partition_columns={"week": "week"},
)

SORTED_HARVEST: Final = Contract(
    layer="raw",
    table="sorted_harvest",
    model=HarvestModel,
    lake=RESTRICTED,
    description="What the scale wrote, rotten rows set aside.",
    owners=["team:pickers"],
    partitions_def=PARTITIONS,
    partition_columns={"week": "week"},
    quarantine=Quarantine(floor=0.5),
)


class YieldsModel(pandera.DataFrameModel):
    """One row per tree and week, without names."""

    week: dt.String = pandera.Field(nullable=False)
    tree: dt.Int64 = pandera.Field(nullable=False)
    kilos: dt.Float64 = pandera.Field(nullable=False, metadata={"decimals": 3})

    class Config:
        """Strict, keyed by tree."""

        strict = True
        unique = ("week", "tree")


YIELDS: Final = Contract(
    layer="wrangled",
    table="yields",
    model=YieldsModel,
    lake=CURATED,
    description="What the farm keeps.",
    owners=["team:farm"],
    partitions_def=PARTITIONS,
    partition_columns={"week": "week"},
)


class SeasonModel(pandera.DataFrameModel):
    """One row: the season so far."""

    weeks: dt.Int64 = pandera.Field(nullable=False)
    kilos: dt.Float64 = pandera.Field(nullable=False, metadata={"decimals": 3})

    class Config:
        """Strict."""

        strict = True


SEASON: Final = Contract(
    layer="features",
    table="season",
    model=SeasonModel,
    lake=CURATED,
    description="The season so far.",
    owners=["team:farm"],
)


def scale_file(week: str) -> Path:
    """The file that the scale writes in that week."""
    return Settings.load().home / "scale" / f"{week}.json"


def weigh(week: str, rows: Iterable[Row]) -> None:
    """Let the scale write these rows for that week."""
    file = scale_file(week)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(list(rows)), encoding="utf-8")


def good_rows(week: str, trees: int = 4) -> list[Row]:
    """Rows that keep every rule."""
    return [
        {"week": week, "tree": tree, "picker": f"Picker {tree}", "kilos": tree * 1.5} for tree in range(1, trees + 1)
    ]


def read_scale(week: str) -> pa.Table:
    """What the scale wrote for that week, in whatever shape."""
    rows = json.loads(scale_file(week).read_text(encoding="utf-8"))
    schema = pa.schema(
        [
            ("week", pa.string()),
            ("tree", pa.int64()),
            ("picker", pa.string()),
            ("kilos", pa.float64()),
        ]
    )
    if rows and set(rows[0]) != set(schema.names):
        return pa.Table.from_pylist(rows)
    return pa.Table.from_pylist(rows, schema=schema)


@asset(contract=HARVEST, retry_policy=dg.RetryPolicy(max_retries=2))
def harvest(partition: Partition, context: dg.AssetExecutionContext) -> dg.MaterializeResult[pa.Table]:
    """What the scale wrote."""
    attempts = Settings.load().home / "attempts"
    with attempts.open("a", encoding="utf-8") as file:
        file.write(f"{context.run.run_id}\n")
    return dg.MaterializeResult(value=read_scale(str(partition.key)), metadata={"scale": "old"})


@asset(contract=SORTED_HARVEST)
def sorted_harvest(partition: Partition) -> pa.Table:
    """What the scale wrote, rotten rows set aside."""
    return read_scale(str(partition.key))


def publishing(contract: Contract) -> dg.AssetsDefinition:
    """An asset that publishes what the scale wrote under that contract."""

    @asset(contract=contract)
    def picked(partition: Partition) -> pa.Table:
        """What the scale wrote."""
        return read_scale(str(partition.key))

    return picked


@asset(contract=YIELDS, ins={"harvest": In(HARVEST)}, automation_condition=on_new_data())
def yields(harvest: ir.Table) -> ir.Table:
    """What the farm keeps."""
    return harvest.drop("picker")


@asset(
    contract=SEASON,
    ins={"yields": In(YIELDS, partition_mapping=dg.AllPartitionMapping())},
    automation_condition=on_new_data(),
)
def season(yields: ir.Table) -> ir.Table:
    """The season so far."""
    return yields.aggregate(weeks=yields.week.nunique(), kilos=yields.kilos.sum())


ASSETS: Final = (harvest, sorted_harvest, yields, season)


def pick(
    week: str, assets: Sequence[dg.AssetsDefinition] = (harvest, yields), instance: dg.DagsterInstance | None = None
) -> dg.ExecuteInProcessResult:
    """Materialize that week, without raising on failure."""
    return dg.materialize(assets, partition_key=week, instance=instance, raise_on_error=False)


def pick_and_send(
    week: str, window: str, sent: signal.Signals = signal.SIGKILL, asset: dg.AssetsDefinition = harvest
) -> int | None:
    """Materialize that week in a process of its own, which gets the signal in that window of its step.

    Returns:
        The process's exit code; minus the signal's number when that ended it.
    """
    return processes.ended(_pick_and_send, week, window, sent, asset.op.name)


def visible(contract: Contract) -> list[tuple[object, ...]]:
    """All rows of the table that a reader of the lake sees now, sorted; none when it was never published."""
    with LakeSession(Settings.load()) as session:
        catalog = session.attach(contract.lake.name)
        tables = session.connection.execute(
            "SELECT 1 FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? AND table_name = ?",
            [catalog, contract.layer, contract.table],
        ).fetchall()
        if not tables:
            return []
        return sorted(
            session.connection.execute(f"FROM {catalog}.{contract.layer}.{contract.table}").fetchall(), key=repr
        )


def _pick_and_send(week: str, window: str, sent: signal.Signals, op_name: str) -> None:
    from mlops_assets.platform.assets import drafting, making, step  # noqa: PLC0415
    from mlops_assets.platform.audit import audit  # noqa: PLC0415
    from mlops_assets.platform.lake import ledger, publish, stage  # noqa: PLC0415

    module, name, before = {
        "after_the_function": (drafting, "stage", True),
        "after_staging": (audit, "audit", True),
        "before_the_lock": (making, "publish_all", True),
        "inside_the_transaction": (publish, "_replace", False),
        "after_the_commit": (ledger, "find", True),
        "before_the_event": (step, "materialization_metadata", True),
        "never": (stage, "sweep", True),
    }[window]
    original = getattr(module, name)

    def patched(*arguments: object, **named: object) -> object:
        if before:
            signal.raise_signal(sent)
            return original(*arguments, **named)
        result = original(*arguments, **named)
        signal.raise_signal(sent)
        return result

    setattr(module, name, patched)
    with dg.DagsterInstance.from_config(str(Path(os.environ["DAGSTER_HOME"]))) as instance:
        pick(week, [asset for asset in ASSETS if asset.op.name == op_name], instance=instance)
