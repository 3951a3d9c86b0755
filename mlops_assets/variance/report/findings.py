"""Findings: what a page tells, as plain values without a look.

Put here the form in which rows of any origin reach a page. Keep out sentences, charts and files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.variance.linked.ways import PARTS
from mlops_assets.variance.report.words import Words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REJECTED: Final = "rejected"


@dataclass(frozen=True, kw_only=True)
class Happening:
    """A named event.

    Attributes:
        group: whom it happened to.
        time: when, as written in the data.
        day: where it lies on the time axis, if not at ``time``.
        cause: what kind of thing happened.
        name: what happened, if more is known than the cause.
        units: those concerned, separated by commas; ``all`` for every one.
        evidence: why it is believed.
        probability: of the cause, 0 to 1.
        size: how large it is, in words.
        judgement: what somebody said of it.
        key: its id.
        same_as: the id of the event that it repeats.
    """

    group: str
    time: str
    cause: str
    day: str = ""
    name: str = ""
    units: str = ""
    evidence: str = ""
    probability: float = 1.0
    size: str = ""
    judgement: str = ""
    key: str = ""
    same_as: str = ""

    @property
    def place(self) -> str:
        """Where it lies on the time axis."""
        return self.day or self.time

    @property
    def stands(self) -> bool:
        """Whether it is an event of its own that nobody rejected."""
        return self.judgement != _REJECTED and not self.same_as


@dataclass(frozen=True, kw_only=True)
class Split:
    """The change of one count; counts are ``None`` where withheld."""

    unit: str
    attribute: str
    category: str
    before: float | None
    parts: Mapping[str, float | None]
    after: float | None

    @classmethod
    def of(cls, row: Mapping[str, Any], *, unit: str = "unit") -> Split:
        """A row of a split as a page tells it.

        Args:
            row: with ``attribute``, ``category``, ``before``, the parts and ``after``.
            unit: the column of the unit.
        """
        plain = {name: row[name] for name in ("attribute", "category", "before", "after")}
        return cls(unit=row[unit], parts={part: row[part] for part in PARTS}, **plain)

    @property
    def known(self) -> bool:
        """Whether the counts are there."""
        return self.before is not None and self.after is not None

    @property
    def moved(self) -> float:
        """How much happened in all, up and down."""
        return sum(abs(part or 0) for part in self.parts.values())


@dataclass(frozen=True, kw_only=True)
class Track:
    """Values of one unit over time.

    Attributes:
        group: what the unit belongs to.
        unit: its label.
        times: as written in the data, in order.
        values: one for each; NaN where missing.
        cuts: times at which the unit's series ends and a new one begins.
    """

    group: str
    unit: str
    times: Sequence[str]
    values: Sequence[float]
    cuts: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two snapshots of linked records, compared.

    Attributes:
        title: of the page.
        before: what the earlier snapshot is called.
        after: what the later one is called.
        splits: the change of every count.
        happenings: what happened between them.
        flows: old unit, new unit and entities at an unchanged address; empty where no boundary changed.
        notes: paragraphs that close the page.
        words: what things are called.
    """

    title: str
    before: str
    after: str
    splits: Sequence[Split]
    happenings: Sequence[Happening] = ()
    flows: Sequence[tuple[str, str, int]] = ()
    notes: Sequence[str] = ()
    words: Words = field(default_factory=Words)


@dataclass(frozen=True, kw_only=True)
class History:
    """Events over time.

    Attributes:
        title: of the page.
        happenings: what happened.
        times: all times that were compared, in order; those of events and tracks need not be among them.
        tracks: values of units over time, to show where they are cut.
        measure: what the values are.
        share: whether they are shares of one.
        notes: paragraphs that close the page.
        words: what things are called.
    """

    title: str
    happenings: Sequence[Happening]
    times: Sequence[str] = ()
    tracks: Sequence[Track] = ()
    measure: str = ""
    share: bool = False
    notes: Sequence[str] = ()
    words: Words = field(default_factory=Words)
