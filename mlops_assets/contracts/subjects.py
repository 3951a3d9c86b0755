"""The kinds of identifiers by which tables tell persons apart, and by which a person can be erased.

Put here their names. Keep out how one is derived from another (that is wrangling's).
"""

from __future__ import annotations

from typing import Final

VOTER: Final = "voter"
"""State and voter identification number: ``NC:AA100``."""

VOTER_TOKEN: Final = "voter_token"  # noqa: S105  a pseudonym, not a password
"""The pseudonym that wrangling makes of it."""
