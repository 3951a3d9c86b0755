"""Reports: one page for a comparison of two snapshots, one for a whole history of events.

Put here what the pages tell, from findings. Keep out drawing (``charts``, ``flow_chart``), how pages look (``pages``)
and where findings come from.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mlops_assets.variance.linked.snapshots import ALL
from mlops_assets.variance.report import charts
from mlops_assets.variance.report.findings import Split
from mlops_assets.variance.report.flow_chart import flow_chart
from mlops_assets.variance.report.pages import Column, Paragraph, Picture, Section, Table, page
from mlops_assets.variance.report.time_axis import TimeAxis
from mlops_assets.variance.report.words import counted, natural, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlops_assets.variance.report.findings import Comparison, Happening, History, Track
    from mlops_assets.variance.report.words import Words

MOST_WATERFALLS: Final = 8
"""Of the changes of a class those that changed most are drawn; the table holds all."""

MOST_UNITS: Final = 40
"""Units drawn; those with the greatest changes, or of every group some, come first."""

MOST_GROUPS: Final = 120
"""Groups on the timeline; those with most events come first."""

MOST_LABELS: Final = 24
MOST_ROWS: Final = 500
_MOST_TOLD: Final = 12
_NEARLY_ALL: Final = 0.99
_THUMBNAIL: Final = 420
"""Pixels."""
_NOTHING: Final = "Nothing beyond the ordinary."


def comparison_page(comparison: Comparison) -> str:
    """The page of one comparison."""
    words = comparison.words
    happenings = [replace(each, group="", time="") for each in comparison.happenings]
    sections = [Section(title="What happened", parts=_every_event(happenings, words))]
    totals = [split for split in comparison.splits if split.attribute == ALL and split.known]
    causes = [each.cause for each in happenings]
    if totals:
        whole = _whole_of(totals, words)
        caption = f"What each cause added or took away; what {words.units} gave each other cancels out."
        sections.append(Section(title="The whole, by cause", parts=[_waterfalls([whole], comparison, caption)]))
        causes += [part for part in whole.parts if any(split.parts[part] for split in comparison.splits)]
    if len(totals) > 1:
        title = f"{words.unit} by {words.unit}".capitalize()
        caption = (
            f"Each {words.unit} on its own scale.{_of_all(totals, words.units, MOST_UNITS, 'those that changed most')}"
        )
        sections.append(Section(title=title, parts=[_waterfalls(_largest(totals, MOST_UNITS), comparison, caption)]))
    single = [split for split in comparison.splits if split.attribute != ALL and split.known and split.moved]
    if single:
        caption = f"Each on its own scale.{_of_all(single, 'counts', MOST_WATERFALLS, 'those that changed most')}"
        drawn = _waterfalls(_largest(single, MOST_WATERFALLS), comparison, caption)
        sections.append(Section(title="The largest changes of a class", parts=[drawn]))
    if any(before != after for before, after, _ in comparison.flows):
        sections.append(Section(title=f"From {words.unit} to {words.unit}", parts=_flows(comparison)))
    sections.append(Section(title="Every count", parts=[_every_count(comparison)]))
    sections += _notes(comparison.notes)
    sections += _meanings(causes, words)
    withheld = sum(not split.known for split in comparison.splits)
    return page(
        title=comparison.title,
        lead=f"{comparison.after} compared with {comparison.before}, {words.entity} by {words.entity}.",
        sections=sections,
        footer=f"{counted(withheld, 'count', 'counts')} of few {words.entities} withheld." if withheld else "",
    )


def history_page(history: History) -> str:
    """The page of a whole history."""
    words, axis = history.words, _axis(history)
    happenings = sorted(history.happenings, key=lambda each: (axis.places[each.place], natural(each.group), each.key))
    parts = [_timeline(happenings, axis, words)] if happenings else [Paragraph(text=_NOTHING)]
    sections = [Section(title="Timeline", parts=parts)]
    if history.tracks:
        sections.append(Section(title="Series, cut where they are not comparable", parts=[_tracks(history)]))
    if happenings:
        sections.append(Section(title="Every event", parts=_every_event(happenings, words)))
    sections += _notes(history.notes)
    sections += _meanings((each.cause for each in happenings), words)
    standing = Counter(each.cause for each in happenings if each.stands)
    told = ", ".join(f"{words.cause(cause)} ({count:,})" for cause, count in standing.most_common())
    times = list(axis.places)
    span = f"{times[0]} to {times[-1]}: " if times else ""
    events = counted(standing.total(), "named event", "named events")
    return page(title=history.title, lead=f"{span}{events}{told and f': {told}'}.", sections=sections)


def _notes(notes: Sequence[str]) -> list[Section]:
    return [Section(title="Notes", parts=[Paragraph(text=note) for note in notes])] if notes else []


def history_thumbnail(history: History) -> bytes:
    """The timeline as a small PNG."""
    figure = charts.timeline(history.happenings, _axis(history), history.words, labelled=False)
    return charts.png(figure, width=_THUMBNAIL)


def comparison_thumbnail(comparison: Comparison) -> bytes:
    """The waterfall of the whole as a small PNG."""
    totals = [split for split in comparison.splits if split.attribute == ALL and split.known]
    drawn = [("", _whole_of(totals, comparison.words))] if totals else []
    return charts.png(charts.waterfalls(drawn, comparison.words), width=_THUMBNAIL)


def _whole_of(totals: Sequence[Split], words: Words) -> Split:
    """All units together."""
    return Split(
        unit=f"all {words.units}",
        attribute=ALL,
        category=ALL,
        before=sum(split.before or 0 for split in totals),
        parts={part: sum(split.parts[part] or 0 for split in totals) for part in totals[0].parts},
        after=sum(split.after or 0 for split in totals),
    )


def _axis(history: History) -> TimeAxis:
    tracked = (time for track in history.tracks for time in (*track.times, *track.cuts))
    return TimeAxis.of([*history.times, *(each.place for each in history.happenings), *tracked])


def _of_all(every: Sequence[object], things: str, most: int, those: str) -> str:
    return f" {most} of {len(every):,} {things}: {those}." if len(every) > most else ""


def _name(split: Split) -> str:
    return split.unit if split.attribute == ALL else f"{split.unit}, {split.attribute} {split.category}"


def _largest(splits: Sequence[Split], most: int) -> list[Split]:
    """Those that changed most, in the order of their names."""
    ranked = sorted(splits, key=lambda split: (-split.moved, natural(_name(split))))[:most]
    return sorted(ranked, key=lambda split: natural(_name(split)))


def _waterfalls(splits: Sequence[Split], comparison: Comparison, caption: str) -> Picture:
    words = comparison.words
    most = max(splits, key=lambda split: split.moved)
    told = ", ".join(f"{words.done(part)} {number(value, signed=True)}" for part, value in most.parts.items() if value)
    which = "Waterfall by cause of" if len(splits) == 1 else f"{len(splits)} waterfalls by cause; most happened in"
    return Picture(
        svg=charts.svg(charts.waterfalls([(_name(split), split) for split in splits], words)),
        alt=f"{which} {_name(most)}: {number(most.before or 0)} {words.entities} in {comparison.before}, "
        f"{told or 'no change'}, {number(most.after or 0)} in {comparison.after}.",
        caption=caption,
    )


def _flows(comparison: Comparison) -> list[Picture | Table]:
    words = comparison.words
    moved = sorted((flow for flow in comparison.flows if flow[0] != flow[1]), key=lambda flow: (-flow[2], flow))
    largest = "; ".join(f"{number(count)} from {before} to {after}" for before, after, count in moved[:3])
    # Units that neither gave nor got would fill the chart and show nothing.
    drawn = {unit for before, after, _ in moved[:MOST_UNITS] for unit in (before, after)}
    shown = [flow for flow in comparison.flows if drawn.issuperset(flow[:2])]
    every = {unit for flow in comparison.flows for unit in flow[:2]}
    left_out = f" {len(drawn)} of {len(every)} {words.units} are drawn." if len(drawn) < len(every) else ""
    chart = Picture(
        svg=charts.svg(flow_chart(shown, renumbered=_renumbered(comparison.flows))),
        alt=f"Flows from old to new {words.units} of {words.entities} at an unchanged address: "
        f"{number(sum(count for *_, count in moved))} are in another {words.unit}, most {largest}.",
        caption=f"{words.entities.capitalize()} at an unchanged address. Grey bands kept their {words.unit}; dark blue "
        f"ones were redrawn; light blue ones only got another number or name.{left_out}",
    )
    before, after, counts = zip(*moved[:MOST_ROWS], strict=True)
    columns = [Column(name="from", cells=before), Column(name="to", cells=after)]
    columns.append(Column(name=words.entities, cells=counts, kind="number"))
    caption = f"{words.entities.capitalize()} in another {words.unit} at the same address"
    return [chart, Table(columns=columns, caption=caption)]


def _renumbered(flows: Sequence[tuple[str, str, int]]) -> list[tuple[str, str]]:
    """Pairs of labels of which each one's entities are nearly all in the other."""
    old, new = Counter[str](), Counter[str]()
    for before, after, count in flows:
        old[before] += count
        new[after] += count
    return [
        (before, after)
        for before, after, count in flows
        if before != after and count >= _NEARLY_ALL * max(old[before], new[after])
    ]


def _every_count(comparison: Comparison) -> Table:
    words = comparison.words
    splits = sorted(
        comparison.splits,
        key=lambda split: (natural(split.unit), split.attribute != ALL, split.attribute, natural(split.category)),
    )
    shown = splits[:MOST_ROWS]
    parts = [part for part in (splits[0].parts if splits else ()) if any(split.parts[part] for split in splits)]
    return Table(
        columns=[
            Column(name=words.unit, cells=[split.unit for split in shown], kind="short"),
            Column(name="attribute", cells=[split.attribute for split in shown]),
            Column(name="class", cells=[split.category for split in shown]),
            Column(name="before", cells=[split.before for split in shown], kind="number"),
            *(Column(name=words.done(p), cells=[split.parts[p] for split in shown], kind="change") for p in parts),
            Column(name="after", cells=[split.after for split in shown], kind="number"),
        ],
        caption=f"{counted(len(splits), 'count', 'counts')} with their parts; before plus parts is after."
        f"{_of_all(splits, 'counts', MOST_ROWS, 'the first')}",
    )


def _timeline(happenings: Sequence[Happening], axis: TimeAxis, words: Words) -> Picture:
    often = Counter(each.group for each in happenings)
    lanes = {group for group, _ in often.most_common(MOST_GROUPS)}
    shown = [each for each in happenings if each.group in lanes]
    told = "; ".join(f"{each.group} {each.time}: {each.name or words.cause(each.cause)}" for each in shown[:_MOST_TOLD])
    more = f"; and {len(shown) - _MOST_TOLD:,} more" if len(shown) > _MOST_TOLD else ""
    hollow = "Hollow marks were rejected, or repeat an event that another source shows too."
    few = len(shown) <= MOST_LABELS
    return Picture(
        svg=charts.svg(charts.timeline(shown, axis, words, labelled=few)),
        alt=f"Timeline of events by {words.group}. {told}{more}.",
        caption=" ".join(
            [
                f"Each line is a {words.group} to which something happened.",
                *([] if all(each.stands for each in shown) else [hollow]),
                _of_all(list(often), words.groups, MOST_GROUPS, "those with most events").strip(),
            ]
        ).strip(),
    )


def _tracks(history: History) -> Picture:
    words, said = history.words, history.words.measure(history.measure)
    measure = f"{said[:1].upper()}{said[1:]}"
    every = sorted(history.tracks, key=lambda track: (natural(track.group), natural(track.unit)))
    concerned = every if len(every) <= MOST_UNITS else [track for track in every if track.cuts] or every
    most = min(len(concerned), MOST_UNITS)
    drawn = [concerned[place * len(concerned) // most] for place in range(most)]
    groups = len({track.group for track in every})
    cut = sum(bool(track.cuts) for track in history.tracks)
    axis = TimeAxis.of([*history.times, *(time for track in drawn for time in (*track.times, *track.cuts))])
    dashed = f" Dashed lines: the {words.unit} is not the same any more." if cut else ""
    some = f" {most} of {len(every):,} {words.units}." if most < len(every) else ""
    return Picture(
        svg=charts.svg(
            charts.multiples([(_title(track, groups), track) for track in drawn], axis, share=history.share)
        ),
        alt=f"{measure} of {counted(most, words.unit, words.units)} over time; {cut:,} of {len(every):,} are cut.",
        caption=f"{measure}. Each on its own scale, which need not begin at zero.{dashed}{some}",
    )


def _title(track: Track, groups: int) -> str:
    """The unit with its group, unless that is plain."""
    rest = track.unit.removeprefix(track.group)
    plain = groups == 1 or (len(rest) < len(track.unit) and not rest[:1].isalnum())
    return track.unit if plain else f"{track.group} {track.unit}"


def _every_event(happenings: Sequence[Happening], words: Words) -> list[Table | Paragraph]:
    if not happenings:
        return [Paragraph(text=f"{_NOTHING} What there was is as at other times.")]
    shown = happenings[:MOST_ROWS]
    told = any(each.probability < 1 for each in shown)
    columns = [
        Column(name="time", cells=[each.time for each in shown], kind="short"),
        Column(name=words.group, cells=[each.group for each in shown]),
        Column(name="cause", cells=[each.cause for each in shown], kind="short"),
        Column(name="what happened", cells=[each.name or words.cause(each.cause) for each in shown]),
        Column(name=words.units, cells=[_listed(each.units) for each in shown], kind="list"),
        Column(name="probability", cells=[each.probability if told else "" for each in shown], kind="share"),
        Column(name="size", cells=[each.size for each in shown]),
        Column(name="evidence", cells=[each.evidence for each in shown], kind="long"),
        Column(name="judgement", cells=[f"same as {e.same_as}" if e.same_as else e.judgement for e in shown]),
        Column(name="id", cells=[each.key for each in shown], kind="short"),
    ]
    caption = f"{counted(len(happenings), 'named event', 'named events')} with evidence."
    return [Table(columns=columns, caption=caption + _of_all(happenings, "events", MOST_ROWS, "the first"))]


def _listed(units: str) -> tuple[str, ...]:
    return tuple(sorted(filter(None, units.split(",")), key=natural))


def _meanings(causes: Iterable[str], words: Words) -> list[Section]:
    said = [(words.done(cause), cause, words.meaning(cause)) for cause in dict.fromkeys(causes)]
    names = ("what happened", "cause", "what it means")
    columns = [Column(name=name, cells=cells) for name, cells in zip(names, zip(*said, strict=True), strict=False)]
    table = Table(columns=columns, caption="Causes as tables and commands call them")
    return [Section(title="What the causes mean", parts=[table])] if said else []
