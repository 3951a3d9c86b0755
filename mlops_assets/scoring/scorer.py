"""Scoring with a verified model file: the same numbers for the same rows, in a batch and in a request.

Put here loading and running. Keep out what a score means, and anything that could execute code from a file (pickle).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.scoring.encoding import Encoding, FeatureError
from mlops_assets.scoring.graph import checked_output
from mlops_assets.scoring.records import ENCODING, ModelRecord, file_version
from mlops_assets.scoring.runtime import onnxruntime as ort
from mlops_assets.scoring.signatures import check_signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_MATRIX_RANK: Final = 2
_ONLY_ERRORS: Final = 3
_FEW: Final = 64
_LARGEST: Final = float(np.finfo(np.float32).max)
"""The models compute in single precision."""


class Scorer:
    """A model that has been verified and is ready to score; safe to share between threads.

    Attributes:
        record: the record it was loaded from.
        encoding: how raw columns become the model's input, or ``None`` where the record declares none.
    """

    def __init__(
        self, record: ModelRecord, encoding: Encoding | None, session: ort.InferenceSession, output: str
    ) -> None:
        self.record = record
        self.encoding = encoding
        self._session = session
        self._input = session.get_inputs()[0].name
        self._output = output

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The columns that a table to score must have: raw ones with an encoding, else the model's features."""
        return self.record.feature_names if self.encoding is None else self.encoding.columns

    def score(self, features: npt.NDArray[np.floating] | pa.Table) -> npt.NDArray[np.float64]:
        """Score rows.

        Args:
            features: a table with exactly :attr:`input_columns`, which is encoded as the record declares; or the
                encoded matrix itself, one column per name of ``record.feature_names``, in that order.

        Returns:
            One number per row. For a classifier the probability of the second class. For a table whose encoding has
            an anchor or limits, the output taken from the one and kept in the others (:meth:`Encoding.score`); for a
            matrix always the bare output.

        Raises:
            FeatureError: wrong shape, wrong columns, or values that are NaN or infinite.
        """
        if not isinstance(features, pa.Table):
            return self._run(features)
        if self.encoding is not None:
            return self.encoding.score(features, self._run(self.encoding.matrix(features)))
        return self._run(self._plain(features))

    def _plain(self, table: pa.Table) -> npt.NDArray[np.float64]:
        """The matrix of a table that needs no encoding; a null becomes NaN, which is refused."""
        names = self.record.feature_names
        if sorted(table.column_names) != sorted(names):
            raise FeatureError(
                source=f"Rows for model {self.record.name}",
                culprit=f"the columns are {', '.join(table.column_names)}.",
                remedy=f"Give exactly these: {', '.join(names)}.",
            )
        try:
            columns = [table.column(name).cast(pa.float64()).to_numpy() for name in names]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise FeatureError(
                source=f"Rows for model {self.record.name}",
                culprit=f"a column does not hold numbers ({', '.join(str(column.type) for column in table.columns)}).",
                remedy="Give whole or floating numbers.",
            ) from None
        return np.column_stack(columns)

    def _run(self, matrix: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        width = len(self.record.feature_names)
        if matrix.ndim != _MATRIX_RANK or matrix.shape[1] != width or matrix.dtype.kind not in "fiu":
            raise FeatureError(
                source=f"Rows for model {self.record.name}",
                culprit=f"the array has shape {matrix.shape} and type {matrix.dtype}.",
                remedy=f"Give numbers in {width} columns: {', '.join(self.record.feature_names)}.",
            )
        if not _within(matrix, _LARGEST):
            columns = [self.record.feature_names[i] for i in np.flatnonzero(~(np.abs(matrix) <= _LARGEST).all(axis=0))]
            raise FeatureError(
                source=f"Rows for model {self.record.name}",
                culprit=f"NaN, infinite or too large values in {', '.join(columns)}.",
                remedy="Give finite numbers; where a value may be unknown, the model's encoding says how it is filled.",
            )
        single = np.ascontiguousarray(matrix, dtype=np.float32)
        if not len(single):
            return np.empty(0, dtype=np.float64)
        (output,) = self._session.run([self._output], {self._input: single})
        scores: npt.NDArray[np.float64] = output[:, -1].astype(np.float64)
        return scores


def all_finite(numbers: npt.NDArray[np.floating]) -> bool:
    """Whether no number is NaN or infinite."""
    return _within(numbers, sys.float_info.max)


def _within(numbers: npt.NDArray[np.floating], largest: float) -> bool:
    """Whether every number lies between that one and its negative; NaN does not."""
    if numbers.size <= _FEW:
        # The few numbers of a request take NumPy longer to begin with than to look at.
        return all(-largest <= number <= largest for number in numbers.ravel().tolist())
    return bool((np.abs(numbers) <= largest).all())


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
        ArtifactError: the file's SHA-256 is not the record's version, its graph does not fit the record or holds more
            than plain operators (see :mod:`mlops_assets.scoring.graph`), or the encoding does not give its input.
    """
    source = _source(record)
    found = file_version(record.onnx)
    if found != record.version:
        raise ArtifactError(
            source=source,
            culprit=f"its SHA-256 is {found[:12]}..., its record says {record.version[:12]}....",
            remedy="Do not use it: it was changed after training. Restore the published table.",
        )
    output = checked_output(record.onnx, source=source, features=len(record.feature_names))
    encoding = _encoding(record, source)
    try:
        session = ort.InferenceSession(record.onnx, _options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises a type of its own for each kind of refusal
        raise ArtifactError(
            source=source,
            culprit=f"onnxruntime {ort.__version__} cannot run it ({type(error).__name__}).",
            remedy="Train it again with the converter that the lock names.",
        ) from None
    return Scorer(record, encoding, session, output)


def _source(record: ModelRecord) -> str:
    return f"Model file {record.name} {record.version[:12]}"


def _encoding(record: ModelRecord, source: str) -> Encoding | None:
    if ENCODING not in record.parameters:
        return None
    try:
        encoding = Encoding.model_validate(record.parameters[ENCODING])
    except ValidationError as error:
        raise ArtifactError(
            source=source,
            culprit=f"its encoding cannot be read ({error.errors(include_input=False)[0]['msg']}).",
            remedy="Train the model again with this version of the platform.",
        ) from None
    if encoding.feature_names != record.feature_names:
        raise ArtifactError(
            source=source,
            culprit=f"its encoding gives {len(encoding.feature_names)} features that are not its "
            f"{len(record.feature_names)} inputs.",
            remedy="Train the model again; file and parameters do not belong together.",
        )
    return encoding


def _options() -> ort.SessionOptions:
    """One thread, in order: the order of additions, and so the last bit of a score, must not depend on load."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.use_deterministic_compute = True
    options.log_severity_level = _ONLY_ERRORS
    return options
