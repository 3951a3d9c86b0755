"""Tables: the rows of publishes, those visible now or any that were, as lazy Ibis tables.

Put here reading published rows. Keep out which of them a step needs (``assets.reading``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ibis.backends.sql.datatypes import DuckDBType

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.errors import MissingInputError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.catalog import literal, quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.lake.session import LakeSession

EVERY_VALUE: Final = "bit_xor(hash(found))"
"""An SQL aggregate for which DuckDB reads every value of the rows ``found``; a mere count reads none."""


def current_table(
    session: LakeSession, contract: Contract, partition_keys: Sequence[str | None] | None = None
) -> ir.Table:
    """The rows of a table that are visible now; none when it has never been published.

    Args:
        session: a session that may read the contract's lake.
        contract: the table.
        partition_keys: of these partitions; of all that the contract has when not given.
    """
    version = ledger.latest_version(session, contract.lake.name)
    entries = ledger.current(session, contract, partition_keys or _declared_keys(contract), version=version)
    return published_table(session, contract, entries, version=version)


def quarantined_table(session: LakeSession, contract: Contract, partition_key: str | None = None) -> ir.Table:
    """The rows that are set aside now, with why and from which partition; none where nothing ever was.

    Args:
        session: a session that may read the contract's lake.
        contract: the table that they were to be in.
        partition_key: of this partition; of all when not given.
    """
    catalog = session.attach(contract.lake.name)
    columns = rules.quarantine_columns_of(contract)
    there = session.connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? AND table_name = ?",
        [catalog, contract.layer, contract.table + rules.QUARANTINE],
    ).fetchone()
    if there is None:
        return _nothing(session, columns)
    name = sql_name(contract, contract.table + rules.QUARANTINE)
    found = session.ibis.sql(f"SELECT {', '.join(map(quote, columns))} FROM {name}")
    return found if partition_key is None else found.filter(found[rules.QUARANTINE_PARTITION] == partition_key)


def _nothing(session: LakeSession, columns: Mapping[str, dt.DataType]) -> ir.Table:
    listed = ", ".join(f"NULL::{DuckDBType.to_string(kind)} AS {quote(name)}" for name, kind in columns.items())
    return session.ibis.sql(f"SELECT {listed} WHERE false")


def _declared_keys(contract: Contract) -> Sequence[str | None] | None:
    if contract.partitions_def is None:
        return [None]
    # What is added as it goes is known to the ledger alone.
    return None if contract.dynamic else contract.partitions_def.get_partition_keys()


def published_table(
    session: LakeSession, contract: Contract, entries: Mapping[str | None, Entry], *, version: int
) -> ir.Table:
    """The rows of those partitions as one lazy table.

    Args:
        session: a session that may read the contract's lake.
        contract: the table.
        entries: for each partition the publish to read.
        version: the lake version for every partition that was published by then; later ones are read at their own, or
            at a later one with the same rows if that has expired.

    Raises:
        MissingInputError: a partition was published before the contract had a column that must hold a value and has no
            default; or every version of the lake with its rows has expired.
    """
    session.attach(contract.lake.name)
    columns = rules.columns_of(contract)
    if not entries:
        return _nothing(session, columns)
    alike: dict[tuple[int, frozenset[str]], list[str | None]] = {}
    asked = {key: max(version, entry.version) for key, entry in entries.items()}
    left = ledger.versions_left(session, contract.lake.name, set(asked.values()))
    for key, entry in entries.items():
        readable = asked[key] if asked[key] in left else _readable_version(session, contract, key, asked[key])
        published = frozenset(columns).intersection(entry.record.columns)
        alike.setdefault((readable, published), []).append(key)
    parts = []
    for (at, published), keys in alike.items():
        listed = ", ".join(
            quote(name)
            if name in published
            else f"{_absent(contract, name, keys)}::{DuckDBType.to_string(kind)} AS {quote(name)}"
            for name, kind in columns.items()
        )
        parts.append(
            f"SELECT {listed} FROM {sql_name(contract, contract.table)} AT (VERSION => {at}){where(contract, keys)}"
        )
    return session.ibis.sql(" UNION ALL ".join(parts))


def _readable_version(session: LakeSession, contract: Contract, key: str | None, version: int) -> int:
    readable = ledger.readable_version(session, contract, key, version)
    if readable is None:
        which = f"partition {key}" if key is not None else "the table"
        raise MissingInputError(
            source=f"Table {contract.layer}/{contract.table}",
            culprit=f"{which} is not in the lake any more as it was at version {version}.",
            remedy="Run the step again: it reads what is there now. Expired snapshots cannot be read again.",
        )
    return readable


def _absent(contract: Contract, column: str, keys: Sequence[str | None]) -> str:
    """What a column holds in partitions that were published without it."""
    if column in contract.defaults:
        return literal(str(contract.defaults[column]))
    if contract.schema.columns[column].nullable:
        return "NULL"
    which = f"partition {keys[0]}" if keys[0] is not None else "the table"
    raise MissingInputError(
        source=f"Table {contract.layer}/{contract.table}",
        culprit=f"{which} was published before the contract had the column {column}, which must hold a value.",
        remedy="Materialize it again, or say in the field's metadata what earlier partitions hold: {'default': ...}.",
    )


def sql_name(contract: Contract, table: str) -> str:
    """The SQL name of a table, the contract's or its quarantine's, in the attached lake."""
    return f"{quote(contract.lake.name)}.{quote(contract.layer)}.{quote(table)}"


def where(contract: Contract, keys: Sequence[str | None]) -> str:
    """The SQL condition, with its WHERE, that the rows of those partitions meet."""
    if contract.partitions_def is None:
        return ""
    # Plain comparisons, because only those let the lake skip files by their statistics.
    conditions = [
        "(" + " AND ".join(f"{quote(c)} = {literal(v)}" for c, v in contract.partition_values(key).items()) + ")"
        for key in keys
    ]
    return f" WHERE {' OR '.join(conditions)}"
