"""Rewriting: data files without the rows of some persons, and the catalog that names them instead in all versions.

Put here the one place that changes DuckLake's own tables by hand. Keep out why (``erasure``).

No statement of DuckLake's reaches what old versions name. So a file that holds such rows is written anew beside the old
one, and the rows of the catalog that name the old file come to name the new one, with its counts and statistics. What
these would be DuckLake says itself (``file_statistics``). The old file's id, the versions that name it and every other
row stay.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import duckdb

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.content_hash import hash_total, without
from mlops_assets.platform.contracts.contract import PARTITION_SEPARATOR
from mlops_assets.platform.errors import LakeError
from mlops_assets.platform.lake import ledger, matching
from mlops_assets.platform.lake.catalog import quote
from mlops_assets.platform.lake.erasure_record import ErasedPublish
from mlops_assets.platform.lake.file_statistics import (
    COLUMNS,
    STATISTICS,
    FileStatistics,
    Place,
    file_statistics,
    places,
)
from mlops_assets.platform.lake.files import FILES, data_files, listed, parquet_rows
from mlops_assets.platform.lake.stage import FILE_NAME, lease, unbounded, write_parquet
from mlops_assets.platform.withheld import reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.contracts.subjects import Subjects
    from mlops_assets.platform.lake.catalog import Run
    from mlops_assets.platform.lake.files import DataFile
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.lake.matching import Matching
    from mlops_assets.platform.lake.session import LakeSession

_REMOVED: Final = "rows_to_erase"
_PARTITION: Final = "erased_from"
Removed = dict[str, tuple[int, int]]
"""For each partition how many rows were removed, and the sum of their numbers in the content hash."""


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """A data file that held rows of the persons.

    Attributes:
        file: the file as the catalog named it.
        removed: the rows that go.
        left: the new file; ``None`` where no row is left.
    """

    file: DataFile
    removed: Removed
    left: Path | None


@contextmanager
def prepared(
    session: LakeSession, lake: str, contracts: Mapping[str, Contract], given: Subjects, *, writes: bool = True
) -> Iterator[Rewriter]:
    """A rewriter of the lake's tables that may hold the persons; its new files are leased while the block runs.

    Args:
        session: a session that may write the lake.
        lake: which lake.
        contracts: the tables' contracts by asset key as text.
        given: normalised identifiers by kind.
        writes: whether files are written anew; else they are only looked at.
    """
    tables = {
        (contract.layer, contract.table + suffix): contract
        for contract in contracts.values()
        if contract.lake.name == lake and set(contract.subject).intersection(given)
        for suffix in ("", rules.QUARANTINE)
    }
    with lease(session, lake) as attempt, matching.registered(session, given) as found:
        yield Rewriter(session, lake, tables, found, attempt, writes)


@dataclass
class Rewriter:
    """Writes files anew, and brings the catalog to name them."""

    session: LakeSession
    lake: str
    tables: Mapping[tuple[str, str], Contract]
    matching: Matching
    attempt: str
    writes: bool = True
    _looked_at: dict[tuple[int, str], Rewritten | None] = field(default_factory=dict)
    _files: list[DataFile] = field(default_factory=list)
    _history: dict[str, list[Entry]] = field(default_factory=dict)
    _statistics: dict[int, FileStatistics] = field(default_factory=dict)

    def look(self) -> None:
        """Write each file anew that holds rows of the persons; those looked at before are known.

        Raises:
            LakeError: a file cannot be read, or somebody has deleted single rows of it past the platform.
        """
        self._files = self._of_tables(data_files(self.session, self.lake))
        try:
            for file in self._files:
                if (file.number, file.stored) not in self._looked_at:
                    self._looked_at[file.number, file.stored] = self._rewritten(file)
            for number in self._table_ids() if self.writes else ():
                of_table = [file for file in self._files if file.table_id == number]
                kept = {file.number: path for file in of_table if (path := self._as_will_be(file)) is not None}
                self._statistics[number] = file_statistics(self.session, kept)
        except duckdb.Error as error:
            raise LakeError(
                source=f"Lake {self.lake}",
                culprit=f"its files could not be written anew ({reason(error)}).",
                remedy="Is a file broken (mlops-assets lake check), or the disk full? Mend that and run it again.",
            ) from error
        assets = {contract.key.to_user_string() for contract in self.tables.values()}
        self._history = {asset: ledger.history(self.session, self.lake, asset) for asset in sorted(assets)}

    def affected(self) -> list[Rewritten]:
        """The files that hold rows of the persons."""
        found = ((file, self._looked_at[file.number, file.stored]) for file in self._files)
        # It may have been replaced in newer versions since it was looked at.
        return [replace(one, file=file) for file, one in found if one is not None]

    def publishes(self) -> list[Entry]:
        """The publishes that hold rows of the persons."""
        return [entry for asset in self._history for entry, _ in self._changed(asset)]

    def is_up_to_date(self, run: Run) -> bool:
        """Whether the catalog names the files that were looked at, and no others."""
        rows = listed(self.session.settings.lake_data_path(self.lake), run(FILES))
        return self._of_tables(rows) == self._files

    def apply(self, run: Run, erasure_id: str) -> list[ErasedPublish]:
        """Let the catalog name the new files in all versions, and the ledger say what is in them.

        Args:
            run: runs a statement in the transaction that this is part of.
            erasure_id: of the erasure.

        Returns:
            The publishes that lost rows.
        """
        for rewritten in self.affected():
            self._replace(run, rewritten)
        for table_id, statistics in self._statistics.items():
            for column_id, place in _columns_of(run, table_id).items():
                run(
                    "UPDATE ducklake_table_column_stats SET min_value = ?, max_value = ?"
                    " WHERE table_id = ? AND column_id = ?",
                    *statistics.table.get(place, (None, None)),
                    table_id,
                    column_id,
                )
        return [
            self._correct(run, entry, changed, erasure_id)
            for asset in self._history
            for entry, changed in self._changed(asset)
        ]

    def _table_ids(self) -> list[int]:
        """The tables' ids: also without files, the catalog has statistics of those that there were."""
        rows = self.session.query(
            self.lake,
            "SELECT table_id, schema_name, table_name FROM ducklake_table AS t"
            " JOIN ducklake_schema AS s ON s.schema_id = t.schema_id",
        )
        return sorted({int(number) for number, layer, table in rows if (layer, table) in self.tables})

    def _of_tables(self, files: Sequence[DataFile]) -> list[DataFile]:
        return [file for file in files if (file.layer, file.table) in self.tables]

    def _rewritten(self, file: DataFile) -> Rewritten | None:
        """The file without their rows; ``None`` if it has none of them, or is not there."""
        if not file.path.exists():
            return None
        contract = self.tables[file.layer, file.table]
        connection = self.session.connection
        source = parquet_rows(file.path)
        columns = [row[0] for row in connection.execute(f"DESCRIBE FROM {source}").fetchall()]
        theirs = self.matching.rows_of(contract, columns)
        aside = file.table != contract.table
        if aside:
            # Its rows have failed: their values may stand in other columns than their own.
            theirs = " OR ".join(filter(None, [theirs, self.matching.rows_naming(contract, columns)]))
        if not theirs:
            return None
        of_partition = (
            [rules.QUARANTINE_PARTITION]
            if aside
            else [contract.partition_columns[dimension] for dimension in contract.dimensions]
        )
        key = f" || '{PARTITION_SEPARATOR}' || ".join(f"{quote(column)}::VARCHAR" for column in of_partition) or "''"
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {_REMOVED} AS SELECT *, {key} AS {_PARTITION} FROM {source} WHERE {theirs}"
        )
        table = self.session.ibis.sql(f"SELECT * FROM {_REMOVED}")
        hashed = [column for column in columns if not aside or column != rules.QUARANTINE_REASON]
        grouped = table.group_by(_PARTITION).aggregate(rows=table.count(), total=hash_total(table, hashed))
        rows = self.session.rows(grouped)
        connection.execute(f"DROP TABLE {_REMOVED}")
        if not rows:
            return None
        self._require_whole(file)
        removed = {key: (int(count), int(total)) for key, count, total in rows}
        left = None
        if self.writes and sum(count for count, _ in removed.values()) < file.rows:
            left = file.path.parent.parent / f"{self.attempt}-{len(self._looked_at)}" / FILE_NAME
            left.parent.mkdir()
            kept = f"SELECT * FROM {source} WHERE NOT ({theirs})"
            write_parquet(self.session, kept, left, unbounded=unbounded(contract, columns))
        return Rewritten(file=file, removed=removed, left=left)

    def _require_whole(self, file: DataFile) -> None:
        deleted = f"SELECT delete_file_id FROM ducklake_delete_file WHERE data_file_id = {file.number}"
        if self.session.query(self.lake, deleted):
            raise LakeError(
                source=f"Lake {self.lake}, file {file.path}",
                culprit="somebody has deleted single rows of it past the platform, by their places in the file.",
                remedy="Publish that partition again, let the old versions expire (mlops-assets lake expire), and run "
                "it again.",
            )

    def _as_will_be(self, file: DataFile) -> Path | None:
        rewritten = self._looked_at[file.number, file.stored]
        path = file.path if rewritten is None else rewritten.left
        return path if path is not None and path.exists() else None

    def _replace(self, run: Run, rewritten: Rewritten) -> None:
        """Let the catalog name the new file, or none, where it named the old one."""
        file = rewritten.file
        statistics = self._statistics[file.table_id]
        run("DELETE FROM ducklake_file_variant_stats WHERE data_file_id = ?", file.number)
        if rewritten.left is None:
            for table in ("ducklake_file_column_stats", "ducklake_file_partition_value", "ducklake_data_file"):
                run(f"DELETE FROM {table} WHERE data_file_id = ?", file.number)
            size = 0
        else:
            rows, size, footer = statistics.counts[file.number]
            stored = PurePosixPath(file.stored).parent.parent / rewritten.left.parent.name / FILE_NAME
            run(
                "UPDATE ducklake_data_file SET path = ?, record_count = ?, file_size_bytes = ?, footer_size = ?"
                " WHERE data_file_id = ?",
                str(stored),
                rows,
                size,
                footer,
                file.number,
            )
            for column_id, place in _columns_of(run, file.table_id).items():
                run(
                    f"UPDATE ducklake_file_column_stats SET {', '.join(f'{what} = ?' for what in STATISTICS)}"
                    " WHERE data_file_id = ? AND column_id = ?",
                    *statistics.columns[file.number].get(place, (None,) * len(STATISTICS)),
                    file.number,
                    column_id,
                )
        run(
            "UPDATE ducklake_table_stats SET record_count = record_count - ?, file_size_bytes = file_size_bytes - ?"
            " WHERE table_id = ?",
            sum(count for count, _ in rewritten.removed.values()),
            file.bytes - size,
            file.table_id,
        )

    def _changed(self, asset: str) -> Iterator[tuple[Entry, list[Rewritten]]]:
        """The publishes of a table that lost rows, each with the files that held its rows, or those it set aside."""
        layer, table = asset.split("/")
        of_table = [one for one in self.affected() if one.file.layer == layer]
        of_table = [one for one in of_table if one.file.table in {table, table + rules.QUARANTINE}]
        by_partition: dict[str, list[Entry]] = {}
        for entry in self._history[asset]:
            by_partition.setdefault(entry.record.partition or "", []).append(entry)
        for key, entries in by_partition.items():
            ends = [*(entry.version for entry in entries[1:]), None]
            for entry, end in zip(entries, ends, strict=True):
                held = [one for one in of_table if key in one.removed and _overlaps(one.file, entry.version, end)]
                if not held or entry.record.lost:
                    continue
                # After a repair a publish lies in other files than before, with the same rows: those of one time count.
                at = max(entry.version, min(one.file.begin for one in held))
                yield entry, [one for one in held if _overlaps(one.file, at, at + 1)]

    def _correct(self, run: Run, entry: Entry, held: Sequence[Rewritten], erasure_id: str) -> ErasedPublish:
        record = entry.record
        key = record.partition or ""
        rows = total = aside_rows = aside_total = 0
        size = record.bytes
        for one in held:
            count, numbers = one.removed[key]
            if one.file.table == self.tables[one.file.layer, one.file.table].table:
                rows, total = rows + count, total + numbers
                size = one.left.stat().st_size if one.left is not None else 0
            else:
                aside_rows, aside_total = aside_rows + count, aside_total + numbers
        left_hash = without(record.content_hash, rows, total)
        aside = record.quarantined
        if aside is not None and aside_rows:
            left = without(aside.content_hash, aside_rows, aside_total)
            remaining = aside.rows - aside_rows
            aside = aside.model_copy(update={"rows": remaining, "content_hash": left}) if remaining else None
        corrected = record.model_copy(
            update={
                "content_hash": left_hash,
                "rows": record.rows - rows,
                "bytes": size,
                "quarantined": aside,
                "erasures": [*record.erasures, erasure_id],
            }
        )
        run(
            "UPDATE mlops_assets_ledger SET content_hash = ?, record = ? WHERE publish_id = ?",
            left_hash,
            corrected.model_dump_json(),
            record.publish_id,
        )
        if rows:
            run(
                "INSERT INTO mlops_assets_erased VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                record.asset,
                key,
                record.content_hash,
                left_hash,
                erasure_id,
            )
        return ErasedPublish(
            publish_id=record.publish_id,
            asset=record.asset,
            partition=key,
            version=entry.version,
            rows_removed=rows,
            quarantined_removed=aside_rows,
            content_hash=record.content_hash,
            left_hash=left_hash,
        )


def _overlaps(file: DataFile, begin: int, end: int | None) -> bool:
    """Whether a version from ``begin`` on and before ``end`` names the file."""
    return (end is None or file.begin < end) and (file.end is None or file.end > begin)


def _columns_of(run: Run, table_id: int) -> dict[int, Place]:
    """The place of each column that the table has or had, by its id."""
    return places(run(f"{COLUMNS.format('')} WHERE table_id = ?", table_id))
