"""The signature of an export: a file beside its manifest that says who wrote both.

Put here what of an export is signed, and the form of that file. Keep out signing itself (``signatures``) and how an
export is written and opened (``export``).

The manifest names the data file's SHA-256, so its signature covers every row. It does not say which export is current:
whoever can replace the pointer can name an older one that was signed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.security.signatures import Signature, check, sign

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE: Final = "signature.json"
_PURPOSE: Final = b"mlops-assets export manifest 1\n"


def sign_manifest(manifest: bytes, key: Ed25519PrivateKey) -> bytes:
    """The file that vouches for a manifest, in JSON: ``text``, the signature, and ``key_id``."""
    return json.dumps(asdict(sign(_PURPOSE + manifest, key)), indent=2).encode()


def check_manifest(manifest: bytes, folder: Path, trusted: Mapping[str, Ed25519PublicKey]) -> str:
    """Refuse an export whose manifest no trusted key has signed; returns the id of the key that has.

    Args:
        manifest: the manifest as it was read.
        folder: the export's folder, which holds the signature.
        trusted: public keys by their ids.

    Raises:
        SignatureError: there is no signature, its key is not trusted, or it does not fit the manifest.
    """
    try:
        fields = json.loads((folder / SIGNATURE).read_bytes())
        signature = Signature(str(fields["text"]), str(fields["key_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        signature = Signature("", "")
    check(_PURPOSE + manifest, signature, trusted, source=f"Export {folder}")
    return signature.key_id
