"""Rebuilding: a publish made once more in another folder, from what its record names, and compared hash for hash.

Put here how a publish is made again. Keep out the proof that rows are what was published (``lake.recorded``), and what
a run of an asset does (``step``).

The deployment's lakes are attached read-only. What the publish was made from is verified and copied into lakes of the
other folder; there the asset runs as it always does, on an instance of Dagster that is gone afterwards.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import dagster as dg
from dagster._config import ConfigTypeKind
from dagster._core.errors import DagsterAssetCheckFailedError

from mlops_assets.platform.assets.inputs import as_key, contract_of, ins_of, resolved, specs_of
from mlops_assets.platform.assets.raw import TAG
from mlops_assets.platform.assets.reading import seen_by_run
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.contracts.volume import ACCEPTED_TAG
from mlops_assets.platform.errors import ContractError, LakeError
from mlops_assets.platform.lake import ledger, raw, recorded
from mlops_assets.platform.lake.publish import Replacement, publish
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import FILE_NAME
from mlops_assets.platform.settings import PREFIX, SECRETS_FOLDER, Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry, PublishRecord
    from mlops_assets.platform.lake.stage import StagedFile

_ASIDE: Final = "rows set aside"


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """A publish that was made again.

    Attributes:
        entry: the publish as recorded.
        content_hash: that of the rebuilt rows, over the columns that were published.
        inputs: how many partitions were verified and read.
        differences: for each thing on record that is not as it was: what it was then, and what it is now.
        counts: where the hashes differ, how many rows do and in which columns; empty if the published ones are gone.
    """

    entry: Entry
    content_hash: str
    inputs: int
    differences: Mapping[str, tuple[str, str]]
    counts: Mapping[str, int]

    @property
    def equal(self) -> bool:
        """Whether the same rows were made, and the same ones set aside."""
        return self.content_hash == self.entry.record.content_hash and _ASIDE not in self.differences


class _Asset(NamedTuple):
    """The asset that publishes a table, with what surrounds it."""

    definition: dg.AssetsDefinition
    contract: Contract
    inputs: Mapping[str, Contract]
    others: Sequence[dg.AssetSpec]
    resources: Mapping[str, object]

    @property
    def lakes(self) -> dict[str, Lake]:
        return {each.lake.name: each.lake for each in (self.contract, *self.inputs.values())}


class _Copy(NamedTuple):
    """A partition that was read: its publish, which place it had in its table's history, and its rows."""

    contract: Contract
    entry: Entry
    place: int
    file: StagedFile


def rebuild(
    definitions: Iterable[dg.Definitions],
    table: str,
    partition: str | None,
    *,
    version: int | None = None,
    instance: dg.DagsterInstance | None = None,
    settings: Settings,
    home: Path,
) -> Rebuilt:
    """Make a publish again and compare it with its record. Nothing is written but in ``home``.

    While it lasts, this process has that home folder.

    Args:
        definitions: where the table's asset is, with its resources.
        table: asset key as text.
        partition: partition key; ``None`` for an unpartitioned table.
        version: the lake version at which the publish was current; the newest when not given.
        instance: has the run that published, and so its config; it is only read.
        settings: where the lakes are that are read.
        home: an empty folder, which becomes the home folder of the rebuild.

    Raises:
        ContractError: no asset of the definitions makes the table, or it has no such partition.
        LakeError: there is no such publish, it was made from no table of a lake, what it was made from has expired, was
            lost or is not as it was, or its asset cannot be run again.
    """
    asset = _asset(definitions, table)
    contract = asset.contract
    contract.partition_values(partition)
    (home / "dagster").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(home / "dagster")) as own:
        with LakeSession(settings, read_only=True) as session:
            entry = _published(session, contract, partition, version)
            config = _config(asset, entry.record, instance)
            copies = _copies(session, asset, entry.record, home)
            delivered = ledger.deliveries_of(session, contract.lake.name, entry)
            kept = [(each, raw.kept(settings, contract, each.sha256)) for each in delivered]
        with _moved(settings, home, {*settings.lake_names, *asset.lakes}) as session:
            for copy in copies:
                values = copy.contract.partition_values(copy.entry.record.partition)
                whole = Replacement(partition=values, staged=copy.file, record=copy.entry.record, instead_of=0)
                publish(session, copy.contract, whole)
            for each, key in [
                (contract, partition),
                *((each.contract, each.entry.record.partition) for each in copies),
            ]:
                _add_dynamic_partition(own, each.partitions_def, key)
            for delivery, file in kept:
                own_file = raw.incoming(session.settings, contract)
                shutil.copyfile(file, own_file)
                raw.keep(session.settings, contract, own_file, delivery, partition=partition)
            _run(asset, entry.record, own, config, home, again=[each.sha256 for each in delivered])
            made = ledger.current(session, contract, [partition])[partition]
            query, _ = recorded.rows_of(session, contract, made)
            gained = set(entry.record.columns) < set(made.record.columns)
            columns = entry.record.columns if gained else made.record.columns
            content = recorded.content_of(session, contract, query, partition, columns)
            rows = recorded.copied(session, query, made.record.columns, home / "rebuilt.parquet").path
    found = Rebuilt(
        entry=entry,
        content_hash=content,
        inputs=len(copies),
        differences=_differences(entry.record, made.record),
        counts={},
    )
    if found.equal:
        return found
    with LakeSession(settings, read_only=True) as session:
        return replace(found, counts=recorded.differing_rows(session, contract, entry, rows))


def _asset(definitions: Iterable[dg.Definitions], table: str) -> _Asset:
    """The asset that publishes the table.

    Raises:
        ContractError: there is none.
    """
    key = as_key(table)
    for defs in definitions:
        specs = {spec.key: spec for each in defs.assets or () for spec in specs_of(each)}
        for each in defs.assets or ():
            contract = contract_of(each) if isinstance(each, dg.AssetsDefinition) and key in each.keys else None
            if isinstance(each, dg.AssetsDefinition) and contract is not None:
                known = {key: spec.metadata for key, spec in specs.items()}
                reads = resolved(ins_of(each), known, f"Asset {table}").values()
                inputs = {read.contract.key.to_user_string(): read.contract for read in reads}
                # Bare of what they are made from: external assets may not differ in how they are mapped to it.
                others = [
                    specs[other].replace_attributes(deps=[]) for other in (each.dependency_keys & specs.keys()) - {key}
                ]
                return _Asset(each, contract, inputs, others, defs.resources or {})
    raise ContractError(
        source=f"Table {table}",
        culprit="no asset of these definitions publishes it.",
        remedy="Name the module or file with its asset (-m). What people add by hand cannot be rebuilt.",
    )


def _published(session: LakeSession, contract: Contract, partition: str | None, version: int | None) -> Entry:
    """The publish to rebuild.

    Raises:
        LakeError: there is none, or nothing is on record that it was made from.
    """
    source = f"Lake {contract.lake.name}, {recorded.named(contract, partition)}"
    newest = ledger.latest_version(session, contract.lake.name)
    if version is not None and version > newest:
        raise LakeError(
            source=source,
            culprit=f"version {version} is not made yet; the newest is {newest}.",
            remedy=f"mlops-assets lake publishes {contract.lake.name} lists the versions of publishes.",
        )
    entry = ledger.current(session, contract, [partition], version=version).get(partition)
    if entry is None:
        raise LakeError(
            source=source,
            culprit=f"it was not published{f' by version {version}' if version is not None else ''}.",
            remedy=f"mlops-assets lake publishes {contract.lake.name} lists what was.",
        )
    if not entry.record.inputs and not ledger.deliveries_of(session, contract.lake.name, entry):
        raise LakeError(
            source=source,
            culprit=f"publish {entry.record.publish_id} was made from a source, and what that said was not kept.",
            remedy="Keep the source's own file: materialized from that in another home folder, it has the same hash.",
        )
    return entry


def _config(asset: _Asset, record: PublishRecord, instance: dg.DagsterInstance | None) -> dict[str, Any]:
    """The config of the run that published, without that of the lakes.

    Raises:
        LakeError: the function takes config or an input that is in no lake, and nobody knows what it was then.
    """
    op = asset.definition.op
    plain = [name for name in op.input_dict if not op.input_def_named(name).dagster_type.is_nothing]
    run = instance.get_run_by_id(record.run_id) if instance is not None else None
    if plain:
        raise LakeError(
            source=f"Asset {record.asset}",
            culprit=f"its input {plain[0]} is in no lake, so what it was then is not on record.",
            remedy="Publish that input into a lake, too.",
        )
    # Without a schema a function takes whatever config, and mostly none.
    if run is None and op.config_schema.as_field().config_type.kind != ConfigTypeKind.ANY:
        raise LakeError(
            source=f"Asset {record.asset}",
            culprit=f"its function takes config, and run {record.run_id}, which has it, is not to be found.",
            remedy="Set DAGSTER_HOME to the folder of the Dagster instance whose runs publish.",
        )
    given: Mapping[str, Any] = run.run_config if run is not None else {}
    return {
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        "ops": {name: each for name, each in given.get("ops", {}).items() if name == op.name},
        "resources": {name: each for name, each in given.get("resources", {}).items() if name not in asset.lakes},
    }


def _copies(session: LakeSession, asset: _Asset, record: PublishRecord, home: Path) -> list[_Copy]:
    """Every partition that the publish was made from, verified, with its rows in the other home; in their order then.

    Raises:
        LakeError: one has expired, was lost or is not as it was; or the asset reads a table now that it did not then.
    """
    if unread := sorted(set(asset.inputs) - {read.asset for read in record.inputs.values()}):
        raise LakeError(
            source=f"Asset {record.asset}",
            culprit=f"it reads {unread[0]} now, and publish {record.publish_id} did not.",
            remedy=f"Rebuild it with the code of then, {record.code_version}{_commit(record)}.",
        )
    copies: dict[tuple[str, str | None], _Copy] = {}
    for name, read in record.inputs.items():
        if read.asset not in asset.inputs or not read.partitions:
            continue
        contract = asset.inputs[read.asset]
        held = recorded.recorded_contents(session, contract, read.partitions)
        seen = seen_by_run(session, contract, list(held), version=record.snapshots.get(name, 0), run_id=record.run_id)
        for key, entry in held.items():
            folder = home / "lakes" / contract.lake.name / "data" / contract.layer / contract.table / uuid.uuid4().hex
            folder.mkdir(parents=True)
            file = recorded.verified_copy(session, contract, entry, folder / FILE_NAME)
            # What it had set aside nobody reads.
            bare = entry.model_copy(update={"record": entry.record.model_copy(update={"quarantined": None})})
            copies[read.asset, key] = _Copy(contract, bare, seen.get(key, entry).version, file)
    return sorted(copies.values(), key=lambda copy: copy.place)


@contextmanager
def _moved(settings: Settings, home: Path, lakes: Collection[str]) -> Iterator[LakeSession]:
    """Let the settings of this process have their home and all lakes there; secrets and keys stay where they are."""
    stay = {
        f"{PREFIX}MODELS__SIGNING_KEY": settings.model_signing_key,
        f"{PREFIX}MODELS__KEYS": settings.model_keys,
        **({} if os.environ.get(SECRETS_FOLDER) else {SECRETS_FOLDER: (settings.home / "secrets").absolute()}),
    }
    changed = {f"{PREFIX}HOME": str(home), **{name: str(path) for name, path in stay.items() if path.exists()}}
    for lake in lakes:
        changed[f"{PREFIX}LAKES__{lake.upper()}__CATALOG"] = "sqlite"
        changed[f"{PREFIX}LAKES__{lake.upper()}__DATA_PATH"] = str(home / "lakes" / lake / "data")
    before = {name: os.environ[name] for name in changed if name in os.environ}
    os.environ.update(changed)
    try:
        with LakeSession(Settings.load()) as session:
            try:
                yield session
            finally:
                for lake in lakes:
                    session.detach(lake)
    finally:
        for name in changed:
            del os.environ[name]
        os.environ.update(before)


def _add_dynamic_partition(
    instance: dg.DagsterInstance, definition: dg.PartitionsDefinition[str] | None, key: str | None
) -> None:
    """Let the instance know a partition of those that are added as it goes."""
    if isinstance(definition, dg.DynamicPartitionsDefinition) and key is not None:
        instance.add_dynamic_partitions(definition.name or "", [key])
    elif isinstance(definition, dg.MultiPartitionsDefinition) and key is not None:
        parts = definition.get_partition_key_from_str(key).keys_by_dimension
        for dimension in definition.partitions_defs:
            _add_dynamic_partition(instance, dimension.partitions_def, parts[dimension.name])


def _run(
    asset: _Asset,
    record: PublishRecord,
    instance: dg.DagsterInstance,
    config: Mapping[str, Any],
    home: Path,
    *,
    again: Sequence[str],
) -> None:
    """Materialize the asset in the other home.

    Raises:
        LakeError: its function or its audit failed.
    """
    lakes = {
        lake.name: Lake(
            lake.name, personal=lake.personal, catalog="sqlite", data_path=str(home / "lakes" / lake.name / "data")
        )
        for lake in asset.lakes.values()
    }
    try:
        dg.materialize(
            [asset.definition, *asset.others],
            selection=[asset.definition],
            run_config=config,
            instance=instance,
            resources={**asset.resources, **lakes},
            partition_key=record.partition,
            # It was accepted then; the publish before, with which it was compared, is not there.
            tags={ACCEPTED_TAG: str(record.rows), **({TAG: ",".join(again)} if again else {})},
        )
    except (dg.Failure, dg.DagsterError) as error:
        told = type(error).__name__
        if isinstance(error, dg.Failure | DagsterAssetCheckFailedError):
            told = " ".join((getattr(error, "description", None) or str(error)).split())
        now = asset.definition.code_versions_by_key[asset.contract.key]
        code = f" (Its code is {now} now, and was {record.code_version}.)" if now != record.code_version else ""
        raise LakeError(
            source=f"Asset {record.asset}",
            culprit=f"it cannot be run again: {told}{code}",
            remedy=f"It ran in the home folder {home}; --into keeps one.",
        ) from None


def _differences(then: PublishRecord, now: PublishRecord) -> dict[str, tuple[str, str]]:
    first, second = _named(then), _named(now)
    if list(then.columns) != list(now.columns):
        # Rows are set aside with all their columns.
        del first[_ASIDE]
    return {name: (first[name], second[name]) for name in first if first[name] != second[name]}


def _named(record: PublishRecord) -> dict[str, str]:
    """What the record says that a publish depends on, by name."""
    code, aside = record.code, record.quarantined
    return {
        "code version": record.code_version,
        "version of mlops-assets": record.package_version,
        "package": f"{code.package} {code.version or ''}".strip() if code is not None else "unknown",
        "commit": _commit(record).removeprefix(", commit ") or "unknown",
        "environment": record.environment,
        "columns of the contract": ", ".join(record.columns),
        "partitions read": ", ".join(
            sorted(f"{len(each.partitions)} of {each.asset}" for each in record.inputs.values())
        ),
        _ASIDE: f"{aside.rows} ({aside.content_hash})" if aside is not None else "none",
    }


def _commit(record: PublishRecord) -> str:
    code = record.code
    if code is None or code.commit is None:
        return ""
    return f", commit {code.commit}{' with changes' if code.clean is False else ''}"
