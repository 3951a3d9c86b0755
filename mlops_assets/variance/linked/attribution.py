"""Attribution: the change of counts and shares as parts by cause, with standard errors where the entities are a sample.

Put here what is computed from where the entities of every way are in every world. Keep out ways, worlds and orders.

A statistic is evaluated in every world, and a part is the sum of its values times the credits of the order. For shares
that is the way through numerator and denominator: in each world both are counted, and divided. Credits make the parts
add up to the change of the statistic in floating point too, within 1e-9 of the largest value that occurs.

Standard errors are those of a weighted sum over a sample drawn with replacement, and of its linearisation where the
statistic is a share (Sarndal, Swensson and Wretman, 1992, "Model Assisted Survey Sampling", sections 2.9, 5.5, 5.6).
Entity ``i`` adds ``z_i`` to a part: its weight times the credits of the worlds in which it is in the cell. In a share
``R = N / D`` a world's value ``w`` in the cell and unit becomes ``(w in cell - R w in unit) / D``. The variance is
``n / (n - 1)`` times the sum of ``(z_i - mean)^2`` over all ``n`` entities of either snapshot. An entity in both is one
entity, so that what stays the same has no error. Strata, clusters and finite populations are not reckoned with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.variance.linked.kinds import WEIGHTS
from mlops_assets.variance.linked.snapshots import ALL
from mlops_assets.variance.linked.ways import PARTS

if TYPE_CHECKING:
    from mlops_assets.variance.arrays import Codes, Flags, Floats
    from mlops_assets.variance.linked.orders import Order

Measure = Literal["count", "share"]
"""The statistic whose change is split: the entities of a unit and class, or their share of the unit's."""

_KEY: Final = ("unit", "attribute", "category")

_NOISE: Final = 1e-12
"""What is this small against the terms it is the sum of is rounding, and zero."""


def split(there: pa.Table, order: Order, *, measure: Measure, sample: int | None = None) -> pa.Table:
    """Split the change of every statistic by cause.

    Args:
        there: where the entities of every way are in every world of the order, from ``linked.cells``, with ``way``, the
            number of a way, and ``WEIGHTS`` if they are a sample.
        order: worlds and credits.
        measure: the statistic. A unit without entities has no share: in either snapshot, ``before`` or ``after`` and
            all parts are NULL; in a world between, it is taken to have the share it had before.
        sample: how many entities of either snapshot were sampled; ``None`` if they are the population.

    Returns:
        One row per ``unit``, ``attribute`` and ``category`` in which anything was or happened (no attribute ``all``
        among shares): ``before``, the parts, ``after``, and for samples ``before_error``, one per part, ``after_error``
        and ``change_error`` (of after minus before), NULL for a sample of one. Whole numbers if entities are counted
        whole.
    """
    if measure == "share":
        there = there.filter(pc.not_equal(there["attribute"], ALL))
    traces = _traces(there, worlds=len(order.worlds), sampled=sample is not None)
    values, bases = traces.statistics(measure)
    parts = sorted(order.causes, key=(*PARTS, "weighting").index)
    names = ("before", *parts, "after", "change")
    combined = np.zeros((len(names), len(order.worlds)))
    combined[0, 0] = combined[-2, -1] = combined[-1, -1] = order.per
    combined[-1, 0] = -order.per
    combined[1:-2] = order.credits[[order.causes.index(cause) for cause in parts]]
    found = combined @ values / order.per
    found[np.abs(found) < _NOISE * (np.abs(combined) @ np.abs(values)) / order.per] = 0.0
    old, new = (traces.unknown(bases, world=world) for world in (0, -1))
    unknown = np.vstack([old, *[old | new] * len(parts), new, old | new])
    kept = np.flatnonzero(np.any((found[:-1] != 0.0) & ~unknown[:-1], axis=0))
    columns = dict(zip(names[:-1], found, strict=False))
    if sample is not None:
        errors = traces.errors(combined / order.per, values, bases, measure, sample)
        columns |= {f"{name}_error": error for name, error in zip(names, errors, strict=True)}
    whole = sample is None and measure == "count" and order.per == 1
    table = {name: traces.labels[name].take(pa.array(codes[kept])) for name, codes in traces.keys.items()}
    for name, column in columns.items():
        missing = unknown[names.index(name.removesuffix("_error"))] | np.isnan(column)
        table[name] = pa.array(column[kept].astype(np.int64) if whole else column[kept], mask=missing[kept])
    return pa.table(table).sort_by([(name, "ascending") for name in traces.keys])


@dataclass(frozen=True, kw_only=True)
class _Traces:
    """Where ways are in worlds, as codes; one row per way and world that it is present in.

    Attributes:
        labels: of the codes of unit, attribute and category.
        keys: codes of unit, attribute and category of each cell; cells are ordered by block.
        block: of each cell the number of its unit and attribute.
        way: the number of the way in each row.
        world: the world in each row.
        cell: the cell in each row.
        later: whether the later weight counts in each row.
        weights: ``WEIGHTS`` by rows.
        worlds: their number.
    """

    labels: dict[str, pa.Array]
    keys: dict[str, Codes]
    block: Codes
    way: Codes
    world: Codes
    cell: Codes
    later: Flags
    weights: Floats
    worlds: int

    def statistics(self, measure: Measure) -> tuple[Floats, Floats]:
        """The statistic by world and cell, and what it is a share of by world and block (ones for counts)."""
        mass = np.where(self.later, self.weights[1], self.weights[0])
        shape = (self.worlds, len(self.block))
        place = self.world * shape[1] + self.cell
        totals = np.bincount(place, weights=mass, minlength=shape[0] * shape[1]).astype(np.float64).reshape(shape)
        blocks = int(self.block[-1]) + 1 if len(self.block) else 0
        bases = np.ones((self.worlds, blocks))
        if measure == "count":
            return totals, bases
        bases[:] = 0.0
        np.add.at(bases.T, self.block, totals.T)
        base = bases[:, self.block]
        shares = np.divide(totals, base, out=np.zeros(shape), where=base > 0.0)
        return np.where(base > 0.0, shares, shares[:1]), bases

    def unknown(self, bases: Floats, *, world: int) -> Flags:
        """Of each cell whether it has no value in that world."""
        return np.asarray(bases[world, self.block] <= 0.0)

    def errors(self, combined: Floats, values: Floats, bases: Floats, measure: Measure, sample: int) -> Floats:
        """The standard error of every combination of worlds (rows) in every cell (columns)."""
        found = np.full((len(combined), len(self.block)), np.nan)
        if sample < 2:  # noqa: PLR2004  a variance needs two
            return found
        block_of_row = self.block[self.cell]
        by_block = np.argsort(block_of_row, kind="stable")
        edges = np.arange(bases.shape[1] + 1)
        row_edges, cell_edges = np.searchsorted(block_of_row[by_block], edges), np.searchsorted(self.block, edges)
        for block in range(bases.shape[1]):
            rows = by_block[row_edges[block] : row_edges[block + 1]]
            cells = slice(cell_edges[block], cell_edges[block + 1])
            known = bases[:, block] > 0.0
            # Worlds in which the unit is empty have the value of the first.
            credit = np.where(known, combined, 0.0)
            credit[:, 0] += combined[:, ~known].sum(axis=1)
            gradients = np.divide(credit, bases[:, block], out=np.zeros_like(credit), where=known)
            shares = values[:, cells] if measure == "share" else None
            found[:, cells] = np.sqrt(
                self._variances(rows, cells.start, gradients, values[:, cells].shape[1], shares, sample)
            )
        return found

    def _variances(
        self, rows: Codes, first: int, gradients: Floats, cells: int, shares: Floats | None, sample: int
    ) -> Floats:
        """The variance of every combination (rows) in the cells of a block (columns).

        Args:
            rows: of the block.
            first: its first cell.
            gradients: of every combination, what a person more in a cell adds to it by being there in each world.
            cells: number of cells of the block.
            shares: by world and cell, if being in the block lowers a cell's share.
            sample: number of entities sampled.
        """
        _, one, way = np.unique(self.way[rows], return_index=True, return_inverse=True)
        world, place = self.world[rows], way * cells + self.cell[rows] - first
        before, after, square_before, product, square_after = self.weights[:, rows[one]]
        sides = [self.later[rows] == later for later in (False, True)]
        present = np.zeros((2, len(one), self.worlds))
        for side, rows_of_side in enumerate(sides):
            present[side, way[rows_of_side], world[rows_of_side]] = 1.0
        found = np.empty((len(gradients), cells))
        for number, gradient in enumerate(gradients):
            added = np.stack(
                [np.bincount(place, gradient[world] * mine, len(one) * cells).reshape(-1, cells) for mine in sides]
            )
            if shares is not None:
                added -= present @ (gradient[:, None] * shares)
            added[np.abs(added) < _NOISE * np.abs(gradient).sum()] = 0.0
            old, new = added
            squares = square_before @ old**2 + 2.0 * (product @ (old * new)) + square_after @ new**2
            scatter = squares - (before @ old + after @ new) ** 2 / sample
            found[number] = np.where(scatter > _NOISE * squares, scatter, 0.0) * sample / (sample - 1)
        return found


def _traces(there: pa.Table, *, worlds: int, sampled: bool) -> _Traces:
    coded, labels = {}, {}
    for name in _KEY:
        encoded = there[name].combine_chunks().dictionary_encode()
        coded[name] = encoded.indices.to_numpy().astype(np.int64)
        labels[name] = encoded.dictionary
    block = coded["attribute"] * len(labels["unit"]) + coded["unit"]
    _, one, cell = np.unique(
        block * len(labels["category"]) + coded["category"], return_index=True, return_inverse=True
    )
    masses = WEIGHTS if sampled else ("entities",) * len(WEIGHTS)
    return _Traces(
        labels=labels,
        keys={name: codes[one] for name, codes in coded.items()},
        block=np.unique(block[one], return_inverse=True)[1],
        way=there["way"].to_numpy(),
        world=there["world"].to_numpy().astype(np.int64),
        cell=cell,
        later=there["later"].to_numpy(),
        weights=np.vstack([there[name].to_numpy().astype(np.float64) for name in masses]),
        worlds=worlds,
    )
