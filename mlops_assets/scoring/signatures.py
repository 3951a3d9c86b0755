"""Signatures of models: who vouched for a record, over everything that decides a score.

Put here what of a model is signed. Keep out signing itself (``platform.security``), where keys lie (``model_keys``)
and what a model file may contain (``graph``).

The signature covers name, version (the file's hash), inputs and parameters, so that neither the file nor what its
inputs may be, the interval or the name can be exchanged by whoever can write to the lake or to an export.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Final

import msgspec

from mlops_assets.platform.security.signatures import Signature, check, sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from mlops_assets.scoring.records import ModelRecord

_PURPOSE: Final = b"mlops-assets model record 2\n"
"""Signed with every record, so that no signature made for anything else is one of a model."""


def signed(record: ModelRecord, key: Ed25519PrivateKey) -> ModelRecord:
    """The record with that key's signature. Ed25519 is deterministic: equal records give equal signatures."""
    signature = sign(_message(record), key)
    return dataclasses.replace(record, signature=signature.text, key_id=signature.key_id)


def check_signature(record: ModelRecord, trusted: Mapping[str, Ed25519PublicKey], *, source: str) -> None:
    """Refuse a record that no trusted key has signed.

    Args:
        record: the record; its version is believed here and compared with the file by the caller.
        trusted: public keys by their ids, as :func:`mlops_assets.platform.security.token_keys.read_keys` gives them.
        source: what the model is called in errors.

    Raises:
        SignatureError: there is no signature, its key is not trusted, or it does not fit the record.
    """
    check(_message(record), Signature(record.signature, record.key_id), trusted, source=source)


def _message(record: ModelRecord) -> bytes:
    content = {
        "name": record.name,
        "version": record.version,
        "inputs": msgspec.to_builtins(record.inputs),
        "parameters": record.parameters,
    }
    return _PURPOSE + json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
