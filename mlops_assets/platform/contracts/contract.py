"""Contracts: what a published table must look like, who owns it, and how its partitions lie in its columns.

Put here the description of a contract, in terms of pandera schemas and Dagster partitions. Keep out any concrete
contract (those are the domain's) and the enforcement (that is the audit).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import dagster as dg
from dagster._core.definitions.metadata.metadata_value import ObjectMetadataValue
from pydantic import InstanceOf

from mlops_assets.platform.contracts.arguments import require
from mlops_assets.platform.contracts.names import require_known_names
from mlops_assets.platform.contracts.rules import QUARANTINE_PARTITION
from mlops_assets.platform.contracts.schemas import declared, enforced
from mlops_assets.platform.contracts.volume import Volume
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.identifiers import is_identifier

if TYPE_CHECKING:
    import pandera.ibis as pa

    from mlops_assets.platform.contracts.lake import Lake
    from mlops_assets.platform.contracts.schemas import Model

CONTRACT: Final = "mlops_assets/contract"
"""The entry of an asset's metadata with its contract."""

BY_HAND: Final = "mlops_assets/by_hand"
"""The entry of an asset's metadata that says that people add its rows, and no asset makes them."""

PARTITION_SEPARATOR = "|"


@dataclass(frozen=True, kw_only=True)
class Quarantine:
    """Publish the rows that pass and set aside those that fail, as long as enough of them pass.

    Attributes:
        floor: the least share of rows, 0 to 1, that must pass every row rule for the good rows to be published.

    Example:
        >>> import mlops_assets as ma
        >>> at_least_nine_of_ten_rows = ma.Quarantine(floor=0.9)
    """

    floor: float

    def __post_init__(self) -> None:
        """Refuse a floor outside 0 to 1.

        Raises:
            ContractError: the floor is not a share.
        """
        require("Quarantine", "floor", self.floor, float | int, "Give a number from 0 to 1.")
        if not 0.0 <= self.floor <= 1.0:
            raise ContractError(
                source="Quarantine",
                culprit=f"the floor is {self.floor}, not a share of rows.",
                remedy="Give a number from 0 to 1.",
            )


_KINDS: Final[Mapping[str, tuple[object, str]]] = {
    "layer": (str, "Give the name of the lake's schema."),
    "table": (str, "Give the table's name."),
    "description": (str, "Say in a sentence what the table holds."),
    "owners": (Sequence[str], "Give a list: owners=['team:sales']."),
    "partitions_def": (dg.PartitionsDefinition | None, "Give one of Dagster's, or leave it out."),
    "partition_columns": (Mapping[str, str], "Give the column of each dimension: {'month': 'month'}."),
    "subject": (Mapping[str, str | tuple[str, ...]], "Give the column, or a tuple of columns: {'customer': 'email'}."),
    "volume": (InstanceOf[Volume], "Give volume=ma.Volume(...)."),
    "quarantine": (InstanceOf[Quarantine] | None, "Give quarantine=ma.Quarantine(...)."),
    "judged": (Mapping[str, str], "Give what each check asks, by its name."),
    "tags": (Mapping[str, str], "Give texts by their names."),
}
"""What each argument must be, and what to give instead."""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A published table: its pandera schema, its lake, its partitions and its owners.

    The schema is a pandera model for Ibis, pandas or Polars. Its fields give columns, types and whether they may be
    null; a field's or frame's check with a ``name`` becomes a named business rule and a check of Dagster, one without
    is a part of the check ``contract``; a check with ``raise_warning=True`` warns instead of blocking, without a name
    as a part of ``contract_warnings``; ``Config.unique`` names the key, or ``unique=True`` that of one column; a
    field's ``metadata`` may say ``personal``, ``decimals``, ``non_finite`` and ``default`` (see ``schemas``).

    Attributes:
        layer: the lake schema, and the first part of the asset key.
        table: the lake table, and the second part of the asset key.
        model: the pandera schema, a class or an object.
        lake: the lake that holds the table.
        description: one paragraph for the asset's page.
        owners: Dagster owners, such as ``team:plumbing``.
        partitions_def: how the table is partitioned; ``None`` for a table that is replaced whole.
        partition_columns: for each partition dimension the column holding its key. A table with one dimension may name
            the dimension as it likes. Row membership is audited against them.
        subject: whose row it is, so that a person can be erased: for each kind of identifier the column that holds it,
            or the columns that make it up, joined by a colon (``{"voter": ("state", "ncid")}``).
        volume: how many rows a partition may have; by default some, and no less than half of those before.
        duplicate_keys_warn: whether a repeated key warns (raw data) instead of blocking.
        quarantine: what to do with failing rows; ``None`` means that one failing row blocks the publish.
        judged: blocking checks that no rule over rows can decide (is a candidate as good as what it would replace?), by
            name with what they ask; the function returns a ``dg.AssetCheckResult`` for each.
        judged_warnings: those of the judged checks that warn instead of blocking.
        tags: Dagster tags of the asset.

    Example:
        >>> import ibis.expr.datatypes as dt, pandera.ibis as pa
        >>> import mlops_assets as ma
        >>> class Orders(pa.DataFrameModel):
        ...     order_id: dt.Int64
        >>> ORDERS = ma.Contract(
        ...     layer="raw",
        ...     table="orders",
        ...     model=Orders,
        ...     lake=ma.Lake("curated"),
        ...     description="What was ordered.",
        ...     owners=["team:sales"],
        ... )
        >>> ORDERS.key.to_user_string()
        'raw/orders'
    """

    layer: str
    table: str
    model: Model
    lake: Lake
    description: str
    owners: Sequence[str]
    partitions_def: dg.PartitionsDefinition[str] | None = None
    partition_columns: Mapping[str, str] = field(default_factory=dict)
    subject: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    volume: Volume = field(default_factory=Volume)
    duplicate_keys_warn: bool = False
    quarantine: Quarantine | None = None
    judged: Mapping[str, str] = field(default_factory=dict)
    judged_warnings: frozenset[str] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what could not be enforced, now and not in the step that would be the first to see it.

        Raises:
            ContractError: a name is not an identifier, an argument is of another kind, a partition dimension
                has no column of its own, a column, check or lake that is named does not exist, the schema or a rule is
                unusable, the lake is not for personal data, or a partition column is personal.
        """
        for option, (kind, remedy) in _KINDS.items():
            require(f"Contract {self.layer}/{self.table}", option, getattr(self, option), kind, remedy)
        for name in (self.layer, self.table, *self.judged, *self.subject):
            if not is_identifier(name):
                raise ContractError(
                    source=f"Contract {self.layer}/{self.table}",
                    culprit=f"the name {name!r} is not made of lower-case letters, digits and underscores.",
                    remedy="Rename it.",
                )
        columns = list(self.partition_columns.values())
        if set(self.dimensions) != set(self.partition_columns) or len(set(columns)) < len(columns):
            raise ContractError(
                source=f"Contract {self.layer}/{self.table}",
                culprit=f"its partitions have {sorted(self.dimensions)}, the columns named for them are "
                f"{dict(self.partition_columns)}.",
                remedy="Name one column for each dimension: partition_columns of a contract, partition_expr in the "
                "metadata of an asset.",
            )
        require_known_names(self)

    @cached_property
    def schema(self) -> pa.DataFrameSchema:
        """The schema that is enforced: types as they are stored."""
        return enforced(f"Contract {self.layer}/{self.table}", self.model)

    @cached_property
    def personal(self) -> frozenset[str]:
        """Columns that hold values of persons, which never leave the table's rows."""
        return frozenset(name for name, said in declared(self.schema, "personal").items() if said)

    @cached_property
    def masked(self) -> frozenset[str]:
        """Columns whose values are masked where rows are shown.

        Beside a personal column that is every one of text, bytes or nested values: in a row whose columns have slipped
        a name stands where a code should.
        """
        kinds = {name: column.dtype.type for name, column in self.schema.columns.items()}
        telling = {name for name, kind in kinds.items() if kind.is_string() or kind.is_binary() or kind.is_nested()}
        return self.personal | telling if self.personal else frozenset()

    @cached_property
    def non_finite(self) -> frozenset[str]:
        """Columns that may hold NaN or infinities."""
        return frozenset(name for name, said in declared(self.schema, "non_finite").items() if said)

    @cached_property
    def decimals(self) -> Mapping[str, int]:
        """For each column that is rounded when staged, to how many decimals."""
        return declared(self.schema, "decimals")

    @cached_property
    def defaults(self) -> Mapping[str, str | float | bool]:
        """For columns that the contract has gained, the value in partitions that were published before."""
        return declared(self.schema, "default")

    @property
    def key(self) -> dg.AssetKey:
        """The asset key: layer and table."""
        return dg.AssetKey([self.layer, self.table])

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names of the partition dimensions, sorted as Dagster sorts them in a key; empty if not partitioned."""
        if self.partitions_def is None:
            return ()
        if isinstance(self.partitions_def, dg.MultiPartitionsDefinition):
            return tuple(sorted(d.name for d in self.partitions_def.partitions_defs))
        return (next(iter(self.partition_columns), "partition"),)

    @property
    def dynamic(self) -> bool:
        """Whether partitions are added as it goes."""
        definition = self.partitions_def
        parts = (
            [dimension.partitions_def for dimension in definition.partitions_defs]
            if isinstance(definition, dg.MultiPartitionsDefinition)
            else [definition]
        )
        return any(isinstance(part, dg.DynamicPartitionsDefinition) for part in parts)

    def partition_values(self, partition_key: str | None) -> dict[str, str]:
        """The value that each partition column holds in the partition of that key, columns in dimension order.

        Raises:
            ContractError: the key does not fit the contract's partitions.
        """
        if self.partitions_def is None:
            if partition_key is not None:
                raise self._bad_key(partition_key, "the table is not partitioned")
            return {}
        if partition_key is None:
            raise self._bad_key("", "the table is partitioned")
        parts = partition_key.split(PARTITION_SEPARATOR) if len(self.dimensions) > 1 else [partition_key]
        if len(parts) != len(self.dimensions):
            raise self._bad_key(partition_key, f"it needs {' and '.join(self.dimensions)}")
        # Dagster has looked keys up that are added as it goes; here they are not known.
        if not self.dynamic and not self.partitions_def.has_partition_key(partition_key):
            raise self._bad_key(partition_key, "it is not one of the contract's partitions")
        return {self.partition_columns[d]: part for d, part in zip(self.dimensions, parts, strict=True)}

    def quarantine_values(self, partition: Mapping[str, str]) -> dict[str, str]:
        """The same for the quarantine's table, whose rows may name another partition than the one they came in."""
        return {QUARANTINE_PARTITION: PARTITION_SEPARATOR.join(partition.values())}

    def _bad_key(self, partition_key: str, why: str) -> ContractError:
        return ContractError(
            source=f"Table {self.layer}/{self.table}",
            culprit=f"partition {partition_key!r} does not fit: {why}.",
            remedy="Ask for one of the partitions that the contract declares.",
        )

    def spec(self) -> dg.AssetSpec:
        """The asset as another code location sees it: key, partitions and contract, nothing about how it is made."""
        return dg.AssetSpec(
            key=self.key, partitions_def=self.partitions_def, metadata={CONTRACT: ObjectMetadataValue(self)}
        )

    def described_spec(self) -> dg.AssetSpec:
        """The asset as people see it who look after it, for a table that no asset makes."""
        spec = self.spec()
        return spec.replace_attributes(
            description=self.description,
            owners=list(self.owners),
            group_name=self.layer,
            tags=dict(self.tags),
            metadata={**spec.metadata, BY_HAND: True},
        )


def contract_in(metadata: Mapping[str, object]) -> Contract | None:
    """The contract in an asset's metadata, if it has one."""
    entry = metadata.get(CONTRACT)
    found = entry.instance if isinstance(entry, ObjectMetadataValue) else None
    return found if isinstance(found, Contract) else None


def made_by_hand(asset: object) -> Contract | None:
    """The contract of a table that people add rows to; ``None`` for anything else."""
    spec = asset if isinstance(asset, dg.AssetSpec) else None
    return contract_in(spec.metadata) if spec is not None and BY_HAND in spec.metadata else None
