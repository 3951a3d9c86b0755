"""Combined tables by declaration: several published tables as one, in which one of them comes first.

Put here what a ``Combined`` declares, and the asset that comes of it. Keep out how rows are put together
(``combining``), and tables that are made by code (``ma.asset``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

import dagster as dg
import ibis.expr.types as ir
from pydantic import Field, model_validator

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.inputs import In, resolved_in
from mlops_assets.platform.contracts.rules import columns_of, key_columns
from mlops_assets.platform.errors import ContractError, MissingInputError
from mlops_assets.plumbing.sources.combined.combining import Account, combined
from mlops_assets.plumbing.sources.combined.parts import PARTS, Part
from mlops_assets.plumbing.sources.combined.ranked import ranked
from mlops_assets.plumbing.sources.scaffold import SourceScaffolder
from mlops_assets.plumbing.sources.source import ContractField
from mlops_assets.plumbing.sources.variants import Words, at_least

if TYPE_CHECKING:
    from mlops_assets.platform.assets.step import Partition

AGREE_CHECK: Final = "sources_agree"
"""The check that warns where sources disagree on more keys than is declared."""

_AGREE: Final = "Do the sources say the same of the keys that several of them have?"
_VERSION: Final = "2"


@dg.scaffold_with(SourceScaffolder)
class Combined(dg.Component, dg.Model, dg.Resolvable):
    """Several published tables as one: of each key the row of the first of them that has it.

    The tables are read as every input is: as they were when the run began, with their versions on record. Those that
    are partitioned alike are read by the partition, and those without partitions by the rows that say so. A combined
    table without partitions is made of whatever partitions the others have.

    Attributes:
        contract: the table that they make. In YAML the dotted name of it.
        sources: the tables, that of highest precedence first: keys (``raw/orders``), or a ``Part`` with what is special
            of it.
        key: the columns by which rows of different tables are the same; the contract's key if not given.
        fill: take what a row does not say (NULL) from the next table that says it.
        origin: a column of the contract that gets the name of the table that the row is from.
        most_disagreeing: of the keys that several tables have the share that may disagree, 0 to 1, without the warning
            of the check ``sources_agree``.
        automated: whether a partition is made when one of its tables has changed, once those that must be there are.

    Example:
        >>> import dagster as dg, ibis, ibis.expr.datatypes as dt, pandera.ibis as pa
        >>> import mlops_assets as ma
        >>> class Customer(pa.DataFrameModel):
        ...     customer_id: dt.Int64
        ...     city: dt.String = pa.Field(nullable=True)
        ...     class Config:
        ...         unique = ["customer_id"]
        >>> lake = ma.Lake("curated")
        >>> @ma.asset(key="raw/shop", schema=Customer, lake=lake)
        ... def shop():
        ...     return ibis.memtable({"customer_id": [1, 2], "city": ["Ulm", None]})
        >>> @ma.asset(key="raw/office", schema=Customer, lake=lake)
        ... def office():
        ...     return ibis.memtable({"customer_id": [2, 3], "city": ["Bonn", "Jena"]})
        >>> CUSTOMERS = ma.Contract(
        ...     layer="wrangled",
        ...     table="customers",
        ...     model=Customer,
        ...     lake=lake,
        ...     description="Whoever the shop or the office knows.",
        ...     owners=["team:wrangling"],
        ... )
        >>> customers = ma.Combined(contract=CUSTOMERS, sources=["raw/shop", "raw/office"], fill=True)
        >>> done = dg.materialize([shop, office, customers.asset()])
        >>> [event] = done.asset_materializations_for_node("wrangled__customers")
        >>> event.metadata["rows_by_source"].value
        {'raw/shop': 2, 'raw/office': 1}
    """

    contract: ContractField
    sources: Annotated[Sequence[Part | str], Field(min_length=2), PARTS]
    key: Words = ()
    fill: bool = False
    origin: str | None = None
    most_disagreeing: Annotated[float | None, at_least(0, most=1)] = None
    automated: bool = True

    EXAMPLE: ClassVar[Mapping[str, Any]] = {"sources": ["raw/orders_api", {"table": "raw/orders_files"}]}

    @property
    def parts(self) -> list[Part]:
        """The tables, that of highest precedence first."""
        return [each if isinstance(each, Part) else Part(table=each) for each in self.sources]

    @property
    def _name(self) -> str:
        return f"Combined table {self.contract.key.to_user_string()}"

    @property
    def _key(self) -> tuple[str, ...]:
        return tuple(self.key) or key_columns(self.contract)

    @model_validator(mode="after")
    def _require_what_can_be_combined(self) -> Self:
        known, keys, names = columns_of(self.contract), [p.key for p in self.parts], [p.called for p in self.parts]
        if not self._key:
            raise self._error("nothing says which rows are the same.", "Give key=, or unique in the contract's model.")
        for option, given in (
            ("key", self._key),
            ("origin", [self.origin] if self.origin else []),
            *((f"columns of {part.called}", part.columns) for part in self.parts),
        ):
            if unknown := [name for name in given if name not in known]:
                raise self._error(
                    f"its {option} name {unknown[0]}, which is no column of the contract.",
                    f"There are {', '.join(known)}.",
                )
        if self.origin in self._key or (self.origin and not known[self.origin].is_string()):
            raise self._error(
                f"its column of origin, {self.origin}, is a part of the key, or no text.", "Name another column."
            )
        if self.contract.key in keys:
            raise self._error("it is one of its own sources.", "Name the tables that it is made of.")
        # Dagster would take two keys that differ by their slash alone for one, and leave one out.
        if len({"_".join(key.path) for key in keys}) < len(keys) or len({*names}) < len(names):
            raise self._error("two of its sources are one table, or are called alike.", "Name each once.")
        return self

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002  Dagster gives it
        """What Dagster loads of a component."""
        return self.definitions()

    def definitions(self) -> dg.Definitions:
        """The asset."""
        return dg.Definitions(assets=[self.asset()])

    def asset(self) -> dg.AssetsDefinition:
        """The asset that publishes the table."""
        contract = self.contract
        if self.most_disagreeing is not None:
            contract = dataclasses.replace(
                contract,
                judged={**contract.judged, AGREE_CHECK: _AGREE},
                judged_warnings=contract.judged_warnings | {AGREE_CHECK},
            )
        reads = self._reads()

        def combine(**given: Any) -> dg.MaterializeResult[ir.Table]:  # noqa: ANN401  what its signature says
            return self._combined(**given)

        vars(combine)["__signature__"] = inspect.Signature(
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=ir.Table)
                for name in (*reads, "partition", "versions")
            ]
        )
        made: dg.AssetsDefinition = asset(
            contract=contract,
            ins=reads,
            code_version=self.code_version(),
            kinds={"combined"},
            automation_condition=self._follows() if self.automated else None,
        )(combine)
        return made

    def _reads(self) -> dict[str, In]:
        """The tables as inputs, called by their order: a key may give a name that no parameter can have."""
        return {f"source_{number}": part.read(self.contract) for number, part in enumerate(self.parts, 1)}

    def code_version(self) -> str:
        """Version of what is made of the tables: the code's own, and the declaration."""
        parts = [(part.called, part.columns, part.without) for part in self.parts]
        said = repr((parts, self._key, self.fill, self.origin))
        return f"combined-{_VERSION}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"

    def _follows(self) -> dg.AutomationCondition[Any]:
        needed = [part.key for part in self.parts if not part.optional]
        condition = dg.AutomationCondition
        missing = condition.any_deps_match(condition.missing()).allow(dg.AssetSelection.assets(*needed))
        return on_new_data() & ~missing if needed else on_new_data()

    def _combined(
        self, *, partition: Partition, versions: Mapping[str, Mapping[str, str]], **tables: ir.Table
    ) -> dg.MaterializeResult[ir.Table]:
        self._require_there(partition, versions)
        job = dg.AssetExecutionContext.get().job_def
        reads = {name: read.contract for name, read in resolved_in(job, self._reads(), self._name).items()}
        telling = not any(each.personal for each in (self.contract, *reads.values()))
        parts = [
            ranked(
                part,
                tables[name],
                self.contract,
                partition,
                key=self._key,
                personal=read.personal,
                filled_in={self.origin} if self.origin else (),
                whole="" in versions[name],
                telling=telling,
            )
            for part, (name, read) in zip(self.parts, reads.items(), strict=True)
        ]
        rows, account = combined(parts, self.contract, self._key, fill=self.fill, origin=self.origin, telling=telling)
        return dg.MaterializeResult(
            value=rows, metadata=_told(account, fill=self.fill), check_results=self._judged(account)
        )

    def _require_there(self, partition: Partition, versions: Mapping[str, Mapping[str, str]]) -> None:
        """Refuse to make a partition of nothing, or without a table that must be there.

        Raises:
            MissingInputError: a table that is not optional has nothing of the partition, or none of them has.
        """
        missing = [part for part, name in zip(self.parts, self._reads(), strict=True) if not versions[name]]
        needed = [part for part in missing if not part.optional]
        if needed or len(missing) == len(self.parts):
            named = ", ".join(part.key.to_user_string() for part in needed or missing)
            which = f" of partition {partition.key}" if partition.key is not None else ""
            raise MissingInputError(
                source=self._name,
                culprit=f"nothing{which} is published in {named}.",
                remedy="Materialize it first, or declare it optional. Are both tables partitioned alike?",
            )

    def _judged(self, account: Account) -> list[dg.AssetCheckResult] | None:
        if self.most_disagreeing is None:
            return None
        share = account.disagreeing / account.several if account.several else 0.0
        return [
            dg.AssetCheckResult(
                passed=share <= self.most_disagreeing,
                check_name=AGREE_CHECK,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"The sources disagree on {account.disagreeing:,} of {account.several:,} keys that several "
                f"of them have ({share:.2%}, at most {self.most_disagreeing:.2%} are expected).",
            )
        ]

    def _error(self, culprit: str, remedy: str) -> ContractError:
        return ContractError(source=self._name, culprit=culprit, remedy=remedy)


def _told(account: Account, *, fill: bool) -> dict[str, Any]:
    """What the materialization says of the sources."""
    told: dict[str, Any] = {
        "rows_by_source": dict(account.taken),
        "rows_in_source": dict(account.given),
        "keys_in_several_sources": account.several,
        "keys_disagreeing": account.disagreeing,
    }
    if account.columns:
        told["keys_disagreeing_by_column"] = dict(account.columns)
    if account.example is not None:
        told["first_key_disagreeing"] = account.example
    return told | ({"rows_filled": account.filled} if fill else {})
