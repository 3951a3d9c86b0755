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

import msgspec

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.scoring.inputs import Input

if TYPE_CHECKING:
    from collections.abc import Mapping


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
        inputs: the raw columns that the file takes.
        parameters: what the model's own prediction step recorded beside the file (intervals); no score depends on it.
        signature: Ed25519 signature over all of that, base64; empty where nobody has signed.
        key_id: id of the key that signed; empty likewise.
    """

    name: str
    version: str
    onnx: bytes
    inputs: tuple[Input, ...]
    parameters: Mapping[str, Any]
    signature: str = ""
    key_id: str = ""

    @classmethod
    def of_row(cls, row: Mapping[str, object]) -> Self:
        """The record in a row of a table of models.

        Args:
            row: ``name``, ``version``, ``onnx_base64`` as text, ``inputs`` (JSON array of
                :class:`~mlops_assets.scoring.inputs.Input`), ``parameters`` (JSON object), ``signature`` and
                ``key_id``; further columns are ignored.

        Raises:
            ArtifactError: a column is missing or does not hold what it should.
        """
        source = f"Row of model {row.get('name')!r}"
        try:
            name, version, signature, key_id = (row[column] for column in ("name", "version", "signature", "key_id"))
            file = base64.b64decode(str(row["onnx_base64"]), validate=True)
            inputs = msgspec.json.decode(str(row["inputs"]), type=tuple[Input, ...])
            parameters = json.loads(str(row["parameters"]))
        except KeyError as error:
            raise _unreadable(source, f"the column {error} is missing.") from None
        except msgspec.MsgspecError as error:
            raise _unreadable(source, f"its inputs cannot be read ({error}).") from None
        except (binascii.Error, json.JSONDecodeError) as error:
            raise _unreadable(source, f"a column cannot be decoded ({error}).") from None
        if not isinstance(parameters, dict):
            raise _unreadable(source, "parameters is not a JSON object.")
        return cls(
            name=str(name),
            version=str(version),
            onnx=file,
            inputs=inputs,
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
            "inputs": msgspec.json.encode(self.inputs).decode(),
            "parameters": json.dumps(self.parameters, sort_keys=True, allow_nan=False),
            "signature": self.signature,
            "key_id": self.key_id,
        }


def _unreadable(source: str, culprit: str) -> ArtifactError:
    return ArtifactError(source=source, culprit=culprit, remedy="Train the model again and publish it.")
