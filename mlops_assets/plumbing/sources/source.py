"""The base of every kind of source: what each declares, and the asset, schedule and retries that come of it.

Put here what holds for all kinds. Keep out how one of them is asked (that is its module).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

import dagster as dg
from pydantic import InstanceOf, model_validator

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.assets.failures import told_plainly
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import ContractError, SourceError
from mlops_assets.plumbing.sources.extraction import LAYOUT_CHECK, extracted
from mlops_assets.plumbing.sources.scaffold import SourceScaffolder
from mlops_assets.plumbing.sources.templates import time_dimension
from mlops_assets.plumbing.sources.text_forms import require_forms
from mlops_assets.plumbing.sources.variants import Texts, above, at_least

if TYPE_CHECKING:
    from mlops_assets.platform.assets.step import Partition
    from mlops_assets.platform.lake.ledger import Delivery
    from mlops_assets.platform.lake.session import LakeSession
    from mlops_assets.plumbing.sources.delivered import Delivered, Request
    from mlops_assets.plumbing.sources.increments import Since

Due = Callable[[dt.datetime], Sequence[str]]

_LAYOUT: Final = "Has the source gained or lost columns?"


def _contract(context: dg.ResolutionContext, value: Any) -> Contract:  # noqa: ANN401  of a YAML document
    found = context.resolve_value(value)
    return found if isinstance(found, Contract) else contract_named(str(found))


def contract_named(name: str) -> Contract:
    """The contract that a dotted name leads to, such as ``shop.contracts.ORDERS``.

    Raises:
        ContractError: there is no such module, or no contract of that name in it.
    """
    module, _, attribute = name.rpartition(".")
    remedy = "Write package.module.NAME of an ma.Contract, as it would be imported."
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ContractError(source=f"Contract {name}", culprit=f"it is not there ({error}).", remedy=remedy) from None
    if not isinstance(found, Contract):
        raise ContractError(
            source=f"Contract {name}", culprit=f"this is {type(found).__name__}, not a contract.", remedy=remedy
        )
    return found


ContractField = Annotated[
    InstanceOf[Contract],
    dg.Resolver(
        _contract,
        model_field_type=str,
        description="The table: dotted name of an ma.Contract.",
        examples=["shop.contracts.ORDERS"],
    ),
]


@dg.scaffold_with(SourceScaffolder)
class Source(dg.Component, dg.Model, dg.Resolvable, ABC):
    """What every kind of source declares.

    Attributes:
        contract: the table that the source fills. In YAML the dotted name of it.
        columns: for columns of the contract that the source calls otherwise, its name: ``{customer_id: CustomerNo}``.
        formats: how text is written where it is not ISO 8601, ``true/false`` or ``1234.56``:
            ``{ordered: "%d/%m/%Y"}``, ``{paid: yes/no}``, ``{price: "1.234,56"}``.
        evolve: let the source gain columns, and lose those that may be null, with a warning (check ``layout``) instead
            of an error.
        snapshot: what it gives is its present state, whichever partition is asked for. Without, a REST or SQL source
            that names the partition nowhere is refused: each would get the same rows.
        cron: when the source is asked: for the last whole partition of time, or for the table where it has none. A run
            that finds nothing fails, so that somebody is told that it is late.
        timezone: of ``cron``.
        due: which partitions are asked for at a time of ``cron``, where partitions are not of time (Python only).
        pool: Dagster's pool, which limits how many runs ask at once.
        retries: how often a run tries again within itself where the source was away; waits double.
        retry_seconds: the first wait.
        at_once: how many partitions of one run are asked for at a time.
        keep: whether what came is kept as it came, so that the table can be made from it again.

    Example:
        >>> import dagster as dg, ibis.expr.datatypes as dt, pandera.ibis as pa
        >>> import mlops_assets as ma
        >>> class Orders(pa.DataFrameModel):
        ...     month: dt.String
        ...     order_id: dt.Int64
        >>> ORDERS = ma.Contract(
        ...     layer="raw",
        ...     table="orders",
        ...     model=Orders,
        ...     lake=ma.Lake("curated"),
        ...     description="What was ordered.",
        ...     owners=["team:sales"],
        ...     partitions_def=dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m"),
        ...     partition_columns={"month": "month"},
        ... )
        >>> class Numbers(ma.Source):
        ...     KIND, VERSION = "numbers", "1"
        ...     many: int
        ...     def read(self, request: ma.Request) -> ma.Delivered:
        ...         rows = request.connection.sql(f"SELECT i AS order_id FROM range({self.many}) t(i)")
        ...         return ma.Delivered(source="Numbers", rows=rows, facts={"counted": self.many})
        >>> numbers = Numbers(contract=ORDERS, many=3, cron="0 6 1 * *")
        >>> dg.materialize([numbers.asset()], partition_key="2024-01").success
        True
    """

    contract: ContractField
    columns: Texts = {}  # noqa: RUF012  pydantic copies it
    formats: Texts = {}  # noqa: RUF012  pydantic copies it
    evolve: bool = False
    snapshot: bool = False
    cron: str | None = None
    timezone: str = "UTC"
    due: Annotated[Due | None, dg.Resolver.default(model_field_type=str | None)] = None
    pool: str | None = None
    retries: Annotated[int, at_least(0)] = 3
    retry_seconds: Annotated[float, above(0)] = 30.0
    at_once: Annotated[int, at_least(1)] = 1
    keep: bool = True

    KIND: ClassVar[str]
    """What Dagster shows as the kind of the asset."""
    VERSION: ClassVar[str]
    """Of the code that reads this kind: raised when the same bytes become other rows."""
    PLACES: ClassVar[frozenset[str]] = frozenset()
    """Options that say where the source is or who asks, not what it gives: another one is not another code version."""

    EXAMPLE: ClassVar[Mapping[str, Any]] = {}
    """Options as ``dg scaffold`` writes them, beside the contract."""

    def names_partition(self) -> bool:
        """Whether what is asked for depends on the partition; kinds that can tell do."""
        return True

    @property
    def name(self) -> str:
        """How messages name the source."""
        return f"Source of {self.contract.key.to_user_string()}"

    @abstractmethod
    def read(self, request: Request) -> Delivered:
        """Ask the source for a partition, whole.

        Raises:
            SourceUnavailableError: it is away, or has nothing yet; trying later may succeed.
            SourceError: what it gives cannot be read whole.
            SettingsError: an address or a secret is not set.
        """

    def reread(self, request: Request, delivery: Delivery) -> Delivered:  # noqa: ARG002  kinds use it
        """The partition from what was put at ``request.raw`` when it was read, without asking the source.

        Args:
            request: as for ``read``; the file at ``request.raw`` is there, and stays as it is.
            delivery: what was said of it then.

        Raises:
            SourceError: it cannot be read whole, or what came is not kept by this kind.
        """
        raise SourceError(
            source=f"{self.name}, delivery {delivery.sha256[:12]}",
            culprit="this kind of source does not read what was kept.",
            remedy="Leave the tag out: the source is asked.",
        )

    @model_validator(mode="after")
    def _require_known_columns(self) -> Self:
        known = columns_of(self.contract)
        for option, given in (("columns", self.columns), ("formats", self.formats)):
            if unknown := [name for name in given if name not in known]:
                raise ContractError(
                    source=self.name,
                    culprit=f"its {option} name {unknown[0]}, which is no column of the contract.",
                    remedy=f"There are {', '.join(known)}.",
                )
        require_forms(self.formats, known, self.name)
        if (watermark := self.watermark()) is not None:
            if not self.keep:
                raise ContractError(
                    source=self.name,
                    culprit="it is asked for changes (since), and nothing is to be kept of what comes.",
                    remedy="Leave keep out: what is kept tells of whom the published rows were asked.",
                )
            watermark.require_mergeable(self.contract, self.name)
        if self.due is not None and self.cron is None:
            raise ContractError(
                source=self.name, culprit="it says what is due, and no time to ask.", remedy="Give cron as well."
            )
        if (
            self.cron is not None
            and self.due is None
            and self.contract.partitions_def is not None
            and time_dimension(self.contract) is None
        ):
            raise ContractError(
                source=self.name,
                culprit="it has a cron, and partitions that are not of time: what is due then?",
                remedy="Give due=, a function from the time of the schedule to partition keys.",
            )
        return self

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002  Dagster gives it
        """What Dagster loads of a component."""
        return self.definitions()

    def definitions(self) -> dg.Definitions:
        """The asset with its schedule and sensors."""
        return dg.Definitions(assets=[self.asset()], schedules=self.schedules(), sensors=self.sensors())

    def asset(self) -> dg.AssetsDefinition:
        """The asset that publishes the source's partitions.

        Raises:
            ContractError: each partition would get the same rows.
        """
        if self.contract.partitions_def is not None and not self.snapshot and not self.names_partition():
            raise ContractError(
                source=self.name,
                culprit="nothing in it names the partition that is asked for, so each would get the same rows.",
                remedy="Name it ({partition}, :partition), or declare snapshot: true, and load no older ones by it.",
            )
        contract = self.contract
        if self.evolve:
            contract = dataclasses.replace(
                contract,
                judged={**contract.judged, LAYOUT_CHECK: _LAYOUT},
                judged_warnings=contract.judged_warnings | {LAYOUT_CHECK},
            )

        @asset(
            contract=contract,
            code_version=self.code_version(),
            kinds={self.KIND},
            pool=self.pool,
            partitions_at_once=self.at_once,
            retry_policy=dg.RetryPolicy(
                max_retries=self.retries,
                delay=self.retry_seconds,
                backoff=dg.Backoff.EXPONENTIAL,
                jitter=dg.Jitter.PLUS_MINUS,
            )
            if self.retries
            else None,
        )
        def extract(
            partition: Partition, session: LakeSession, run_tags: Mapping[str, str]
        ) -> dg.MaterializeResult[Any]:
            return extracted(self, partition, session, run_tags)

        return extract

    def code_version(self) -> str:
        """Version of what the source gives: the kind's own, and the declaration without places and times."""
        about = {*type(self).model_fields} - {*Source.model_fields} - self.PLACES | {"columns", "formats", "evolve"}
        said = {name: getattr(self, name) for name in sorted(about)}
        return f"{self.KIND}-{self.VERSION}-{hashlib.sha256(repr(said).encode()).hexdigest()[:12]}"

    def origin(self) -> str:
        """Where it is asked now, with its variables filled in and without secrets: another one holds other rows.

        Raises:
            SettingsError: a variable is not set.
        """
        return ""

    def watermark(self) -> Since | None:
        """By what it is asked for changes alone; kinds that can be asked so declare it."""
        return None

    def sensors(self) -> list[dg.SensorDefinition]:
        """Those that ask for runs when something arrives; none for most kinds."""
        return []

    def schedules(self) -> list[dg.ScheduleDefinition]:
        """The schedule that ``cron`` declares."""
        if self.cron is None:
            return []
        table = f"{self.contract.layer}_{self.contract.table}"
        source = self

        @dg.schedule(
            name=f"{table}_due",
            cron_schedule=self.cron,
            execution_timezone=self.timezone,
            target=dg.AssetSelection.assets(self.contract.key),
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Asks the source of {self.contract.key.to_user_string()} for what is due.",
        )
        @told_plainly(f"Schedule {table}_due")
        def due(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
            moment = context.scheduled_execution_time
            keys = source.wanted(context.instance, source.keys_due(moment, context.instance))
            # What is due depends on the scheduled time alone: a tick that was missed asks for the same.
            requests = [dg.RunRequest(run_key=f"{key}:{moment.isoformat()}", partition_key=key) for key in keys]
            return requests or dg.SkipReason(f"Nothing is due on {moment:%Y-%m-%d}.")

        return [due]

    def wanted(self, instance: dg.DagsterInstance, keys: Sequence[str | None]) -> Sequence[str | None]:  # noqa: ARG002
        """Of the partitions that are due, those to ask for: all, unless a kind knows better."""
        return keys

    def keys_due(self, moment: dt.datetime, instance: dg.DagsterInstance | None = None) -> Sequence[str | None]:
        """The partitions that are due at a time of ``cron``; ``None`` for a table without partitions.

        Args:
            moment: the time.
            instance: knows partitions that are added as it goes.

        Raises:
            ContractError: ``due`` gives something else than partition keys.
        """
        if self.due is not None:
            keys = self.due(moment)
            if isinstance(keys, str):
                raise ContractError(
                    source=self.name, culprit="its due gives a text.", remedy="Let it give a list of keys."
                )
            for key in keys:
                self.contract.partition_values(key)
            return keys
        if self.contract.partitions_def is None:
            return [None]
        return next(self.ended(moment, instance), [])

    def ended(self, moment: dt.datetime, instance: dg.DagsterInstance | None = None) -> Iterator[list[str]]:
        """The partitions of each time that has ended by then, the latest first; none where they are not of time.

        Args:
            moment: the time.
            instance: knows partitions that are added as it goes.
        """
        definition, found = self.contract.partitions_def, time_dimension(self.contract)
        if definition is None or found is None:
            return
        name, of_time = found
        ended = (
            key
            for key in reversed(of_time.get_partition_keys(current_time=moment))
            if of_time.end_time_for_partition_key(key) <= moment
        )
        if name is None:
            yield from ([key] for key in ended)
            return
        column = self.contract.partition_columns[name]
        every = definition.get_partition_keys(current_time=moment, dynamic_partitions_store=instance)
        by_time: dict[str, list[str]] = {}
        for key in every:
            by_time.setdefault(self.contract.partition_values(key)[column], []).append(key)
        yield from (by_time.get(key, []) for key in ended)
