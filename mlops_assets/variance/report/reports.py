"""Reports: one page for a comparison of two snapshots, one for a whole history of events.

Put here what the pages tell, from plain rows. Keep out drawing (``charts``, ``flow_chart``), how pages look (``pages``)
and where rows come from.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mlops_assets.variance.linked.snapshots import ALL
from mlops_assets.variance.linked.ways import PARTS
from mlops_assets.variance.report import charts, pages
from mlops_assets.variance.report.flow_chart import flow_chart
from mlops_assets.variance.report.pages import Section

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from mlops_assets.variance.report.charts import Track

MOST_WATERFALLS: Final = 6
"""Of the changes of a comparison those that changed most are drawn; the table holds all."""

MOST_UNITS: Final = 60
"""Units drawn beside each other; those with the greatest changes, or with events, come first."""

MOST_LABELS: Final = 24
MOST_ROWS: Final = 500
_LONGEST_LABEL: Final = 44
_THUMBNAIL: Final = (4.6, 2.2)
_REJECTED: Final = "rejected"


@dataclass(frozen=True, kw_only=True)
class Happening:
    """A named event as a page tells it.

    Attributes:
        group: whom it happened to.
        time: when, as written in the data.
        position: the same as a number on the time axis.
        cause: what kind of thing happened.
        name: what happened, in a few words.
        units: those concerned, separated by commas.
        evidence: why it is believed.
        probability: of the cause, 0 to 1.
        size: how large, in ``unit_of_size``.
        unit_of_size: what the size counts.
        source: what found it.
        judgement: what a person said of it.
        key: its id.
        same_as: the id of the event that it repeats.
    """

    group: str
    time: str
    position: float
    cause: str
    name: str
    units: str = ""
    evidence: str = ""
    probability: float = 1.0
    size: float = 0.0
    unit_of_size: str = ""
    source: str = ""
    judgement: str = ""
    key: str = ""
    same_as: str = ""

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
    before: int | None
    parts: Mapping[str, int | None]
    after: int | None

    @property
    def known(self) -> bool:
        """Whether the counts are there."""
        return self.before is not None and self.after is not None

    @property
    def moved(self) -> int:
        """How much happened in all, up and down."""
        return sum(abs(part or 0) for part in self.parts.values())


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
    """

    title: str
    before: str
    after: str
    splits: Sequence[Split]
    happenings: Sequence[Happening] = ()
    flows: Sequence[tuple[str, str, int]] = ()


@dataclass(frozen=True, kw_only=True)
class History:
    """Events over time.

    Attributes:
        title: of the page.
        happenings: what happened.
        ticks: places on the time axis with their labels, in order.
        tracks: values of units over time, to show where they are cut.
        measure: what the values are.
        notes: paragraphs that close the page.
    """

    title: str
    happenings: Sequence[Happening]
    ticks: Sequence[tuple[float, str]]
    tracks: Sequence[Track] = ()
    measure: str = ""
    notes: Sequence[str] = field(default_factory=tuple)


def comparison_page(comparison: Comparison) -> str:
    """The page of one comparison."""
    sections = [Section(title="What happened", body=_told(comparison.happenings))]
    totals = [split for split in comparison.splits if split.attribute == ALL and split.known]
    if totals:
        whole = whole_of(totals)
        sections.append(Section(title="The whole, by cause", body=_waterfall(whole, comparison)))
        sections.append(Section(title="Unit by unit", body=_units(totals, comparison)))
    single = [split for split in comparison.splits if split.attribute != ALL and split.known and split.moved]
    largest = sorted(single, key=lambda split: (-split.moved, split.unit, split.attribute, split.category))
    if largest:
        drawn = [_waterfall(split, comparison) for split in largest[:MOST_WATERFALLS]]
        sections.append(Section(title="The largest changes of a class", body=pages.side_by_side(drawn)))
    if comparison.flows:
        sections.append(Section(title="From district to district", body=_flow(comparison)))
    sections.append(Section(title="Every count", body=_every_count(comparison.splits)))
    withheld = sum(not split.known for split in comparison.splits)
    footer = f"{withheld} counts of few persons are withheld." if withheld else ""
    return pages.page(
        title=comparison.title,
        lead=f"{comparison.after} compared with {comparison.before}, entity by entity.",
        sections=sections,
        footer=footer,
    )


def history_page(history: History) -> str:
    """The page of a whole history."""
    standing = [happening for happening in history.happenings if happening.stands]
    sections = [
        Section(
            title="Timeline",
            body=_timeline(history) if history.happenings else pages.paragraph("Nothing beyond the ordinary."),
        )
    ]
    if history.tracks:
        sections.append(Section(title="Series, cut where the map changed", body=_tracks(history)))
    if history.happenings:
        sections.append(Section(title="Every event", body=_every_event(history.happenings)))
    sections += [Section(title="Notes", body="".join(map(pages.paragraph, history.notes)))] if history.notes else []
    counts = Counter(happening.cause for happening in standing)
    told = ", ".join(f"{count} {cause}" for cause, count in sorted(counts.items())) or "none"
    span = f"{history.ticks[0][1]} to {history.ticks[-1][1]}" if history.ticks else "no time"
    return pages.page(title=history.title, lead=f"{span}: {len(standing)} named events ({told}).", sections=sections)


def history_thumbnail(history: History) -> bytes:
    """The timeline as a small PNG."""
    figure = charts.timeline(_marks(history, labels=False), history.ticks)
    figure.set_size_inches(*_THUMBNAIL)
    return charts.png(figure)


def comparison_thumbnail(comparison: Comparison) -> bytes:
    """The waterfall of the whole as a small PNG."""
    totals = [split for split in comparison.splits if split.attribute == ALL and split.known]
    figure = _drawn(whole_of(totals)) if totals else charts.waterfall(0, {}, 0)
    figure.set_size_inches(*_THUMBNAIL)
    return charts.png(figure)


def whole_of(totals: Sequence[Split]) -> Split:
    """All units together."""
    return Split(
        unit="all units",
        attribute=ALL,
        category=ALL,
        before=sum(split.before or 0 for split in totals),
        parts={part: sum(split.parts[part] or 0 for split in totals) for part in PARTS},
        after=sum(split.after or 0 for split in totals),
    )


def _told(happenings: Sequence[Happening]) -> str:
    if not happenings:
        return pages.paragraph(
            "Nothing beyond the ordinary: only moves, arrivals, departures and changes as at other times."
        )
    return _every_event(happenings)


def _drawn(split: Split) -> Figure:
    parts = {part: float(value or 0) for part, value in split.parts.items()}
    return charts.waterfall(float(split.before or 0), parts, float(split.after or 0), title=_name(split))


def _name(split: Split) -> str:
    return split.unit if split.attribute == ALL else f"{split.unit}, {split.attribute} {split.category}"


def _waterfall(split: Split, comparison: Comparison) -> str:
    told = ", ".join(f"{part} {value:+,}" for part, value in split.parts.items() if value) or "no part"
    return pages.figure(
        charts.svg(_drawn(split)),
        alt=f"Waterfall of {_name(split)}: {split.before:,} in {comparison.before}, {told}, "
        f"{split.after:,} in {comparison.after}.",
    )


def _units(totals: Sequence[Split], comparison: Comparison) -> str:
    ranked = sorted(totals, key=lambda split: (-split.moved, split.unit))[:MOST_UNITS]
    drawn = sorted(ranked, key=lambda split: split.unit)
    counts = [
        (
            split.unit,
            float(split.before or 0),
            {part: float(value or 0) for part, value in split.parts.items()},
            float(split.after or 0),
        )
        for split in drawn
    ]
    most = ranked[0]
    legend = pages.key({"before and after": charts.FAINT, **{part: charts.COLOURS[part] for part in PARTS}})
    return legend + pages.figure(
        charts.svg(charts.waterfalls(counts)),
        alt=f"Waterfalls of {len(drawn)} units from {comparison.before} to {comparison.after}; most happened in "
        f"{most.unit}, from {most.before:,} to {most.after:,}.",
        caption="Each unit on its own scale."
        + (f" The {MOST_UNITS} units with the greatest changes of {len(totals)}." if len(totals) > MOST_UNITS else ""),
    )


def _flow(comparison: Comparison) -> str:
    moved = [(before, after, count) for before, after, count in comparison.flows if before != after]
    largest = sorted(moved, key=lambda flow: -flow[2])[:3]
    told = "; ".join(f"{count:,} from {before} to {after}" for before, after, count in largest)
    renumbered = _renumbered(comparison.flows)
    chart = pages.figure(
        charts.svg(flow_chart(comparison.flows, renumbered=renumbered)),
        alt=f"Flow of unmoved persons from old to new units: {sum(count for *_, count in moved):,} are in another "
        f"unit, most {told}.",
        caption="Persons at an unchanged address. Grey kept their unit; dark blue were redrawn; light blue only got "
        "another number.",
    )
    rows = [[before, after, count] for before, after, count in sorted(moved, key=lambda flow: -flow[2])[:MOST_ROWS]]
    return chart + pages.table(["from", "to", "persons"], rows, caption="Persons in another unit at the same address")


def _renumbered(flows: Sequence[tuple[str, str, int]]) -> list[tuple[str, str]]:
    """Pairs of labels of which each one's entities are nearly all in the other."""
    nearly_all = 0.99
    old: Counter[str] = Counter()
    new: Counter[str] = Counter()
    for before, after, count in flows:
        old[before] += count
        new[after] += count
    return [
        (before, after)
        for before, after, count in flows
        if before != after and count >= nearly_all * old[before] and count >= nearly_all * new[after]
    ]


def _every_count(splits: Sequence[Split]) -> str:
    ordered = sorted(splits, key=lambda split: (split.unit, split.attribute != ALL, split.attribute, split.category))
    rows = [
        [split.unit, split.attribute, split.category, split.before, *(split.parts[part] for part in PARTS), split.after]
        for split in ordered[:MOST_ROWS]
    ]
    more = f" The first {MOST_ROWS} of {len(splits)}." if len(splits) > MOST_ROWS else ""
    caption = f"Counts before and after with their parts; before plus parts is after.{more}"
    return pages.table(["unit", "attribute", "class", "before", *PARTS, "after"], rows, caption=caption)


def _marks(history: History, *, labels: bool) -> list[charts.Mark]:
    few = len(history.happenings) <= MOST_LABELS
    return [
        charts.Mark(
            lane=happening.group,
            position=happening.position,
            cause=happening.cause,
            label=_short(happening) if labels and few else "",
            standing=happening.stands,
        )
        for happening in history.happenings
    ]


def _short(happening: Happening) -> str:
    text = f"{happening.time} {happening.name}"
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"


def _timeline(history: History) -> str:
    told = "; ".join(f"{each.group} {each.time}: {each.name}" for each in history.happenings[:12])
    more = f"; and {len(history.happenings) - 12} more" if len(history.happenings) > 12 else ""  # noqa: PLR2004  see above
    return pages.figure(
        charts.svg(charts.timeline(_marks(history, labels=True), history.ticks)),
        alt=f"Timeline of events by group. {told}{more}.",
        caption="Hollow marks were rejected, or repeat an event that another source shows too.",
    )


def _tracks(history: History) -> str:
    first = sorted(history.tracks, key=lambda track: (not track.cuts, track.name))[:MOST_UNITS]
    drawn = sorted(first, key=lambda track: track.name)
    cut = sum(bool(track.cuts) for track in history.tracks)
    more = f" {MOST_UNITS} of {len(history.tracks)} units." if len(history.tracks) > MOST_UNITS else ""
    places = [place for track in drawn for place in track.positions]
    # One tick before the first and one after the last value: the axis of the events may be much longer.
    before = max((tick for tick in history.ticks if tick[0] <= min(places)), default=history.ticks[0])
    after = min((tick for tick in history.ticks if tick[0] >= max(places)), default=history.ticks[-1])
    return pages.figure(
        charts.svg(charts.multiples(drawn, [before, after])),
        alt=f"{history.measure} of {len(drawn)} units over time; {cut} of {len(history.tracks)} are cut by an event.",
        caption=f"{history.measure}. Dashed lines: the unit is not the same any more.{more}",
    )


def _every_event(happenings: Sequence[Happening]) -> str:
    header = ["time", "group", "cause", "what happened", "units", "probability", "size", "evidence", "judgement", "id"]
    rows = [
        [
            each.time,
            each.group,
            each.cause,
            each.name,
            each.units.replace(",", ", "),
            round(each.probability, 3),
            f"{each.size:,.4g} {each.unit_of_size}".strip(),
            each.evidence,
            f"same as {each.same_as}" if each.same_as else each.judgement,
            each.key,
        ]
        for each in happenings[:MOST_ROWS]
    ]
    return pages.table(header, rows, caption="Named events with cause and evidence")
