"""Catalog addresses: what says where a lake's catalog is, and what is wrong with one.

Put here the rule for such an address. Keep out where it is set (``settings``) or declared (``contracts.lake``), and the
connection itself (``lake.catalog``).
"""

from __future__ import annotations

from typing import Final

SQLITE: Final = "sqlite"
"""The address of a catalog that is a file in the home folder."""

_SECRETS: Final = ("password", "sslpassword")


def problem_of(address: str) -> str | None:
    """What is wrong with the address, in words without it; ``None`` when nothing is.

    It is shown in commands and written in records, so it holds no password.
    """
    if address == SQLITE:
        return None
    import psycopg2  # noqa: PLC0415  only a lake of a server needs the driver

    try:
        parts = psycopg2.extensions.parse_dsn(address)
    except psycopg2.Error:
        parts = {}
    if not parts:
        return f"is neither '{SQLITE}' nor a connection string such as 'host=db dbname=curated'"
    if any(parts.get(secret) for secret in _SECRETS):
        return "holds a password, which has a setting of its own"
    return None
