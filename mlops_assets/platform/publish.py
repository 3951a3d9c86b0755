"""Publishing: one metadata-only transaction that replaces a partition by staged, audited files.

Put here what happens under the publish lock. Keep out staging, auditing and Dagster's events.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb

from mlops_assets.platform import ledger, quarantine, rules
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import literal, publish_lock, quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.datatypes as dt

    from mlops_assets.platform.contract import Contract
    from mlops_assets.platform.lake import LakeSession
    from mlops_assets.platform.ledger import Entry, PublishRecord
    from mlops_assets.platform.stage import StagedFile

_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 0.1


class OvertakenError(LakeError):
    """The partition was published by somebody else since it was read."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a publish did.

    Attributes:
        entry: the publish that is now current, with its lake version.
        adopted: whether an equal publish was there already, so that nothing was written.
    """

    entry: Entry
    adopted: bool


def publish(
    session: LakeSession,
    contract: Contract,
    partition: Mapping[str, str],
    staged: StagedFile,
    *,
    record: PublishRecord,
    quarantined: StagedFile | None = None,
    instead_of: int | None = None,
) -> Outcome:
    """Make the staged file the partition's content, unless an equal publish is current already.

    One transaction deletes the partition's rows (whole files, so no delete files remain), adds the staged file and
    commits with the record. After an error that leaves open whether the commit happened, the lake is asked for the
    publish id before another attempt. The data is never computed again.

    Args:
        session: a session that may write the contract's lake.
        contract: the table.
        partition: for each partition column its value.
        staged: the rows.
        record: of this publish.
        quarantined: rows set aside.
        instead_of: the lake version of the publish that must still be current, 0 for none; not looked at if not given.

    Raises:
        OvertakenError: another publish is current than the one that must be.
        LakeError: the lake refused the publish in every attempt.
    """
    session.attach(contract.lake)
    with publish_lock(session.settings, contract.lake):
        previous = ledger.current(session, contract, [record.partition]).get(record.partition)
        if instead_of is not None and instead_of != (previous.version if previous is not None else 0):
            raise OvertakenError(
                source=f"Lake {contract.lake}, table {contract.layer}/{contract.table}",
                culprit="somebody else published it meanwhile.",
                remedy="Read it again and try again.",
            )
        if previous is not None and previous.record.same_result(record):
            return Outcome(entry=previous, adopted=True)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _commit(session, contract, partition, staged, record=record, quarantined=quarantined)
            except duckdb.Error as error:
                _rollback(session)
                if ledger.find(session, contract, record.publish_id) is None:
                    if attempt == _ATTEMPTS:
                        raise LakeError(
                            source=f"Lake {contract.lake}, table {contract.layer}/{contract.table}",
                            culprit=f"the publish was refused {attempt} times ({str(error).splitlines()[0]}).",
                            remedy="The last good partition stands. Is the catalog up, and the disk not full?",
                        ) from error
                    time.sleep(_PAUSE_SECONDS * attempt)
                    continue
            break
        entry = ledger.find(session, contract, record.publish_id)
    if entry is None:
        raise LakeError(
            source=f"Lake {contract.lake}, table {contract.layer}/{contract.table}",
            culprit="the commit left no record.",
            remedy="The last good partition stands. Report this with the version of the DuckLake extension.",
        )
    return Outcome(entry=entry, adopted=False)


def _commit(
    session: LakeSession,
    contract: Contract,
    partition: Mapping[str, str],
    staged: StagedFile,
    *,
    record: PublishRecord,
    quarantined: StagedFile | None,
) -> None:
    columns = rules.columns_of(contract)
    _prepare_table(session, contract, contract.table, columns)
    if contract.quarantine is not None:
        _prepare_table(session, contract, contract.table + quarantine.SUFFIX, quarantine.columns_of(contract))
    connection = session.connection
    connection.execute("BEGIN TRANSACTION")
    _replace(session, contract, contract.table, partition, staged)
    if contract.quarantine is not None:
        _replace(session, contract, contract.table + quarantine.SUFFIX, partition, quarantined)
    if not record.rows:
        # A transaction that changes nothing would leave no version, and so no record of the empty partition.
        connection.execute(f"COMMENT ON TABLE {_name(contract, contract.table)} IS {literal(record.publish_id)}")
    connection.execute(
        f"CALL {quote(contract.lake)}.set_commit_message({literal(ledger.AUTHOR)}, "
        f"{literal(ledger.message(contract, record.partition))}, extra_info => {literal(record.model_dump_json())})"
    )
    connection.execute("COMMIT")


def _replace(
    session: LakeSession, contract: Contract, table: str, partition: Mapping[str, str], staged: StagedFile | None
) -> None:
    conditions = " AND ".join(f"{quote(column)} = {literal(value)}" for column, value in partition.items())
    session.connection.execute(f"DELETE FROM {_name(contract, table)}" + (f" WHERE {conditions}" if conditions else ""))
    if staged is not None:
        session.connection.execute(
            f"CALL ducklake_add_data_files({literal(contract.lake)}, {literal(table)}, {literal(str(staged.path))}, "
            f"schema => {literal(contract.layer)}, allow_missing => true)"
        )


def _prepare_table(session: LakeSession, contract: Contract, table: str, columns: Mapping[str, dt.DataType]) -> None:
    """Create the table on its first publish, and add columns that the contract has gained since.

    Raises:
        LakeError: a column has another type than the contract now says.
    """
    connection = session.connection
    types = session.ibis.compiler.type_mapper
    wanted = {name: kind.copy(nullable=True) for name, kind in columns.items()}
    existing = {
        row[0]: types.from_string(row[1])
        for row in connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = ? AND schema_name = ? AND table_name = ?",
            [contract.lake.value, contract.layer, table],
        ).fetchall()
    }
    if not existing:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(contract.lake)}.{quote(contract.layer)}")
        listed = ", ".join(f"{quote(name)} {types.to_string(kind)}" for name, kind in wanted.items())
        connection.execute(f"CREATE TABLE IF NOT EXISTS {_name(contract, table)} ({listed})")
        return
    for name, kind in wanted.items():
        if name not in existing:
            connection.execute(f"ALTER TABLE {_name(contract, table)} ADD COLUMN {quote(name)} {types.to_string(kind)}")
        elif existing[name] != kind:
            raise LakeError(
                source=f"Lake {contract.lake}, table {contract.layer}/{table}",
                culprit=f"column {name} is {existing[name]} there, and {kind} in the contract.",
                remedy="Publish the new type under a new column or table name, so that old versions stay readable.",
            )


def _name(contract: Contract, table: str) -> str:
    return f"{quote(contract.lake)}.{quote(contract.layer)}.{quote(table)}"


def _rollback(session: LakeSession) -> None:
    try:
        session.connection.execute("ROLLBACK")
    except duckdb.TransactionException:
        # The failing statement has ended the transaction already.
        return
