"""Online scoring: rows of a request through a model of the export.

Put here running a model for a request. Keep out HTTP, and how a model is loaded or scores (`mlops_assets.scoring`).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from mlops_assets.scoring.feeds import Tensor
    from mlops_assets.serving.exports.models import LoadedModel

    Scores = npt.NDArray[np.float64]

Value = str | int | float | bool | None
"""What a row holds for a column."""
_INLINE_SECONDS: Final = 0.001
"""What a model takes longer for is scored in a thread: others wait no longer than this, and a thread costs less."""


class RowsError(ValueError):
    """The rows do not fit the model; the text says why, and is fit for the client."""


async def score_rows(model: LoadedModel, rows: Sequence[Mapping[str, Value]]) -> Scores:
    """The score of each raw row.

    Args:
        model: the model.
        rows: for each column of ``model.scorer.input_columns`` its value, ``None`` where unknown.

    Raises:
        RowsError: a row has other columns, or a column holds something else than declared.
    """
    return await _scores(model, len(rows), partial(model.scorer.score_rows, rows))


async def score_tensors(model: LoadedModel, rows: int, read: Callable[[], Mapping[str, Tensor]]) -> Scores:
    """The score of each row of tensors.

    Args:
        model: the model.
        rows: how many rows they are said to have.
        read: gives the tensors; where there are many rows, reading them takes a thread's time as well.

    Raises:
        RowsError: a tensor holds what the model does not take.
    """
    return await _scores(model, rows, lambda: model.scorer.score_tensors(read()))


async def _scores(model: LoadedModel, rows: int, score: Callable[[], Scores]) -> Scores:
    from mlops_assets.scoring.inputs import FeatureError  # noqa: PLC0415  a service without models needs none of it

    try:
        return score() if model.scorer.cost.of(rows) <= _INLINE_SECONDS else await asyncio.to_thread(score)
    except FeatureError as error:
        raise RowsError(f"{error.source}: {error.culprit[:300]} {error.remedy[:300]}") from None
