"""The published-asset decorator: an asset whose rows become visible only after they passed their contract.

Put here the life of one step: read, stage, audit, publish, report. Keep out how each of these is done.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import resource
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import dagster as dg
from dagster._utils.warnings import PreviewWarning

from mlops_assets.platform import provenance
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.assets.inputs import Read, read_inputs
from mlops_assets.platform.audit import audit
from mlops_assets.platform.audit.quarantine import set_aside
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.ledger import PublishRecord
from mlops_assets.platform.lake.publish import OvertakenError, publish
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import as_ibis, lease, relation_sql, stage
from mlops_assets.platform.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.platform.assets.inputs import Input
    from mlops_assets.platform.audit.audit import Audit, CheckOutcome, Judgement
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.ledger import Entry
    from mlops_assets.platform.lake.publish import Outcome
    from mlops_assets.platform.lake.stage import StagedFile, Table

_ATTEMPTS: Final = 4
_INJECTED: Final = frozenset({"context", "partition", "session", "settings", "versions"})


@dataclass(frozen=True)
class Partition:
    """The partition that a step makes.

    Attributes:
        key: its key; ``None`` for an unpartitioned table.
        values: for each partition column, the value that every row must hold.
    """

    key: str | None
    values: Mapping[str, str]


@dataclass(frozen=True)
class WithMetadata:
    """What an asset's function may return instead of a bare table.

    Attributes:
        table: the rows.
        metadata: entries for the materialization's page; never personal values.
        judgements: one for each judged check of the contract.
    """

    table: Table
    metadata: Mapping[str, Any] = field(default_factory=dict)
    judgements: Mapping[str, Judgement] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Step:
    contract: Contract
    function: Callable[..., Table | WithMetadata]
    reads: Mapping[str, Read]
    code_version: str


# Which step each published asset runs; weak, so that definitions built in tests do not pile up.
_STEPS: Final[WeakKeyDictionary[dg.AssetsDefinition, _Step]] = WeakKeyDictionary()


def published(
    *,
    contract: Contract,
    reads: Mapping[str, Read] | None = None,
    code_version: str = "1",
    automation_condition: dg.AutomationCondition[Any] | None = None,
    pool: str | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    tags: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Table | WithMetadata]], dg.AssetsDefinition]:
    """Make a function an asset whose partitions are staged, audited against a contract and then published.

    The function gets by name: each table of ``reads`` (Ibis tables), ``partition``, ``settings``, ``session``
    (connection and scratch folder), ``context`` and ``versions`` (for each read the content hash of each partition).
    It returns the rows, or rows with metadata. When a blocking rule fails, nothing becomes visible, the last good
    partition stands, every check has its result, and the step fails without a retry. Whatever else is raised reaches
    Dagster without the values that it may quote (see ``failures``).

    Args:
        contract: the table's contract; it gives key, partitions, checks, owners and description.
        reads: the upstream tables, by the name of the function's parameter.
        code_version: raise it when the code makes other rows from the same inputs.
        automation_condition: when Dagster materializes the asset by itself.
        pool: the concurrency pool of the step.
        retry_policy: retries of the step; failed checks and wrong inputs are never retried.
        tags: more Dagster tags of the asset.

    Raises:
        ContractError: a parameter of the function is neither an input nor one of the injected names.
    """
    inputs = dict(reads or {})

    def decorate(function: Callable[..., Table | WithMetadata]) -> dg.AssetsDefinition:
        unknown = set(inspect.signature(function).parameters) - _INJECTED - set(inputs)
        if unknown:
            raise ContractError(
                source=f"Asset {contract.layer}/{contract.table}",
                culprit=f"its parameters {', '.join(sorted(unknown))} are not among its reads.",
                remedy=f"Declare them in reads, or use one of {', '.join(sorted(_INJECTED))}.",
            )
        step = _Step(contract=contract, function=function, reads=inputs, code_version=code_version)

        def compute(context: dg.AssetExecutionContext) -> Iterator[Any]:
            yield from _run(step, context)

        functools.update_wrapper(compute, function, assigned=("__name__", "__doc__", "__module__"), updated=())
        # Dagster would read the signature of the wrapped function through it.
        vars(compute).pop("__wrapped__", None)
        compute.__annotations__ = {"context": dg.AssetExecutionContext, "return": Iterator[Any]}
        with warnings.catch_warnings():
            # Partitioned checks are in preview; without them each partition would leave its checks planned for ever.
            warnings.simplefilter("ignore", PreviewWarning)
            checks = rules.check_specs(contract)
        definition = dg.asset(
            key=contract.key,
            description=contract.description,
            partitions_def=contract.partitions_def,
            deps=[read.dep() for read in inputs.values()],
            owners=list(contract.owners),
            tags={**contract.tags, **(tags or {})},
            kinds={"duckdb", "parquet"},
            group_name=contract.layer,
            code_version=code_version,
            check_specs=checks,
            output_required=False,
            automation_condition=automation_condition,
            pool=pool,
            retry_policy=retry_policy,
            metadata={
                "dagster/column_schema": column_schema(contract),
                "dagster/table_name": f"{contract.lake}.{contract.layer}.{contract.table}",
            },
        )(compute)
        _STEPS[definition] = step
        return definition

    return decorate


def column_schema(contract: Contract) -> dg.TableSchema:
    """The contract's columns for the asset's page in the Dagster UI."""
    schema = rules.schema_of(contract)
    keys = rules.key_columns(contract)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                str(kind.copy(nullable=True)),
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


def _run(step: _Step, context: dg.AssetExecutionContext) -> Iterator[Any]:
    with told_plainly(f"Asset {step.contract.key.to_user_string()}", owners=step.contract.owners):
        yield from _stage_audit_publish(step, context)


def _stage_audit_publish(step: _Step, context: dg.AssetExecutionContext) -> Iterator[Any]:
    started = time.perf_counter()
    contract = step.contract
    key = context.partition_key if context.has_partition_key else None
    partition = Partition(key, contract.partition_values(key))
    # The session is closed before the events, so that a step that is killed there leaves nothing open.
    with LakeSession(Settings.load()) as session:
        done = _until_not_overtaken(step, context, session, partition)
    results = [_check_result(outcome, contract, key) for outcome in done.audit.outcomes]
    if done.published is None:
        yield from results
        return
    yield dg.MaterializeResult(
        asset_key=contract.key,
        data_version=dg.DataVersion(done.published.entry.record.content_hash),
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
class _Done:
    """What became of an attempt: its audit, and the publish unless that stopped it."""

    audit: Audit
    metadata: Mapping[str, Any] = field(default_factory=dict)
    published: Outcome | None = None


def _until_not_overtaken(
    step: _Step, context: dg.AssetExecutionContext, session: LakeSession, partition: Partition
) -> _Done:
    """Make the partition, once more from what is there then if somebody published it meanwhile or from newer inputs."""
    for number in range(1, _ATTEMPTS):
        try:
            return _attempt(step, context, session, partition, anew=number > 1)
        except OvertakenError as error:
            context.log.warning("%s Attempt %d of %d follows.", error, number + 1, _ATTEMPTS)
    return _attempt(step, context, session, partition, anew=True)


def _attempt(
    step: _Step, context: dg.AssetExecutionContext, session: LakeSession, partition: Partition, *, anew: bool
) -> _Done:
    contract = step.contract
    replaced = ledger.current_version(session, contract, partition.key)
    inputs = read_inputs(
        session,
        step.reads,
        contract,
        partition.key,
        instance=context.instance,
        run_id=context.run.run_id,
        anew=anew,
    )
    result = _call(step, context, session, partition, inputs)
    table = as_ibis(session, result.table)
    problem = audit.shape_problem(contract, table.schema())
    if problem is not None:
        return _Done(audit=audit.not_evaluated(contract, problem))
    query = relation_sql(session, table.select(list(rules.columns_of(contract))))
    with lease(session, contract.lake) as attempt:
        staged = stage(session, contract, query, columns=rules.columns_of(contract), attempt=attempt)
        files = {staged}
        try:
            audited, good, bad = audit.audit(session, contract, staged, partition.values), staged, None
            judged = audit.judged_outcomes(contract, result.judgements)
            audited = dataclasses.replace(audited, outcomes=(*audited.outcomes, *judged))
            if audited.stops:
                settled = set_aside(session, contract, staged, partition.values, found=audited)
                if settled is None:
                    return _Done(audit=audited)
                audited, good, bad = settled.audit, settled.good, settled.bad
                files |= {good, bad}
            made = publish(
                session,
                contract,
                partition.values,
                good,
                record=_record(step, context, session, partition.key, audited=audited, file=good, inputs=inputs),
                quarantined=bad,
                instead_of=replaced,
            )
        finally:
            for file in files:
                file.remove()
    return _Done(audit=audited, metadata=result.metadata, published=made)


def _record(
    step: _Step,
    context: dg.AssetExecutionContext,
    session: LakeSession,
    partition_key: str | None,
    *,
    audited: Audit,
    file: StagedFile,
    inputs: Mapping[str, Input],
) -> PublishRecord:
    return PublishRecord(
        publish_id=uuid.uuid4().hex,
        asset=step.contract.key.to_user_string(),
        partition=partition_key,
        run_id=context.run.run_id,
        code_version=step.code_version,
        package_version=provenance.package_version(),
        environment=provenance.environment(session.settings),
        columns=list(rules.columns_of(step.contract)),
        content_hash=audited.content_hash or "",
        rows=audited.rows or 0,
        bytes=file.bytes,
        inputs={name: read.record for name, read in inputs.items()},
        checks=[outcome.as_record() for outcome in audited.outcomes],
        published_at=time.time(),
        snapshots={name: read.snapshot for name, read in inputs.items()},
    )


def _call(
    step: _Step,
    context: dg.AssetExecutionContext,
    session: LakeSession,
    partition: Partition,
    inputs: Mapping[str, Input],
) -> WithMetadata:
    offered: dict[str, Any] = {
        "context": context,
        "partition": partition,
        "session": session,
        "settings": session.settings,
        "versions": {name: read.record.partitions for name, read in inputs.items()},
        **{name: read.table for name, read in inputs.items()},
    }
    wanted = inspect.signature(step.function).parameters
    result = step.function(**{name: offered[name] for name in wanted})
    return result if isinstance(result, WithMetadata) else WithMetadata(result)


def materialization_metadata(entry: Entry) -> dict[str, Any]:
    """What a materialization says of its publish: enough to find it in the lake and to rebuild it."""
    record = entry.record
    return {
        "dagster/row_count": record.rows,
        "content_hash": record.content_hash,
        "lake_version": entry.version,
        "publish_id": record.publish_id,
        "code_version": record.code_version,
        "package_version": record.package_version,
        "environment": record.environment,
        "bytes": record.bytes,
        "inputs": dg.MetadataValue.json({name: read.model_dump() for name, read in record.inputs.items()}),
        "input_snapshots": dg.MetadataValue.json(dict(record.snapshots)),
    }


def check_severity(outcome: CheckOutcome) -> dg.AssetCheckSeverity:
    """Error for an outcome that blocks when it fails, else warning."""
    blocking = outcome.blocking and not outcome.quarantined
    return dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN


def contract_of(definition: dg.AssetsDefinition) -> Contract | None:
    """The contract of a published asset; ``None`` for any other asset."""
    step = _STEPS.get(definition)
    return step.contract if step is not None else None


def reads_of(definition: dg.AssetsDefinition) -> tuple[Read, ...]:
    """The upstream tables that a published asset reads; none for any other asset."""
    step = _STEPS.get(definition)
    return tuple(step.reads.values()) if step is not None else ()


def _check_result(outcome: CheckOutcome, contract: Contract, partition_key: str | None) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=contract.key,
        check_name=outcome.name,
        passed=outcome.passed,
        severity=check_severity(outcome),
        metadata=outcome.metadata(contract, partition_key),
    )
