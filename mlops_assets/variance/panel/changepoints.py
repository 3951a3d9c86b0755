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
from mlops_assets.variance.files.numbers import counted, numbers
from mlops_assets.variance.files.opening import AS_DELIVERED, Reading, opened
from mlops_assets.variance.files.times import Spelling, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
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
        notes: what was left out or put together, in sentences.
    """

    times: list[str]
    names: tuple[str, ...]
    values: Floats
    notes: tuple[str, ...] = ()


def read_series(path: Path, *, time: str, values: Sequence[str], reading: Reading = AS_DELIVERED) -> Series:
    """Read series from a CSV or Parquet file of one row per time.

    Args:
        path: the file.
        time: the column that orders the rows, as `files.times` reads it.
        values: columns of numbers.
        reading: what the file does not say itself.

    Returns:
        The series in the order of time; repeated times count once, with their mean.

    Raises:
        ComparisonError: a column is missing, or holds what is no number or no time; there are fewer times than a change
            needs.
    """
    if not values:
        raise ComparisonError("No column of values is named. Name at least one.")
    with duckdb.connect() as connection, opened(connection, path, reading) as file:
        file.require((time, *values))
        table = file.kept(connection, "delivered", (time, *values))
        (parsed,) = numbers([table], values, reading.decimal)
        parts = [f"{table.text(time)} AS t", *(f"{parsed[name]} AS n{at}" for at, name in enumerate(values))]
        connection.execute("CREATE TEMP TABLE given AS " + table.relation.project(", ".join(parts)).sql_query())
        means = ", ".join(f"avg(n{at}), count(n{at})" for at in range(len(values)))
        rows = connection.execute(
            f"SELECT t, count(*), min(rowid) + 1, {means} FROM given GROUP BY t ORDER BY min(rowid)"  # noqa: S608  columns are counted, not named
        ).fetchall()
        spellings = {row[0]: Spelling(count=row[1], row=row[2]) for row in rows if row[0] is not None}
        order = timeline(spellings, column=time, source=table.source, dates=reading.dates)
        if len(order.labels) < 2 * SHORTEST:
            raise ComparisonError(
                f"it has {counted(len(order.labels), 'time')}: a change has {SHORTEST} before it and {SHORTEST} "
                "after it. Give more times.",
                source=table.source,
            )
    sums, known = np.zeros((2, len(values), len(order.labels)))
    for label, _, _, *told in rows:
        if label is not None:
            mean, count = (np.array(each, dtype=np.float64) for each in (told[::2], told[1::2]))
            sums[:, order.place[label]] += np.where(count > 0, mean, 0.0) * count
            known[:, order.place[label]] += count
    if empty := [name for name, own in zip(values, known, strict=True) if not own.any()]:
        raise ComparisonError(
            f"column {', '.join(empty)} holds no number. Name columns of numbers.", source=table.source
        )
    found = np.divide(sums, known, out=np.full_like(sums, np.nan), where=known > 0)
    return Series(times=order.labels, names=tuple(values), values=found, notes=tuple(_notes(rows, time, order.labels)))


def _notes(rows: Sequence[tuple[str | None, int]], time: str, labels: Sequence[str]) -> Iterator[str]:
    without = sum(row[1] for row in rows if row[0] is None)
    if without:
        yield f"{counted(without, 'row')} without {time} left out."
    if repeated := sum(row[1] for row in rows) - without - len(labels):
        yield f"{counted(repeated, 'row')} of a time that came before; the mean was taken."


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
