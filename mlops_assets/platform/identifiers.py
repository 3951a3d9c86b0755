"""Identifiers: what lakes, their tables and columns, and checks may be called.

Put here the rule. Keep out which names are taken or known (``contracts.names``).
"""

from __future__ import annotations

import re
from typing import Final

_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]*")


def is_identifier(name: str) -> bool:
    """Whether it is made of lower-case letters, digits and underscores, and begins with a letter."""
    return _IDENTIFIER.fullmatch(name) is not None
