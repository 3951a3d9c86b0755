"""Keys of model signatures: the private one that modeling signs with, and the public ones that scoring trusts.

Put here where they lie and how they come to be. Keep out their form (``token_keys``) and what is signed.

They are others than the keys of access tokens: who may train must not be able to let himself in, nor the reverse.
"""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

from mlops_assets.platform.durable_files import make_folder_durably
from mlops_assets.platform.security.token_keys import KeyFileError, create_keys, read_keys, read_signing_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from mlops_assets.platform.settings import Settings


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """The key that signs models and exports. In development, where no place is set for it, it is made on first use.

    Raises:
        KeyFileError: a place is set and holds no usable key, or the key is not among the trusted ones.
    """
    path, trusted = settings.model_signing_key, settings.model_keys
    if settings.models.signing_key is None and not path.exists():
        make_folder_durably(path.parent)
        # Two first trainings at once must not make two keys.
        with path.with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                create_keys(path, trusted)
    return read_signing_key(path)


def trusted_keys(settings: Settings) -> Mapping[str, Ed25519PublicKey]:
    """The public keys whose models may be loaded, by their ids.

    Raises:
        KeyFileError: the file is missing or damaged.
    """
    if not settings.model_keys.exists():
        raise KeyFileError(
            source=str(settings.model_keys),
            culprit="there are no keys by which a model could be trusted.",
            remedy="Train a model first (the first training makes them), or set MLOPS_ASSETS_MODELS__KEYS.",
        )
    return read_keys(settings.model_keys)
