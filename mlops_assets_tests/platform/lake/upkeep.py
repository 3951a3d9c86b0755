"""Weeks of the orchard in a lake, and real faults in it: for the tests of inspection, repair and expiry.

Put here ways to publish audited weeks and to break what was published. Keep out assertions.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import pandera.ibis as pandera
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.platform.audit.audit import Candidate, audit
from mlops_assets.platform.audit.quarantine import Settled, set_aside
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.volume import Reference
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.files import data_files
from mlops_assets.platform.lake.frames import as_ibis
from mlops_assets.platform.lake.inspection import inspect
from mlops_assets.platform.lake.ledger import InputRecord, PublishRecord
from mlops_assets.platform.lake.publish import Replacement, publish
from mlops_assets.platform.lake.recorded import recorded_contents
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import lease, stage
from mlops_assets.platform.lake.tables import published_table
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry

CURATED = "curated"


class NarrowYieldsModel(pandera.DataFrameModel):
    """The yields before anybody weighed them."""

    week: dt.String = pandera.Field(nullable=False)
    tree: dt.Int64 = pandera.Field(nullable=False)

    class Config:
        """Strict, keyed by tree."""

        strict = True
        unique = ("week", "tree")


NARROW_YIELDS = replace(orchard.YIELDS, model=NarrowYieldsModel)
CONTRACTS = {asset.key.to_user_string(): asset for asset in (orchard.YIELDS, orchard.SEASON, orchard.HARVEST)}


def publish_table(
    contract: Contract,
    key: str | None,
    rows: Mapping[str, list[Any]],
    *,
    inputs: Mapping[str, Entry] | None = None,
    run_id: str = "none",
) -> Entry:
    """Publish those columns as that partition, audited, made from those publishes."""
    with LakeSession(Settings.load()) as session, lease(session, contract.lake.name) as attempt:
        columns = rules.columns_of(contract)
        table = as_ibis(session, pa.table(dict(rows)), columns)
        staged = stage(session, contract, table, attempt=attempt)
        values = contract.partition_values(key)
        candidate = Candidate(file=staged, partition=values, reference=Reference())
        (found,) = audit(session, contract, [candidate])
        settled = set_aside(session, contract, candidate, found=found)
        good, bad, aside = staged, None, None
        if isinstance(settled, Settled):
            good, bad, aside, found = settled.good, settled.bad, settled.record, settled.audit
        record = PublishRecord(
            publish_id=uuid.uuid4().hex,
            asset=contract.key.to_user_string(),
            partition=key,
            run_id=run_id,
            code_version="1",
            package_version="0",
            environment="test",
            columns=list(columns),
            content_hash=found.content_hash or "",
            rows=found.rows or 0,
            bytes=good.bytes,
            inputs={
                name: InputRecord(
                    lake=CONTRACTS.get(entry.record.asset, contract).lake.name,
                    asset=entry.record.asset,
                    partitions={entry.record.partition or "": entry.record.content_hash},
                )
                for name, entry in (inputs or {}).items()
            },
            checks=[],
            published_at=time.time(),
            quarantined=aside,
        )
        try:
            replaced = ledger.current_version(session, contract, key)
            whole = Replacement(partition=values, staged=good, record=record, quarantined=bad, instead_of=replaced)
            return publish(session, contract, whole).entry
        finally:
            for file in {staged, good} | ({bad} if bad is not None else set()):
                file.remove()


def week(key: str, trees: list[int]) -> Entry:
    """Publish a week with those trees."""
    return publish_table(orchard.YIELDS, key, {"week": [key] * len(trees), "tree": trees, "kilos": [1.0] * len(trees)})


def season(kilos: float, **inputs: Entry) -> Entry:
    """Publish the season, made from those publishes."""
    return publish_table(orchard.SEASON, None, {"weeks": [1], "kilos": [kilos]}, inputs=inputs)


def as_recorded(entry: Entry, contract: Contract = orchard.YIELDS) -> list[dict[str, Any]]:
    """The rows of a publish, read as a record names them that was made from it."""
    with LakeSession(Settings.load()) as session:
        contents = {entry.record.partition or "": entry.record.content_hash}
        found = recorded_contents(session, contract, contents)
        rows: list[dict[str, Any]] = published_table(session, contract, found, version=0).to_pyarrow().to_pylist()
        return rows


def made_earlier(*, days: int, lake: str = CURATED) -> None:
    """Set the catalog's clock of all versions that there are back by so many days."""
    with LakeSession(Settings.load()) as session:
        session.attach(lake)
        session.connection.execute(f"USE __ducklake_metadata_{lake}")
        snapshots = session.connection.execute("SELECT snapshot_id, snapshot_time::TIMESTAMPTZ FROM ducklake_snapshot")
        for number, made in snapshots.fetchall():
            earlier = str(made - timedelta(days=days))
            session.connection.execute(
                "UPDATE ducklake_snapshot SET snapshot_time = ? WHERE snapshot_id = ?", [earlier, number]
            )


def current_files(contract: Contract = orchard.YIELDS) -> list[Path]:
    """The files that the table has now, oldest first."""
    with LakeSession(Settings.load()) as session:
        return [
            file.path
            for file in data_files(session, contract.lake.name)
            if file.current and (file.layer, file.table) == (contract.layer, contract.table)
        ]


def cut(file: Path) -> None:
    """Cut the file in half."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def flip(file: Path, column: str) -> None:
    """Flip one bit among that column's values."""
    group = pq.ParquetFile(file).metadata.row_group(0)
    [chunk] = [c for n in range(group.num_columns) if (c := group.column(n)).path_in_schema == column]
    content = bytearray(file.read_bytes())
    begin = chunk.dictionary_page_offset or chunk.data_page_offset
    content[begin + chunk.total_compressed_size * 3 // 4] ^= 1
    file.write_bytes(content)


def faults(*, hashes: bool = False, contracts: Mapping[str, Contract] = CONTRACTS) -> list[str]:
    """What is wrong with the curated lake."""
    with LakeSession(Settings.load()) as session:
        return [str(fault) for fault in inspect(session, CURATED, contracts, hashes=hashes).faults]


def execute(statement: str) -> list[tuple[Any, ...]]:
    """What a statement gives that somebody makes past the platform, with the curated lake attached."""
    with LakeSession(Settings.load()) as session:
        session.attach(CURATED)
        return session.connection.execute(statement).fetchall()


def published_weeks() -> dict[str | None, str]:
    """The publish ids of the weeks that are current."""
    with LakeSession(Settings.load()) as session:
        found = ledger.current(session, orchard.YIELDS, list(orchard.WEEKS))
        return {key: entry.record.publish_id for key, entry in found.items()}
