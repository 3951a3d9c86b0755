"""Online scoring: rows of a request through a model of the export.

Put here running a model for a request. Keep out HTTP, and how a model is loaded or scores (`mlops_assets.scoring`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from mlops_assets.serving.exports.models import LoadedModel

    Scores = npt.NDArray[np.float64]

Value = str | int | float | bool | None
"""What a row holds for a column."""
_INLINE_VALUES: Final = 4096
"""A matrix up to this size is scored on the event loop: it takes less time than waking a thread."""


class RowsError(ValueError):
    """The rows do not fit the model; the text says why, and is fit for the client."""


async def score_matrix(model: LoadedModel, matrix: npt.NDArray[np.floating]) -> Scores:
    """The model's bare output for each row of its encoded features.

    Raises:
        RowsError: a value is NaN, infinite or too large.
    """
    return await _scores(model, matrix, matrix.size)


async def score_rows(model: LoadedModel, rows: Sequence[Mapping[str, Value]]) -> Scores:
    """The score of each raw row, encoded as the model declares.

    Args:
        model: the model.
        rows: for each column of ``model.scorer.input_columns`` its value, ``None`` where unknown.

    Raises:
        RowsError: a row has other columns, or a column holds something else than declared.
    """
    columns = model.scorer.input_columns
    for number, row in enumerate(rows):
        if row.keys() != set(columns):
            missing = ", ".join(sorted(set(columns) - row.keys())) or "none"
            unknown = len(row.keys() - set(columns))
            raise RowsError(f"Row {number} does not fit the model: missing {missing}; {unknown} unknown columns.")
    return await _scores(model, _table(columns, rows), len(columns) * len(rows))


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Value]]) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415  a service without models needs no Arrow

    arrays = []
    for column in columns:
        values = [row[column] for row in rows]
        try:
            arrays.append(pa.array(values))
        except (pa.ArrowException, OverflowError):
            raise RowsError(f"Column {column} mixes kinds of values, or holds a number that is too large.") from None
    return pa.table(arrays, names=list(columns))


async def _scores(model: LoadedModel, features: npt.NDArray[np.floating] | pa.Table, size: int) -> Scores:
    import pyarrow as pa  # noqa: PLC0415  a service without models needs no Arrow

    from mlops_assets.scoring.encoding import FeatureError  # noqa: PLC0415
    from mlops_assets.scoring.scorer import all_finite  # noqa: PLC0415

    try:
        if size <= _INLINE_VALUES:
            scores = model.scorer.score(features)
        else:
            scores = await asyncio.to_thread(model.scorer.score, features)
    except FeatureError as error:
        raise RowsError(f"{error.source}: {error.culprit[:300]} {error.remedy[:300]}") from None
    except (pa.ArrowException, OverflowError):
        raise RowsError("A number is too large.") from None
    if not all_finite(scores):
        raise RowsError("The values are so far out that a score would not be finite.")
    return scores
