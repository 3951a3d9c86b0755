"""The asset decorator: Dagster's own, for a table whose rows become visible only after they passed their contract.

Put here how a function becomes an asset: its parameters, its declaration for Dagster. Keep out what the function itself
is given (``signature``) and what a run of it does (``step``).
"""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Never

import dagster as dg
from dagster._core.definitions.metadata.metadata_value import ObjectMetadataValue
from dagster._utils.warnings import BetaWarning, PreviewWarning
from pydantic import Field

from mlops_assets.platform.assets.code import code_version as version_of
from mlops_assets.platform.assets.inputs import INS, In, as_key
from mlops_assets.platform.assets.signature import computed, frame_kind, require_plain
from mlops_assets.platform.assets.step import Step, column_schema
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.arguments import require
from mlops_assets.platform.contracts.contract import CONTRACT, Contract
from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from mlops_assets.platform.contracts.contract import Quarantine
    from mlops_assets.platform.contracts.lake import Lake
    from mlops_assets.platform.contracts.schemas import Model
    from mlops_assets.platform.contracts.volume import Volume

PARTITION_EXPR: Final = "partition_expr"
"""The entry of an asset's metadata that names the partition column, as Dagster's I/O managers for tables know it."""

_KEY_PARTS: Final = 2


def asset(
    function: Callable[..., Any] | None = None,
    /,
    *,
    schema: Model | None = None,
    lake: Lake | None = None,
    subject: Mapping[str, str | tuple[str, ...]] | None = None,
    volume: Volume | None = None,
    quarantine: Quarantine | None = None,
    contract: Contract | None = None,
    partitions_at_once: int = 1,
    name: str | None = None,
    key_prefix: str | Sequence[str] | None = None,
    ins: Mapping[str, In | dg.AssetIn] | None = None,
    deps: Iterable[Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    description: str | None = None,
    config_schema: Any = None,  # noqa: ANN401  whatever Dagster takes
    required_resource_keys: AbstractSet[str] | None = None,
    resource_defs: Mapping[str, object] | None = None,
    hooks: AbstractSet[dg.HookDefinition] | None = None,
    io_manager_def: object | None = None,
    io_manager_key: str | None = None,
    dagster_type: dg.DagsterType | None = None,
    partitions_def: dg.PartitionsDefinition[str] | None = None,
    op_tags: Mapping[str, Any] | None = None,
    group_name: str | None = None,
    output_required: bool = True,
    automation_condition: dg.AutomationCondition[Any] | None = None,
    freshness_policy: dg.FreshnessPolicy | None = None,
    backfill_policy: dg.BackfillPolicy | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    code_version: str | None = None,
    key: dg.AssetKey | str | Sequence[str] | None = None,
    check_specs: Sequence[dg.AssetCheckSpec] | None = None,
    owners: Sequence[str] | None = None,
    kinds: AbstractSet[str] | None = None,
    pool: str | None = None,
    is_virtual: bool = False,
    **unknown: Never,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Make a function an asset whose partitions are staged, audited against a schema and then published in a lake.

    The parameters are those of ``dagster.asset``, and mean the same; ``schema``, ``lake``, ``subject``, ``volume``,
    ``quarantine`` and ``partitions_at_once`` are added. ``contract`` stands for all that a table declares, for tables
    that other code locations read: then it alone gives key, partitions, owners and description.

    The function gets its inputs by the names of ``ins``, as the frames that it annotates them with (Arrow, pandas,
    Polars; Ibis where it says nothing else), and what else Dagster would give it: ``context``, ``config``, resources.
    It may also ask for ``partition`` (`Partition`), ``settings``, ``session`` (connection and scratch folder),
    ``versions`` (for each input the content hash of each partition) and ``run_tags``. It returns the rows as any frame
    (Ibis, Arrow, Polars, pandas, DuckDB), or ``dg.MaterializeResult`` with the frame as ``value``, metadata, and a
    result for each of ``check_specs``.

    When a blocking rule fails, nothing becomes visible, the last good partition stands, every check has its result, and
    the step fails without a retry. Whatever else is raised reaches Dagster without the values that it may quote.

    Args:
        function: refused: without ``schema`` and ``lake`` there is nothing to enforce.
        schema: the columns, their types and rules: a pandera model for Ibis, pandas or Polars (see ``schemas``).
        lake: the lake that holds the table.
        subject: whose row it is, so that a person can be erased: see `Contract`.
        volume: how many rows a partition may have; by default some, and no less than half of those before.
        quarantine: publish the rows that pass and set aside those that fail.
        contract: the whole declaration of the table, instead of ``schema`` and ``lake``.
        partitions_at_once: of how many partitions of one run the function is called at the same time, in threads. More
            than one pays where a core is idle while it works; it must be safe for that, and as often is its memory
            needed.
        name: the table, where the key is not given: the function's name if not set.
        key_prefix: the schema of the lake that the table is in.
        ins: the inputs, by the name of the function's parameter: `In` for tables of a lake, ``dg.AssetIn`` for others.
        deps: further assets that must come before, and are not read.
        metadata: ``partition_expr`` names the column that holds the partition's key; for two dimensions, a mapping from
            dimension to column. Dimensions named like their columns need none.
        tags: see Dagster.
        description: what the table holds; the function's docstring when not given.
        config_schema: see Dagster.
        required_resource_keys: see Dagster.
        resource_defs: see Dagster.
        hooks: see Dagster.
        io_manager_def: refused, because the rows go to the lake.
        io_manager_key: refused likewise.
        dagster_type: refused: the schema is the type.
        partitions_def: see Dagster.
        op_tags: see Dagster.
        group_name: the schema of the lake when not given.
        output_required: refused unless true: a step that publishes nothing fails.
        automation_condition: such as ``on_new_data()``.
        freshness_policy: see Dagster.
        backfill_policy: up to a hundred partitions in a run when not given; the function is called for each of them.
            One in a run where it asks for ``context``, whose ``partition_key`` is one, or for plain inputs.
        retry_policy: failed checks and wrong inputs are never tried again.
        code_version: the version of the function's code when not given, see ``code``.
        key: schema and table, ``wrangled/customers``.
        check_specs: further checks, whose results the function returns; a blocking one that fails keeps the rows back.
        owners: see Dagster; alerts go to them.
        kinds: see Dagster.
        pool: see Dagster.
        is_virtual: refused: a table is made.
        unknown: refused.

    Raises:
        ContractError: the declaration cannot be enforced, or contradicts itself; the message says how to mend it.

    Example:
        >>> import dagster as dg, ibis, ibis.expr.datatypes as dt, ibis.expr.types as ir, pandera.ibis as pa
        >>> import mlops_assets as ma
        >>> class Orders(pa.DataFrameModel):
        ...     order_id: dt.Int64
        ...     amount: dt.Float64 = pa.Field(ge=0)
        ...     class Config:
        ...         unique = ["order_id"]
        >>> @ma.asset(key="raw/orders", schema=Orders, lake=ma.Lake("curated"))
        ... def orders() -> ir.Table:
        ...     return ibis.memtable({"order_id": [1, 2], "amount": [9.5, 3.0]})
        >>> dg.materialize([orders]).success
        True
    """
    given = {**locals()}
    _refuse_unknown(unknown)
    for option, kind, remedy in (
        ("ins", Mapping[str, Any] | None, "Give a mapping from parameter to input."),
        ("metadata", Mapping[str, Any] | None, "Give a mapping from name to value."),
        ("owners", Sequence[str] | None, "Give a list: owners=['team:sales']."),
        ("partitions_at_once", Annotated[int, Field(ge=1)], "Give how many: 1, or more."),
    ):
        require("The decorator of an asset", option, given[option], kind, remedy)
    if function is not None:
        raise ContractError(
            source=f"Asset {getattr(function, '__name__', function)}",
            culprit="its decorator is called with the function itself.",
            remedy="Write @asset(schema=..., lake=...) above the function.",
        )

    def decorate(function: Callable[..., Any]) -> dg.AssetsDefinition:
        declared = _contract(function, given)
        source = f"Asset {declared.key.to_user_string()}"
        if declared.table.endswith(rules.QUARANTINE):
            raise ContractError(
                source=source,
                culprit=f"its table is called like the quarantine of {declared.table.removesuffix(rules.QUARANTINE)}.",
                remedy=f"Rename it: the names that end in {rules.QUARANTINE} are those of quarantines.",
            )
        require_plain(source, function)
        _refuse_what_contradicts(source, given)
        for each, read in (ins or {}).items():
            if not isinstance(read, In | dg.AssetIn):
                raise ContractError(
                    source=source,
                    culprit=f"its input {each} is declared by {type(read).__name__}.",
                    remedy="Declare it by ma.In for a table of a lake, by dg.AssetIn for another asset.",
                )
            if (
                isinstance(read, In)
                and read.back
                and not isinstance(declared.partitions_def, dg.TimeWindowPartitionsDefinition)
            ):
                raise ContractError(
                    source=source,
                    culprit=f"its input {each} counts back, but its own partitions are not of time.",
                    remedy="Give partition_mapping.",
                )
        reads = {
            each: read.of_itself() if read.key == declared.key else read
            for each, read in (ins or {}).items()
            if isinstance(read, In)
        }
        passed_on = {each: read for each, read in (ins or {}).items() if not isinstance(read, In)}
        step = Step(
            contract=declared,
            function=function,
            ins=reads,
            frames={each: frame_kind(source, function, each) for each in reads},
            code_version=code_version or version_of(function),
            partitions_at_once=partitions_at_once,
        )
        policy = _backfill_policy(step, passed_on, backfill_policy)
        with warnings.catch_warnings():
            # Partitioned checks are in preview; without them each partition would leave its checks planned for ever.
            warnings.filterwarnings(
                "ignore", message=".*partitions_def.* on an AssetCheckSpec", category=PreviewWarning
            )
            # How many partitions a run makes is in beta.
            warnings.filterwarnings("ignore", message=".*`backfill_policy`", category=BetaWarning)
            checks = [_with_what_was_said(spec, check_specs or ()) for spec in rules.check_specs(declared)]
            return dg.asset(
                key=declared.key,
                ins=passed_on,
                deps=[*(read.dep() for read in reads.values()), *(deps or ())],
                metadata={
                    **(metadata or {}),
                    "dagster/column_schema": column_schema(declared),
                    "dagster/table_name": f"{declared.lake}.{declared.layer}.{declared.table}",
                    CONTRACT: ObjectMetadataValue(declared),
                    INS: ObjectMetadataValue(reads),
                },
                tags={**declared.tags, **(tags or {})},
                description=declared.description,
                config_schema=config_schema,
                required_resource_keys=set(required_resource_keys or ()),
                resource_defs=resource_defs,
                hooks=hooks,
                partitions_def=declared.partitions_def,
                op_tags=op_tags,
                group_name=group_name or declared.layer,
                output_required=False,
                automation_condition=automation_condition,
                freshness_policy=freshness_policy,
                backfill_policy=policy,
                retry_policy=retry_policy,
                code_version=step.code_version,
                check_specs=checks,
                owners=list(declared.owners),
                kinds=set(kinds) if kinds is not None else {"duckdb", "parquet"},
                pool=pool,
            )(computed(source, step, passed_on))

    return decorate


def _with_what_was_said(spec: dg.AssetCheckSpec, given: Iterable[dg.AssetCheckSpec]) -> dg.AssetCheckSpec:
    """The check with what a contract has no words for, of the one of its name that was given."""
    for each in given:
        if each.name == spec.name:
            return spec._replace(
                metadata=each.metadata,
                additional_deps=each.additional_deps,
                automation_condition=each.automation_condition,
            )
    return spec


def _refuse_unknown(names: Iterable[str]) -> None:
    """Refuse a parameter that there is not, with the one that may have been meant.

    Raises:
        ContractError: there is such a name.
    """
    for name in names:
        near = difflib.get_close_matches(name, inspect.signature(asset).parameters, n=1)
        raise ContractError(
            source=f"The decorator of an asset, {name}=",
            culprit="there is no such parameter.",
            remedy=f"Did you mean {near[0]}?" if near else "It has the parameters of dagster.asset, schema and lake.",
        )


def _contract(function: Callable[..., Any], given: Mapping[str, Any]) -> Contract:
    """The contract that was given, or that of what was given instead.

    Raises:
        ContractError: both were given or neither, or the key does not name one table.
    """
    contract: Contract | None = given["contract"]
    own_name = given["name"] or getattr(function, "__name__", "asset")
    if given["key"] is not None and (given["name"] is not None or given["key_prefix"] is not None):
        raise ContractError(
            source=f"Asset {own_name}",
            culprit="it has a key, and a name or key_prefix beside it.",
            remedy="Give key alone, or key_prefix and name.",
        )
    if contract is not None:
        twice = [each for each in _IN_CONTRACT if given[each] is not None]
        if twice:
            raise ContractError(
                source=f"Asset {contract.key.to_user_string()}",
                culprit=f"{', '.join(twice)} is given beside its contract, which has its own.",
                remedy="Say it in the contract alone.",
            )
        return contract
    for needed in ("schema", "lake"):
        if given[needed] is None:
            raise ContractError(
                source=f"Asset {own_name}",
                culprit=f"it has no {needed}.",
                remedy="Give schema= (a pandera model) and lake= (where its rows are kept).",
            )
    parts = _key(given["key"], given["key_prefix"], own_name)
    if len(parts) != _KEY_PARTS:
        raise ContractError(
            source=f"Asset {'/'.join(parts)}",
            culprit=f"its key is {'/'.join(parts)}. A table is in a schema of the lake, so there are two.",
            remedy=f"Give key='raw/{parts[-1]}', or key_prefix='raw'.",
        )
    described = given["description"] or inspect.getdoc(function) or ""
    return Contract(
        layer=parts[0],
        table=parts[1],
        model=given["schema"],
        lake=given["lake"],
        description=described,
        owners=list(given["owners"] or ()),
        partitions_def=given["partitions_def"],
        partition_columns=_partition_columns("/".join(parts), given["partitions_def"], given["metadata"] or {}),
        judged={spec.name: spec.description or spec.name for spec in given["check_specs"] or ()},
        judged_warnings=frozenset(spec.name for spec in given["check_specs"] or () if not spec.blocking),
        **{each: given[each] for each in ("subject", "volume", "quarantine") if given[each] is not None},
    )


_PARTITIONS_IN_A_RUN: Final = 100

_IN_CONTRACT: Final = (
    "schema",
    "lake",
    "subject",
    "volume",
    "quarantine",
    "name",
    "key_prefix",
    "description",
    "partitions_def",
    "key",
    "check_specs",
    "owners",
)


def _key(key: dg.AssetKey | str | Sequence[str] | None, prefix: str | Sequence[str] | None, name: str) -> list[str]:
    if key is not None:
        return list(as_key(key).path)
    return [*([prefix] if isinstance(prefix, str) else prefix or ()), name]


def _partition_columns(
    asset: str, partitions_def: dg.PartitionsDefinition[str] | None, metadata: Mapping[str, Any]
) -> dict[str, str]:
    """For each partition dimension its column, as ``partition_expr`` says.

    Raises:
        ContractError: it does not say.
    """
    said = metadata.get(PARTITION_EXPR)
    if partitions_def is None:
        if said is not None:
            raise ContractError(
                source=f"Asset {asset}",
                culprit=f"its partition_expr is {repr(said)[:60]}, and it has no partitions.",
                remedy="Give partitions_def=, or take it out.",
            )
        return {}
    if isinstance(partitions_def, dg.MultiPartitionsDefinition):
        dimensions = [dimension.name for dimension in partitions_def.partitions_defs]
        if said is not None and not isinstance(said, Mapping):
            raise ContractError(
                source=f"Asset {asset}",
                culprit=f"its partitions have the dimensions {', '.join(dimensions)}, and partition_expr is one name.",
                remedy="Give a mapping from dimension to column, or none where they are named alike.",
            )
        return {each: each for each in dimensions} | dict(said or {})
    if not isinstance(said, str):
        raise ContractError(
            source=f"Asset {asset}",
            culprit="it has partitions, and no column is named that holds their keys.",
            remedy='Name it: metadata={"partition_expr": "<column>"}.',
        )
    return {said: said}


def _refuse_what_contradicts(source: str, given: Mapping[str, Any]) -> None:
    """Refuse what Dagster's decorator takes and a table in a lake cannot have.

    Raises:
        ContractError: such a parameter is given.
    """
    for parameter, why, remedy in (
        ("io_manager_def", "its rows go to the lake", "Take it out; lake= says where."),
        ("io_manager_key", "its rows go to the lake", "Take it out; lake= says where."),
        ("dagster_type", "its schema says what it holds", "Take it out; schema= says it."),
        ("is_virtual", "a table is made", "Take it out."),
    ):
        if given[parameter]:
            raise ContractError(source=source, culprit=f"{parameter} is given, but {why}.", remedy=remedy)
    if not given["output_required"]:
        raise ContractError(
            source=source,
            culprit="output_required is False, but a step that publishes nothing fails.",
            remedy="Take it out; volume=Volume(allow_empty=True) lets a partition have no rows.",
        )


def _backfill_policy(
    step: Step, passed_on: Mapping[str, dg.AssetIn], given: dg.BackfillPolicy | None
) -> dg.BackfillPolicy | None:
    """How many partitions are made in a run.

    Raises:
        ContractError: several, where the function can be given what is of one alone.
    """
    of_one = "context" in inspect.signature(step.function).parameters or bool(passed_on)
    if given is None:
        several = step.contract.partitions_def is not None and not of_one
        return dg.BackfillPolicy.multi_run(_PARTITIONS_IN_A_RUN) if several else None
    if of_one and given.max_partitions_per_run != 1:
        raise ContractError(
            source=f"Asset {step.contract.key.to_user_string()}",
            culprit="its backfill_policy puts several partitions into one run, and its function asks for context or "
            "for plain inputs, which are those of one.",
            remedy="Ask for partition (ma.Partition) and for inputs by ma.In, or take the policy out.",
        )
    return given
