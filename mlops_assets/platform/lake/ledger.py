"""The ledger: what was published when, by whom and from what, as the commit records of the lake itself tell.

Put here the record of a publish and its look-up. Keep out the making of it (``publish``) and Dagster's events.

The record is the commit message of the publish's own transaction, so it is there exactly when the data is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import duckdb
from pydantic import BaseModel, ConfigDict

from mlops_assets.platform.lake.session import literal, quote

if TYPE_CHECKING:
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.settings import LakeName

AUTHOR: Final = "mlops-assets"


class InputRecord(BaseModel):
    """What a step read from one upstream table.

    Attributes:
        asset: the table's asset key, as text.
        partitions: for each partition read, its content hash; the key of an unpartitioned table is empty.
    """

    model_config = ConfigDict(frozen=True)

    asset: str
    partitions: Mapping[str, str]


class PublishRecord(BaseModel):
    """One publish of one partition.

    Attributes:
        publish_id: a fresh id for each publish.
        asset: asset key as text.
        partition: partition key; ``None`` for an unpartitioned table.
        run_id: the run that published.
        code_version: version of the asset's code.
        package_version: version of this package.
        environment: digest of the image, or hash of the installed packages.
        content_hash: content hash of the rows.
        rows: number of rows.
        bytes: size of the staged file.
        inputs: what was read, by name.
        checks: outcomes of the audit as plain records.
        published_at: seconds since the epoch.
        snapshots: for each input the version (DuckLake snapshot) of its lake that was read.
    """

    model_config = ConfigDict(frozen=True)

    publish_id: str
    asset: str
    partition: str | None
    run_id: str
    code_version: str
    package_version: str
    environment: str
    content_hash: str
    rows: int
    bytes: int
    inputs: Mapping[str, InputRecord]
    checks: Sequence[Mapping[str, Any]]
    published_at: float
    snapshots: Mapping[str, int] = {}

    def same_result(self, other: PublishRecord) -> bool:
        """Whether both hold the same rows, made by the same code from the same inputs."""
        return (
            self.content_hash == other.content_hash
            and self.code_version == other.code_version
            and self.inputs == other.inputs
        )


class Entry(BaseModel):
    """A publish record with the lake version that it made."""

    model_config = ConfigDict(frozen=True)

    version: int
    record: PublishRecord


def message(contract: Contract, partition_key: str | None) -> str:
    """The commit message of a publish, by which its record is found."""
    return f"publish {contract.layer}/{contract.table}" + (f" {partition_key}" if partition_key is not None else "")


def latest_version(session: LakeSession, lake: LakeName) -> int:
    """The lake's newest version."""
    catalog = session.attach(lake)
    row = session.connection.execute(f"SELECT max(snapshot_id) FROM {_metadata(catalog)}.ducklake_snapshot").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def current(
    session: LakeSession, contract: Contract, partition_keys: Sequence[str | None], *, version: int | None = None
) -> dict[str | None, Entry]:
    """The publishes that were current at that version, for those of the partitions that have one.

    Args:
        session: a session that may read the contract's lake.
        contract: the table.
        partition_keys: the partitions asked for; ``[None]`` for an unpartitioned table.
        version: a lake version; the newest when not given.
    """
    by_message = {message(contract, key): key for key in partition_keys}
    if not by_message:
        return {}
    catalog = session.attach(contract.lake)
    limit = "" if version is None else f" AND snapshot_id <= {int(version)}"
    # A prefix bounds the scan when thousands of partitions are asked for at once; the exact match is made here.
    rows = session.connection.execute(
        f"SELECT commit_message, max(snapshot_id), arg_max(commit_extra_info, snapshot_id) "
        f"FROM {_metadata(catalog)}.ducklake_snapshot_changes "
        f"WHERE commit_message IN (SELECT unnest(?)){limit} GROUP BY commit_message",
        [list(by_message)],
    ).fetchall()
    return {by_message[text]: _entry(found, extra) for text, found, extra in rows}


def of_content(session: LakeSession, contract: Contract, contents: Mapping[str, str]) -> dict[str, Entry]:
    """The newest publish of each partition that had that content.

    Args:
        session: a session that may read the contract's lake.
        contract: the table.
        contents: for each partition key (empty for an unpartitioned table) the content hash asked for.

    Returns:
        A publish for each of the keys that ever had it, whatever has replaced it since.
    """
    found: dict[str, Entry] = {}
    asset = contract.key.to_user_string()
    for entry in since(session, contract.lake, 0):
        key = entry.record.partition or ""
        if entry.record.asset == asset and contents.get(key) == entry.record.content_hash:
            found[key] = entry
    return found


def since(session: LakeSession, lake: LakeName, version: int) -> list[Entry]:
    """All publishes that made versions after that one, oldest first."""
    catalog = session.attach(lake)
    rows = session.connection.execute(
        f"SELECT snapshot_id, commit_extra_info FROM {_metadata(catalog)}.ducklake_snapshot_changes "
        f"WHERE snapshot_id > {int(version)} AND author = {literal(AUTHOR)} "
        f"AND commit_extra_info IS NOT NULL ORDER BY snapshot_id"
    ).fetchall()
    return [_entry(found, extra) for found, extra in rows]


def find(session: LakeSession, contract: Contract, publish_id: str) -> Entry | None:
    """The publish of that id, if the lake holds it."""
    catalog = session.attach(contract.lake)
    rows = session.connection.execute(
        f"SELECT snapshot_id, commit_extra_info FROM {_metadata(catalog)}.ducklake_snapshot_changes "
        f"WHERE contains(commit_extra_info, ?) ORDER BY snapshot_id DESC",
        [publish_id],
    ).fetchall()
    entries = [_entry(found, extra) for found, extra in rows]
    return next((entry for entry in entries if entry.record.publish_id == publish_id), None)


def table_exists(session: LakeSession, contract: Contract) -> bool:
    """Whether the contract's table has ever been published."""
    catalog = session.attach(contract.lake)
    try:
        session.connection.execute(
            f"SELECT 1 FROM {quote(catalog)}.{quote(contract.layer)}.{quote(contract.table)} LIMIT 0"
        )
    except duckdb.CatalogException:
        return False
    return True


def _metadata(catalog: str) -> str:
    return quote(f"__ducklake_metadata_{catalog}")


def _entry(version: int, extra: str) -> Entry:
    return Entry(version=version, record=PublishRecord(**json.loads(extra)))
