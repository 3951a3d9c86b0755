"""Why a model predicts as it does: how much worse it becomes when one of its columns is shuffled.

Put here explanations that need a model and rows only. Keep out how they are shown (``card``).

Source: permutation importance, Breiman, "Random Forests", Machine Learning 45 (2001); Fisher, Rudin, Dominici, "All
Models are Wrong, but Many are Useful", JMLR 20 (2019). Columns that tell the same share their importance: shuffling one
leaves the others, so a small number does not mean that a column is of no use.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    import pyarrow as pa

    from mlops_assets.modeling.fitting import Fitted

    Numbers = npt.NDArray[np.float64]

MOST_ROWS: Final = 20_000
"""Above this many rows every n-th is used."""

_SHUFFLES: Final = 3
_DECIMALS: Final = 6


def importance(
    fitted: Fitted, rows: pa.Table, outcomes: Numbers, loss: Callable[[Numbers, Numbers], float]
) -> dict[str, float]:
    """By how much the loss grows when a raw column is shuffled among the rows, mean of three shuffles.

    Equal rows give equal numbers: each column is shuffled from a seed of its own name.

    Args:
        fitted: the model.
        rows: raw rows with outcomes, sorted.
        outcomes: what happened, one entry (or row of an array) per row.
        loss: of scores and outcomes; smaller is better.

    Returns:
        For each raw column that the model reads, in its order, the growth in the unit of the loss.
    """
    if rows.num_rows > MOST_ROWS:
        drawn = np.linspace(0, rows.num_rows - 1, MOST_ROWS).astype(np.int64)
        rows, outcomes = rows.take(drawn), outcomes[drawn]
    read = rows.select(fitted.encoding.columns).combine_chunks()
    before = loss(fitted.scores(read), outcomes)
    grown: dict[str, float] = {}
    for place, column in enumerate(read.column_names):
        draw = np.random.default_rng(zlib.crc32(column.encode()))
        losses = [
            loss(fitted.scores(read.set_column(place, column, read.column(place).take(order))), outcomes)
            for order in (draw.permutation(read.num_rows) for _ in range(_SHUFFLES))
        ]
        # Adding 0.0 turns a rounded minus zero into zero.
        grown[column] = round(float(np.mean(losses)) - before, _DECIMALS) + 0.0
    return grown
