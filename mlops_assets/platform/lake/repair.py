"""Repair: giving up data files that are gone, so that a table can be read and published again.

Put here the plan of it and its doing. Keep out finding what else is wrong (``inspection``).

A file that cannot be read cannot be deleted by its rows, not even with all others of its table. Dropping a table reads
no file, so one transaction drops the table, makes it anew, and adds the good files again, under fresh paths that are
links to the same bytes: DuckLake must never be given a path twice. No metadata is written by hand. What the lost files
held is recorded as lost by the same commit.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from mlops_assets.platform import provenance
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.errors import ContractError, LakeError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.catalog import AUTHOR, literal, publish_lock, quote
from mlops_assets.platform.lake.files import data_files, is_broken, parquet_rows
from mlops_assets.platform.lake.inspection import measured, partition_texts
from mlops_assets.platform.lake.ledger import LOST, PublishRecord
from mlops_assets.platform.lake.stage import FILE_NAME, lease
from mlops_assets.platform.lake.tables import sql_name, where
from mlops_assets.platform.withheld import reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.files import DataFile
    from mlops_assets.platform.lake.session import LakeSession

CODE_VERSION = "repair"
"""The code version in the record of a loss."""


@dataclass(frozen=True, kw_only=True)
class TableRepair:
    """What is to be done to one table.

    Attributes:
        contract: the table's contract.
        table: its name, or that of its quarantine.
        broken: for each file to give up what is wrong with it.
        kept: the files that stay.
        lost: the partitions whose rows are gone, or some of them; none for a quarantine.
    """

    contract: Contract
    table: str
    broken: Mapping[Path, str]
    kept: Sequence[Path]
    lost: Sequence[str | None]


def plan(session: LakeSession, lake: str, contracts: Mapping[str, Contract]) -> list[TableRepair]:
    """Read every current file of the lake and say what a repair would give up; none if all can be read.

    Args:
        session: a session that may read the lake.
        lake: which lake.
        contracts: the tables' contracts by asset key as text.

    Raises:
        LakeError: a table with a broken file has no contract, or rows that somebody deleted past the platform.
    """
    by_table: dict[tuple[str, str], list[DataFile]] = {}
    for file in data_files(session, lake):
        if file.current:
            by_table.setdefault((file.layer, file.table), []).append(file)
    return [
        _plan_table(session, lake, contracts.get(f"{layer}/{table.removesuffix(rules.QUARANTINE)}"), files, broken)
        for (layer, table), files in by_table.items()
        if (broken := {file.path: wrong for file in files if (wrong := is_broken(session, file))})
    ]


def repair(session: LakeSession, planned: TableRepair) -> None:
    """Give up the broken files of one table, as planned, and record what partitions are lost.

    What is published meanwhile is not touched: then nothing is done. Old versions of the table stay as they were.

    Raises:
        LakeError: the table was published since the plan was made, or the lake refused the change; nothing was changed.
    """
    contract, lake = planned.contract, planned.contract.lake.name
    source = f"Lake {lake}, table {contract.layer}/{planned.table}"
    session.attach(lake)
    with lease(session, lake) as attempt:
        links = _link(session, planned, attempt)
        committing = False
        try:
            with publish_lock(session.settings, lake):
                _require_unchanged(session, planned, source)
                _replace_files(session, planned, links)
                committing = True
                session.connection.execute("COMMIT")
        except BaseException as error:
            session.rollback()
            if not committing:
                for link in links:
                    shutil.rmtree(link.parent, ignore_errors=True)
            if isinstance(error, duckdb.Error):
                raise LakeError(
                    source=source,
                    culprit=f"the repair was refused ({reason(error)}).",
                    remedy="Is the catalog up? Look with mlops-assets lake check, and try again.",
                ) from error
            raise


def _plan_table(
    session: LakeSession,
    lake: str,
    contract: Contract | None,
    files: Sequence[DataFile],
    broken: Mapping[Path, str],
) -> TableRepair:
    layer, table = files[0].layer, files[0].table
    if contract is None:
        raise LakeError(
            source=f"Lake {lake}, table {layer}/{table}",
            culprit="no contract declares it, so nobody knows its partitions.",
            remedy=f"If nothing needs it, drop it: DROP TABLE {lake}.{layer}.{table}.",
        )
    if session.query(
        lake,
        "SELECT d.delete_file_id FROM ducklake_delete_file AS d JOIN ducklake_table AS t ON t.table_id = d.table_id"
        " JOIN ducklake_schema AS s ON s.schema_id = t.schema_id WHERE d.end_snapshot IS NULL"
        f" AND schema_name = {literal(layer)} AND table_name = {literal(table)}",
    ):
        raise LakeError(
            source=f"Lake {lake}, table {layer}/{table}",
            culprit="somebody has deleted single rows of it past the platform, and a repair would bring them back.",
            remedy="Publish those partitions again (mlops-assets lake check names them).",
        )
    kept = [file.path for file in files if file.path not in broken]
    lost: list[str | None] = []
    if table == contract.table:
        asset = contract.key.to_user_string()
        records = [entry.record for entry in ledger.newest(session, lake) if entry.record.asset == asset]
        found = _counted(session, contract, kept)
        lost = [
            record.partition
            for record in records
            if not record.lost and record.rows and _rows(contract, record, found) != record.rows
        ]
    return TableRepair(contract=contract, table=table, broken=broken, kept=kept, lost=lost)


def _counted(session: LakeSession, contract: Contract, files: Sequence[Path]) -> dict[tuple[str, ...], int]:
    if not files:
        return {}
    found = measured(session, contract, f"SELECT * FROM {parquet_rows(*files)}")
    return {texts: rows for texts, (rows, _) in found.items()}


def _require_unchanged(session: LakeSession, planned: TableRepair, source: str) -> None:
    place = (planned.contract.layer, planned.table)
    files = data_files(session, planned.contract.lake.name)
    if {file.path for file in files if file.current and (file.layer, file.table) == place} != {
        *planned.broken,
        *planned.kept,
    }:
        raise LakeError(
            source=source,
            culprit="it was published since the repair was planned.",
            remedy="Plan the repair again.",
        )


def _rows(contract: Contract, record: PublishRecord, found: Mapping[tuple[str, ...], int]) -> int:
    try:
        return found.get(partition_texts(contract, record.partition), 0)
    except ContractError:
        # The contract has no such partition any more: nobody can ask for it, and it is not lost to anybody.
        return record.rows


def _link(session: LakeSession, planned: TableRepair, attempt: str) -> list[Path]:
    """The kept files once more, at fresh paths."""
    root = session.settings.lake_data_path(planned.contract.lake.name) / planned.contract.layer / planned.table
    links: list[Path] = []
    for number, file in enumerate(planned.kept):
        link = root / f"{attempt}-{number}" / FILE_NAME
        link.parent.mkdir(parents=True)
        try:
            os.link(file, link)
        except OSError:
            # Not every file system has links.
            shutil.copyfile(file, link)
        links.append(link)
    return links


def _replace_files(session: LakeSession, planned: TableRepair, links: Sequence[Path]) -> None:
    """Everything but the COMMIT."""
    contract, connection = planned.contract, session.connection
    name = sql_name(contract, planned.table)
    columns = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = ? AND schema_name = ? "
        "AND table_name = ? ORDER BY column_index",
        [contract.lake.name, contract.layer, planned.table],
    ).fetchall()
    connection.execute("BEGIN TRANSACTION")
    connection.execute(f"DROP TABLE {name}")
    connection.execute(f"CREATE TABLE {name} ({', '.join(f'{quote(column)} {kind}' for column, kind in columns)})")
    for link in links:
        connection.execute(
            f"CALL ducklake_add_data_files({literal(contract.lake.name)}, {literal(planned.table)}, "
            f"{literal(str(link))}, schema => {literal(contract.layer)}, allow_missing => true, "
            "hive_partitioning => false)"
        )
    for key in planned.lost:
        # A partition of several files, of which some are left.
        connection.execute(f"DELETE FROM {name}{where(contract, [key])}")
    records = [_loss(session, contract, key) for key in planned.lost]
    connection.execute(
        f"CALL {quote(contract.lake.name)}.set_commit_message({literal(AUTHOR)}, "
        f"{literal(f'repair {contract.layer}/{planned.table}')}, extra_info => {literal(ledger.recorded(records))})"
    )


def _loss(session: LakeSession, contract: Contract, key: str | None) -> PublishRecord:
    return PublishRecord(
        publish_id=uuid.uuid4().hex,
        asset=contract.key.to_user_string(),
        partition=key,
        run_id="",
        code_version=CODE_VERSION,
        package_version=provenance.package_version(),
        environment=provenance.environment(session.settings),
        columns=(),
        content_hash=LOST,
        rows=0,
        bytes=0,
        inputs={},
        checks=[],
        published_at=time.time(),
    )
