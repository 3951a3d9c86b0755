"""The record of a model: its file, the hash that names it, and what scoring needs beside the file.

Put here the form in which a model travels from a table to whoever scores. Keep out the check of the file's graph and
the scoring itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from mlops_assets.platform.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENCODING: str = "encoding"
"""Key of :attr:`ModelRecord.parameters` under which the encoding of raw columns is declared."""


def file_version(file: bytes) -> str:
    """The version of a model file: SHA-256 of its bytes, 64 hexadecimal digits."""
    return hashlib.sha256(file).hexdigest()


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """A model file with its name and parameters. Nothing is verified before :func:`mlops_assets.scoring.scorer.load`.

    Attributes:
        name: name of the model.
        version: the SHA-256 that the file is said to have, in hexadecimal.
        onnx: the bytes of the ONNX file.
        feature_names: names of the columns of the model's input, in order.
        parameters: what scoring needs beside the file: under ``encoding`` how raw columns become the input, and
            whatever the model's own prediction step recorded (intervals).
        signature: Ed25519 signature over all of that, base64; empty where nobody has signed.
        key_id: id of the key that signed; empty likewise.
    """

    name: str
    version: str
    onnx: bytes
    feature_names: tuple[str, ...]
    parameters: Mapping[str, Any]
    signature: str = ""
    key_id: str = ""

    @classmethod
    def of_row(cls, row: Mapping[str, object]) -> Self:
        """The record in a row of a table of models.

        Args:
            row: ``name``, ``version``, ``onnx_base64`` as text, ``feature_names`` (JSON array of text),
                ``parameters`` (JSON object), ``signature`` and ``key_id``; further columns are ignored.

        Raises:
            ArtifactError: a column is missing or does not hold what it should.
        """
        source = f"Row of model {row.get('name')!r}"
        try:
            name, version, signature, key_id = (row[column] for column in ("name", "version", "signature", "key_id"))
            file = base64.b64decode(str(row["onnx_base64"]), validate=True)
            feature_names = json.loads(str(row["feature_names"]))
            parameters = json.loads(str(row["parameters"]))
        except KeyError as error:
            raise _unreadable(source, f"the column {error} is missing.") from None
        except (binascii.Error, json.JSONDecodeError) as error:
            raise _unreadable(source, f"a column cannot be decoded ({error}).") from None
        if not isinstance(feature_names, list) or not all(isinstance(feature, str) for feature in feature_names):
            raise _unreadable(source, "feature_names is not a JSON array of text.")
        if not isinstance(parameters, dict):
            raise _unreadable(source, "parameters is not a JSON object.")
        return cls(
            name=str(name),
            version=str(version),
            onnx=file,
            feature_names=tuple(feature_names),
            parameters=parameters,
            signature=str(signature),
            key_id=str(key_id),
        )

    def row(self) -> dict[str, str]:
        """The record as the columns that :meth:`of_row` reads; equal records give equal text."""
        return {
            "name": self.name,
            "version": self.version,
            "onnx_base64": base64.b64encode(self.onnx).decode("ascii"),
            "feature_names": json.dumps(list(self.feature_names)),
            "parameters": json.dumps(self.parameters, sort_keys=True, allow_nan=False),
            "signature": self.signature,
            "key_id": self.key_id,
        }


def _unreadable(source: str, culprit: str) -> ArtifactError:
    return ArtifactError(source=source, culprit=culprit, remedy="Train the model again and publish it.")
