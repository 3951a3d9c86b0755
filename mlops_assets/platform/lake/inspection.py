"""Inspection: whether a lake holds what its ledger says, partition by partition and file by file.

Put here what can be wrong with a lake, and how it is found. Keep out mending it (``repair``).

Everything is judged at one version, so publishes that happen meanwhile are no faults.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

import duckdb

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.content_hash import format_hash, hash_total
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake import ledger, tombstones
from mlops_assets.platform.lake.catalog import AUTHOR, literal, quote
from mlops_assets.platform.lake.erasure_record import records as erasure_records
from mlops_assets.platform.lake.file_statistics import COLUMNS, places
from mlops_assets.platform.lake.files import data_files, is_gone_or_cut, partition_files
from mlops_assets.platform.lake.stage import abandoned, unbounded
from mlops_assets.platform.lake.tables import EVERY_VALUE, sql_name, where
from mlops_assets.platform.withheld import reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.erasure_record import ErasureRecord
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.lake.session import LakeSession

_CHANGED: Final = re.compile(r"(\w+):(\d+)")
# Publishes add the columns that a contract has gained before their own commit.
_HARMLESS: Final = "altered_table"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong, in the three parts of an error of the platform."""

    source: str
    culprit: str
    remedy: str

    def __str__(self) -> str:
        """All three in one line."""
        return f"{self.source}: {self.culprit} {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class TableState:
    """One table as its ledger has it.

    Attributes:
        asset: asset key as text.
        partitions: how many are published; an unpartitioned table counts as one.
        rows: how many rows they have together, by their records.
        faults: how many faults its partitions have.
    """

    asset: str
    partitions: int
    rows: int
    faults: int


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found in one lake.

    Attributes:
        version: the version that was judged.
        tables: every table that was ever published.
        faults: what is wrong with tables, files and commits, and erasures that were not completed.
        erasures: the persons' erasures that the lake knows, oldest first; what they left is what publishes now hold.
    """

    version: int
    tables: Sequence[TableState]
    faults: Sequence[Fault]
    erasures: Sequence[ErasureRecord]


def inspect(session: LakeSession, lake: str, contracts: Mapping[str, Contract], *, hashes: bool = False) -> Inspection:
    """Compare the lake with its ledger: rows of every current publish, data files, and commits.

    Args:
        session: a session that may read the lake.
        lake: which lake.
        contracts: the tables' contracts by asset key as text.
        hashes: whether the content hash of each partition is made again, beside reading and counting its rows.

    Raises:
        LakeError: the catalog cannot be reached.
    """
    version = ledger.latest_version(session, lake)
    records = ledger.newest(session, lake, version=version)
    tables: list[TableState] = []
    faults: list[Fault] = []
    for asset, group in groupby(records, key=lambda entry: entry.record.asset):
        entries = list(group)
        found = list(_of_table(session, lake, contracts.get(asset), entries, version=version, hashes=hashes))
        published = [entry.record for entry in entries if not entry.record.lost]
        rows = sum(record.rows for record in published)
        tables.append(TableState(asset=asset, partitions=len(published), rows=rows, faults=len(found)))
        faults += found
    faults += [*_of_files(session, lake), *_of_commits(session, lake, records), *_of_bounds(session, lake, contracts)]
    erasures = erasure_records(session, lake)
    faults += [
        Fault(
            source=f"Lake {lake}, erasure {record.erasure_id}",
            culprit="it was begun and not completed, so rows of those persons may be left.",
            remedy="Give the same keys to mlops-assets lake forget again.",
        )
        for record in erasures
        if record.finished_at is None
    ]
    return Inspection(version=version, tables=tables, faults=faults, erasures=erasures)


def _of_bounds(session: LakeSession, lake: str, contracts: Mapping[str, Contract]) -> Iterator[Fault]:
    """Columns that are personal now, and whose least and greatest values the catalog learned before they were."""
    told = session.query(
        lake,
        "SELECT DISTINCT schema_name, table_name, told.table_id, column_id FROM"
        " (SELECT table_id, column_id, min_value, max_value FROM ducklake_file_column_stats UNION ALL"
        " SELECT table_id, column_id, min_value, max_value FROM ducklake_table_column_stats) AS told"
        " JOIN ducklake_table AS t ON t.table_id = told.table_id JOIN ducklake_schema AS s ON s.schema_id = t.schema_id"
        " WHERE coalesce(min_value, max_value) IS NOT NULL",
    )
    known: dict[str, set[str]] = {}
    for layer, table, table_id, column_id in told:
        contract = contracts.get(f"{layer}/{table.removesuffix(rules.QUARANTINE)}")
        if contract is not None and contract.personal:
            aside = table != contract.table
            columns = rules.quarantine_columns_of(contract) if aside else rules.columns_of(contract)
            place = places(session.query(lake, f"{COLUMNS.format('')} WHERE table_id = {int(table_id)}"))[
                int(column_id)
            ]
            if place[0] in unbounded(contract, columns):
                known.setdefault(f"{layer}/{table}", set()).add(place[0])
    for table, names in sorted(known.items()):
        yield Fault(
            source=f"Lake {lake}, table {table}",
            culprit=f"the catalog knows the least and greatest value of {', '.join(sorted(names))}, which became "
            "personal after they were published.",
            remedy="Materialize its partitions again, and let the old versions expire (mlops-assets lake expire).",
        )


def partition_texts(contract: Contract, key: str | None) -> tuple[str, ...]:
    """The partition's value in each partition column, as ``measured`` names it; none if it is not partitioned.

    Raises:
        ContractError: the contract has no such partition.
    """
    return tuple(contract.partition_values(key).values())


def measured(
    session: LakeSession, contract: Contract, query: str, *, columns: Sequence[str] = ()
) -> dict[tuple[str, ...], tuple[int, str | None]]:
    """Count the rows of each partition in a query's rows, and read all their values.

    Args:
        session: a session whose connection can run the query.
        contract: the table.
        query: a DuckDB query with the table's rows.
        columns: the columns of which the content hash is made; none is made if not given.

    Returns:
        For each partition, by its values, the number of its rows and their content hash.

    Raises:
        duckdb.Error: a value cannot be read.
    """
    texts = [f"{quote(contract.partition_columns[dimension])}::VARCHAR" for dimension in contract.dimensions]
    if columns:
        table = session.ibis.sql(query)
        keys = [table[contract.partition_columns[dimension]].cast("string") for dimension in contract.dimensions]
        grouped = table.group_by(**{f"key_{number}": key for number, key in enumerate(keys)}) if keys else table
        total = hash_total(table, columns)
        rows = session.rows(grouped.aggregate(found_rows=table.count(), found_total=total))
    else:
        listed = ", ".join([*texts, "count(*)", EVERY_VALUE])
        grouping = " GROUP BY ALL" if texts else ""
        rows = session.connection.execute(f"SELECT {listed} FROM ({query}) AS found{grouping}").fetchall()
    return {
        tuple(row[:-2]): (int(row[-2]), format_hash(int(row[-2]), int(row[-1])) if columns else None) for row in rows
    }


def _of_table(
    session: LakeSession,
    lake: str,
    contract: Contract | None,
    entries: Sequence[Entry],
    *,
    version: int,
    hashes: bool,
) -> Iterator[Fault]:
    for entry in entries:
        if entry.record.lost:
            yield Fault(
                source=_source(lake, entry.record.asset, entry.record.partition),
                culprit="its rows were lost, and it has not been published since.",
                remedy="Materialize it.",
            )
    if contract is None:
        yield Fault(
            source=_source(lake, entries[0].record.asset, None),
            culprit="no contract declares it, so its rows were not looked at.",
            remedy="Are these the definitions of its project (--module)? If it was renamed, nothing reads it, and its "
            "files stay until somebody drops the table.",
        )
        return
    published = [entry for entry in entries if not entry.record.lost]
    wanted: dict[tuple[str, ...], Entry] = {}
    for entry in published:
        try:
            wanted[partition_texts(contract, entry.record.partition)] = entry
        except ContractError as error:
            yield Fault(source=error.source, culprit=error.culprit, remedy="Declare it again, or let it be.")
    found: list[Fault] = []
    for columns, some in (_by_columns(wanted) if hashes else {(): wanted}).items():
        found += _of_rows(session, contract, some, version=version, columns=columns)
    yield from found
    if published:
        yield from _of_erased(session, contract, version=version)
    if published and not found:
        yield from _of_strangers(session, contract, published, version=version)
    if published and contract.quarantine is not None:
        yield from _of_quarantine(session, contract, version=version)


def _of_quarantine(session: LakeSession, contract: Contract, *, version: int) -> Iterator[Fault]:
    try:
        session.connection.execute(
            f"SELECT {EVERY_VALUE} FROM ({_at(contract, version, rules.QUARANTINE)}) AS found"
        ).fetchall()
    except duckdb.Error as error:
        name = f"{contract.layer}/{contract.table}{rules.QUARANTINE}"
        yield _unreadable(contract.lake.name, name, None, error)


def _of_rows(
    session: LakeSession,
    contract: Contract,
    expected: Mapping[tuple[str, ...], Entry],
    *,
    version: int,
    columns: Sequence[str],
) -> Iterator[Fault]:
    whole = _at(contract, version)
    asset = contract.key.to_user_string()
    try:
        found = measured(session, contract, whole, columns=columns)
    except duckdb.Error:
        # Something cannot be read: which partitions, only a look at each of them tells.
        found = {}
        for texts, entry in expected.items():
            query = f"{whole}{where(contract, [entry.record.partition])}"
            try:
                found |= measured(session, contract, query, columns=columns) or {texts: (0, None)}
            except duckdb.Error as error:
                files = _held_by(session, contract, entry, version)
                yield _unreadable(contract.lake.name, asset, entry.record.partition, error, files)
                found[texts] = (entry.record.rows, entry.record.content_hash)
    for texts, entry in expected.items():
        rows, content = found.get(texts, (0, format_hash(0, 0)))
        record = entry.record
        source = _source(contract.lake.name, asset, record.partition)
        remedy = "Has somebody written past the platform? Materialize it again, or restore lake and catalog together."
        if rows != record.rows:
            culprit = f"it has {rows:,} rows, and {record.rows:,} were published."
            culprit += _held_by(session, contract, entry, version)
            yield Fault(source=source, culprit=culprit, remedy=remedy)
        elif columns and content != record.content_hash:
            culprit = f"its content hash is {content}, and {record.content_hash} was published."
            culprit += _held_by(session, contract, entry, version)
            yield Fault(source=source, culprit=culprit, remedy=remedy)


def _of_erased(session: LakeSession, contract: Contract, *, version: int) -> Iterator[Fault]:
    _, erased = tombstones.erased_rows(session, contract)
    if not erased:
        return
    asset = contract.key.to_user_string()
    try:
        [(rows,)] = session.connection.execute(
            f"SELECT count(*) FROM ({_at(contract, version)}) WHERE {erased}"
        ).fetchall()
    except duckdb.Error as error:
        yield _unreadable(contract.lake.name, asset, None, error, " Rows of erased persons cannot be looked for.")
        return
    if rows:
        yield Fault(
            source=_source(contract.lake.name, asset, None),
            culprit=f"it has {rows:,} rows of persons who were erased.",
            remedy="Was it restored from a backup? Give their keys to mlops-assets lake forget again.",
        )


def _of_strangers(
    session: LakeSession, contract: Contract, published: Sequence[Entry], *, version: int
) -> Iterator[Fault]:
    [(rows,)] = session.connection.execute(f"SELECT count(*) FROM ({_at(contract, version)})").fetchall()
    if strangers := rows - sum(entry.record.rows for entry in published):
        yield Fault(
            source=_source(contract.lake.name, contract.key.to_user_string(), None),
            culprit=f"it has {strangers:,} rows in partitions that were never published.",
            remedy="Has somebody written past the platform? Delete them, or publish their partitions.",
        )


def _by_columns(wanted: Mapping[tuple[str, ...], Entry]) -> dict[tuple[str, ...], dict[tuple[str, ...], Entry]]:
    """The publishes by the columns that they were made with: of those is the content hash."""
    found: dict[tuple[str, ...], dict[tuple[str, ...], Entry]] = {}
    for texts, entry in wanted.items():
        found.setdefault(tuple(entry.record.columns), {})[texts] = entry
    return found


def _of_files(session: LakeSession, lake: str) -> Iterator[Fault]:
    broken = [(file, wrong) for file in data_files(session, lake) if (wrong := is_gone_or_cut(file))]
    # An expiry may have removed it since the catalog was asked.
    named = {file.path for file in data_files(session, lake)} if broken else set()
    for file, wrong in broken:
        if file.path in named:
            lost = f"mlops-assets lake repair {lake} gives it up."
            old = "Only old versions need it: restore it, or let them expire (mlops-assets lake expire)."
            yield Fault(
                source=f"Lake {lake}, file {file.path}",
                culprit=f"the catalog names it, and {wrong}.",
                remedy=f"Restore it from a backup; without one, {lost}" if file.current else old,
            )
    for folder in abandoned(session, lake, older_than_seconds=0):
        yield Fault(
            source=f"Lake {lake}, folder {folder}",
            culprit="no version of the lake names its file, and no step is at work on it.",
            remedy=f"mlops-assets lake sweep {lake} removes it.",
        )


def _of_commits(session: LakeSession, lake: str, records: Iterable[Entry]) -> Iterator[Fault]:
    """Commits without record, of tables that have been published by then."""
    first: dict[str, int] = {}
    for entry in records:
        first[entry.record.asset] = min(entry.version, first.get(entry.record.asset, entry.version))
    assets = {
        int(number): f"{layer}/{table.removesuffix(rules.QUARANTINE)}"
        for number, layer, table in session.query(
            lake,
            "SELECT table_id, schema_name, table_name FROM ducklake_table AS t"
            " JOIN ducklake_schema AS s ON s.schema_id = t.schema_id",
        )
    }
    commits = session.query(
        lake,
        "SELECT snapshot_id, changes_made, author FROM ducklake_snapshot_changes AS c WHERE NOT EXISTS"
        " (SELECT 1 FROM mlops_assets_ledger WHERE version = snapshot_id)"
        f" AND NOT (coalesce(author, '') = {literal(AUTHOR)} AND coalesce(commit_extra_info, '') = '[]')"
        " ORDER BY snapshot_id",
    )
    for number, changes, author in commits:
        version = int(number)
        changed = {int(table) for what, table in _CHANGED.findall(changes or "") if what != _HARMLESS}
        for asset in sorted({assets.get(table, "") for table in changed}):
            if first.get(asset, version) < version:
                yield Fault(
                    source=f"Lake {lake}, table {asset}, version {version}",
                    culprit=f"it was committed without a record, by {author or 'an unnamed author'}.",
                    remedy="Who writes past the platform? If check --hashes finds the rows as published, or once they "
                    "are materialized again, let that version expire.",
                )


def _at(contract: Contract, version: int, suffix: str = "") -> str:
    return f"SELECT * FROM {sql_name(contract, contract.table + suffix)} AT (VERSION => {version})"


def _held_by(session: LakeSession, contract: Contract, entry: Entry, version: int) -> str:
    """The files of that partition, in words: an engine's error does not always name one, and a wrong hash never."""
    files = partition_files(session, contract, entry.record.partition, version=version)
    return f" Its rows are in {', '.join(map(str, files))}." if files else ""


def _unreadable(lake: str, asset: str, partition: str | None, error: Exception, files: str = "") -> Fault:
    return Fault(
        source=_source(lake, asset, partition),
        culprit=f"its rows cannot be read ({reason(error)}).{files}",
        remedy=f"Restore that file from a backup; without one, mlops-assets lake repair {lake} gives it up.",
    )


def _source(lake: str, asset: str, partition: str | None) -> str:
    return f"Lake {lake}, table {asset}" + (f", partition {partition}" if partition is not None else "")
