"""How well change points are found: the figures of the Turing Change Point Dataset.

Put here F1 and cover of named positions. Keep out panels.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from public_panels import annotated

from mlops_assets.variance.panel.changepoints import changepoints

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MARGIN = 5


def f1_and_cover(marks: Mapping[str, Sequence[int]], positions: Sequence[int], size: int) -> tuple[float, float]:
    """The two figures of the Turing Change Point Dataset (van den Burg and Williams, 2020), margin 5."""
    named = {0, *positions}
    truths = [{0, *own} for own in marks.values()]
    everything = set().union(*truths)
    precision = len(_met(everything, named)) / len(named)
    recall = float(np.mean([len(_met(own, named)) / len(own) for own in truths]))
    ours = _segments(named, size)
    covers = [
        sum((stop - start) * max(_overlap((start, stop), one) for one in ours) for start, stop in _segments(own, size))
        for own in truths
    ]
    return 2 * precision * recall / (precision + recall), float(np.mean(covers)) / size


def _met(true: set[int], named: set[int]) -> set[int]:
    left, met = set(named), set()
    for position in sorted(true):
        near = [(abs(position - other), other) for other in left if abs(position - other) <= MARGIN]
        if near:
            left.remove(min(near)[1])
            met.add(position)
    return met


def _segments(positions: set[int], size: int) -> list[tuple[int, int]]:
    edges = [*sorted(positions), size]
    return list(pairwise(edges))


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> float:
    shared = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / (max(one[1], other[1]) - min(one[0], other[0]))


def series() -> dict[str, Any]:
    """Mean F1 and cover on the annotated series, with the fixed default, and those of naming nothing."""
    figures, nothing = {}, []
    for name, (own, marks) in annotated().items():
        positions = changepoints(own)["position"].to_pylist()
        figures[name] = f1_and_cover(marks, positions, own.values.shape[1])
        nothing.append(f1_and_cover(marks, [], own.values.shape[1]))
    f1, cover = np.mean(list(figures.values()), axis=0).round(3).tolist()
    none = np.mean(nothing, axis=0).round(3).tolist()
    return {"series": len(figures), "f1": f1, "cover": cover, "f1_of_none": none[0], "cover_of_none": none[1],
            "by_series": {name: [round(part, 2) for part in pair] for name, pair in figures.items()}}  # fmt: skip
