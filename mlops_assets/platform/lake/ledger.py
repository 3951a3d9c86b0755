"""The ledger: what was published when, by whom and from what.

Put here the record of a publish and its look-up. Keep out the making of it (``publish``), the table that holds the
records (``catalog``) and Dagster's events.

The record goes with the publish's own transaction, so it is there exactly when the data is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from mlops_assets.platform.lake.catalog import as_list

if TYPE_CHECKING:
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.platform.settings import LakeName


_NEWEST: Final = 2**62


class InputRecord(BaseModel):
    """What a step read from one upstream table.

    Attributes:
        asset: the table's asset key, as text.
        partitions: for each partition read, its content hash; the key of an unpartitioned table is empty.
    """

    model_config = ConfigDict(frozen=True)

    asset: str
    partitions: Mapping[str, str]


class QuarantineRecord(BaseModel):
    """What a publish set aside.

    Attributes:
        rows: number of rows.
        content_hash: content hash of the rows with the reasons.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    content_hash: str


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
        quarantined: the rows set aside; ``None`` when there are none.
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
    quarantined: QuarantineRecord | None = None

    def same_result(self, other: PublishRecord) -> bool:
        """Whether both hold and set aside the same rows, made by the same code from the same inputs."""
        return (
            self.content_hash == other.content_hash
            and self.quarantined == other.quarantined
            and self.code_version == other.code_version
            and self.inputs == other.inputs
        )


class Entry(BaseModel):
    """A publish record with the lake version that it made."""

    model_config = ConfigDict(frozen=True)

    version: int
    record: PublishRecord


def recorded(records: Sequence[PublishRecord]) -> str:
    """The extra information of a commit with these publishes, as the ledger's trigger reads it."""
    return f"[{','.join(record.model_dump_json() for record in records)}]"


def latest_version(session: LakeSession, lake: LakeName) -> int:
    """The lake's newest version."""
    session.attach(lake)
    [(version,)] = session.catalog(lake).query("SELECT max(snapshot_id) FROM ducklake_snapshot")
    return int(version or 0)


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
    session.attach(contract.lake)
    catalog = session.catalog(contract.lake)
    asset = contract.key.to_user_string()
    rows = catalog.query(
        f"SELECT version, record FROM mlops_assets_ledger JOIN (SELECT key, (SELECT max(version) FROM"
        f" mlops_assets_ledger WHERE asset = %s AND partition = key AND version <= %s) AS newest FROM {catalog.listed}"
        f" AS asked) AS found ON asset = %s AND partition = key AND version = newest",
        asset,
        _NEWEST if version is None else version,
        as_list([key or "" for key in partition_keys]),
        asset,
    )
    return _by_partition(rows)


def of_content(session: LakeSession, contract: Contract, contents: Mapping[str, str]) -> dict[str | None, Entry]:
    """The newest publish of each partition that had that content.

    Args:
        session: a session that may read the contract's lake.
        contract: the table.
        contents: for each partition key (empty for an unpartitioned table) the content hash asked for.

    Returns:
        A publish for each of the partitions that ever had it, whatever has replaced it since.
    """
    session.attach(contract.lake)
    catalog = session.catalog(contract.lake)
    rows = catalog.query(
        f"SELECT version, record, partition, content_hash FROM mlops_assets_ledger JOIN {catalog.listed} AS asked"
        f" ON asset = %s AND partition = key ORDER BY version",
        as_list(list(contents)),
        contract.key.to_user_string(),
    )
    return _by_partition([row[:2] for row in rows if contents[row[2]] == row[3]])


def since(session: LakeSession, lake: LakeName, version: int) -> list[Entry]:
    """All publishes that made versions after that one, oldest first."""
    session.attach(lake)
    rows = session.catalog(lake).query(
        "SELECT version, record FROM mlops_assets_ledger WHERE version > %s ORDER BY version, asset, partition", version
    )
    return [_entry(*row) for row in rows]


def find(session: LakeSession, contract: Contract, publish_id: str) -> Entry | None:
    """The publish of that id, if the lake holds it."""
    session.attach(contract.lake)
    rows = session.catalog(contract.lake).query(
        "SELECT version, record FROM mlops_assets_ledger WHERE publish_id = %s", publish_id
    )
    return _entry(*rows[0]) if rows else None


def _by_partition(rows: Sequence[tuple[int, str]]) -> dict[str | None, Entry]:
    entries = [_entry(*row) for row in rows]
    return {entry.record.partition: entry for entry in entries}


def _entry(version: int, record: str) -> Entry:
    return Entry(version=version, record=PublishRecord.model_validate_json(record))
