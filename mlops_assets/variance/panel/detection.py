"""Detection: one named cause for every group and time of a panel.

Put here how causes are ranked against each other and put into words. Keep out the statistics they rest on.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from mlops_assets.variance.panel import entries
from mlops_assets.variance.panel.boundaries import (
    DEFAULT,
    boundary_odds,
    boundary_probabilities,
    contradicted,
    named_by_others,
    renumbering,
    telling,
)
from mlops_assets.variance.panel.evidence import evidence_of
from mlops_assets.variance.panel.joins import joins
from mlops_assets.variance.panel.measures import cumulative
from mlops_assets.variance.panel.steps import steps_of
from mlops_assets.variance.panel.totals import totals_of
from mlops_assets.variance.panel.turnover import turnover_of

if TYPE_CHECKING:
    from mlops_assets.variance.arrays import Codes, Flags, Floats
    from mlops_assets.variance.panel.boundaries import Ratios, Renumbering
    from mlops_assets.variance.panel.entries import Finding
    from mlops_assets.variance.panel.evidence import Evidence
    from mlops_assets.variance.panel.panels import Panel
    from mlops_assets.variance.panel.steps import Steps
    from mlops_assets.variance.panel.totals import Totals
    from mlops_assets.variance.panel.turnover import Turnover

CAUSES: Final = ("none", "boundary", "renumbering", "entry", "population", "units")
"""What may have happened; the first is nothing beyond ordinary change."""

SCHEMA: Final = pa.schema(
    [
        ("group", pa.string()),
        ("time", pa.string()),
        ("cause", pa.string()),
        ("probability", pa.float64()),
        ("magnitude", pa.float64()),
        ("units", pa.string()),
        ("evidence", pa.string()),
    ]
)

_DECIDED: Final = 0.5
_POPULATION_SCORE: Final = 5.0
_POPULATION_SIZE: Final = 0.03
_WHOLE_SCORE: Final = 4.0
_ALIKE: Final = 3.0
_RETURN: Final = 0.25
_MORE_THAN_PEOPLE: Final = 0.6
_TOGETHER: Final = 0.5
_FAR: Final = 2.0
_BACK: Final = 0.1
_KEPT: Final = 0.02
_EXACTLY: Final = 0.001
_LEAST_EXCHANGED: Final = 1000.0
"""Cases that changed hands from which their balance is no chance."""
_MOST_LISTED: Final = 60
_NOTHING: Final = "no change beyond the ordinary"
_NO_OVERLAP: Final = "no unit of any group has the label it had before: nothing can be compared"
_ABSENT: Final = "no rows at this time"
_FIRST: Final = "no rows at an earlier time to compare with"


def detect(panel: Panel, ratios: Ratios = DEFAULT) -> pa.Table:
    """Name what happened to each group from each time to the next.

    Args:
        panel: one row per unit and time; one period, one group or one unit are allowed.
        ratios: what changed units and entities weigh for a boundary.

    Returns:
        One row per group and time after the first, by group and time: ``group``, ``time``, ``cause`` (one of
        ``CAUSES``), ``probability`` (of that cause, 0 to 1), ``magnitude`` (in logarithms, or in shares: for a
        boundary the mean deviation of units from their group, for an entry or a population the change of the group
        against the common swing, for a renumbering the share of units), ``units`` (those concerned, separated by
        commas; ``all`` for a whole group) and ``evidence`` in words and figures.
    """
    steps = steps_of(panel)
    evidence = evidence_of(panel, steps, entries.exact_rows(steps))
    totals = totals_of(panel, steps)
    turnover = turnover_of(panel, steps, evidence)
    odds = boundary_odds(panel, evidence, turnover, ratios)
    probability = boundary_probabilities(odds, telling(evidence), panel.cells)
    probability[contradicted(evidence) | named_by_others(probability, odds)] = 0.0
    verdicts = Verdicts(panel, steps, evidence, totals, turnover, probability)
    verdicts.renumberings()
    verdicts.exchanges()
    verdicts.joins()
    verdicts.entries()
    verdicts.boundaries()
    verdicts.populations()
    verdicts.turnovers()
    return verdicts.table()


class Verdicts:
    """The causes found so far, one per cell; what was found first stands."""

    def __init__(
        self, panel: Panel, steps: Steps, evidence: Evidence, totals: Totals, turnover: Turnover, boundary: Floats
    ) -> None:
        self._panel, self._steps, self._evidence, self._totals = panel, steps, evidence, totals
        self._turnover, self._boundary = turnover, boundary
        size = evidence.units.size
        self._cause = np.zeros(size, dtype=np.int8)
        self._probability = 1 - boundary
        self._magnitude = np.zeros(size)
        self._units: dict[int, str] = {}
        self._words: dict[int, str] = {}

    def renumberings(self) -> None:
        """Units that only changed their labels, among the cells in which units moved against each other."""
        evidence = self._evidence
        suspect = (self._boundary > _DECIDED / 5) | (evidence.dispersion > _FAR) | (evidence.moved > 0)
        suspect |= ~evidence.continued
        suspect &= (evidence.before > 1) & (evidence.units > 1)
        times = len(self._panel.times)
        for cell in np.flatnonzero(suspect).tolist():
            if cell % times == 0:
                continue
            found = renumbering(self._panel, self._steps, self._steps.rows(cell - 1), self._steps.rows(cell))
            # Names that stayed where they were contradict it.
            if found is not None and (evidence.moved[cell] or not evidence.stayed[cell]):
                self._settle(
                    cell,
                    "renumbering",
                    0.95,
                    len(found.old) / found.units,
                    self._listed(np.union1d(found.old, found.new)),
                    _renumbered(self._panel, found),
                )

    def entries(self) -> None:
        """Entry, but for cells whose units changed in number or were redrawn more clearly."""
        panel, steps = self._panel, self._steps
        plain = (
            entries.repeated(panel, steps),
            entries.vanished_or_default(panel, steps, self._totals),
            entries.rows_lost(panel, steps),
        )
        for finding in itertools.chain(*plain):
            self._enter(finding)
        self._sharp_entries()
        for finding in entries.same_record(panel, steps):
            if (units := self._exchanged_exactly(finding.cell)) is not None:
                words = f"{finding.sentence} and exchange what they lose: the same record on another map"
                self._settle(finding.cell, "boundary", finding.probability, finding.magnitude, units, words)
            elif self._boundary[finding.cell] < _DECIDED or not self._conserved(finding.cell):
                self._enter(finding)
        for finding in entries.everywhere(panel, steps, self._evidence):
            if self._boundary[finding.cell] < _DECIDED:
                self._enter(finding)

    def _sharp_entries(self) -> None:
        """Exact factors and measures in each other's place; what undoes one is its end, not another one."""
        panel, steps, evidence = self._panel, self._steps, self._evidence
        findings = [
            *entries.factors(panel, steps, evidence),
            *entries.exchanged(panel, steps, evidence, self._totals),
        ]
        same_set = evidence.appeared + evidence.disappeared == 0
        open_entry: dict[int, int] = {}
        for finding in sorted(findings, key=lambda finding: (finding.cell, -finding.probability)):
            cell = finding.cell
            if not same_set[cell] or self._cause[cell] or cell in self._words:
                continue
            group = cell // len(panel.times)
            if group in open_entry and self._undoes(open_entry[group], cell):
                self._words[cell] = f"back to what it was before an entry: {finding.sentence}"
                self._boundary[cell] = 0.0
                del open_entry[group]
                continue
            open_entry[group] = cell
            self._enter(finding)

    def _whole(self) -> Flags:
        """Cells in which the group's totals moved, by more than its units did against each other."""
        totals, evidence = self._totals, self._evidence
        common = np.abs(np.nan_to_num(totals.common))
        far = (np.abs(totals.common_score) > _WHOLE_SCORE) & (common > _POPULATION_SIZE)
        net = totals.net * np.sign(totals.common)
        alike = ((net > common / _ALIKE) & (net < common * _ALIKE)).sum(axis=0)
        far &= alike > _TOGETHER * np.isfinite(net).sum(axis=0)
        whole: Flags = far & (common > evidence.spread) & (evidence.appeared + evidence.disappeared == 0)
        return whole

    def boundaries(self) -> None:
        """Redrawn groups; where a group's total moved more than its units against each other, it is not its map."""
        self._boundary[self._whole() & (self._evidence.moved == 0)] = 0.0
        for cell in np.flatnonzero((self._boundary > _DECIDED) & (self._cause == 0)).tolist():
            if cell in self._words:
                continue
            evidence = self._evidence
            self._settle(
                cell,
                "boundary",
                float(self._boundary[cell]),
                float(evidence.spread[cell]),
                self._redrawn(cell),
                "; ".join([*_redrawn(self._panel, evidence, cell), *self._exchange(cell)]),
            )

    def _exchange(self, cell: int) -> list[str]:
        """In words, which units gained what others of the group lost, if the group's total was conserved."""
        panel, totals = self._panel, self._totals
        if not np.isfinite(totals.after[:, cell]).any():
            return []
        measure = int(np.nanargmax(totals.after[:, cell]))
        name, net, score = panel.measures[measure], totals.net[measure, cell], totals.score[measure, cell]
        rows = self._steps.rows(cell)
        rows = rows[~self._steps.first[rows]]
        swing = np.exp(np.nan_to_num(self._steps.swing[measure, cell % len(panel.times)]))
        gained = np.nan_to_num(panel.values[measure, rows] - panel.values[measure, rows - 1] * swing)
        scale = self._steps.scale[measure, rows] * np.abs(panel.values[measure, rows])
        up, down = gained > _FAR * scale, gained < -_FAR * scale
        if not np.isfinite(net) or abs(score) > _WHOLE_SCORE or not (up.any() and down.any()):
            return []
        words = (
            f"{self._listed(panel.unit[rows[up]])} gained {gained[up].sum():,.0f} {name} and "
            f"{self._listed(panel.unit[rows[down]])} lost {-gained[down].sum():,.0f}, while the group's total was "
            f"conserved: {net:+.2%} against the common swing, {abs(score):.1f} standard deviations"
        )
        return [words]

    def populations(self) -> None:
        """Groups whose measures moved together beyond the common swing; a lone jump is entry."""
        panel, evidence = self._panel, self._evidence
        for finding in entries.lone_jumps(panel, evidence):
            self._enter(finding)
        strength = np.abs(np.nan_to_num(evidence.scores))
        far = (strength > _POPULATION_SCORE) & (np.abs(np.nan_to_num(evidence.shifts)) > _POPULATION_SIZE)
        # What is carried on grows in bursts.
        counted_on = cumulative(panel, ~self._steps.first).all() & (evidence.shifts > 0).any(axis=0)
        together = far.sum(axis=0) > np.isfinite(evidence.shifts).sum(axis=0) * _TOGETHER
        for cell in np.flatnonzero((together | self._whole()) & ~counted_on & (self._cause == 0)).tolist():
            if cell not in self._words:
                self._moved_together(cell, far[:, cell], strength[:, cell])

    def _moved_together(self, cell: int, far: Flags, strength: Floats) -> None:
        """A whole group that moved: its people, unless more than people do, or there and back."""
        panel, totals = self._panel, self._totals
        common, score = float(totals.common[cell]), float(totals.common_score[cell])
        alike = int((np.sign(totals.net[:, cell]) == np.sign(common)).sum())
        if far.sum() and not score:
            strongest = int(np.where(far, strength, 0).argmax())
            common, score, alike = float(self._evidence.shifts[strongest, cell]), strength[strongest], int(far.sum())
        words = (
            f"{alike} of {len(panel.measures)} measures moved with the whole group, {common:+.3g} against the common "
            f"swing ({abs(score):.0f} standard deviations), without an exact factor"
        )
        last = cell % len(panel.times) == len(panel.times) - 1
        back = 0.0 if last else float(np.nan_to_num(totals.common[cell + 1]))
        if not last and abs(common + back) < _RETURN * abs(common) and not self._cause[cell + 1]:
            self._words[cell + 1] = f"back to what it was before an entry: {back:+.3g}"
            self._settle(cell, "entry", 0.8, common, "all", f"{words}; at the next time they were back: partly loaded")
        elif abs(common) > _MORE_THAN_PEOPLE:
            self._settle(cell, "entry", 0.7, common, "all", f"{words}; more than people come or go: partly loaded")
        else:
            self._settle(cell, "population", 0.8, common, "all", words)

    def joins(self) -> None:
        """Units that became part of another one, or two, while the others of their group went on."""
        panel = self._panel
        for join in joins(panel, self._steps, self._evidence):
            parts, whole = self._listed(join.parts), panel.units[join.whole]
            words = (
                f"{parts} became part of {whole}: together they are what they were"
                if join.merged
                else f"{whole} was divided, {parts} came of it: together they are what it was"
            )
            share = (len(join.parts) + 1) / max(self._evidence.units[join.cell], self._evidence.before[join.cell])
            self._settle(join.cell, "units", 0.95, float(share), f"{whole},{parts}", words)

    def turnovers(self) -> None:
        """Groups in which more units came or went than ordinarily do, while the others went on as before."""
        evidence, turnover = self._evidence, self._turnover
        exchanged = evidence.appeared + evidence.disappeared
        unusual = (exchanged > 0) & ~turnover.ordinary & evidence.continued & (evidence.before > 0)
        for cell in np.flatnonzero(unusual & turnover.undisturbed & (self._cause == 0)).tolist():
            if cell in self._words:
                continue
            ways = [
                f"{count} of {of} units {what}"
                for count, of, what in (
                    (evidence.disappeared[cell], evidence.before[cell], "left"),
                    (evidence.appeared[cell], evidence.units[cell], "are new"),
                )
                if count
            ]
            words = (
                f"{', '.join(ways)}, while the others went on as before and the group's total moved by "
                f"{np.expm1(turnover.moved[cell]):+.0%}: no redrawing, which would have kept it"
            )
            share = exchanged[cell] / max(evidence.units[cell], evidence.before[cell])
            self._settle(cell, "units", float(1 - self._boundary[cell]), float(share), self._came_or_went(cell), words)

    def _came_or_went(self, cell: int) -> str:
        steps, panel = self._steps, self._panel
        new = steps.rows(cell)
        before = steps.rows(cell - 1)
        return self._listed(panel.unit[np.concatenate([before[steps.last[before]], new[steps.first[new]]])])

    def table(self) -> pa.Table:
        """The rows of ``detect``."""
        panel, evidence = self._panel, self._evidence
        groups, times = panel.cells
        cells = np.arange(groups * times).reshape(groups, times)[:, 1:].ravel()
        plain = np.full(groups * times, _NOTHING, dtype=object)
        plain[~evidence.continued] = _NO_OVERLAP
        plain[evidence.before == 0] = _FIRST
        plain[evidence.units == 0] = _ABSENT
        units = np.full(groups * times, "", dtype=object)
        for cell, words in self._words.items():
            plain[cell] = words
        for cell, listed in self._units.items():
            units[cell] = listed
        return pa.table(
            [
                pa.array(np.array(panel.groups, dtype=object)[cells // times]),
                pa.array(np.array(panel.times, dtype=object)[cells % times]),
                pa.array(np.array(CAUSES, dtype=object)[self._cause[cells]]),
                pa.array(np.clip(self._probability[cells], 0, 1).round(4)),
                pa.array(self._magnitude[cells].round(6)),
                pa.array(units[cells]),
                pa.array(plain[cells]),
            ],
            schema=SCHEMA,
        )

    def _enter(self, finding: Finding) -> None:
        self._settle(finding.cell, "entry", finding.probability, finding.magnitude, "all", finding.sentence)

    def _settle(self, cell: int, cause: str, probability: float, magnitude: float, units: str, words: str) -> None:
        if self._cause[cell]:
            if self._cause[cell] == CAUSES.index(cause):
                self._words[cell] += f"; {words}"
            return
        self._cause[cell] = CAUSES.index(cause)
        self._probability[cell], self._magnitude[cell] = probability, magnitude
        self._units[cell], self._words[cell] = units, words

    def _undoes(self, earlier: int, cell: int) -> bool:
        """Whether the group's measures moved back by what they had moved at an earlier time."""
        there, back = self._evidence.shifts[:, earlier], self._evidence.shifts[:, cell]
        left = np.abs(there + back) - _BACK * np.abs(there)
        return bool((left[np.isfinite(left)] < _BACK).all())

    def _conserved(self, cell: int) -> bool:
        """Whether the group's totals stayed while its units moved."""
        rows = self._steps.rows(cell)
        rows = rows[~self._steps.first[rows]]
        gained = self._panel.values[:, rows] - self._panel.values[:, rows - 1]
        net, gross = np.abs(np.nansum(gained, axis=1)), np.nansum(np.abs(gained), axis=1)
        return bool((net <= _KEPT * gross).any() and (gross > 0).any())

    def _exchanged_exactly(self, cell: int) -> str | None:
        """The units that differ, if others of their group gained all that some lost; ``None`` otherwise."""
        rows = self._steps.rows(cell)
        rows = rows[~self._steps.first[rows]]
        gained = np.nan_to_num(self._panel.values[:, rows] - self._panel.values[:, rows - 1])
        net, gross = np.abs(gained.sum(axis=1)), np.abs(gained).sum(axis=1)
        if not (gross > 0).any() or (net > _EXACTLY * gross).any():
            return None
        return self._listed(self._panel.unit[rows[np.abs(gained).any(axis=0)]])

    def exchanges(self) -> None:
        """Groups in which every count that some units lost others gained, to the last thousandth: a redrawn map."""
        panel, steps = self._panel, self._steps
        linked = np.flatnonzero(~steps.first)
        size = self._evidence.units.size
        conserved, told = np.ones(size, dtype=np.bool_), np.zeros(size, dtype=np.int64)
        for measure in np.flatnonzero(steps.logarithmic).tolist():
            gained = np.nan_to_num(panel.values[measure, linked] - panel.values[measure, linked - 1])
            net = np.abs(np.bincount(steps.cell[linked], gained, minlength=size))
            gross = np.bincount(steps.cell[linked], np.abs(gained), minlength=size)
            conserved &= net <= _EXACTLY * gross
            told += gross >= _LEAST_EXCHANGED
        for cell in np.flatnonzero(conserved & (told > 1) & (self._cause == 0)).tolist():
            if (units := self._exchanged_exactly(cell)) is not None:
                words = f"{told[cell]} counts that some units lost others of their group gained, exactly"
                self._settle(cell, "boundary", 0.95, float(self._evidence.spread[cell]), units, words)

    def _redrawn(self, cell: int) -> str:
        rows = self._steps.rows(cell)
        own = np.abs(self._evidence.own[:, rows]) / self._steps.scale[:, rows]
        far = (np.nan_to_num(own) > _FAR).mean(axis=0) > _TOGETHER
        new = self._steps.first[rows]
        return self._listed(self._panel.unit[rows[far | new]]) or "all"

    def _listed(self, units: Codes) -> str:
        names = [self._panel.units[unit] for unit in units[:_MOST_LISTED]]
        return ",".join(dict.fromkeys(names)) + (",..." if len(units) > _MOST_LISTED else "")


def _renumbered(panel: Panel, found: Renumbering) -> str:
    ways = [f"{panel.units[old]}>{panel.units[new]}" for old, new in zip(found.old, found.new, strict=True)]
    return (
        f"{len(ways)} of {found.units} units are in all measures what another was before: "
        + ", ".join(ways[:_MOST_LISTED])
        + (", ..." if len(ways) > _MOST_LISTED else "")
    )


def _redrawn(panel: Panel, evidence: Evidence, cell: int) -> list[str]:
    parts = [
        (
            f"units moved against each other by {evidence.spread[cell]:.3g} in the middle, "
            f"{evidence.dispersion[cell]:+.1f} standard deviations of ordinary times"
        )
    ]
    if evidence.appeared[cell] + evidence.disappeared[cell]:
        parts.append(
            f"{evidence.units[cell]} units after {evidence.before[cell]} ({evidence.appeared[cell]} new, "
            f"{evidence.disappeared[cell]} gone)"
        )
    if panel.entity is not None:
        parts.append(f"{evidence.moved[cell]} entities turned up in another unit, {evidence.stayed[cell]} stayed")
    return parts
