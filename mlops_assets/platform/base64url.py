"""Base64url without padding (RFC 4648, 5), as tokens, keys and cursors write bytes."""

from __future__ import annotations

import base64


def to_base64url(data: bytes) -> str:
    """The bytes as text of letters, digits, hyphens and underscores."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """The bytes that a text stands for.

    Raises:
        ValueError: it stands for none.
    """
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
