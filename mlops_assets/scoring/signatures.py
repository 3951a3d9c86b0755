"""Signatures of models: who vouched for a record, over everything that decides a score.

Put here what is signed, and the two steps, signing and checking. Keep out where keys lie (``model_keys``) and what a
model file may contain (``graph``).

A hash tells that a file is the one its record names; it does not tell who made the pair. The signature (Ed25519, RFC
8032) covers name, version (the file's hash), inputs and parameters, so that neither the file nor the encoding, the
interval or the name can be exchanged by whoever can write to the lake or to an export.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.token_keys import key_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from mlops_assets.scoring.records import ModelRecord

_PURPOSE: Final = b"mlops-assets model record 1\n"
"""Signed with every record, so that no signature made for anything else is one of a model."""


class SignatureError(ArtifactError):
    """A model is unsigned, or signed otherwise than its trusted keys say."""


def signed(record: ModelRecord, key: Ed25519PrivateKey) -> ModelRecord:
    """The record with that key's signature. Ed25519 is deterministic: equal records give equal signatures."""
    return dataclasses.replace(
        record,
        signature=base64.b64encode(key.sign(_message(record))).decode("ascii"),
        key_id=key_id_of(key.public_key()),
    )


def check_signature(record: ModelRecord, trusted: Mapping[str, Ed25519PublicKey], *, source: str) -> None:
    """Refuse a record that no trusted key has signed.

    Args:
        record: the record; its version is believed here and compared with the file by the caller.
        trusted: public keys by their ids, as :func:`mlops_assets.platform.token_keys.read_keys` gives them.
        source: what the model is called in errors.

    Raises:
        SignatureError: there is no signature, its key is not trusted, or it does not fit the record.
    """
    if not record.signature or not record.key_id:
        raise SignatureError(
            source=source, culprit="it is not signed.", remedy="Do not use it; publish a model that passed its gate."
        )
    public = trusted.get(record.key_id)
    if public is None:
        raise SignatureError(
            source=source,
            culprit=f"it is signed by the key {record.key_id}, which is not among the {len(trusted)} trusted ones.",
            remedy="Do not use it; if its key was rotated, add the public half to the trusted keys, or train again.",
        )
    try:
        public.verify(base64.b64decode(record.signature, validate=True), _message(record))
    except (InvalidSignature, binascii.Error, ValueError):
        raise SignatureError(
            source=source,
            culprit=f"its signature by the key {record.key_id} does not fit: record or signature was changed.",
            remedy="Do not use it. Restore the published table, or train and publish it again.",
        ) from None


def _message(record: ModelRecord) -> bytes:
    content = {
        "name": record.name,
        "version": record.version,
        "feature_names": list(record.feature_names),
        "parameters": record.parameters,
    }
    return _PURPOSE + json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
