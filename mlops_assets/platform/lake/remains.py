"""Remains: the Parquet files of a lake in which persons are still found when all of them are decoded.

Put here the last look. Keep out the erasure (``erasure``), and files that are not the lake's (``leftovers``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from mlops_assets.platform.contracts import rules
from mlops_assets.platform.lake import matching
from mlops_assets.platform.lake.files import parquet_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.contracts.subjects import Subjects
    from mlops_assets.platform.lake.matching import Matching
    from mlops_assets.platform.lake.session import LakeSession


def remains(session: LakeSession, lake: str, contracts: Mapping[str, Contract], given: Subjects) -> dict[Path, str]:
    """Decode every Parquet file in the lake's folder, whether a version names it or not.

    Args:
        session: a session that may read the lake's files.
        lake: which lake.
        contracts: the tables' contracts by asset key as text.
        given: normalised identifiers by kind.

    Returns:
        For each file in which one of them stands, in whatever column, or that cannot be read, what is wrong.
    """
    root = session.settings.lake_data_path(lake)
    found: dict[Path, str] = {}
    with matching.registered(session, given) as theirs:
        for file in sorted(root.rglob("*.parquet")):
            table = "/".join(file.relative_to(root).parts[:2]).removesuffix(rules.QUARANTINE)
            try:
                contract = contracts.get(table)
                if rows := _rows(session, file, contract, theirs):
                    mend = (
                        "name the module of its table (-m), or remove the file if it is of none"
                        if contract is None
                        else f"say in the contract of {table} whose row each is (subject), or remove the file if no "
                        "version names it"
                    )
                    found[file] = f"{rows:,} of its rows name an erased person: {mend}"
            except duckdb.Error:
                # It may have been replaced since the folder was listed.
                if file.exists():
                    found[file] = "it cannot be read"
    return found


def _rows(session: LakeSession, file: Path, contract: Contract | None, theirs: Matching) -> int:
    source = parquet_rows(file)
    columns = [row[0] for row in session.connection.execute(f"DESCRIBE FROM {source}").fetchall()]
    conditions = [theirs.rows_naming(contract, columns)]
    if contract is not None:
        conditions.append(theirs.rows_of(contract, columns))
    where = " OR ".join(filter(None, conditions))
    [(rows,)] = session.connection.execute(f"SELECT count(*) FROM {source} WHERE {where}").fetchall()
    return int(rows)
