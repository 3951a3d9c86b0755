"""Publishing: one metadata-only transaction that replaces a partition by staged, audited files.

Put here what happens under the publish lock. Keep out staging, auditing and Dagster's events.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb
from ibis.backends.sql.datatypes import DuckDBType

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.errors import CatalogAwayError, LakeError
from mlops_assets.platform.lake import ledger, tombstones
from mlops_assets.platform.lake.catalog import AUTHOR, literal, publish_lock, quote
from mlops_assets.platform.lake.stage import FILE_NAME
from mlops_assets.platform.lake.tables import EVERY_VALUE, sql_name
from mlops_assets.platform.withheld import reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.datatypes as dt

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry, PublishRecord
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.lake.stage import StagedFile

_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 0.1


class OvertakenError(LakeError):
    """The partition was published by somebody else since it was read, or persons were erased since."""


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
    instead_of: int,
) -> Outcome:
    """Make the staged file the partition's content, unless an equal publish that can be read is current already.

    One transaction deletes the partition's rows (whole files, so no delete files remain), adds the staged file and
    commits with the record. After an error that leaves open whether the commit happened, the lake is asked for the
    publish id before another attempt. The data is never computed again.

    From its COMMIT on the files are marked as maybe published, unless it is found out that it did not happen.

    Args:
        session: a session that may write the contract's lake.
        contract: the table.
        partition: for each partition column its value.
        staged: the rows.
        record: of this publish.
        quarantined: rows set aside.
        instead_of: the lake version of the publish that was current when the rows were read, 0 for none.

    Raises:
        OvertakenError: another publish is current than that one, or the current one was made from newer inputs; or rows
            of persons may be in it who were erased meanwhile.
        CatalogAwayError: the catalog did not answer in any attempt.
        LakeError: the lake refused the publish in every attempt, or what it replaces cannot be read.
    """
    session.attach(contract.lake.name)
    files = [staged] if quarantined is None else [staged, quarantined]
    refusals: list[duckdb.Error | CatalogAwayError] = []
    while len(refusals) < _ATTEMPTS:
        time.sleep(_PAUSE_SECONDS * len(refusals))
        try:
            # Taken anew for each attempt: whoever gets it knows how every commit before has ended.
            with publish_lock(session.settings, contract.lake.name):
                return _attempt(session, contract, partition, files, record=record, instead_of=instead_of)
        except (duckdb.Error, CatalogAwayError) as error:
            session.rollback()
            refusals.append(error)
        except LakeError:
            session.rollback()
            raise
    if isinstance(refusals[-1], CatalogAwayError):
        raise refusals[-1]
    raise LakeError(
        source=_source(contract, contract.table, record),
        # DuckLake quotes the statement that failed, and with it the least and greatest value of every column.
        culprit=f"the publish was refused {len(refusals)} times ({reason(refusals[-1])}).",
        remedy="The partition is as it was, or as it should be. Is the catalog up, and the disk not full? Try again.",
    ) from refusals[-1]


def _attempt(
    session: LakeSession,
    contract: Contract,
    partition: Mapping[str, str],
    files: Sequence[StagedFile],
    *,
    record: PublishRecord,
    instead_of: int,
) -> Outcome:
    """One attempt, under the lock."""
    if any(file.maybe_published for file in files):
        made = ledger.find(session, contract, record.publish_id)
        if made is not None:
            return Outcome(entry=made, adopted=False)
        _mark(files, maybe_published=False)
    if min(file.erasures for file in files) < tombstones.known(session, contract.lake.name) or _reads_erased(
        session, record
    ):
        raise _overtaken(contract, record, "persons were erased meanwhile")
    previous = ledger.current(session, contract, [record.partition]).get(record.partition)
    if (
        previous is not None
        and previous.record.same_result(record)
        and not _read_anew(session, record, previous.record)
        and _readable(session, contract, partition, record)
    ):
        return Outcome(entry=previous, adopted=True)
    if instead_of != (previous.version if previous is not None else 0):
        raise _overtaken(contract, record, "somebody else published it meanwhile")
    if previous is not None and _reads_older(session, record, previous.record):
        raise _overtaken(contract, record, f"run {previous.record.run_id} made it from newer inputs")
    _commit(session, contract, partition, files, record=record)
    made = ledger.find(session, contract, record.publish_id)
    if made is None:
        raise LakeError(
            source=_source(contract, contract.table, record),
            culprit="the commit left no record.",
            remedy="Report this with the version of the DuckLake extension.",
        )
    if not record.rows:
        # DuckLake takes no file without rows, so this one is the step's to remove.
        _mark(files[:1], maybe_published=False)
    return Outcome(entry=made, adopted=False)


def _read_anew(session: LakeSession, record: PublishRecord, previous: PublishRecord) -> bool:
    """Whether an input was published between the two reads, even if it is again what it was: that goes on record."""
    return any(
        name in previous.snapshots
        and version > previous.snapshots[name]
        and ledger.was_published(session, record.inputs[name], previous.snapshots[name], version)
        for name, version in record.snapshots.items()
    )


def _reads_older(session: LakeSession, record: PublishRecord, other: PublishRecord) -> bool:
    """Whether the other one has read a newer version of an input of both, and another state of it."""
    newer = [
        (record.inputs[name].lake, other.snapshots[name])
        for name, version in record.snapshots.items()
        if other.snapshots.get(name, version) > version and other.inputs[name] != record.inputs[name]
    ]
    # A lake that was restored from a backup counts its versions anew from there.
    return any(version <= ledger.latest_version(session, lake) for lake, version in newer)


def _reads_erased(session: LakeSession, record: PublishRecord) -> bool:
    """Whether it was made from rows of persons who were erased since."""
    return any(tombstones.erased_contents(session, read) for read in record.inputs.values())


def _overtaken(contract: Contract, record: PublishRecord, why: str) -> OvertakenError:
    return OvertakenError(
        source=_source(contract, contract.table, record),
        culprit=f"{why}, and its rows are older.",
        remedy="Materialize it again: it is made from what is there then.",
    )


def _mark(files: Sequence[StagedFile], *, maybe_published: bool) -> None:
    for file in files:
        file.maybe_published = maybe_published


def _readable(session: LakeSession, contract: Contract, partition: Mapping[str, str], record: PublishRecord) -> bool:
    """Whether the partition that the lake holds has as many rows as the record says, and all of it can be read."""
    expected = [(contract.table, partition, record.rows)]
    if contract.quarantine is not None:
        aside = record.quarantined.rows if record.quarantined is not None else 0
        expected.append((contract.table + rules.QUARANTINE, contract.quarantine_values(partition), aside))
    try:
        counted = [
            session.connection.execute(
                f"SELECT count(*), {EVERY_VALUE} FROM {sql_name(contract, table)} AS found{_condition(columns)}"
            ).fetchall()[0][0]
            for table, columns, _ in expected
        ]
    except duckdb.Error:
        return False
    return counted == [rows for _, _, rows in expected]


def _commit(
    session: LakeSession,
    contract: Contract,
    partition: Mapping[str, str],
    files: Sequence[StagedFile],
    *,
    record: PublishRecord,
) -> None:
    columns = rules.columns_of(contract)
    _prepare_table(session, contract, contract.table, columns)
    if contract.quarantine is not None:
        _prepare_table(session, contract, contract.table + rules.QUARANTINE, rules.quarantine_columns_of(contract))
    connection = session.connection
    connection.execute("BEGIN TRANSACTION")
    staged, *aside = files
    _replace(session, contract, contract.table, partition, staged, record)
    if contract.quarantine is not None:
        quarantined = aside[0] if aside else None
        columns = contract.quarantine_values(partition)
        _replace(session, contract, contract.table + rules.QUARANTINE, columns, quarantined, record)
    if not record.rows:
        # A transaction that changes nothing would leave no version, and so no record of the empty partition.
        connection.execute(f"COMMENT ON TABLE {sql_name(contract, contract.table)} IS {literal(record.publish_id)}")
    connection.execute(
        f"CALL {quote(contract.lake.name)}.set_commit_message({literal(AUTHOR)}, "
        f"{literal(f'publish {record.asset}')}, extra_info => {literal(ledger.recorded([record]))})"
    )
    # Whatever the COMMIT raises, or an interrupt during it, it may have happened.
    _mark(files, maybe_published=True)
    connection.execute("COMMIT")


def _replace(
    session: LakeSession,
    contract: Contract,
    table: str,
    partition: Mapping[str, str],
    staged: StagedFile | None,
    record: PublishRecord,
) -> None:
    """Put the staged file in the place of the partition's rows.

    Raises:
        LakeError: a file with those rows cannot be read, so the lake cannot tell which rows of it to delete.
    """
    name = sql_name(contract, table)
    try:
        session.connection.execute(f"DELETE FROM {name}{_condition(partition)}")
    except duckdb.Error as error:
        if FILE_NAME not in str(error):
            raise
        raise LakeError(
            source=_source(contract, table, record),
            culprit=f"the rows to replace cannot be read ({reason(error)}).",
            remedy="Restore that file from a backup; without one, give it up: mlops-assets lake repair "
            f"{contract.lake.name}.",
        ) from error
    if staged is not None:
        session.connection.execute(
            f"CALL ducklake_add_data_files({literal(contract.lake.name)}, {literal(table)}, "
            f"{literal(str(staged.path))}, schema => {literal(contract.layer)}, allow_missing => true)"
        )


def _prepare_table(session: LakeSession, contract: Contract, table: str, columns: Mapping[str, dt.DataType]) -> None:
    """Create the table on its first publish, and add columns that the contract has gained since.

    Raises:
        LakeError: a column has another type than the contract now says.
    """
    connection = session.connection
    existing = {
        row[0]: DuckDBType.from_string(row[1])
        for row in connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = ? AND schema_name = ? AND table_name = ?",
            [contract.lake.name, contract.layer, table],
        ).fetchall()
    }
    if not existing:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(contract.lake.name)}.{quote(contract.layer)}")
        listed = ", ".join(f"{quote(name)} {DuckDBType.to_string(kind)}" for name, kind in columns.items())
        connection.execute(f"CREATE TABLE IF NOT EXISTS {sql_name(contract, table)} ({listed})")
        return
    for name, kind in columns.items():
        if name not in existing:
            connection.execute(
                f"ALTER TABLE {sql_name(contract, table)} ADD COLUMN {quote(name)} {DuckDBType.to_string(kind)}"
            )
        elif existing[name] != kind:
            raise LakeError(
                source=f"Lake {contract.lake.name}, table {contract.layer}/{table}",
                culprit=f"column {name} is {existing[name]} there, and {kind} in the contract.",
                remedy="Publish the new type under a new column or table name, so that old versions stay readable.",
            )


def _condition(partition: Mapping[str, str]) -> str:
    conditions = " AND ".join(f"{quote(column)} = {literal(value)}" for column, value in partition.items())
    return f" WHERE {conditions}" if conditions else ""


def _source(contract: Contract, table: str, record: PublishRecord) -> str:
    partition = f", partition {record.partition}" if record.partition is not None else ""
    return f"Lake {contract.lake.name}, table {contract.layer}/{table}{partition}"
