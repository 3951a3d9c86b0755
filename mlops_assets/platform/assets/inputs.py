"""Inputs: how an asset declares which upstream tables it reads, and which of their partitions.

Put here the declaration and finding the table that it means. Keep out the reading itself (``reading``).
"""

from __future__ import annotations

import dataclasses
import difflib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import dagster as dg
from dagster._core.definitions.metadata.metadata_value import ObjectMetadataValue
from dagster._utils.warnings import BetaWarning

from mlops_assets.platform.contracts.arguments import require
from mlops_assets.platform.contracts.contract import Contract, contract_in
from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping

INS: Final = "mlops_assets/ins"
"""The entry of an asset's metadata with the tables that it reads, by the name of the function's parameter."""


@dataclass(frozen=True)
class In:
    """How an asset reads one upstream table.

    Attributes:
        table: the table: its asset, its contract, or its key as text (``raw/orders``) where the asset or the contract's
            spec is among the definitions of the same code location.
        partition_mapping: which upstream partitions one own partition needs; Dagster's default mapping when not given.
        window: of those that exist, all (``None``), the last one (``latest``), or whatever exists of the whole table
            (``all``).
        back: so many partitions of time before the own one, read where they exist, and the own one; of the asset's own
            table those before it.
        also: further upstream partitions, read where they exist; their news alone does not wake the step, as far too
            many steps would follow a change of what they merely compare with.
        choose: narrows the mapped upstream partitions that exist: own key and existing keys (sorted) to the keys to
            read. What it leaves out is neither read nor recorded.
        optional: an empty table instead of an error when a mapped partition does not exist.

    Example:
        >>> import mlops_assets as ma
        >>> ins = {"orders": ma.In("raw/orders"), "months_before": ma.In("wrangled/orders", back=3)}
        >>> ins["orders"].key.to_user_string()
        'raw/orders'
    """

    table: Contract | dg.AssetsDefinition | dg.AssetSpec | dg.AssetKey | Sequence[str] | str
    _: KW_ONLY
    partition_mapping: dg.PartitionMapping | None = None
    window: Literal["latest", "all"] | None = None
    back: int = 0
    also: dg.PartitionMapping | None = None
    choose: Callable[[str, Sequence[str]], Sequence[str]] | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        """Refuse what says two things.

        Raises:
            ContractError: the partitions are named in more than one way, or counted from below 1.
        """
        source = f"Input {self.key.to_user_string()}"
        require(source, "back", self.back, int, "Give how many partitions: back=3.")
        require(source, "optional", self.optional, bool, "Give True or False.")
        require(source, "window", self.window, str | None, "Say 'latest' or 'all', or leave it out.")
        require(source, "choose", self.choose, Callable[..., Any] | None, "Give a function.")
        for option in ("partition_mapping", "also"):
            require(source, option, getattr(self, option), dg.PartitionMapping | None, "Give one of Dagster's.")
        if self.window not in {None, "latest", "all"}:
            raise ContractError(
                source=source, culprit=f"window is {self.window!r}.", remedy="Say 'latest' or 'all', or leave it out."
            )
        if self.back < 0:
            raise ContractError(source=source, culprit=f"back is {self.back}.", remedy="Count back from 1.")
        ways = {
            "partition_mapping": self.partition_mapping is not None,
            'window="all"': self.window == "all",
            'window="latest"': self.window == "latest",
            "back": self.back > 0,
            "also": self.also is not None,
            "choose": self.choose is not None,
        }
        for alike in ({"partition_mapping", 'window="all"', "back"}, {"back", "also"}, {'window="latest"', "choose"}):
            said = [way for way, given in ways.items() if given and way in alike]
            if len(said) > 1:
                raise ContractError(
                    source=source,
                    culprit=f"{' and '.join(said)} do not go together.",
                    remedy="Say in one way which partitions are read.",
                )

    @property
    def key(self) -> dg.AssetKey:
        """The asset key of the table."""
        return as_key(self.table)

    @property
    def contract(self) -> Contract | None:
        """The table's contract, if it has been given or found."""
        if isinstance(self.table, Contract):
            return self.table
        return contract_of(self.table)

    @property
    def mapping(self) -> dg.PartitionMapping | None:
        """Which upstream partitions one own partition needs."""
        if self.window == "all":
            return dg.AllPartitionMapping()
        if self.back:
            return _windows(-self.back, 0)
        return self.partition_mapping

    def of_itself(self) -> In:
        """The same of the asset's own table: of a window back in time the partitions before the own one, if any."""
        if not self.back:
            return self
        return dataclasses.replace(self, back=0, partition_mapping=_windows(-self.back, -1), optional=True)

    def dep(self) -> dg.AssetDep:
        """The dependency as Dagster declares it."""
        return dg.AssetDep(self.key, partition_mapping=self.mapping)


def _windows(start: int, end: int) -> dg.TimeWindowPartitionMapping:
    with warnings.catch_warnings():
        # That windows may not exist is in beta.
        warnings.simplefilter("ignore", BetaWarning)
        return dg.TimeWindowPartitionMapping(
            start_offset=start, end_offset=end, allow_nonexistent_upstream_partitions=True
        )


@dataclass(frozen=True)
class Read:
    """An input whose table's contract is known.

    Attributes:
        contract: the table.
        declared: how it is read.
    """

    contract: Contract
    declared: In


def as_key(table: Contract | dg.AssetsDefinition | dg.AssetSpec | dg.AssetKey | Sequence[str] | str) -> dg.AssetKey:
    """The asset key of whatever names a table; text has its parts between slashes."""
    if isinstance(table, Contract | dg.AssetsDefinition | dg.AssetSpec):
        return table.key
    require("A table's name", "key", table, dg.AssetKey | str | Sequence[str], "Give its key: 'raw/orders'.")
    if isinstance(table, str):
        return dg.AssetKey.from_user_string(table)
    return dg.AssetKey.from_coercible(table)


def specs_of(asset: object) -> list[dg.AssetSpec]:
    """The specs of an asset, or a spec alone; none of anything else."""
    if isinstance(asset, dg.AssetSpec):
        return [asset]
    return list(asset.specs) if isinstance(asset, dg.AssetsDefinition) else []


def contract_of(asset: object) -> Contract | None:
    """The contract of a published asset or of a spec of one; ``None`` for anything else."""
    specs = specs_of(asset)
    return contract_in(specs[0].metadata) if len(specs) == 1 else None


def ins_of(definition: dg.AssetsDefinition) -> Mapping[str, In]:
    """The upstream tables that a published asset reads, by the name of the parameter; none for any other asset."""
    specs = specs_of(definition)
    declared = specs[0].metadata.get(INS) if len(specs) == 1 else None
    return declared.instance if isinstance(declared, ObjectMetadataValue) else {}  # type: ignore[return-value]


def resolved(ins: Mapping[str, In], graph: Mapping[dg.AssetKey, Mapping[str, object]], source: str) -> dict[str, Read]:
    """The inputs, each with the contract of its table.

    Args:
        ins: the inputs by name.
        graph: the metadata of each asset of the code location.
        source: whose inputs they are.

    Raises:
        ContractError: an input names a table without a contract in the code location, or counts back partitions that
            are not of time.
    """
    reads = {name: Read(_found(name, read, graph, source), read) for name, read in ins.items()}
    for name, read in reads.items():
        if read.declared.back and not isinstance(read.contract.partitions_def, dg.TimeWindowPartitionsDefinition):
            raise ContractError(
                source=source,
                culprit=f"its input {name} counts back, but the partitions of {read.declared.key.to_user_string()} are "
                "not of time.",
                remedy="Give partition_mapping.",
            )
    return reads


def resolved_in(job: dg.JobDefinition, ins: Mapping[str, In], source: str) -> dict[str, Read]:
    """The same, where the code location is that of a run's job."""
    graph = job.asset_layer.asset_graph
    return resolved(ins, {key: graph.get(key).metadata for key in graph.get_all_asset_keys()}, source)


def _found(name: str, read: In, graph: Mapping[dg.AssetKey, Mapping[str, object]], source: str) -> Contract:
    contract = read.contract or contract_in(graph.get(read.key, {}))
    if contract is not None:
        return contract
    asked = read.key.to_user_string()
    tables = [key.to_user_string() for key, metadata in graph.items() if contract_in(metadata) is not None]
    near = difflib.get_close_matches(asked, tables, n=1)
    raise ContractError(
        source=source,
        culprit=f"its input {name} is {asked}, which is no table of a lake in this code location.",
        remedy=f"Did you mean {near[0]!r}?"
        if near
        else "Put the asset that makes it among the definitions, or those materialized (selection= says which run). If "
        "another location makes it, give its contract to In, or contract.spec() to the definitions.",
    )
