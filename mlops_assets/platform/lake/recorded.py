"""Recorded rows: those of a publish exactly as its record says, verified by their hash, copied and compared.

Put here what proves that rows are what was published. Keep out what is wrong with a lake as a whole (``inspection``)
and making rows again (``assets.rebuild``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.content_hash import format_hash
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import ledger, tombstones
from mlops_assets.platform.lake.catalog import literal, quote
from mlops_assets.platform.lake.files import parquet_rows, partition_files
from mlops_assets.platform.lake.inspection import measured, partition_texts
from mlops_assets.platform.lake.ledger import InputRecord
from mlops_assets.platform.lake.stage import StagedFile
from mlops_assets.platform.lake.tables import sql_name, where
from mlops_assets.platform.withheld import reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.lake.session import LakeSession


def recorded_contents(session: LakeSession, contract: Contract, contents: Mapping[str, str]) -> dict[str | None, Entry]:
    """A publish of each of those contents that can still be read.

    Args:
        session: a session that may read the contract's lake.
        contract: the table.
        contents: for each partition key (empty for an unpartitioned table) the content hash asked for.

    Raises:
        LakeError: one has expired, was lost, was erased in part, or is not on record.
    """
    found = ledger.of_content(session, contract, contents)
    for key, content in contents.items():
        if (key or None) not in found:
            raise _gone(session, contract, key or None, content)
    return found


def _gone(session: LakeSession, contract: Contract, key: str | None, content: str) -> LakeError:
    """The error that says why a content is in the lake no more."""
    past = [
        entry
        for entry in ledger.since(session, contract.lake.name, 0, contract=contract)
        if entry.record.partition == key and entry.record.content_hash == content
    ]
    read = InputRecord(lake=contract.lake.name, asset=contract.key.to_user_string(), partitions={key or "": content})
    for erasure_id, left in tombstones.erased_contents(session, read).values():
        why = f"persons' rows were erased from it (erasure {erasure_id}), which left {left}"
        remedy = "Erasure wins over reproduction: what was made from it cannot be rebuilt."
        break
    else:
        why, remedy = _expired_or_lost(session, contract, key, past)
    return LakeError(
        source=named(contract, key), culprit=f"it is needed with the content {content}, and {why}.", remedy=remedy
    )


def _expired_or_lost(
    session: LakeSession, contract: Contract, key: str | None, past: Sequence[Entry]
) -> tuple[str, str]:
    """Why the content of those publishes is not there any more, and what to do."""
    if not past:
        why, remedy = "no publish of it is on record", "Was the catalog restored? Restore one that has it."
    elif all(ledger.readable_version(session, contract, key, entry.version) is None for entry in past):
        why = f"version {past[-1].version}, which held it (publish {past[-1].record.publish_id}), has expired"
        remedy = "What is current now was kept and can be rebuilt; this one only from a backup of lake and catalog."
    else:
        why = f"its file was lost (publish {past[-1].record.publish_id})"
        remedy = "Restore lake and catalog together from a backup."
    return why, remedy


def verified_copy(session: LakeSession, contract: Contract, entry: Entry, file: Path) -> StagedFile:
    """Copy the rows of a publish to a file, in the contract's columns of then, once they have the recorded hash.

    Args:
        session: a session that may read the contract's lake.
        contract: the table.
        entry: a publish that can be read.
        file: where to; in a folder that is there.

    Raises:
        LakeError: a file of it is gone, cannot be read, or holds other rows; it is named.
    """
    query, version = rows_of(session, contract, entry)
    record = entry.record
    wrong: str | None
    try:
        # DuckDB reads a page with a flipped byte as other values, mostly without an error: only the hash tells.
        content = content_of(session, contract, query, record.partition, record.columns)
        wrong = (
            None if content == record.content_hash else f"its hash is {content}, {record.content_hash} was published"
        )
    except duckdb.Error as error:
        wrong = f"it cannot be read ({reason(error)})"
    if wrong is not None:
        files = ", ".join(str(each) for each in partition_files(session, contract, record.partition, version=version))
        raise LakeError(
            source=f"Lake {contract.lake.name}, file {files}",
            culprit=f"it holds {named(contract, record.partition)} of publish {record.publish_id}, and {wrong}.",
            remedy="Restore that file from a backup.",
        )
    return copied(session, query, [name for name in rules.columns_of(contract) if name in record.columns], file)


def rows_of(session: LakeSession, contract: Contract, entry: Entry) -> tuple[str, int]:
    """The query of the rows of a publish, and the version of the lake that still holds them; 0 if none does."""
    version = ledger.readable_version(session, contract, entry.record.partition, entry.version) or 0
    name = sql_name(contract, contract.table)
    listed = ", ".join(map(quote, entry.record.columns))
    condition = where(contract, [entry.record.partition])
    return f"SELECT {listed} FROM {name} AT (VERSION => {version}){condition}", version


def content_of(session: LakeSession, contract: Contract, query: str, key: str | None, columns: Sequence[str]) -> str:
    """The content hash of a partition, made of these columns of the query's rows.

    Raises:
        duckdb.Error: a value cannot be read.
    """
    found = measured(session, contract, query, columns=columns)
    return found.get(partition_texts(contract, key), (0, None))[1] or format_hash(0, 0)


def copied(session: LakeSession, query: str, columns: Sequence[str], file: Path) -> StagedFile:
    """Write those columns of the query's rows to a Parquet file."""
    listed = ", ".join(map(quote, columns))
    session.connection.execute(f"COPY (SELECT {listed} FROM ({query})) TO {literal(str(file))} (FORMAT parquet)")
    return StagedFile(file, file.stat().st_size)


def differing_rows(session: LakeSession, contract: Contract, entry: Entry, other: Path) -> dict[str, int]:
    """How many rows of a publish differ from those in a Parquet file, and in which columns; never what is in them.

    Rows are matched by the contract's key, or as a whole where it has none. Nothing differs where the publish cannot be
    read any more.
    """
    query, version = rows_of(session, contract, entry)
    if not version:
        return {}
    file = parquet_rows(other)
    there = [row[0] for row in session.connection.execute(f"DESCRIBE FROM {file}").fetchall()]
    columns = [name for name in entry.record.columns if name in there]
    keys = [name for name in rules.key_columns(contract) if name in columns] or columns
    counts = {
        "rows only as published": "count(*) FILTER (WHERE now.here IS NULL)",
        "rows only as rebuilt": "count(*) FILTER (WHERE published.here IS NULL)",
    }
    for name in columns:
        changed = f"published.{quote(name)} IS DISTINCT FROM now.{quote(name)}"
        counts[f"rows with another {name}"] = f"count(*) FILTER (WHERE published.here AND now.here AND {changed})"
    same = " AND ".join(f"published.{quote(name)} IS NOT DISTINCT FROM now.{quote(name)}" for name in keys)
    try:
        row = session.connection.execute(
            f"SELECT {', '.join(counts.values())} FROM (SELECT *, true AS here FROM ({query})) AS published"
            f" FULL JOIN (SELECT *, true AS here FROM {file}) AS now ON {same}"
        ).fetchone()
    except duckdb.Error:
        return {}
    return {name: int(count) for name, count in zip(counts, row or (), strict=True) if count}


def named(contract: Contract, key: str | None) -> str:
    """A partition of a table, in words."""
    table = f"table {contract.layer}/{contract.table}"
    return f"{table}, partition {key}" if key is not None else table
