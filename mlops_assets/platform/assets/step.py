"""Steps: the life of one run of a published asset.

Put here the order of it: read, stage, audit, publish, report. Keep out how each of these is done, and how a function
becomes an asset (``asset``).
"""

from __future__ import annotations

import dataclasses
import inspect
import resource
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster._core.definitions.utils import NoValueSentinel

from mlops_assets.platform import provenance
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.assets.inputs import resolved_in
from mlops_assets.platform.assets.lakes import lakes_of
from mlops_assets.platform.assets.reading import read_inputs
from mlops_assets.platform.audit import audit
from mlops_assets.platform.audit.outcomes import judged_outcomes
from mlops_assets.platform.audit.quarantine import set_aside
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.lake import placed
from mlops_assets.platform.contracts.volume import ACCEPTED_TAG, Reference
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.frames import FrameError, as_ibis, framed
from mlops_assets.platform.lake.ledger import PublishRecord
from mlops_assets.platform.lake.publish import OvertakenError, publish
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import lease, stage
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlops_assets.platform.assets.inputs import In, Read
    from mlops_assets.platform.assets.reading import Input
    from mlops_assets.platform.audit.outcomes import Audit, CheckOutcome
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry, QuarantineRecord
    from mlops_assets.platform.lake.publish import Outcome
    from mlops_assets.platform.lake.stage import StagedFile
    from mlops_assets.platform.provenance import CodeOrigin

_ATTEMPTS: Final = 4
INJECTED: Final = frozenset({"context", "partition", "session", "settings", "versions"})
"""What a published asset's function may ask for by these names."""


@dataclass(frozen=True)
class Partition:
    """The partition that a step makes.

    Attributes:
        key: its key; ``None`` for an unpartitioned table.
        values: for each partition column, the value that every row must hold.

    Example:
        >>> import mlops_assets as ma
        >>> def orders(partition: ma.Partition) -> str:  # of an asset that is partitioned by month and shop
        ...     return f"{partition.values['shop']}/{partition.values['month']}.csv"
        >>> orders(ma.Partition("2024-01|north", {"month": "2024-01", "shop": "north"}))
        'north/2024-01.csv'
    """

    key: str | None
    values: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one run of a published asset does.

    Attributes:
        contract: the table.
        function: gives the rows; its parameters are among inputs, injected names, config, resources and plain inputs.
        ins: the upstream tables, by the name of the function's parameter.
        frames: for each of them the class of frame that the function is given.
        code_version: version of the function's code.
    """

    contract: Contract
    function: Callable[..., Any]
    ins: Mapping[str, In]
    frames: Mapping[str, object]
    code_version: str


def column_schema(contract: Contract) -> dg.TableSchema:
    """The contract's columns for the asset's page in the Dagster UI."""
    schema = contract.schema
    keys = rules.key_columns(contract)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                str(kind),
                description=schema.columns[name].description,
                constraints=dg.TableColumnConstraints(
                    nullable=bool(schema.columns[name].nullable),
                    unique=keys == (name,) and not contract.duplicate_keys_warn,
                    other=["personal: masked in samples"] if name in contract.personal else [],
                ),
            )
            for name, kind in rules.columns_of(contract).items()
        ]
    )


def run(step: Step, context: dg.AssetExecutionContext, given: Mapping[str, object]) -> Iterator[Any]:
    """Make the partition that Dagster asks for, and yield its events.

    Args:
        step: what is done.
        context: Dagster's.
        given: config, resources and plain inputs, by the names of the function's parameters.

    Raises:
        dg.Failure: nothing was published; no row can be read from it.
    """
    with told_plainly(f"Asset {step.contract.key.to_user_string()}", owners=step.contract.owners):
        yield from _stage_audit_publish(step, context, given)


def _stage_audit_publish(step: Step, context: dg.AssetExecutionContext, given: Mapping[str, object]) -> Iterator[Any]:
    started = time.perf_counter()
    contract = step.contract
    key = context.partition_key if context.has_partition_key else None
    partition = Partition(key, contract.partition_values(key))
    # The session is closed before the events, so that a step that is killed there leaves nothing open.
    reads = resolved_in(context.job_def, step.ins, f"Asset {contract.key.to_user_string()}")
    task = _Task(step=step, context=context, given=given, partition=partition, reads=reads)
    lakes = lakes_of(context, {contract.lake, *(read.contract.lake for read in reads.values())})
    with LakeSession(placed(Settings.load(), lakes)) as session:
        try:
            done = _until_not_overtaken(task, session)
        except FrameError as error:
            done = _Done(audit=audit.not_evaluated(contract, str(error)))
    results = [_check_result(outcome, contract, key) for outcome in done.audit.outcomes]
    if done.published is None:
        yield from results
        return
    yield dg.MaterializeResult(
        asset_key=contract.key,
        data_version=dg.DataVersion(done.published.entry.record.content_hash),
        tags=done.tags,
        metadata={
            **done.metadata,
            **materialization_metadata(done.published.entry),
            "adopted": done.published.adopted,
            "seconds": round(time.perf_counter() - started, 3),
            "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        },
        check_results=results,
    )


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What a run of a step is to make, and from what."""

    step: Step
    context: dg.AssetExecutionContext
    given: Mapping[str, object]
    partition: Partition
    reads: Mapping[str, Read]

    @property
    def contract(self) -> Contract:
        return self.step.contract


@dataclass(frozen=True, kw_only=True)
class _Done:
    """What became of an attempt: its audit, and the publish unless that stopped it."""

    audit: Audit
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    published: Outcome | None = None


def _until_not_overtaken(task: _Task, session: LakeSession) -> _Done:
    """Make the partition, once more from what is there then if somebody published it meanwhile or from newer inputs."""
    for number in range(1, _ATTEMPTS):
        try:
            return _attempt(task, session, anew=number > 1)
        except OvertakenError as error:
            task.context.log.warning("%s Attempt %d of %d follows.", error, number + 1, _ATTEMPTS)
    return _attempt(task, session, anew=True)


def _attempt(task: _Task, session: LakeSession, *, anew: bool) -> _Done:
    contract, partition = task.contract, task.partition
    before = ledger.current(session, contract, [partition.key]).get(partition.key)
    reference = Reference(rows=before.record.rows if before is not None else None, accepted=_accepted(task.context))
    inputs = read_inputs(
        session,
        task.reads,
        contract,
        partition.key,
        instance=task.context.instance,
        run_id=task.context.run.run_id,
        anew=anew,
    )
    result = _call(task, session, inputs)
    table = as_ibis(session, result.value, rules.columns_of(contract))
    problem = audit.shape_problem(contract, table.schema())
    if problem is not None:
        return _Done(audit=audit.not_evaluated(contract, problem))
    with lease(session, contract.lake.name) as attempt:
        staged = stage(session, contract, table, attempt=attempt)
        files = {staged}
        try:
            audited = audit.audit(session, contract, staged, partition.values, reference)
            good, bad, aside = staged, None, None
            judged = judged_outcomes(contract, result.check_results)
            audited = dataclasses.replace(audited, outcomes=(*audited.outcomes, *judged))
            if audited.stops:
                settled = set_aside(session, contract, staged, partition.values, found=audited, reference=reference)
                if settled is None:
                    return _Done(audit=audited)
                audited, good, bad, aside = settled.audit, settled.good, settled.bad, settled.record
                files |= {good, bad}
            record = _record(task, session, audited=audited, file=good, aside=aside, inputs=inputs)
            replaced = before.version if before is not None else 0
            made = publish(
                session, contract, partition.values, good, record=record, quarantined=bad, instead_of=replaced
            )
        finally:
            for file in files:
                file.remove()
    return _Done(audit=audited, metadata=result.metadata or {}, tags=result.tags or {}, published=made)


def _record(
    task: _Task,
    session: LakeSession,
    *,
    audited: Audit,
    file: StagedFile,
    aside: QuarantineRecord | None,
    inputs: Mapping[str, Input],
) -> PublishRecord:
    return PublishRecord(
        publish_id=uuid.uuid4().hex,
        asset=task.contract.key.to_user_string(),
        partition=task.partition.key,
        run_id=task.context.run.run_id,
        code_version=task.step.code_version,
        code=provenance.origin_of(task.step.function),
        package_version=provenance.package_version(),
        environment=provenance.environment(session.settings),
        columns=list(rules.columns_of(task.contract)),
        content_hash=audited.content_hash or "",
        rows=audited.rows or 0,
        bytes=file.bytes,
        inputs={name: read.record for name, read in inputs.items()},
        checks=[outcome.as_record() for outcome in audited.outcomes],
        published_at=time.time(),
        snapshots={name: read.snapshot for name, read in inputs.items()},
        quarantined=aside,
    )


def _accepted(context: dg.AssetExecutionContext) -> frozenset[int]:
    """The numbers of rows that the run's tag accepts; what is no number accepts none."""
    given = (part.strip() for part in context.run.tags.get(ACCEPTED_TAG, "").split(","))
    return frozenset(int(part) for part in given if part.isdecimal())


def _call(task: _Task, session: LakeSession, inputs: Mapping[str, Input]) -> dg.MaterializeResult[Any]:
    """What the function returns; a bare frame becomes the value of a result.

    Raises:
        ContractError: its result has no value, or names a data version or another asset.
    """
    offered: dict[str, Any] = {
        "context": task.context,
        "partition": task.partition,
        "session": session,
        "settings": session.settings,
        "versions": {name: read.record.partitions for name, read in inputs.items()},
        **task.given,
        **{name: framed(read.table, task.step.frames[name]) for name, read in inputs.items()},
    }
    wanted = inspect.signature(task.step.function).parameters
    result = task.step.function(**{name: offered[name] for name in wanted})
    if not isinstance(result, dg.MaterializeResult):
        return dg.MaterializeResult(value=result)
    for wrong, culprit, remedy in (
        (result.value is NoValueSentinel, "has no value", "Give the rows as value=."),
        (result.data_version is not None, "names a data_version", "Leave it out: it is the hash of the rows."),
        (result.asset_key not in {None, task.contract.key}, "is of another asset", "Leave asset_key out."),
    ):
        if wrong:
            source = f"Asset {task.contract.key.to_user_string()}"
            raise ContractError(source=source, culprit=f"its MaterializeResult {culprit}.", remedy=remedy)
    return result


def materialization_metadata(entry: Entry) -> dict[str, Any]:
    """What a materialization says of its publish: enough to find it in the lake and to rebuild it."""
    record = entry.record
    return {
        "dagster/row_count": record.rows,
        "content_hash": record.content_hash,
        "lake_version": entry.version,
        "publish_id": record.publish_id,
        "code_version": record.code_version,
        **_told(record.code),
        "package_version": record.package_version,
        "environment": record.environment,
        "bytes": record.bytes,
        **({"quarantined_rows": record.quarantined.rows} if record.quarantined is not None else {}),
        "inputs": dg.MetadataValue.json({name: read.model_dump() for name, read in record.inputs.items()}),
        "input_snapshots": dg.MetadataValue.json(dict(record.snapshots)),
    }


def _told(origin: CodeOrigin | None) -> dict[str, Any]:
    """Where code came from, as metadata; only what is known."""
    if origin is None:
        return {}
    words = {
        "code_package": f"{origin.package} {origin.version}" if origin.version else origin.package,
        "code_commit": origin.commit,
        "code_clean": origin.clean,
    }
    return {name: value for name, value in words.items() if value is not None}


def _check_result(outcome: CheckOutcome, contract: Contract, partition_key: str | None) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=contract.key,
        check_name=outcome.name,
        passed=outcome.passed,
        severity=outcome.severity,
        metadata=outcome.metadata(contract, partition_key),
    )
