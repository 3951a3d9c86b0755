"""Detection: one named cause for every group and time of a panel.

Put here in which order causes are looked for, and how they are ranked against each other. Keep out the statistics they
rest on, and words.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.variance.panel import entries, sentences
from mlops_assets.variance.panel.boundaries import DEFAULT, redrawn_of
from mlops_assets.variance.panel.evidence import evidence_of
from mlops_assets.variance.panel.exchanges import conserved, exchanges, exchanging
from mlops_assets.variance.panel.joins import joins
from mlops_assets.variance.panel.measures import cumulative
from mlops_assets.variance.panel.renumbering import renumbering
from mlops_assets.variance.panel.steps import steps_of
from mlops_assets.variance.panel.totals import totals_of
from mlops_assets.variance.panel.turnover import turnover_of
from mlops_assets.variance.panel.verdicts import Verdicts

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_assets.variance.arrays import Flags, Floats
    from mlops_assets.variance.panel.boundaries import Ratios
    from mlops_assets.variance.panel.entries import Finding
    from mlops_assets.variance.panel.panels import Panel

_DECIDED: Final = 0.5
_CLEARLY: Final = 1.5
"""A cause is named where it is likelier than every other one by this factor; otherwise the answer is ``unknown``."""

_SURE: Final = _CLEARLY / (1 + _CLEARLY)
_UNUSUAL: Final = 4.0
_MANY_AWAY: Final = 0.4
_WIDESPREAD: Final = 0.1
_FELL: Final = 0.1
_FARTHEST: Final = 8.0
_POPULATION_SCORE: Final = 5.0
_POPULATION_SIZE: Final = 0.03
_WHOLE_SCORE: Final = 4.0
_ALIKE: Final = 3.0
_RETURN: Final = 0.25
_MORE_THAN_PEOPLE: Final = 0.6
_TOGETHER: Final = 0.5
_FAR: Final = 2.0
_BACK: Final = 0.1


def detect(panel: Panel, ratios: Ratios = DEFAULT) -> pa.Table:
    """Name what happened to each group from each time to the next.

    Args:
        panel: one row per unit and time; one period, one group or one unit are allowed.
        ratios: what changed units and entities weigh for a boundary.

    Returns:
        One row per group and time after the first, by group and time: ``group``, ``time``, ``cause`` (one of
        ``CAUSES``), ``probability`` (of that cause, 0 to 1; of ``unknown`` that of the likeliest one), ``magnitude``
        (in logarithms, or in shares: for a boundary the mean deviation of units from their group, for an entry or a
        population the change of the group against the common swing, for a renumbering and for units their share),
        ``units`` (those concerned, separated by commas; ``all`` for a whole group) and ``evidence`` in words and
        figures.
    """
    case = _Case(panel, ratios)
    case.joins()
    case.renumberings()
    case.exchanges()
    case.entries()
    case.boundaries()
    case.populations()
    case.turnovers()
    case.leftovers()
    return case.verdicts.table()


class _Case:
    """What is known of a panel, and the verdicts so far; every rule adds to them."""

    def __init__(self, panel: Panel, ratios: Ratios) -> None:
        self._panel, self._steps = panel, steps_of(panel)
        self._evidence = evidence_of(panel, self._steps, entries.exact_rows(self._steps))
        self._totals = totals_of(panel, self._steps)
        self._turnover = turnover_of(panel, self._steps, self._evidence)
        self._map = redrawn_of(panel, self._evidence, self._turnover, ratios)
        self._boundary = self._map.probability.copy()
        self.verdicts = Verdicts(panel, self._evidence, self._boundary)

    def joins(self) -> None:
        """Units that became part of another one, or two, while the others of their group went on."""
        for join in joins(self._panel, self._steps, self._evidence):
            share = (len(join.parts) + 1) / max(self._evidence.units[join.cell], self._evidence.before[join.cell])
            units = self.verdicts.listed(np.append(join.whole, join.parts))
            words = sentences.joined(self._panel, self.verdicts, join)
            self.verdicts.name(join.cell, "units", 0.95, float(share), units, words)

    def renumberings(self) -> None:
        """Units that only changed their labels, among the cells in which units moved against each other."""
        evidence = self._evidence
        suspect = (self._boundary > _DECIDED / 5) | (evidence.dispersion > _FAR) | (evidence.moved > 0)
        suspect |= ~evidence.continued
        suspect &= (evidence.before > 1) & (evidence.units > 1) & self.verdicts.unnamed
        times = len(self._panel.times)
        for cell in np.flatnonzero(suspect).tolist():
            if cell % times == 0:
                continue
            found = renumbering(self._panel, self._steps, self._steps.rows(cell - 1), self._steps.rows(cell))
            if found is None or (evidence.stayed[cell] and not evidence.moved[cell]):
                continue  # Names that stayed where they were contradict it.
            exceptions = found.misfits.size + found.lost.size
            # Among many new maps a unit that fits none is a sign of one.
            if not exceptions or self._map.share[cell] < _DECIDED:
                self.verdicts.name(
                    cell,
                    "renumbering",
                    0.9 if exceptions else 0.95,
                    len(found.old) / found.units,
                    self.verdicts.listed(np.union1d(found.old, found.new)),
                    sentences.relabelled(self._panel, self.verdicts, found),
                )

    def exchanges(self) -> None:
        """Groups in which every count that some units lost others of their group gained: a redrawn map."""
        for cell, told in exchanges(self._panel, self._steps):
            if self.verdicts.free(cell) and (units := exchanging(self._panel, self._steps, cell)) is not None:
                words = f"{told} counts that some units lost others of their group gained, exactly"
                spread = float(self._evidence.spread[cell])
                self.verdicts.name(cell, "boundary", 0.95, spread, self.verdicts.listed(units), words)

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
            if (units := exchanging(panel, steps, finding.cell)) is not None:
                words = f"{finding.sentence} and exchange what they lose: the same record on another map"
                listed = self.verdicts.listed(units)
                self.verdicts.name(finding.cell, "boundary", finding.probability, finding.magnitude, listed, words)
            elif self._boundary[finding.cell] < _DECIDED or not conserved(panel, steps, finding.cell):
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
            if not (same_set[cell] and self.verdicts.free(cell)):
                continue
            group = cell // len(panel.times)
            if group in open_entry and self._undoes(open_entry[group], cell):
                self.verdicts.explain(cell, f"back to what it was before an entry: {finding.sentence}")
                self._boundary[cell] = 0.0
                del open_entry[group]
                continue
            open_entry[group] = cell
            self._enter(finding)

    def boundaries(self) -> None:
        """Redrawn groups; where a group's total moved more than its units against each other, it is not its map."""
        evidence, before = self._evidence, self._boundary.copy()
        self._boundary[self._whole(1.0) & (evidence.moved == 0)] = 0.0
        either = self._whole(1 / _CLEARLY) & ~self._whole(_CLEARLY) & (evidence.moved == 0) & (before > _DECIDED)
        doubted = (before > 1 - _SURE) & (before < _SURE) & ((before >= _DECIDED) | (evidence.dispersion > _UNUSUAL))
        # Whoever turned up in another unit is more than unrest.
        doubted &= (evidence.moved == 0) & (evidence.appeared + evidence.disappeared == 0)
        for cell in np.flatnonzero(((before > _DECIDED) | doubted) & self.verdicts.unnamed).tolist():
            words = sentences.redrawn(self._panel, evidence, self._map, cell)
            spread, probability = float(evidence.spread[cell]), float(before[cell])
            if either[cell]:
                words += f"; but the group's total moved as much, {self._totals.common[cell]:+.3g}: redrawn or grown"
                self._doubt(cell, _DECIDED, spread, self._redrawn(cell), words)
            elif doubted[cell] and self._boundary[cell]:
                words += "; redrawn or nothing, neither is clearly likelier"
                self._doubt(cell, probability, spread, self._redrawn(cell), words)
            elif self._boundary[cell]:
                words += sentences.exchange(self._panel, self._steps, self._totals, self.verdicts, cell)
                self.verdicts.name(cell, "boundary", probability, spread, self._redrawn(cell), words)

    def _whole(self, times: float) -> Flags:
        """Cells in which the group's totals moved, by so many times more than its units did against each other."""
        totals, evidence = self._totals, self._evidence
        common = np.abs(np.nan_to_num(totals.common))
        far = (np.abs(totals.common_score) > _WHOLE_SCORE) & (common > _POPULATION_SIZE)
        net = totals.net * np.sign(totals.common)
        alike = ((net > common / _ALIKE) & (net < common * _ALIKE)).sum(axis=0)
        far &= alike > _TOGETHER * np.isfinite(net).sum(axis=0)
        whole: Flags = far & (common > times * evidence.spread) & (evidence.appeared + evidence.disappeared == 0)
        return whole

    def populations(self) -> None:
        """Groups whose measures moved together beyond the common swing; a lone jump is entry."""
        panel, evidence = self._panel, self._evidence
        for finding in entries.lone_jumps(panel, evidence):
            self._enter(finding)
        strength = np.abs(np.nan_to_num(evidence.scores))
        far = (strength > _POPULATION_SCORE) & (np.abs(np.nan_to_num(evidence.shifts)) > _POPULATION_SIZE)
        # What is carried on grows in bursts.
        counted_on = cumulative(panel, ~self._steps.first).all() & (evidence.shifts > 0).any(axis=0)
        one_way = np.maximum((far & (evidence.shifts > 0)).sum(axis=0), (far & (evidence.shifts < 0)).sum(axis=0))
        together = one_way > np.isfinite(evidence.shifts).sum(axis=0) * _TOGETHER
        for cell in np.flatnonzero((together | self._whole(1.0)) & ~counted_on & self.verdicts.unnamed).tolist():
            if self.verdicts.free(cell):
                self._moved_together(cell, far[:, cell], strength[:, cell])

    def leftovers(self) -> None:
        """Groups of which some measure moved far, by which no cause can be told."""
        evidence = self._evidence
        strength = np.abs(np.nan_to_num(evidence.scores))
        far = (strength > _FARTHEST) & (np.abs(np.nan_to_num(evidence.shifts)) > _FELL)
        far &= ~(cumulative(self._panel, ~self._steps.first)[:, None] & (evidence.shifts > 0))
        for cell in np.flatnonzero(far.any(axis=0) & self.verdicts.unnamed).tolist():
            measure = int(strength[:, cell].argmax())
            shift = float(evidence.shifts[measure, cell])
            words = (
                f"{self._panel.measures[measure]} moved by {shift:+.3g} against the common swing, "
                f"{strength[measure, cell]:.0f} standard deviations, but not as a cause would have it that is known"
            )
            self._doubt(cell, _DECIDED, shift, "all", words)

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
        if not last and abs(common + back) < _RETURN * abs(common) and self.verdicts.free(cell + 1):
            self.verdicts.explain(cell + 1, f"back to what it was before an entry: {back:+.3g}")
            words += "; at the next time they were back: partly loaded"
            self.verdicts.name(cell, "entry", 0.8, common, "all", words)
        elif abs(common) > _MORE_THAN_PEOPLE:
            words += "; more than people come or go: partly loaded"
            self.verdicts.name(cell, "entry", 0.7, common, "all", words)
        elif last and common < -_FELL:
            words += "; fewer people, or partly loaded: only the next time will tell"
            self._doubt(cell, _DECIDED, common, "all", words)
        else:
            self.verdicts.name(cell, "population", 0.9, common, "all", words)

    def turnovers(self) -> None:
        """Groups in which more units came or went than ordinarily do, while the others went on as before."""
        evidence, turnover = self._evidence, self._turnover
        exchanged = evidence.appeared + evidence.disappeared
        unusual = (exchanged > 0) & ~turnover.ordinary & evidence.continued & (evidence.before > 0)
        away = self._away()
        for cell in np.flatnonzero(unusual & turnover.undisturbed & self.verdicts.unnamed).tolist():
            words = sentences.came_and_went(evidence, turnover, cell)
            share = exchanged[cell] / max(evidence.units[cell], evidence.before[cell])
            probability = float(1 - self._boundary[cell])
            if away[cell]:
                words += "; at the last time nobody can tell whether they left or were not loaded"
                self._doubt(cell, _DECIDED, float(share), self._came_or_went(cell), words)
                continue
            self.verdicts.name(cell, "units", probability, float(share), self._came_or_went(cell), words)

    def _away(self) -> Flags:
        """Cells of the last time in which many units have no row, while hardly any other group lost some."""
        evidence = self._evidence
        gone = evidence.disappeared.reshape(self._panel.cells)[:, -1]
        many = (gone > 1) & (gone >= _MANY_AWAY * evidence.before.reshape(self._panel.cells)[:, -1])
        found = np.zeros(self._panel.cells, dtype=np.bool_)
        found[:, -1] = many & ((gone > 0).sum() <= max(_WIDESPREAD * len(gone), 1))
        return found.ravel()

    def _doubt(self, cell: int, probability: float, magnitude: float, units: str, words: str) -> None:
        """Something beyond the ordinary, of which no cause is clearly the likeliest."""
        self.verdicts.name(cell, "unknown", probability, magnitude, units, words)

    def _came_or_went(self, cell: int) -> str:
        steps, panel = self._steps, self._panel
        new = steps.rows(cell)
        before = steps.rows(cell - 1)
        return self.verdicts.listed(panel.unit[np.concatenate([before[steps.last[before]], new[steps.first[new]]])])

    def _enter(self, finding: Finding) -> None:
        self.verdicts.name(finding.cell, "entry", finding.probability, finding.magnitude, "all", finding.sentence)

    def _undoes(self, earlier: int, cell: int) -> bool:
        """Whether the group's measures moved back by what they had moved at an earlier time."""
        there, back = self._evidence.shifts[:, earlier], self._evidence.shifts[:, cell]
        left = np.abs(there + back) - _BACK * np.abs(there)
        return bool((left[np.isfinite(left)] < _BACK).all())

    def _redrawn(self, cell: int) -> str:
        rows = self._steps.rows(cell)
        own = np.abs(self._evidence.own[:, rows]) / self._steps.scale[:, rows]
        far = (np.nan_to_num(own) > _FAR).mean(axis=0) > _TOGETHER
        new = self._steps.first[rows]
        return self.verdicts.listed(self._panel.unit[rows[far | new]]) or "all"
