"""The mill: a year of deliveries, month by month, and what is ground from them, for runs over many partitions.

Put here the assets, how a year is materialized, and what can be seen afterwards. Keep out assertions.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pandera
import pyarrow as pa
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets.platform.assets.inputs import In
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.errors import SourceUnavailableError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings
from mlops_assets_tests import processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.platform.assets.step import Partition

MONTHS: Final = tuple(f"2024-{month:02}" for month in range(1, 13))
MILL: Final = Lake("mill")
_YEAR: Final = dg.MonthlyPartitionsDefinition("2024-01", end_date="2025-01", fmt="%Y-%m")


class SackModel(pandera.DataFrameModel):
    """One row per sack."""

    month: dt.String
    sack: dt.Int64
    kilos: dt.Float64 = pandera.Field(ge=0)

    class Config:
        """Keyed by month and sack."""

        unique = ("month", "sack")

    @pandera.dataframe_check(name="can_be_lifted")
    @classmethod
    def can_be_lifted(cls, data: pandera.IbisData) -> ir.BooleanValue:
        """Nobody lifts a ton."""
        return data.table.kilos < 1000.0


class StockModel(pandera.DataFrameModel):
    """One row."""

    month: dt.String
    kilos: dt.Float64


def _contract(table: str, model: Any) -> Contract:  # noqa: ANN401  a model's class
    return Contract(
        layer="mill",
        table=table,
        model=model,
        lake=MILL,
        description=table,
        owners=["team:mill"],
        partitions_def=_YEAR,
        partition_columns={"month": "month"},
    )


SACKS: Final = _contract("sacks", SackModel)
FLOUR: Final = _contract("flour", SackModel)
STOCK: Final = _contract("stock", StockModel)


def _sacks(partition: Partition, settings: Settings) -> pa.Table:
    """What was delivered."""
    delivery = _delivery(settings, str(partition.key))
    if not delivery.exists():
        raise SourceUnavailableError(source=delivery.name, culprit="it has not come.", remedy="Wait.")
    return pa.Table.from_pylist(json.loads(delivery.read_text(encoding="utf-8")))


sacks: Final = asset(contract=SACKS)(_sacks)
sacks_at_once: Final = asset(contract=SACKS, partitions_at_once=3)(_sacks)
sacks_tried_twice: Final = asset(contract=SACKS, retry_policy=dg.RetryPolicy(max_retries=1))(_sacks)


@asset(contract=FLOUR, ins={"sacks": In(SACKS)}, automation_condition=on_new_data())
def flour(sacks: ir.Table) -> ir.Table:
    """What was ground."""
    return sacks.mutate(kilos=sacks.kilos * 0.8)


@asset(
    contract=STOCK,
    ins={
        "flour": In(FLOUR),
        "before": In(
            STOCK, partition_mapping=dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1), optional=True
        ),
    },
)
def stock(partition: Partition, flour: ir.Table, before: ir.Table) -> pa.Table:
    """What is in store: that of the month before, and what was ground."""
    kilos = sum(table.kilos.sum().to_pyarrow().as_py() or 0.0 for table in (flour, before))
    return pa.table({"month": [partition.key], "kilos": [kilos]})


@dg.definitions
def defs() -> dg.Definitions:
    """What a code location of the mill has."""
    return build_defs([sacks, flour], name="mill")


def deliver(months: Sequence[str] = MONTHS, *, sacks: int = 3, kilos: float = 50.0) -> None:
    """Let these months' deliveries come."""
    for number, month in enumerate(months):
        file = _delivery(Settings.load(), month)
        file.parent.mkdir(exist_ok=True)
        rows = [{"month": month, "sack": sack, "kilos": kilos + number} for sack in range(sacks)]
        file.write_text(json.dumps(rows), encoding="utf-8")


def _delivery(settings: Settings, month: str) -> Path:
    return settings.home / "deliveries" / f"{month}.json"


def year(
    instance: dg.DagsterInstance,
    assets: Sequence[dg.AssetsDefinition] = (sacks,),
    *,
    first: str = MONTHS[0],
    last: str = MONTHS[-1],
) -> dg.ExecuteInProcessResult:
    """Materialize these months in one run, without raising on failure."""
    made = {definition.key for definition in assets}
    stubs = [dg.AssetSpec(each.key, partitions_def=_YEAR) for each in (SACKS, FLOUR, STOCK) if each.key not in made]
    job = dg.Definitions(assets=[*assets, *stubs]).resolve_implicit_global_asset_job_def()
    tags = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def hashes(contract: Contract) -> Mapping[str | None, str]:
    """For each month that is published its content hash."""
    with LakeSession(Settings.load()) as session:
        return {
            key: entry.record.content_hash for key, entry in ledger.current(session, contract, list(MONTHS)).items()
        }


def kilos(contract: Contract) -> dict[str, float]:
    """For each month that a reader sees the kilos in it."""
    with LakeSession(Settings.load()) as session:
        table = current_table(session, contract)
        found = table.group_by("month").aggregate(kilos=table.kilos.sum()).order_by("month")
        return {row["month"]: row["kilos"] for row in found.to_pyarrow().to_pylist()}


def year_and_send(window: str, sent: signal.Signals, *, at_once: bool = False) -> int | None:
    """Materialize the year in a process of its own, which gets the signal in that window; its exit code."""
    return processes.ended(_year_and_send, window, sent, at_once)


@asset(contract=SACKS, partitions_at_once=2)
def endless_sacks(session: LakeSession) -> ir.Table:
    """A query that takes hours, in a process that is interrupted meanwhile."""
    return _endless(session)


@asset(contract=SACKS)
def sacks_of_an_endless_month(partition: Partition, session: LakeSession) -> pa.Table | ir.Table:
    """One sack a month, and such a query in the second."""
    if partition.key == MONTHS[1]:
        return _endless(session)
    return pa.table({"month": [partition.key], "sack": [1], "kilos": [1.0]})


def _endless(session: LakeSession) -> ir.Table:
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
    return session.ibis.sql(
        "SELECT '2024-01' AS month, count(*) FILTER (a.range % 7 = b.range % 5) AS sack, 1.0::DOUBLE AS kilos"
        " FROM range(10000000) AS a, range(10000000) AS b"
    )


def endless_year(at_once: bool) -> None:  # noqa: FBT001  of a process
    """Materialize a year with queries that never end, in one run."""
    with dg.DagsterInstance.from_config(str(Path(os.environ["DAGSTER_HOME"]))) as instance:
        year(instance, [endless_sacks if at_once else sacks_of_an_endless_month])


def send_at(module: Any, name: str, turn: int, sent: signal.Signals) -> None:  # noqa: ANN401  a module
    """Let this process send itself that signal when the module's function is called for that time."""
    original = getattr(module, name)
    turns = 0

    def patched(*arguments: object, **named: object) -> object:
        nonlocal turns
        turns += 1
        if turns == turn:
            signal.raise_signal(sent)
        return original(*arguments, **named)

    setattr(module, name, patched)


def _year_and_send(window: str, sent: signal.Signals, at_once: bool) -> None:  # noqa: FBT001  of a process
    from mlops_assets.platform.assets import drafting, step  # noqa: PLC0415
    from mlops_assets.platform.lake import ledger, publish  # noqa: PLC0415

    # The second group of two, so that one is published and told.
    vars(step)["TOGETHER"] = 6
    module, name, turn = {
        "while staging": (drafting, "stage", 8),
        "before the commit": (publish, "_mark", 7),
        "after the commit": (ledger, "find", 2),
        "among the events": (step, "materialization", 9),
        "among the checks": (step, "check_evaluation", 18),
    }[window]
    send_at(module, name, turn, sent)
    with dg.DagsterInstance.from_config(str(Path(os.environ["DAGSTER_HOME"]))) as instance:
        year(instance, [sacks_at_once if at_once else sacks])
