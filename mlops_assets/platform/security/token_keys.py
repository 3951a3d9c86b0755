"""Keys of access tokens: an Ed25519 signing key, and the set of public keys (JWKS) that verify what it signed.

Put here how keys are made, rotated, retired and read. Keep out the tokens themselves.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from mlops_assets.platform.base64url import from_base64url, to_base64url
from mlops_assets.platform.durable_files import make_folder_durably, replace_durably, taking_turns
from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KEY_BYTES: Final = 32
_OTHERS: Final = 0o077


class KeyFileError(PlatformError):
    """A key file is missing, open to others, or does not hold what it should."""


def create_keys(signing_key: Path, keys: Path) -> str:
    """Make the first signing key, and add its public half to the JWKS file.

    Args:
        signing_key: where the private key goes (PEM, readable by its owner only).
        keys: the JWKS file; made when missing.

    Returns:
        The key's id: its RFC 7638 thumbprint.

    Raises:
        KeyFileError: there is a signing key already, or the JWKS file is damaged.
    """
    if signing_key.exists():
        raise KeyFileError(
            source=str(signing_key), culprit="there is a signing key already.", remedy="Rotate the keys instead."
        )
    return rotate_keys(signing_key, keys)


def rotate_keys(signing_key: Path, keys: Path) -> str:
    """Replace the signing key by a new one. Tokens signed by the old one stay valid until its id is retired.

    The public key is published before the private one is stored, so that no token is ever signed by a key that
    verifiers cannot know.

    Returns:
        The new key's id.

    Raises:
        KeyFileError: the JWKS file is damaged.
    """
    private = Ed25519PrivateKey.generate()
    key_id = key_id_of(private.public_key())
    for folder in (keys.parent, signing_key.parent):
        make_folder_durably(folder)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # A key that is retired meanwhile must not come back with what was read before.
    with taking_turns(keys.parent):
        public_keys = read_keys(keys) if keys.exists() else {}
        _write_keys(keys, {**public_keys, key_id: private.public_key()})
        replace_durably(signing_key, pem, mode=0o600)
    return key_id


def retire_key(keys: Path, key_id: str) -> None:
    """Remove a public key: every token that it verified is refused from then on.

    Raises:
        KeyFileError: the file is missing or damaged, the key is not in it, or it is the only one.
    """
    # Says what lacks where there is no folder to lock.
    read_keys(keys)
    with taking_turns(keys.parent):
        public_keys = dict(read_keys(keys))
        if public_keys.pop(key_id, None) is None:
            raise KeyFileError(
                source=str(keys), culprit=f"it holds no key {key_id}.", remedy=f"Name one of {sorted(public_keys)}."
            )
        if not public_keys:
            raise KeyFileError(source=str(keys), culprit=f"{key_id} is its only key.", remedy="Rotate the keys first.")
        _write_keys(keys, public_keys)


def read_signing_key(signing_key: Path) -> Ed25519PrivateKey:
    """The private key of that PEM file.

    Raises:
        KeyFileError: it is missing, others may read it, or it is not an Ed25519 key.
    """
    try:
        if signing_key.stat().st_mode & _OTHERS:
            raise KeyFileError(
                source=str(signing_key), culprit="others than its owner may read it.", remedy="Set its mode to 0600."
            )
        private = load_pem_private_key(signing_key.read_bytes(), password=None)
    except (OSError, TypeError, ValueError) as error:
        raise KeyFileError(
            source=str(signing_key),
            culprit=f"the signing key cannot be read ({type(error).__name__}).",
            remedy="Create keys, or correct the setting.",
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError(source=str(signing_key), culprit="it holds no Ed25519 key.", remedy="Create new keys.")
    return private


def read_keys(keys: Path) -> Mapping[str, Ed25519PublicKey]:
    """The public keys of a JWKS file, by their ids.

    Raises:
        KeyFileError: it is missing or not a JWKS of Ed25519 keys, or it holds a private key.
    """
    try:
        entries = json.loads(keys.read_bytes())["keys"]
        return dict(_public_key(keys, entry) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeyFileError(
            source=str(keys),
            culprit=f"it cannot be read as a set of Ed25519 keys ({type(error).__name__}).",
            remedy="Create keys, or correct the setting.",
        ) from error


def key_id_of(public: Ed25519PublicKey) -> str:
    """The RFC 7638 thumbprint of the key: SHA-256 of its required members, without padding."""
    members = {name: value for name, value in _jwk(public).items() if name in {"crv", "kty", "x"}}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return to_base64url(hashlib.sha256(canonical.encode()).digest())


def _jwk(public: Ed25519PublicKey) -> dict[str, str]:
    """The key's members after RFC 8037."""
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": to_base64url(raw), "use": "sig", "alg": "EdDSA"}


def _public_key(keys: Path, entry: Mapping[str, str]) -> tuple[str, Ed25519PublicKey]:
    if "d" in entry:
        raise KeyFileError(
            source=str(keys), culprit="it holds a private key.", remedy="Retire that key; whoever read it can sign."
        )
    if (entry["kty"], entry["crv"]) != ("OKP", "Ed25519"):
        raise ValueError("not an Ed25519 key")
    raw = from_base64url(entry["x"])
    if len(raw) != _KEY_BYTES:
        raise ValueError("not an Ed25519 key")
    return entry["kid"], Ed25519PublicKey.from_public_bytes(raw)


def _write_keys(keys: Path, public_keys: Mapping[str, Ed25519PublicKey]) -> None:
    entries = [{"kid": key_id, **_jwk(public)} for key_id, public in public_keys.items()]
    replace_durably(keys, json.dumps({"keys": entries}, indent=2).encode())
