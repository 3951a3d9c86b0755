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
from mlops_assets.platform.errors import CatalogAwayError, LakeError, PlatformError
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
class Replacement:
    """What is to be a partition's content.

    Attributes:
        partition: for each partition column its value.
        staged: the rows.
        record: of this publish.
        quarantined: rows set aside.
        instead_of: the lake version of the publish that was current when the rows were read, 0 for none.
    """

    partition: Mapping[str, str]
    staged: StagedFile
    record: PublishRecord
    quarantined: StagedFile | None = None
    instead_of: int

    @property
    def files(self) -> list[StagedFile]:
        """The staged files."""
        return [self.staged] if self.quarantined is None else [self.staged, self.quarantined]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a publish did.

    Attributes:
        entry: the publish that is now current, with its lake version.
        adopted: whether an equal publish was there already, so that nothing was written.
    """

    entry: Entry
    adopted: bool


def publish(session: LakeSession, contract: Contract, replacement: Replacement) -> Outcome:
    """Publish one partition, as ``publish_all`` does.

    Raises:
        OvertakenError: see there.
        CatalogAwayError: see there.
        LakeError: see there.
        ContractError: see there.
    """
    [done] = publish_all(session, contract, [replacement])
    if isinstance(done, OvertakenError):
        raise done
    return done


def publish_all(
    session: LakeSession, contract: Contract, replacements: Sequence[Replacement]
) -> list[Outcome | OvertakenError]:
    """Make the staged files the partitions' content, unless an equal publish that can be read is current already.

    One transaction deletes the partitions' rows (whole files, so no delete files remain), adds the staged files and
    commits with the records. After an error that leaves open whether the commit happened, the lake is asked for the
    publish ids before another attempt. The data is never computed again.

    From its COMMIT on the files are marked as maybe published, unless it is found out that it did not happen.

    Args:
        session: a session that may write the contract's lake.
        contract: the table.
        replacements: of different partitions, at least one.

    Returns:
        For each what became of it. An error, which keeps none of the others back: another publish is current than the
        one it was to replace, or the current one was made from newer inputs; or rows of persons may be in it who were
        erased meanwhile.

    Raises:
        CatalogAwayError: the catalog did not answer in any attempt.
        LakeError: the lake refused the publish in every attempt, or what it replaces cannot be read.
        ContractError: a record cannot be kept.
    """
    session.attach(contract.lake.name)
    refusals: list[duckdb.Error | CatalogAwayError] = []
    while len(refusals) < _ATTEMPTS:
        time.sleep(_PAUSE_SECONDS * len(refusals))
        try:
            # Taken anew for each attempt: whoever gets it knows how every commit before has ended.
            with publish_lock(session.settings, contract.lake.name):
                return _attempt(session, contract, replacements)
        except (duckdb.Error, CatalogAwayError) as error:
            session.rollback()
            refusals.append(error)
        except PlatformError:
            session.rollback()
            raise
    if isinstance(refusals[-1], CatalogAwayError):
        raise refusals[-1]
    raise LakeError(
        source=_source(contract, contract.table, replacements),
        # DuckLake quotes the statement that failed, and with it the least and greatest value of every column.
        culprit=f"the publish was refused {len(refusals)} times ({reason(refusals[-1])}).",
        remedy="What was there stands, or what should be. Is the catalog up, and the disk not full? Try again.",
    ) from refusals[-1]


def _attempt(
    session: LakeSession, contract: Contract, replacements: Sequence[Replacement]
) -> list[Outcome | OvertakenError]:
    """One attempt, under the lock."""
    left = list(replacements)
    done: dict[str, Outcome | OvertakenError] = {}
    if any(file.maybe_published for each in left for file in each.files):
        # All of them were in one transaction.
        done |= _made(session, contract, left)
        left = [each for each in left if each.record.publish_id not in done]
        for each in left:
            _mark(each.files, maybe_published=False)
    if left:
        erasures = tombstones.known(session, contract.lake.name)
        current = ledger.current(session, contract, [each.record.partition for each in left])
        for each in left:
            found = _found(session, contract, each, current.get(each.record.partition), erasures)
            if found is not None:
                done[each.record.publish_id] = found
        left = [each for each in left if each.record.publish_id not in done]
    if left:
        _commit(session, contract, left)
        made = _made(session, contract, left)
        if len(made) < len(left):
            raise LakeError(
                source=_source(contract, contract.table, left),
                culprit="the commit left no record.",
                remedy="Report this with the version of the DuckLake extension.",
            )
        done |= made
    for each in left:
        if not each.record.rows:
            # DuckLake takes no file without rows, so this one is the step's to remove.
            _mark([each.staged], maybe_published=False)
    return [done[each.record.publish_id] for each in replacements]


def _made(session: LakeSession, contract: Contract, replacements: Sequence[Replacement]) -> dict[str, Outcome]:
    """Those of the publishes that the lake holds, by their ids."""
    found = ledger.find(session, contract, [each.record.publish_id for each in replacements])
    return {publish_id: Outcome(entry=entry, adopted=False) for publish_id, entry in found.items()}


def _found(
    session: LakeSession, contract: Contract, replacement: Replacement, previous: Entry | None, erasures: int
) -> Outcome | OvertakenError | None:
    """The current publish, if it is as good as this one, or why this one cannot follow it; ``None`` if it can."""
    record = replacement.record
    if min(file.erasures for file in replacement.files) < erasures or _reads_erased(session, record):
        return _overtaken(contract, replacement, "persons were erased meanwhile")
    if (
        previous is not None
        and previous.record.same_result(record)
        and not _read_anew(session, record, previous.record)
        and _readable(session, contract, replacement)
    ):
        return Outcome(entry=previous, adopted=True)
    if replacement.instead_of != (previous.version if previous is not None else 0):
        return _overtaken(contract, replacement, "somebody else published it meanwhile")
    if previous is not None and _reads_older(session, record, previous.record):
        return _overtaken(contract, replacement, f"run {previous.record.run_id} made it from newer inputs")
    return None


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


def _overtaken(contract: Contract, replacement: Replacement, why: str) -> OvertakenError:
    return OvertakenError(
        source=_source(contract, contract.table, [replacement]),
        culprit=f"{why}, and its rows are older.",
        remedy="Materialize it again: it is made from what is there then.",
    )


def _mark(files: Sequence[StagedFile], *, maybe_published: bool) -> None:
    for file in files:
        file.maybe_published = maybe_published


def _readable(session: LakeSession, contract: Contract, replacement: Replacement) -> bool:
    """Whether the partition that the lake holds has as many rows as the record says, and all of it can be read."""
    record = replacement.record
    expected = [(contract.table, replacement.partition, record.rows)]
    if contract.quarantine is not None:
        aside = record.quarantined.rows if record.quarantined is not None else 0
        expected.append((contract.table + rules.QUARANTINE, contract.quarantine_values(replacement.partition), aside))
    try:
        counted = [
            session.connection.execute(
                f"SELECT count(*), {EVERY_VALUE} FROM {sql_name(contract, table)} AS found{_condition([columns])}"
            ).fetchall()[0][0]
            for table, columns, _ in expected
        ]
    except duckdb.Error:
        return False
    return counted == [rows for _, _, rows in expected]


def _commit(session: LakeSession, contract: Contract, replacements: Sequence[Replacement]) -> None:
    tables = {contract.table: rules.columns_of(contract)}
    if contract.quarantine is not None:
        tables[contract.table + rules.QUARANTINE] = rules.quarantine_columns_of(contract)
    connection = session.connection
    connection.execute("BEGIN TRANSACTION")
    # Asked in the transaction, which reads the catalog for the rest of it anyway; alone it costs as much as a commit.
    if not all(columns.items() <= _columns(session, contract, table).items() for table, columns in tables.items()):
        # Also because asking for a table that is not there may have ended it.
        connection.execute("ROLLBACK")
        for table, columns in tables.items():
            _prepare_table(session, contract, table, columns)
        connection.execute("BEGIN TRANSACTION")
    _replace(session, contract, contract.table, replacements, [each.staged for each in replacements])
    if contract.quarantine is not None:
        aside = [each.quarantined for each in replacements if each.quarantined is not None]
        _replace(session, contract, contract.table + rules.QUARANTINE, replacements, aside)
    records = [each.record for each in replacements]
    empty = next((record.publish_id for record in records if not record.rows), None)
    if empty is not None:
        # A transaction that changes nothing would leave no version, and so no record of the empty partition.
        connection.execute(f"COMMENT ON TABLE {sql_name(contract, contract.table)} IS {literal(empty)}")
    connection.execute(
        f"CALL {quote(contract.lake.name)}.set_commit_message({literal(AUTHOR)}, "
        f"{literal(f'publish {contract.key.to_user_string()}')}, extra_info => {literal(ledger.recorded(records))})"
    )
    # Whatever the COMMIT raises, or an interrupt during it, it may have happened.
    for each in replacements:
        _mark(each.files, maybe_published=True)
    connection.execute("COMMIT")


def _replace(
    session: LakeSession,
    contract: Contract,
    table: str,
    replacements: Sequence[Replacement],
    files: Sequence[StagedFile],
) -> None:
    """Put the files in the place of the partitions' rows.

    Raises:
        LakeError: a file with those rows cannot be read, so the lake cannot tell which rows of it to delete.
    """
    name = sql_name(contract, table)
    aside = table != contract.table
    partitions = [contract.quarantine_values(each.partition) if aside else each.partition for each in replacements]
    try:
        session.connection.execute(f"DELETE FROM {name}{_condition(partitions)}")
    except duckdb.Error as error:
        if FILE_NAME not in str(error):
            raise
        raise LakeError(
            source=_source(contract, table, replacements),
            culprit=f"the rows to replace cannot be read ({reason(error)}).",
            remedy="Restore that file from a backup; without one, give it up: mlops-assets lake repair "
            f"{contract.lake.name}.",
        ) from error
    for file in files:
        session.connection.execute(
            f"CALL ducklake_add_data_files({literal(contract.lake.name)}, {literal(table)}, "
            f"{literal(str(file.path))}, schema => {literal(contract.layer)}, allow_missing => true, "
            "hive_partitioning => false)"
        )


def _prepare_table(session: LakeSession, contract: Contract, table: str, columns: Mapping[str, dt.DataType]) -> None:
    """Create the table on its first publish, and add columns that the contract has gained since.

    Raises:
        LakeError: a column has another type than the contract now says.
    """
    connection = session.connection
    existing = _columns(session, contract, table)
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


def _columns(session: LakeSession, contract: Contract, table: str) -> dict[str, dt.DataType]:
    """The columns of the lake's table with their types, in their order; none where there is no such table."""
    try:
        described = session.connection.execute(f"DESCRIBE {sql_name(contract, table)}").fetchall()
    except duckdb.CatalogException:
        return {}
    return {name: DuckDBType.from_string(kind) for name, kind, *_ in described}


def _condition(partitions: Sequence[Mapping[str, str]]) -> str:
    """The condition, with its WHERE, of the rows of these partitions; empty for an unpartitioned table."""
    conditions = [
        " AND ".join(f"{quote(column)} = {literal(value)}" for column, value in partition.items())
        for partition in partitions
    ]
    return f" WHERE ({') OR ('.join(conditions)})" if all(conditions) else ""


def _source(contract: Contract, table: str, replacements: Sequence[Replacement]) -> str:
    keys = [each.record.partition for each in replacements if each.record.partition is not None]
    which = (
        f", partition {keys[0]}" if len(keys) == 1 else f", {len(keys)} partitions from {keys[0]} on" if keys else ""
    )
    return f"Lake {contract.lake.name}, table {contract.layer}/{table}{which}"
