"""Scopes: what a principal may be allowed to do at the service.

Put here a scope, or what a route may demand instead of one. Keep out who has which scope, and how it is demanded.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

ACCESS: Final = "access"
"""Name of the handler option that says what a route demands, a ``Scope`` or an ``Access``; nobody gets in without."""

SCOPE: Final = r"^[a-z][a-z0-9_]*:[a-z]+\Z"
"""What a scope looks like: those of the service's own routes (:class:`Scope`), and those that tables declare."""


class Scope(StrEnum):
    """What a principal may do at the service's own routes."""

    READ_EXPORTS = "exports:read"
    INFER = "models:infer"
    WRITE_OUTCOMES = "outcomes:write"
    READ_METRICS = "metrics:read"


class Access(StrEnum):
    """What a route demands instead of a scope."""

    PUBLIC = "public"
    ANY_PRINCIPAL = "any_principal"
    BY_TABLE = "by_table"
    """The scope that the table declares; the route demands it once it knows which table is meant."""


def is_known(scope: str) -> bool:
    """Whether a route of the service demands that scope, or a table may declare one like it."""
    return re.fullmatch(SCOPE, scope) is not None


def known_scopes() -> str:
    """What :func:`is_known` knows, as a text for whoever gave another."""
    return f"{', '.join(Scope)}, or the scope that a table declares (such as customers:read)"
