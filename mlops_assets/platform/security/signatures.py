"""Signatures: who vouched for a message, by an Ed25519 key (RFC 8032) that a reader trusts.

Put here the two steps, signing and checking. Keep out what is signed (the exports' manifests in ``export``, records of
models in ``scoring.signatures``) and where keys lie (``token_keys`` reads them).

A hash tells that a file is the one its record names; it does not tell who made the pair.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.security.token_keys import key_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class SignatureError(ArtifactError):
    """A message is unsigned, or signed otherwise than the trusted keys say."""


@dataclass(frozen=True)
class Signature:
    """A signature; both are empty for what is not signed.

    Attributes:
        text: the signature, base64.
        key_id: id of the key that made it, its RFC 7638 thumbprint.
    """

    text: str
    key_id: str


def sign(message: bytes, key: Ed25519PrivateKey) -> Signature:
    """That key's signature. Ed25519 is deterministic: equal messages give equal signatures."""
    return Signature(base64.b64encode(key.sign(message)).decode("ascii"), key_id_of(key.public_key()))


def check(message: bytes, signature: Signature, trusted: Mapping[str, Ed25519PublicKey], *, source: str) -> None:
    """Refuse a message that no trusted key has signed.

    Args:
        message: what was signed; it begins with a text of its own kind, so that no signature made for anything else
            fits it.
        signature: its signature.
        trusted: public keys by their ids, as :func:`mlops_assets.platform.security.token_keys.read_keys` gives them.
        source: what the message is called in errors.

    Raises:
        SignatureError: there is no signature, its key is not trusted, or it does not fit the message.
    """
    if not signature.text or not signature.key_id:
        raise SignatureError(
            source=source, culprit="it is not signed.", remedy="Do not use it; publish one that is signed."
        )
    public = trusted.get(signature.key_id)
    if public is None:
        raise SignatureError(
            source=source,
            culprit=f"it is signed by the key {signature.key_id}, which is not among the {len(trusted)} trusted ones.",
            remedy="Do not use it; if its key was rotated, add the public half to the trusted keys, or make it again.",
        )
    try:
        public.verify(base64.b64decode(signature.text, validate=True), message)
    except (InvalidSignature, binascii.Error, ValueError):
        raise SignatureError(
            source=source,
            culprit=f"its signature by the key {signature.key_id} does not fit: content or signature was changed.",
            remedy="Do not use it. Restore what was published, or make and publish it again.",
        ) from None
