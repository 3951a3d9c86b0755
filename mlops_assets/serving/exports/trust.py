"""Trust: the keys whose exports and models the service believes, followed while it runs.

Put here which keys count at the moment. Keep out what is signed, and keys of tokens (they are others).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.platform.followed_file import FollowedFile
from mlops_assets.platform.security.token_keys import read_keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Trusted = Mapping[str, Ed25519PublicKey]


class Trust:
    """The trusted keys of a JWKS file, followed within a second. Not for use by several threads at once."""

    def __init__(self, path: Path) -> None:
        self._file = FollowedFile(path, read_keys)

    def keys(self) -> Trusted:
        """The keys by their ids: the same object as long as the file has not changed.

        Raises:
            KeyFileError: the file is missing or damaged; nothing can be believed then.
        """
        return self._file.content()
