"""Comparisons as declared: which table, what its columns mean, and the assets that follow from that.

Put here the declaration and its assets. Keep out how rows are made (``linked``, ``panels``, ``named``).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final

import dagster as dg
import ibis
import ibis.expr.types as ir

from mlops_assets.platform.assets.inputs import as_key, contract_of
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import LakeField
from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.identifiers import is_identifier
from mlops_assets.variance.linked.snapshots import ALL, Layout
from mlops_assets.variance.report.words import Words
from mlops_assets.wrangling.comparisons.assets import drift_assets, linked_assets, panel_assets
from mlops_assets.wrangling.comparisons.gate import Gate
from mlops_assets.wrangling.comparisons.linked import Pair
from mlops_assets.wrangling.comparisons.panels import Measured
from mlops_assets.wrangling.comparisons.partitions import Timeline
from mlops_assets.wrangling.comparisons.reports import history_report, partition_report
from mlops_assets.wrangling.comparisons.tables import Tables, verdicts_beside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from mlops_assets.platform.contracts.lake import Lake

    Versions = Mapping[str, Mapping[str, str]]

_HOURLY: Final = "0 * * * *"
_NOTHING: Final = "nothing: no time before is there"


def _imported(context: dg.ResolutionContext, value: Any) -> Any:  # noqa: ANN401  of a YAML document
    """What a dotted name of a YAML document names; anything else as it is."""
    found = context.resolve_value(value)
    if not isinstance(found, str):
        return found
    module, _, name = found.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise ContractError(
            source=f"Comparison, {found}",
            culprit="there is nothing of that name to import.",
            remedy="Write package.module.NAME of a table's asset or contract, or of a function.",
        ) from None


class Compare(dg.Component, dg.Model, dg.Resolvable):
    """What changed in a table from one time to the next, how much, and what it was.

    With ``entity``, each partition is linked to the last one before it and the change of every count by unit and class
    is split exactly by cause; with ``measures``, the partitions are a panel of units by group and what happened to each
    group is detected. Either way there are

    - ``variance/<name>_changes``: the split, or one cause for each group. Two partitions that cannot be laid side by
      side, because identifiers were reissued, a part is missing or addresses were rewritten, are stopped by name;
    - ``variance/<name>_events``: what happened, by name, with its probability and evidence, and what people said of it;
    - ``variance/<name>_verdicts``: what they said, added by ``mlops-assets variance judge``;
    - ``variance/<name>_summaries`` and ``variance/<name>_drift``: how far each column is from the partition before;
    - ``variance/<name>_flows``, of linked entities: where those of each unit went when the map changed.

    ``gate()`` is for what is made from the table: it stops at entry events that the policy blocks.

    Attributes:
        table: the table: its asset, contract or, in ``ma.build_defs``, its key; in YAML the dotted name of asset or
            contract.
        name: begins the names of the comparison's tables; the table's own name when not given.
        lake: where these lie; the lake of the table when not given.
        time: the partition column of time, where there are several; compared within each value of the others.
        unit: the column of the unit whose counts or measures are compared, such as ``territory``.
        entity: the column that identifies an entity, such as a customer's pseudonym, in every partition once.
        address: columns that together say where an entity is: whoever is there still and in another unit was redrawn.
        attributes: columns of an entity's classes as delivered. Or each with the column of the code that it was made
            from, by which a recoding is told from a change; ``None`` where every change of the class is real.
        copies: the column that says how many delivered rows an entity had.
        smallest: counts of fewer entities are withheld.
        group: the column of what units belong to, such as a state; without one all belong together.
        measures: columns of numbers, of each unit at each time.
        cases: the column with the number of cases behind a row, for measures that are shares or means.
        occupant: a column whose value should stay in its unit, such as a shop's manager.
        prepare: a function that makes the rows to compare of those of the table, such as one that pivots them.
        fewest: how many times must be known before a panel is judged.
        history: how many earlier times show what is ordinary in a panel.
        back: how far back an earlier partition is looked for, in partitions; of a panel one.
        probable: less probable causes become no events.
        called: what one entity is called, such as customer; ``person,people`` where the plural is not a regular one.
        unit_called: likewise of a unit, where not as its column.
        group_called: likewise of a group.
        title: of its reports; made of the name when not given.
        reports: whether pages are made: ``reports/<name>`` of each partition of linked entities, and
            ``reports/<name>_history`` of all events.
        drift: columns whose distribution is compared; those that are named above when not given.
        owners: whom it concerns; those of the table when not given.

    Example:
        >>> import dagster as dg, ibis.expr.datatypes as dt, pandera.ibis as pa
        >>> import mlops_assets as ma
        >>> customers = ma.Contract(
        ...     layer="wrangled",
        ...     table="customers",
        ...     model=pa.DataFrameSchema(
        ...         {name: pa.Column(dt.String) for name in ("month", "customer", "territory", "place", "segment")}
        ...     ),
        ...     lake=ma.Lake("curated"),
        ...     description="Customers by month.",
        ...     owners=["team:sales"],
        ...     partitions_def=dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m"),
        ...     partition_columns={"month": "month"},
        ... )
        >>> compared = ma.Compare(
        ...     table=customers,
        ...     entity="customer",
        ...     unit="territory",
        ...     address=["place"],
        ...     attributes=["segment"],
        ...     called="customer",
        ... )
        >>> [each.key.to_user_string() for each in compared.assets()]
        ['variance/customers_changes', 'variance/customers_events', 'variance/customers_flows']
        >>> [each.key.to_user_string() for each in compared.drift_assets()]
        ['variance/customers_summaries', 'variance/customers_drift']
        >>> [each.key.to_user_string() for each in compared.pages()]
        ['reports/customers_history', 'reports/customers']
    """

    table: Annotated[Any, dg.Resolver(_imported, model_field_type=str)]
    name: str = ""
    lake: LakeField | None = None
    time: str | None = None
    unit: str
    entity: str | None = None
    address: list[str] = []  # noqa: RUF012  pydantic copies it
    attributes: list[str] | dict[str, str | None] = []  # noqa: RUF012  see above
    copies: str | None = None
    smallest: int = 1
    group: str | None = None
    measures: list[str] = []  # noqa: RUF012  see above
    cases: str | None = None
    occupant: str | None = None
    prepare: Annotated[Callable[[ir.Table], ir.Table] | None, dg.Resolver(_imported, model_field_type=str)] = None
    fewest: int = 3
    history: int = 12
    back: int = 3
    probable: float = 0.5
    called: str = ""
    unit_called: str = ""
    group_called: str = ""
    title: str = ""
    reports: bool = True
    drift: list[str] | None = None
    owners: list[str] = []  # noqa: RUF012  see above

    def model_post_init(self, _: object) -> None:
        """Refuse what contradicts itself whatever the table is.

        Raises:
            ContractError: it is both kinds of comparison or neither, lacks what its kind needs, or a number is too low.
        """
        linked, panel = self.entity is not None, bool(self.measures)
        if linked == panel:
            raise self._refused(
                "it names both entity and measures" if linked else "it names neither entity nor measures",
                "Give entity= to link what can be followed, or measures= to compare units.",
            )
        if linked and not self.address:
            raise self._refused(
                "it names no address, without which who moved cannot be told from what was redrawn",
                "Give address=[...], such as a pseudonym of street and town.",
            )
        own = {
            "entity": ("address", "attributes", "copies"),
            "measures": ("group", "cases", "occupant"),
        }
        for other in own["measures" if linked else "entity"]:
            if getattr(self, other):
                raise self._refused(
                    f"{other} says nothing of {'linked entities' if linked else 'a panel'}", f"Leave {other} out."
                )
        if ALL in self.classes:
            raise self._refused(f"an attribute is called {ALL}, which stands for all entities", "Rename the column.")
        for number, least in {"smallest": 1, "fewest": 2, "history": 1, "back": 1}.items():
            if getattr(self, number) < least:
                raise self._refused(f"{number} is {getattr(self, number)}", f"Give at least {least}.")
        if not self.title:
            self.title = f"What changed in {self.begins.replace('_', ' ')}"
        if not is_identifier(self.begins):
            raise self._refused(
                f"its name is {self.begins!r}", "Give name=, of lower-case letters, digits and underscores."
            )

    @property
    def begins(self) -> str:
        """What the names of its tables begin with."""
        return self.name or as_key(self.table).path[-1]

    @property
    def classes(self) -> dict[str, str | None]:
        """Each attribute with the column of its code, if recodings are looked for."""
        given = self.attributes
        return given if isinstance(given, dict) else dict(zip(given, given, strict=True))

    @property
    def contract(self) -> Contract:
        """The table that is compared.

        Raises:
            ContractError: the declaration names its key alone, and it was not looked up.
        """
        found = self.table if isinstance(self.table, Contract) else contract_of(self.table)
        if found is None:
            raise self._refused(
                "of the table it knows the key alone",
                "Give its asset or contract, or put it and this among the assets of ma.build_defs.",
            )
        return found

    def located(self, tables: Mapping[dg.AssetKey, Contract]) -> Compare:
        """The same with the contract of its table, looked up among others."""
        if isinstance(self.table, Contract) or contract_of(self.table) is not None:
            return self
        found = tables.get(as_key(self.table))
        if found is None:
            raise self._refused(
                "that is no table of a lake among these definitions",
                f"There are {', '.join(sorted(key.to_user_string() for key in tables)) or 'none'}.",
            )
        return self.model_copy(update={"table": found})

    def definitions(self) -> dg.Definitions:
        """The assets, and the table of verdicts."""
        pages = self.pages() if self.reports else []
        return dg.Definitions(assets=[*self.drift_assets(), *self.assets(), self.verdicts().described_spec(), *pages])

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002  Dagster gives it
        """The same, of a component."""
        return self.definitions()

    def assets(self) -> list[dg.AssetsDefinition]:
        """The assets that find changes and events."""
        self._require_fit()
        return linked_assets(self) if self.entity is not None else panel_assets(self)

    def drift_assets(self) -> list[dg.AssetsDefinition]:
        """The assets that summarise each partition, and compare each with the one before it."""
        self._require_fit()
        return drift_assets(self)

    @property
    def drifting(self) -> list[str]:
        """The columns whose distribution is compared."""
        if self.drift is not None:
            return self.drift
        codes = [code for code in self.classes.values() if code]
        given = [self.unit, self.group, *self.classes, *codes, *self.measures, self.cases]
        return list(dict.fromkeys(name for name in given if name))

    def pages(self) -> list[dg.AssetsDefinition]:
        """The assets that write reports."""
        return [history_report(self), *([partition_report(self)] if self.entity is not None else [])]

    def tables(self) -> list[Contract]:
        """The tables that its assets make."""
        return [contract for kind, contract in self._contracts.items() if kind != "verdicts"]

    def changes(self) -> Contract:
        """The table ``variance/<name>_changes``."""
        return self._contracts["changes"]

    def summaries(self) -> Contract:
        """The table ``variance/<name>_summaries``."""
        return self._contracts["summaries"]

    def drifts(self) -> Contract:
        """The table ``variance/<name>_drift``."""
        return self._contracts["drift"]

    def events(self) -> Contract:
        """The table ``variance/<name>_events``."""
        return self._contracts["events"]

    def flows(self) -> Contract:
        """The table ``variance/<name>_flows``, of linked entities."""
        return self._contracts["flows"]

    def verdicts(self) -> Contract:
        """The table ``variance/<name>_verdicts``."""
        return self._contracts["verdicts"]

    def gate(self) -> Gate:
        """What stops assets that are made from the table at entry events, see `Gate`."""
        return Gate(self.events(), None if self.entity is not None else self.group_column)

    @property
    def words(self) -> Words:
        """What things are called."""
        return Words.called(
            entity=self.called, unit=self.unit_called or self.unit, group=self.group_called or self.group or ""
        )

    def group_of(self, event: Mapping[str, str]) -> str:
        """Whom an event happened to: the values of the group's column, or of the other partition columns."""
        columns = self.timeline.others if self.entity is not None else [self.group_column]
        return " ".join(event[column] for column in columns if event[column] != ALL)

    def series(self, rows: ir.Table) -> ir.Table:
        """A value of every unit over time: group, unit, time and value.

        Args:
            rows: of linked entities those of ``changes``, else those of the table.
        """
        time = self.timeline.column
        if self.entity is not None:
            groups = [rows[column] for column in self.timeline.others]
            group = ibis.literal(" ").join(groups) if groups else ibis.literal("")
            everybody = rows.mutate(group=group).filter(rows.attribute == ALL)
            sides = (everybody[time], everybody.after), (everybody.compared_with, everybody.before)
            # What was before is what was after at the time before, but for the first.
            known = [
                everybody.select("group", unit=self.unit, time=at, value=count.cast("float64")) for at, count in sides
            ]
            return ibis.union(*known).group_by("group", "unit", "time").agg(value=ibis._.value.max())
        found = self.prepared(rows)
        return found.select(
            group=ibis.literal("") if self.group is None else found[self.group].cast("string"),
            unit=found[self.unit].cast("string"),
            time=time,
            value=found[self.measures[0]].cast("float64"),
        )

    @property
    def timeline(self) -> Timeline:
        """The partitions of the table in the order of time."""
        return Timeline.of(self.contract, self.time)

    @property
    def layout(self) -> Layout:
        """What the columns of linked entities mean."""
        return Layout(
            entity=str(self.entity),
            unit=self.unit,
            address=tuple(self.address),
            attributes=self.classes,
            copies=self.copies,
            plural=self.words.units,
        )

    @property
    def group_column(self) -> str:
        """The column of the group in what is told of a panel."""
        return self.group or "group"

    @cached_property
    def _contracts(self) -> dict[str, Contract]:
        """The contracts of its tables, each made once: whoever reads a table means that of whoever makes it."""
        contract = self.contract
        tables = Tables(
            name=self.begins,
            timeline=self.timeline,
            lake=self._lake,
            owners=self.owners or list(contract.owners),
            of=contract.key.to_user_string(),
        )
        found = {"summaries": tables.summaries(), "drift": tables.drift()}
        if self.entity is None:
            found |= {
                "changes": tables.detected_changes(self.group_column),
                "events": tables.events(self.group_column),
            }
        else:
            found |= {
                "changes": tables.linked_changes(self.unit, self.smallest),
                "events": tables.events(None),
                "flows": tables.flows(self.unit, self.smallest),
            }
        return {**found, "verdicts": verdicts_beside(found["events"])}

    @property
    def _lake(self) -> Lake:
        lake = self.lake or self.contract.lake
        if lake.personal:
            raise self._refused(
                f"lake {lake} is for personal data, and what is told of changes is for everybody",
                "Compare a wrangled table with pseudonyms, or give lake=.",
            )
        return lake

    def pair(self, rows: ir.Table, partition: Mapping[str, str], before: str | None) -> Pair:
        """A partition of linked entities beside the one before it.

        Args:
            rows: of both.
            partition: the value of each partition column of the own one.
            before: the time of the earlier one; ``None`` where there is none.
        """
        column = self.timeline.column
        return Pair(
            rows=self.prepared(rows),
            column=column,
            before=before,
            now=partition[column],
            partition=partition,
            layout=self.layout,
        )

    def panel_changes(self, rows: ir.Table, partition: Mapping[str, str], times: Sequence[str]) -> pa.Table:
        """What happened to each group of a panel since the time before.

        Args:
            rows: of the own time and earlier ones.
            partition: the value of each partition column of the own one.
            times: those that are known, in any order; without the own one there are no rows.
        """
        prepared, group = self.prepared(rows), self.group_column
        known = prepared.mutate(**{group: ibis.literal(ALL)}) if self.group is None else prepared
        ordered = self.timeline.sorted(times) if partition[self.timeline.column] in times else []
        return self._measured().changes(known, ordered, partition)

    def prepared(self, rows: ir.Table) -> ir.Table:
        """The rows to compare, of those of the table."""
        return rows if self.prepare is None else self.prepare(rows)

    def _measured(self) -> Measured:
        # Imported where it is needed: a code location need not wait for it.
        from mlops_assets.variance.panel.panels import Columns  # noqa: PLC0415

        return Measured(
            columns=Columns(
                unit=self.unit,
                group=self.group_column,
                time=self.timeline.column,
                measures=tuple(self.measures),
                weight=self.cases,
                entity=self.occupant,
            ),
            fewest=self.fewest,
        )

    def _require_fit(self) -> None:
        contract, timeline = self.contract, self.timeline
        if self.measures and timeline.others:
            raise self._refused(
                f"a panel is of all groups at a time, and the table is partitioned by {timeline.others[0]} too",
                "Compare a table that is partitioned by time alone.",
            )
        classes = self.classes
        named = {
            "unit": [self.unit],
            "entity": [self.entity] if self.entity else [],
            "address": self.address,
            "attributes": [*classes, *(code for code in classes.values() if code)],
            "copies": [self.copies] if self.copies else [],
            "group": [self.group] if self.group else [],
            "measures": self.measures,
            "cases": [self.cases] if self.cases else [],
            "occupant": [self.occupant] if self.occupant else [],
        }
        if self.prepare is not None:
            return
        there = columns_of(contract)
        for option, names in named.items():
            for column in names:
                if column not in there:
                    raise self._refused(
                        f"its {option} names {column}, which is no column", f"There are {', '.join(there)}."
                    )
        for column in self.measures + ([self.cases] if self.cases else []):
            if not there[column].is_numeric():
                raise self._refused(f"column {column} is {there[column]}, no number", "Name columns of numbers.")

    def _refused(self, culprit: str, remedy: str) -> ContractError:
        return ContractError(
            source=f"Comparison of {as_key(self.table).to_user_string()}", culprit=f"{culprit}.", remedy=remedy
        )
