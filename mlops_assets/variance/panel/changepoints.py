"""Change points: where the level, the trend or the scatter of one or several series changed.

Put here the segmentation of series over time. Keep out groups, units and causes.

Method. Binary segmentation (Scott and Knott, 1974) of a piecewise linear trend with its own normal scatter per segment:
a segment of m values costs m log(residual variance + floor), and a split is kept where it lowers the cost by more than
5 log n for each series, the Bayesian criterion for three more parameters (level, trend, scatter) and a place that is
searched for, which counts twice (Zhang and Siegmund, Biometrics 63, 2007). Costs come from cumulated sums, so that each
split takes one pass; hence no library: those that are kept have neither this cost nor a penalty fit for all series.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np
import pyarrow as pa

from mlops_assets.variance.errors import ComparisonError
from mlops_assets.variance.files import quoted, relation_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_assets.variance.arrays import Codes, Floats

PENALTY: Final = 5.0
"""In log n: three parameters of the new segment and its place, which counts twice."""

FLOOR: Final = 0.05
"""Added to a segment's variance, in variances of the whole series: less scatter than that is not told apart."""

SHORTEST: Final = 2
"""The fewest values of a segment."""

MOST: Final = 100
"""The most change points of one answer."""

SCHEMA: Final = pa.schema(
    [("time", pa.string()), ("position", pa.int64()), ("score", pa.float64()), ("evidence", pa.string())]
)


@dataclass(frozen=True, kw_only=True)
class Series:
    """Values over time.

    Attributes:
        times: labels, in order.
        names: of the series.
        values: series (rows) by times (columns), NaN where missing.
    """

    times: list[str]
    names: tuple[str, ...]
    values: Floats


def read_series(path: Path, *, time: str, values: Sequence[str]) -> Series:
    """Read series from a CSV or Parquet file of one row per time.

    Args:
        path: the file.
        time: the column that orders the rows.
        values: columns of numbers; what is not a number counts as missing.

    Returns:
        The series in the order of time; repeated times count once, with their mean.

    Raises:
        ComparisonError: a column is missing, no row has a time, or a column holds no number.
    """
    with duckdb.connect() as connection:
        relation = relation_of(connection, path)
        missing = [name for name in (time, *values) if name not in relation.columns]
        if missing or not values:
            raise ComparisonError(
                f"The series in {path} have no column {', '.join(missing) or '(none named)'}; they have "
                f"{', '.join(relation.columns)}. Name others."
            )
        numbers = ", ".join(f"avg(TRY_CAST({quoted(name)} AS DOUBLE)) AS n{at}" for at, name in enumerate(values))
        grouped = relation.filter(f"{quoted(time)} IS NOT NULL").aggregate(
            f"{quoted(time)} AS moment, {numbers}", quoted(time)
        )
        rows = grouped.order("moment").fetchall()
    if not rows:
        raise ComparisonError(f"No row of {path} has a value of {time}: there is no order. Check the file.")
    table = np.array([[np.nan if cell is None else cell for cell in row[1:]] for row in rows], dtype=np.float64).T
    table[~np.isfinite(table)] = np.nan
    empty = [name for name, own in zip(values, table, strict=True) if np.isnan(own).all()]
    if empty:
        raise ComparisonError(f"Column {', '.join(empty)} of {path} holds no number. Name columns of numbers.")
    return Series(times=[str(row[0]) for row in rows], names=tuple(values), values=table)


def changepoints(series: Series) -> pa.Table:
    """Find where series changed, all of them together.

    Args:
        series: one or several over the same times; missing values are bridged by straight lines.

    Returns:
        One row per change point, in the order of time: ``time`` (of the first value after it), ``position`` (of that
        value, from 0), ``score`` (how far the cost fell, in penalties: above 1) and ``evidence``. No row where nothing
        changed, nor where the series are constant or too short.
    """
    plain = _standardised(series.values)
    found = sorted(_split(plain)) if len(plain) and plain.shape[1] >= 2 * SHORTEST else []
    edges = [0, *(position for position, _ in found), plain.shape[1]]
    sentences = [_told(series, *edges[place : place + 3]) for place in range(len(found))]
    return pa.table(
        [
            [series.times[position] for position, _ in found],
            [position for position, _ in found],
            [round(score, 3) for _, score in found],
            sentences,
        ],
        schema=SCHEMA,
    )


def _standardised(values: Floats) -> Floats:
    """Series without gaps, of mean 0 and variance 1; constant ones are left out."""
    plain = []
    for own in values:
        known = np.flatnonzero(np.isfinite(own))
        bridged = np.interp(np.arange(len(own)), known, own[known])
        width = bridged.std()
        if width > np.finfo(float).eps * np.abs(bridged).max(initial=0) * len(own):
            plain.append((bridged - bridged.mean()) / width)
    return np.array(plain).reshape(len(plain), values.shape[1])


class _Cost:
    """Costs of segments from cumulated sums."""

    def __init__(self, values: Floats) -> None:
        moment = np.arange(values.shape[1]) / values.shape[1]
        self._y, self._yy, self._ty = (_cumulated(part) for part in (values, values**2, values * moment))
        self._t, self._tt = _cumulated(moment[None]), _cumulated(moment[None] ** 2)

    def __call__(self, start: Codes | int, stop: Codes | int) -> Floats:
        """The cost of values from each start up to, but without, each stop."""
        begin, end = np.atleast_1d(start).astype(int), np.atleast_1d(stop).astype(int)
        many = end - begin
        y, yy, ty = (part[:, end] - part[:, begin] for part in (self._y, self._yy, self._ty))
        t, tt = (part[:, end] - part[:, begin] for part in (self._t, self._tt))
        across = tt - t**2 / many
        slope = np.divide((ty - t * y / many) ** 2, across, out=np.zeros_like(y), where=across > 1e-14)  # noqa: PLR2004
        left = np.maximum(yy - y**2 / many - slope, 0.0)
        cost: Floats = (many * np.log(left / many + FLOOR)).sum(axis=0)
        return cost


def _cumulated(values: Floats) -> Floats:
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)


def _split(values: Floats) -> list[tuple[int, float]]:
    """Positions of changes with their scores."""
    size = values.shape[1]
    cost, penalty = _Cost(values), PENALTY * np.log(size) * len(values)
    open_segments: list[tuple[float, int, int, int]] = []

    def consider(start: int, stop: int) -> None:
        if stop - start < 2 * SHORTEST:
            return
        inner = np.arange(start + SHORTEST, stop - SHORTEST + 1)
        begin, end = np.full_like(inner, start), np.full_like(inner, stop)
        gain: Floats = cost(start, stop) - cost(begin, inner) - cost(inner, end)
        best = int(gain.argmax())
        if gain[best] > penalty:
            heapq.heappush(open_segments, (-float(gain[best]), int(inner[best]), start, stop))

    consider(0, size)
    found: list[tuple[int, float]] = []
    while open_segments and len(found) < MOST:
        gain, position, start, stop = heapq.heappop(open_segments)
        found.append((position, -gain / penalty))
        consider(start, position)
        consider(position, stop)
    return found


def _told(series: Series, start: int, position: int, stop: int) -> str:
    parts = []
    for name, own in zip(series.names, series.values, strict=True):
        before, after = own[start:position], own[position:stop]
        if np.isfinite(before).any() and np.isfinite(after).any():
            parts.append(
                f"{name} {np.nanmean(before):.4g} (deviation {np.nanstd(before):.2g}) before, "
                f"{np.nanmean(after):.4g} ({np.nanstd(after):.2g}) after"
            )
    return "; ".join(parts)
