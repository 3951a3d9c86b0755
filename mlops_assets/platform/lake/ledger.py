"""The ledger: what was published when, by whom and from what.

Put here the record of a publish and its look-up. Keep out the making of it (``publish``), the table that holds the
records (``catalog``) and Dagster's events.

The record goes with the publish's own transaction, so it is there exactly when the data is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake.catalog import is_embedded, literal
from mlops_assets.platform.provenance import CodeOrigin

if TYPE_CHECKING:
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession


LOST: Final = "lost"
"""The content hash in the record of a loss: the partition's rows are gone, and it counts as never published."""

_BEYOND: Final = 2**62


class InputRecord(BaseModel):
    """What a step read from one upstream table.

    Attributes:
        lake: name of the table's lake.
        asset: the table's asset key, as text.
        partitions: for each partition read, its content hash; the key of an unpartitioned table is empty.
    """

    model_config = ConfigDict(frozen=True)

    lake: str
    asset: str
    partitions: Mapping[str, str]


class Delivery(BaseModel):
    """A delivery that is kept, or was.

    Attributes:
        sha256: of its bytes, in lower-case hexadecimal.
        bytes: how many they are.
        origin: where it came from, as messages name it; nothing secret.
        arrived_at: seconds since the epoch.
        facts: what its source said of it: validators, names, counts.
        since: whether it holds what had changed since the publish before alone.
        rows: how many rows it holds, where these are all of its publish; ``None`` where it holds more, or changes, and
            where it is not known.
    """

    model_config = ConfigDict(frozen=True)

    sha256: str
    bytes: int
    origin: str
    arrived_at: float
    facts: Mapping[str, str | int | float | bool] = {}
    since: bool = False
    rows: int | None = None


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
        code: where that code came from; ``None`` where no asset made the rows.
        package_version: version of this package.
        environment: digest of the image, or hash of the installed packages.
        columns: the columns that were published.
        content_hash: content hash of the rows.
        rows: number of rows.
        bytes: size of the staged file.
        inputs: what was read, by name.
        checks: outcomes of the audit as plain records.
        published_at: seconds since the epoch.
        snapshots: for each input the version (DuckLake snapshot) of its lake that was read.
        quarantined: the rows set aside; ``None`` when there are none.
        erasures: ids of the erasures that have removed rows of persons since; hashes, rows and bytes are those of what
            is left.
        delivery: what a source delivered for it, where that was kept.
    """

    model_config = ConfigDict(frozen=True)

    publish_id: str
    asset: str
    partition: str | None
    run_id: str
    code_version: str
    package_version: str
    environment: str
    columns: Sequence[str]
    content_hash: str
    rows: int
    bytes: int
    inputs: Mapping[str, InputRecord]
    checks: Sequence[Mapping[str, Any]]
    published_at: float
    snapshots: Mapping[str, int] = {}
    quarantined: QuarantineRecord | None = None
    code: CodeOrigin | None = None
    erasures: Sequence[str] = ()
    delivery: Delivery | None = None

    @property
    def lost(self) -> bool:
        """Whether this records a loss instead of a publish."""
        return self.content_hash == LOST

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
    """The extra information of a commit with these publishes, as the ledger's trigger reads it.

    Raises:
        ContractError: a text in a record has a NUL character, which PostgreSQL cannot keep.
    """
    text = f"[{','.join(record.model_dump_json() for record in records)}]"
    if "\\u0000" in text:
        raise ContractError(
            source=f"Asset {records[0].asset}",
            culprit="a text in its record, such as a judgement, has a NUL character.",
            remedy="Leave it out.",
        )
    return text


def latest_version(session: LakeSession, lake: str) -> int:
    """The lake's newest version."""
    [(version,)] = session.query(lake, "SELECT max(snapshot_id) AS version FROM ducklake_snapshot")
    return int(version or 0)


def current(
    session: LakeSession,
    contract: Contract,
    partition_keys: Sequence[str | None] | None,
    *,
    version: int | None = None,
) -> dict[str | None, Entry]:
    """The publishes that were current at that version, for those of the partitions that have one.

    Args:
        session: a session that may read the contract's lake.
        contract: the table.
        partition_keys: the partitions asked for, ``[None]`` for an unpartitioned table; ``None`` for all there are.
        version: a lake version; the newest when not given.
    """
    until = "" if version is None else f" AND version <= {int(version)}"
    newest = f"SELECT max(version) FROM mlops_assets_ledger WHERE {_of(contract)} AND partition = key{until}"
    asked = f"SELECT key, ({newest}) AS newest FROM {_keys(session, contract, partition_keys)} AS listed"
    rows = session.query(
        contract.lake.name,
        f"SELECT version, record FROM ({asked}) AS asked"
        # SQLite keeps the order of a cross join. It would look at every publish of the table for each key.
        f" CROSS JOIN mlops_assets_ledger WHERE {_of(contract)} AND partition = key AND version = newest"
        f" AND content_hash <> '{LOST}'",
    )
    return {entry.record.partition: entry for entry in (_entry(*row) for row in rows)}


def current_version(session: LakeSession, contract: Contract, partition_key: str | None) -> int:
    """The version that the partition's current publish made; 0 where there is none."""
    entry = current(session, contract, [partition_key]).get(partition_key)
    return entry.version if entry is not None else 0


def newest(session: LakeSession, lake: str, *, version: int | None = None) -> list[Entry]:
    """The newest record of each partition of every table at that version, losses among them; by table and partition."""
    until = "" if version is None else f" AND version <= {int(version)}"
    rows = session.query(
        lake,
        "SELECT found.version, record FROM (SELECT asset, partition, max(version) AS version FROM mlops_assets_ledger"
        f" WHERE true{until} GROUP BY asset, partition) AS newest JOIN mlops_assets_ledger AS found"
        " ON found.asset = newest.asset AND found.partition = newest.partition AND found.version = newest.version"
        " ORDER BY found.asset, found.partition",
    )
    return [_entry(*row) for row in rows]


def of_content(session: LakeSession, contract: Contract, contents: Mapping[str, str]) -> dict[str | None, Entry]:
    """The newest publish of each partition that had that content and can still be read.

    Args:
        session: a session that may read the contract's lake.
        contract: the table.
        contents: for each partition key (empty for an unpartitioned table) the content hash asked for.

    Returns:
        A publish for each of the partitions that ever had it, whatever has replaced it since; none where it was lost,
        or where no version of the lake holds it any more.
    """
    rows = session.query(
        contract.lake.name,
        f"SELECT version, record FROM {_keys(session, contract, list(contents))} AS asked"
        f" CROSS JOIN mlops_assets_ledger WHERE {_of(contract)} AND partition = key ORDER BY version",
    )
    found: dict[str | None, Entry] = {}
    lost: set[str | None] = set()
    for entry in reversed([_entry(*row) for row in rows]):
        key = entry.record.partition
        if (
            entry.record.content_hash == contents[key or ""]
            and key not in found
            and key not in lost
            and readable_version(session, contract, key, entry.version) is not None
        ):
            found[key] = entry
        # What a loss follows is what was lost; what was there before has files of its own.
        lost = lost | {key} if entry.record.lost else lost - {key}
    return found


def versions_left(session: LakeSession, lake: str, versions: Collection[int]) -> set[int]:
    """Those of the versions that have not expired."""
    listed = ", ".join(str(int(version)) for version in versions)
    rows = session.query(lake, f"SELECT snapshot_id FROM ducklake_snapshot WHERE snapshot_id IN ({listed})")
    return {int(version) for (version,) in rows}


def readable_version(session: LakeSession, contract: Contract, key: str | None, version: int) -> int | None:
    """The oldest version left, from that one on, in which the partition is as it was then; ``None`` if all expired."""
    replaced = (
        f"SELECT min(version) FROM mlops_assets_ledger WHERE {_of(contract)} AND partition = {literal(key or '')}"
        f" AND version > {int(version)}"
    )
    [(found,)] = session.query(
        contract.lake.name,
        f"SELECT min(snapshot_id) AS found FROM ducklake_snapshot WHERE snapshot_id >= {int(version)}"
        f" AND snapshot_id < coalesce(({replaced}), {_BEYOND})",
    )
    return None if found is None else int(found)


def since(
    session: LakeSession,
    lake: str,
    version: int,
    *,
    contract: Contract | None = None,
    partition_keys: Sequence[str | None] | None = None,
) -> list[Entry]:
    """All publishes that made versions after that one, oldest first.

    Args:
        session: a session that may read the lake.
        lake: which lake.
        version: publishes of this version and before are left out.
        contract: only those of this table.
        partition_keys: only those of these partitions of it.
    """
    wanted = "" if contract is None else f" AND {_of(contract)}"
    if partition_keys is not None:
        wanted += f" AND partition IN ({', '.join(literal(key or '') for key in partition_keys) or 'NULL'})"
    rows = session.query(
        lake,
        f"SELECT version, record FROM mlops_assets_ledger WHERE version > {int(version)} AND content_hash <> '{LOST}'"
        f"{wanted} ORDER BY version, asset, partition",
    )
    return [_entry(*row) for row in rows]


def was_published(session: LakeSession, read: InputRecord, after: int, until: int) -> bool:
    """Whether a partition that was read has been published after one version of its lake, and until another."""
    keys = ", ".join(literal(key) for key in read.partitions)
    return bool(keys) and bool(
        session.query(
            read.lake,
            f"SELECT version FROM mlops_assets_ledger WHERE asset = {literal(read.asset)} AND partition IN ({keys})"
            f" AND version > {int(after)} AND version <= {int(until)} LIMIT 1",
        )
    )


def find(session: LakeSession, contract: Contract, publish_ids: Sequence[str]) -> dict[str, Entry]:
    """Those of the publishes that the lake holds, by their ids."""
    listed = ", ".join(map(literal, publish_ids))
    rows = session.query(
        contract.lake.name, f"SELECT version, record FROM mlops_assets_ledger WHERE publish_id IN ({listed})"
    )
    return {entry.record.publish_id: entry for entry in (_entry(*row) for row in rows)}


def history(session: LakeSession, lake: str, asset: str | None = None) -> list[Entry]:
    """All records of a table, or of the lake, losses among them, oldest first."""
    of_asset = "" if asset is None else f" WHERE asset = {literal(asset)}"
    rows = session.query(
        lake, f"SELECT version, record FROM mlops_assets_ledger{of_asset} ORDER BY version, asset, partition"
    )
    return [_entry(*row) for row in rows]


def deliveries_of(session: LakeSession, lake: str, entry: Entry) -> list[Delivery]:
    """What a publish was made from, oldest first: a whole delivery and the changes since; empty where it is not known.

    Args:
        session: a session that may read the lake.
        lake: the table's lake.
        entry: the publish.
    """
    found: list[Delivery] = []
    past = history(session, lake, entry.record.asset) if entry.record.delivery and entry.record.delivery.since else []
    own = [each for each in past if each.record.partition == entry.record.partition and each.version < entry.version]
    for each in (entry, *reversed(own)):
        if each.record.delivery is None or each.record.lost:
            return []
        found.insert(0, each.record.delivery)
        if not each.record.delivery.since:
            return found
    return []


def at(session: LakeSession, lake: str, asset: str, partition: str, version: int) -> Entry:
    """The publish that made that version of that partition; an unpartitioned table's is empty."""
    [row] = session.query(
        lake,
        f"SELECT version, record FROM mlops_assets_ledger WHERE asset = {literal(asset)}"
        f" AND partition = {literal(partition)} AND version = {int(version)}",
    )
    return _entry(*row)


def _of(contract: Contract) -> str:
    return f"asset = {literal(contract.key.to_user_string())}"


def _keys(session: LakeSession, contract: Contract, partition_keys: Sequence[str | None] | None) -> str:
    """A table of the catalog's database with these keys, or all of the ledger's, in its one column, ``key``."""
    if partition_keys is None:
        return f"(SELECT DISTINCT partition AS key FROM mlops_assets_ledger WHERE {_of(contract)})"
    listed = literal(json.dumps([key or "" for key in partition_keys]))
    if is_embedded(session.settings, contract.lake.name):
        return f"(SELECT value AS key FROM json_each({listed}))"
    return f"(SELECT json_array_elements_text({listed}::json) AS key)"


def _entry(version: int, record: str) -> Entry:
    return Entry(version=version, record=PublishRecord.model_validate_json(record))
