"""Contracts of the tables of a comparison, each with the columns that its declaration names.

Put here columns and rules. Keep out how rows are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ibis
import ibis.expr.datatypes as dt
import pandera.ibis as pa

from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.volume import ANY_VOLUME, Volume
from mlops_assets.wrangling.comparisons import health

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import ibis.expr.types as ir

    from mlops_assets.platform.contracts.lake import Lake
    from mlops_assets.wrangling.comparisons.partitions import Timeline

LAYER: Final = "variance"
PARTS: Final = ("boundary", "renumbering", "movers", "joiners", "leavers", "attributes", "entry")
"""Parts of a change between two linked partitions; together they are the whole change."""
CAUSES: Final = ("boundary", "renumbering", "units", "entry", "population", "unknown")
"""Causes of events."""
MAP_CAUSES: Final = ("boundary", "renumbering")
"""Those after which a unit is not what it was: series of it end."""
KINDS: Final = ("redrawn", "renumbered", "recoded", "reclassed", "repeated", "joiners", "leavers", "detected")
"""What happened; ``recoded`` values kept their class, ``reclassed`` ones did not, ``detected`` was found in panels."""
VERDICT: Final = ("confirm", "reject", "annotate")
"""What a person can say of an event; an annotation leaves open whether it happened."""
OPEN: Final = "open"
CONFIRMED: Final = "confirmed"
REJECTED: Final = "rejected"
JUDGED_AS: Final[Mapping[str, str]] = {"confirm": CONFIRMED, "reject": REJECTED}
"""The judgement that a verdict makes; the latest one stands."""
LONGEST_NAME: Final = 60
LONGEST_NOTE: Final = 500
EVENTS: Final = "mlops_assets/events"
"""The tag of a table of events."""
DRIFT: Final = ("none", "small", "moderate", "strong", "unknown")
"""How much a column moved, see ``variance.drift.comparison``."""
_HEALTH: Final[Mapping[str, Any]] = {"judged": health.CHECKS, "judged_warnings": frozenset({health.WARNS})}
"""Of tables that lay linked partitions side by side."""
_DRIFT_FIGURES: Final = (
    "missing_before", "missing_after", "psi", "jensen_shannon", "chi_square", "degrees_of_freedom", "cramers_v", "ks",
    "ks_bound", "wasserstein", "wasserstein_bound", "wasserstein_scaled", "mean_before", "mean_after", "auc",
    "auc_error",
)  # fmt: skip
_DRIFT_CHANCES: Final = ("p_value", "q_value")
_ID: Final = r"^[0-9a-f]{12}$"


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What the tables of one comparison have in common.

    Attributes:
        name: begins their names.
        timeline: of the table that is compared, whose partitions they have.
        lake: where they lie.
        owners: whom they concern.
        of: what is compared, for descriptions.
    """

    name: str
    timeline: Timeline
    lake: Lake
    owners: Sequence[str]
    of: str

    def linked_changes(self, unit: str, smallest: int) -> Contract:
        """How much each count of entities by unit and class changed, split exactly by cause."""
        counts = {name: _number(f"Part of the change by {name}.") for name in PARTS}
        return self._table(
            "changes",
            {
                "compared_with": _text("The time before; empty where there is none."),
                unit: _text("The unit."),
                "attribute": _text("Which attribute is counted; all counts every entity."),
                "category": _text("Its class."),
                "before": _number("Entities before.", pa.Check.ge(0)),
                **counts,
                "after": _number("Entities after.", pa.Check.ge(0)),
                "suppressed": pa.Column(
                    dt.Boolean, nullable=False, description="Whether the counts are withheld, since a cell is small."
                ),
            },
            key=(unit, "attribute", "category"),
            checks=[
                pa.Check(_parts_add_up, name="parts_add_up", error="The parts of a change are the whole of it."),
                pa.Check(
                    lambda data: _no_small_cell(data, smallest),
                    name="no_small_cell",
                    error="A count of few entities is never published.",
                ),
            ],
            description=f"How {self.of} changed since the time before, split exactly by cause.",
            volume=Volume(allow_empty=True),
            **_HEALTH,
        )

    def flows(self, unit: str, smallest: int) -> Contract:
        """Where the entities of each unit are after its map or number changed."""
        return self._table(
            "flows",
            {
                f"{unit}_before": _text("The unit then."),
                f"{unit}_after": _text("The unit now."),
                "entities": pa.Column(
                    dt.Int64, pa.Check.ge(max(smallest, 1)), nullable=False, description="At an unchanged address."
                ),
            },
            key=(f"{unit}_before", f"{unit}_after"),
            description=f"Where the entities of each unit went when the map or its numbers changed: {self.of}.",
            volume=ANY_VOLUME,
            **_HEALTH,
        )

    def detected_changes(self, group: str) -> Contract:
        """What happened to the units of each group since the time before, with its probability."""
        return self._table(
            "changes",
            {
                group: _text("The group."),
                "compared_with": _text("The time before."),
                "groups": pa.Column(dt.Int64, pa.Check.ge(1), nullable=False, description="How many were compared."),
                "cause": _text("What happened; none where nothing did.", pa.Check.isin(["none", *CAUSES])),
                "probability": _share("Of the cause."),
                "magnitude": _measure("In natural logarithms; of a renumbering the share of units."),
                "units": _text("Those concerned, separated by commas; all for the whole group."),
                "evidence": _text("Why."),
            },
            key=(group,),
            description=f"What happened to each {group} since the time before, detected in {self.of}.",
            volume=Volume(allow_empty=True),
        )

    def events(self, group: str | None) -> Contract:
        """Every named event, with what people said of it."""
        return self._table(
            "events",
            {
                **({} if group is None else {group: _text("Whom it happened to.")}),
                "event_id": _text("The same whenever the same is found again.", pa.Check.str_matches(_ID)),
                "compared_with": _text("The last time that does not show it; empty if there is none."),
                "cause": _text("What kind of thing happened.", pa.Check.isin(list(CAUSES))),
                "kind": _text("The same, finer.", pa.Check.isin(list(KINDS))),
                "name": _text("What happened, in a few words."),
                "probability": _share("Of the cause; 1 where single entities were linked."),
                "units": _text("Those concerned, separated by commas; all for every one."),
                "size": _measure("How large, in size_unit."),
                "size_unit": _text("What the size counts."),
                "share": pa.Column(
                    dt.Float64,
                    pa.Check.ge(0),
                    nullable=True,
                    metadata={"decimals": 6},
                    description="Entities concerned as a share of all; empty where none are linked.",
                ),
                "evidence": _text("Why."),
                "judgement": _text("What people said last.", pa.Check.isin([OPEN, CONFIRMED, REJECTED])),
                "judged_by": _text("Who said so."),
                "notes": _text("What was said of it, oldest first, with who said it."),
                "cuts": pa.Column(
                    dt.Boolean,
                    nullable=False,
                    description="Whether series of the units end here: the map or its numbers changed, and nobody "
                    "rejected it.",
                ),
            },
            key=("event_id",),
            checks=[
                pa.Check(
                    lambda data: (data.table.cause != "entry") | (data.table.judgement != OPEN),
                    name="entry_events_are_judged",
                    error="Every entry event was confirmed or rejected by a person.",
                    raise_warning=True,
                )
            ],
            description=f"Events that changed {self.of} since the time before, each with its cause and evidence.",
            volume=ANY_VOLUME,
            tags={EVENTS: ""},
            **({} if group is not None else _HEALTH),
        )

    def summaries(self) -> Contract:
        """What is kept of each partition to compare it with any other, see ``variance.drift.summary_tables``."""
        return self._table(
            "summaries",
            {
                "column": _text("The column."),
                "kind": _text("What it holds.", pa.Check.isin(["number", "category"])),
                "cell": _text("What of it: total, null, nan, below, above, bin, value, bucket or sample."),
                "place": _count("Which one."),
                "level": pa.Column(dt.Int64, pa.Check.in_range(0, 64), nullable=False, description="Of bins."),
                "text": pa.Column(dt.String, nullable=True, description="Its value."),
                "low": pa.Column(dt.Float64, nullable=True, description="Where it begins."),
                "high": pa.Column(dt.Float64, nullable=True, description="Where it ends."),
                "rows": _count("How many rows are in it."),
            },
            key=("column", "cell", "place"),
            description=f"What is kept of each partition of {self.of} to compare it with any other without reading it.",
            # A few more values, and a summary is much longer.
            volume=ANY_VOLUME,
        )

    def drift(self) -> Contract:
        """How far each column of each partition is from the one before it; all in one table, judged together."""
        source = self.timeline.contract
        partitioned = {name: _text("The partition.") for name in source.partition_columns.values()}
        figures = {name: pa.Column(dt.Float64, nullable=True, metadata={"decimals": 6}) for name in _DRIFT_FIGURES}
        chances = {name: pa.Column(dt.Float64, nullable=True, metadata={"decimals": 12}) for name in _DRIFT_CHANCES}
        return Contract(
            layer=LAYER,
            table=f"{self.name}_drift",
            model=pa.DataFrameSchema(
                {
                    **partitioned,
                    "compared_with": _text("The time before."),
                    "column": _text("The column; (all columns) for all together."),
                    "kind": _text("What it holds."),
                    "rows_before": _number("Rows before.", pa.Check.ge(0)),
                    "rows_after": _number("Rows after.", pa.Check.ge(0)),
                    **figures,
                    **chances,
                    "drift": _text("How much it moved.", pa.Check.isin(list(DRIFT))),
                    "largest_change": _text("The value or range whose share of rows changed most, with both shares."),
                    "gone": _text("Values that no row has any more, beyond chance, with how many had them."),
                    "appeared": _text("Values that no row had before, likewise."),
                    "note": _text("What hinders the comparison."),
                },
                unique=[*partitioned, "column"],
                strict=True,
            ),
            lake=self.lake,
            description=f"How far each column of each partition of {self.of} is from the one before it.",
            owners=list(self.owners),
            volume=Volume(allow_empty=True),
        )

    def _table(
        self,
        kind: str,
        columns: Mapping[str, pa.Column],
        *,
        key: Sequence[str],
        description: str,
        checks: Sequence[pa.Check] = (),
        **options: Any,  # noqa: ANN401  of a contract
    ) -> Contract:
        source = self.timeline.contract
        partitioned = {name: _text("The partition.") for name in source.partition_columns.values()}
        return Contract(
            layer=LAYER,
            table=f"{self.name}_{kind}",
            model=pa.DataFrameSchema(
                {**partitioned, **columns}, checks=list(checks), unique=[*partitioned, *key], strict=True
            ),
            lake=self.lake,
            description=description,
            owners=list(self.owners),
            partitions_def=source.partitions_def,
            partition_columns=source.partition_columns,
            **options,
        )


def verdicts_beside(events: Contract) -> Contract:
    """What people said of events, partitioned like these, so that a verdict wakes what its event stops."""
    partitioned = {name: _text("The partition.") for name in events.partition_columns.values()}
    return Contract(
        layer=LAYER,
        table=f"{events.table.removesuffix('_events')}_verdicts",
        model=pa.DataFrameSchema(
            {
                **partitioned,
                "event_id": _text("Of which event.", pa.Check.str_matches(_ID)),
                "number": pa.Column(
                    dt.Int64, pa.Check.ge(1), nullable=False, description="Of this event's verdicts, from 1."
                ),
                "verdict": _text("What was said.", pa.Check.isin(list(VERDICT))),
                "size": _measure("How large the event was that was judged."),
                "by": _text("Who said so.", pa.Check.str_length(1, LONGEST_NAME)),
                "note": _text("Why.", pa.Check.str_length(max_value=LONGEST_NOTE)),
                "at": _text("When, in UTC (ISO 8601)."),
            },
            unique=[*partitioned, "event_id", "number"],
            strict=True,
        ),
        lake=events.lake,
        description=f"What people said of {events.key.to_user_string()}: confirmed, rejected, annotated.",
        owners=list(events.owners),
        partitions_def=events.partitions_def,
        partition_columns=events.partition_columns,
    )


def _text(description: str, check: pa.Check | None = None) -> pa.Column:
    return pa.Column(dt.String, check, nullable=False, description=description)


def _number(description: str, check: pa.Check | None = None) -> pa.Column:
    return pa.Column(dt.Int64, check, nullable=True, description=description)


def _count(description: str) -> pa.Column:
    return pa.Column(dt.Int64, pa.Check.ge(0), nullable=False, description=description)


def _measure(description: str) -> pa.Column:
    return pa.Column(dt.Float64, nullable=False, metadata={"decimals": 6}, description=description)


def _share(description: str) -> pa.Column:
    return pa.Column(
        dt.Float64, pa.Check.in_range(0, 1), nullable=False, metadata={"decimals": 4}, description=description
    )


def _parts_add_up(data: pa.IbisData) -> ir.BooleanValue:
    parts = sum((data.table[cause] for cause in PARTS[1:]), data.table[PARTS[0]])
    whole: ir.BooleanValue = data.table.suppressed | (data.table.before + parts == data.table.after)
    return whole


def _no_small_cell(data: pa.IbisData, smallest: int) -> ir.BooleanValue:
    table = data.table

    def large(count: ir.IntegerColumn) -> ir.BooleanValue:
        return (count == 0) | (count >= smallest)

    withheld = table.before.isnull() & table.after.isnull()
    kept: ir.BooleanValue = ibis.ifelse(table.suppressed, withheld, large(table.before) & large(table.after))
    return kept
