"""Scoring with a verified model file: the same numbers for the same rows, in a batch and in a request.

Put here loading and running. Keep out what a score means, and anything that could execute code from a file (pickle).
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.scoring.feeds import Feed, Tensor, feed_of_rows, feed_of_table, feed_of_tensors
from mlops_assets.scoring.graph import Signature, checked_signature
from mlops_assets.scoring.inputs import FeatureError, Value, tensors
from mlops_assets.scoring.records import ModelRecord, file_version
from mlops_assets.scoring.runtime import onnxruntime, session_of
from mlops_assets.scoring.signatures import check_signature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    import pyarrow as pa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Scores = npt.NDArray[np.float64]

ROWS_AT_A_TIME: Final = 16_384
"""So many rows of a table are scored at once: what lies between two operators of the file then stays small."""
_TOGETHER: Final = 8
"""Rows are run in whole eights, the last one repeated. The runtime adds a single row up in another order than several,
and computes what is left over of its vectors by other instructions: a row alone would differ from the same row in a
batch in the last bits (in 200 of 500 rows of a linear model)."""
_TRIALS: Final = 5
_MANY: Final = 256


@dataclass(frozen=True)
class Cost:
    """What scoring costs, in seconds, as it was measured when the model was loaded.

    Attributes:
        call: whatever the number of rows.
        row: each row.
    """

    call: float
    row: float

    def of(self, rows: int) -> float:
        """Seconds that so many rows are likely to take."""
        return self.call + self.row * rows


class Scorer:
    """A model that has been verified and is ready to score; safe to share between threads.

    Attributes:
        record: the record it was loaded from.
        tensors: the inputs of its file by name, flags of nulls among them.
        signature: what its file takes and gives.
        cost: what scoring with it costs here.
    """

    def __init__(self, record: ModelRecord, session: onnxruntime.InferenceSession, signature: Signature) -> None:
        self.record = record
        self.tensors = tensors(record.inputs)
        self.signature = signature
        self._session = session
        self.cost = self._measured()

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The columns that a table to score must have."""
        return tuple(column.name for column in self.record.inputs)

    @property
    def example(self) -> dict[str, str | float | bool]:
        """A row that can be scored, of nobody."""
        return {column.name: column.example for column in self.record.inputs}

    def score(self, table: pa.Table) -> Scores:
        """Score the rows of a table with exactly :attr:`input_columns`, in any order.

        Returns:
            One number per row, finite.

        Raises:
            FeatureError: other columns, another kind of values, NaN, infinite or too large ones, or nulls where the
                model takes none.
        """
        scores = np.empty(table.num_rows)
        for start in range(0, max(table.num_rows, 1), ROWS_AT_A_TIME):
            part = table.slice(start, ROWS_AT_A_TIME)
            scores[start : start + ROWS_AT_A_TIME] = self._run(feed_of_table(self.record.inputs, part), part.num_rows)
        return scores

    def score_rows(self, rows: Sequence[Mapping[str, Value]]) -> Scores:
        """The same for the rows of a request.

        Raises:
            FeatureError: as :meth:`score`.
        """
        return self._run(feed_of_rows(self.record.inputs, rows), len(rows))

    def score_tensors(self, given: Mapping[str, Tensor]) -> Scores:
        """The same for tensors: for each input of the file, flags of nulls included, one of one dimension.

        Raises:
            FeatureError: as :meth:`score`.
        """
        feed = feed_of_tensors(self.tensors, given)
        return self._run(feed, len(next(iter(feed.values()))))

    def _run(self, feed: Feed, rows: int) -> Scores:
        if not rows:
            return np.empty(0)
        whole = rows if rows % _TOGETHER == 0 else rows + _TOGETHER - rows % _TOGETHER
        if whole != rows:
            repeated = np.minimum(np.arange(whole), rows - 1)
            feed = {name: tensor[repeated] for name, tensor in feed.items()}
        for name in self.signature.wide:
            feed[name] = feed[name].reshape(-1, 1)
        try:
            (output,) = self._session.run([self.signature.output], feed)
        except Exception as error:  # noqa: BLE001 - onnxruntime raises a type of its own for each kind of failure
            raise self._beyond(f"the model cannot compute a score of them ({type(error).__name__}).") from None
        if output.size != whole:
            raise self._beyond(f"the model gives {output.size} scores for {whole} of them.")
        scores: Scores = output.reshape(-1)[:rows].astype(np.float64)
        if not np.isfinite(scores).all():
            raise self._beyond("they are so far out that a score would not be finite.")
        return scores

    def _beyond(self, culprit: str) -> FeatureError:
        return FeatureError(
            source=f"Rows for model {self.record.name}",
            culprit=culprit,
            remedy="Give rows like those that the model was trained on.",
        )

    def _measured(self) -> Cost:
        """The cost of a call and of a row; the first run of each size is left out, since it makes its memory."""

        def seconds(rows: Sequence[Mapping[str, Value]]) -> float:
            times = []
            for _ in range(_TRIALS + 1):
                begun = time.perf_counter()
                self.score_rows(rows)
                times.append(time.perf_counter() - begun)
            return statistics.median(times[1:])

        one, many = seconds([self.example]), seconds([self.example] * _MANY)
        row = max(0.0, (many - one) / (_MANY - 1))
        return Cost(call=max(0.0, one - row), row=row)


def load(record: ModelRecord, trusted: Mapping[str, Ed25519PublicKey]) -> Scorer:
    """Verify a signed model and make it ready to score, on one CPU thread with fixed options.

    Args:
        record: the record with its file.
        trusted: public keys whose signatures count, by their ids.

    Raises:
        SignatureError: no trusted key has signed the record.
        ArtifactError: as :func:`load_unsigned`.
    """
    check_signature(record, trusted, source=_source(record))
    return load_unsigned(record)


def load_unsigned(record: ModelRecord) -> Scorer:
    """Verify a model that its maker has not signed yet: for training, which compares its own file before it signs.

    Raises:
        ArtifactError: the file's SHA-256 is not the record's version, its graph does not take the record's inputs or
            holds more than plain operators (see :mod:`mlops_assets.scoring.graph`), or it cannot score its example.
    """
    source = _source(record)
    found = file_version(record.onnx)
    if found != record.version:
        raise ArtifactError(
            source=source,
            culprit=f"its SHA-256 is {found[:12]}..., its record says {record.version[:12]}....",
            remedy="Do not use it: it was changed after training. Restore the published table.",
        )
    inputs = tensors(record.inputs)
    if len(inputs) != sum(2 if column.flag else 1 for column in record.inputs) or not inputs:
        raise ArtifactError(
            source=source,
            culprit="its record declares no inputs, or two of one name.",
            remedy="Train it again with this version of the platform.",
        )
    signature = checked_signature(record.onnx, source=source, inputs=inputs)
    try:
        return Scorer(record, _session(record, source), signature)
    except FeatureError as error:
        raise ArtifactError(
            source=source,
            culprit=f"it cannot score its own example ({error.source}: {error.culprit})",
            remedy="Train it again; file and record do not belong together.",
        ) from None


def _session(record: ModelRecord, source: str) -> onnxruntime.InferenceSession:
    try:
        return session_of(record.onnx)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises a type of its own for each kind of refusal
        raise ArtifactError(
            source=source,
            culprit=f"onnxruntime {onnxruntime.__version__} cannot run it ({type(error).__name__}).",
            remedy="Train it again with the converter that the lock names.",
        ) from None


def _source(record: ModelRecord) -> str:
    return f"Model file {record.name} {record.version[:12]}"
