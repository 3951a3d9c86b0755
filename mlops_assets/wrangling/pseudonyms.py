"""Pseudonyms: keyed tokens that stand for a person or an address once the raw value is left behind.

Put here how a token is made from a text and the key. Keep out what the text says (that is the table's own business)
and where the key comes from (that is the settings').

A token is HMAC-SHA-256 (RFC 2104, FIPS 198-1) of the text's UTF-8 bytes, cut to its first 128 bits and written as 32
hexadecimal digits. The construction is spelt out in the engine, ``H(outer_pad . H(inner_pad . text))``, so no row
passes through Python. The pads are the key, exclusive-or two constants: they travel as data of a one-row table that is
joined in, so the text of a query, a plan or an error never holds the key.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

import ibis
import ibis.expr.operations as ops
import pyarrow as pa
from ibis.formats.pyarrow import PyArrowTableProxy

from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

    from mlops_assets.platform.settings import Settings

TOKEN_DIGITS: Final = 32
"""Hexadecimal digits of a token: 128 bits. Among 10^8 tokens two are equal with a chance of about 10^-23."""

_BLOCK: Final = hashlib.sha256().block_size
_INNER: Final = 0x36
_OUTER: Final = 0x5C


@ibis.udf.scalar.builtin(name="hex", signature=(("string",), "string"))  # type: ignore[untyped-decorator]
def _bytes_in_hex(text: object) -> object:
    """The engine's UTF-8 bytes of a text in hexadecimal digits; of this name in DuckDB and Spark."""


@ibis.udf.scalar.builtin(name="unhex", signature=(("string",), "binary"))  # type: ignore[untyped-decorator]
def _bytes_of_hex(digits: object) -> object:
    """The engine's bytes that hexadecimal digits stand for; of this name in DuckDB and Spark."""


class _Sealed(PyArrowTableProxy):  # type: ignore[misc]  # ibis publishes no types
    """Rows whose values do not show when an expression is printed, as Ibis' own in-memory tables do."""

    def __repr__(self) -> str:
        return "<sealed>"


def pads(key: str) -> ir.Table:
    """The two pads of a key, as a table to join to the rows that need tokens.

    Args:
        key: the key as text; its UTF-8 bytes are used, hashed first when there are more than 64.

    Returns:
        One row with the text columns ``inner_pad`` and ``outer_pad``, 128 hexadecimal digits each; secret.
    """
    secret = key.encode()
    block = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(_BLOCK, b"\0")
    rows = pa.table(
        {
            "inner_pad": [bytes(byte ^ _INNER for byte in block).hex()],
            "outer_pad": [bytes(byte ^ _OUTER for byte in block).hex()],
        }
    )
    name = ibis.util.gen_name("pseudonym_pads")
    return ops.InMemoryTable(name=name, schema=ibis.schema(rows.schema), data=_Sealed(rows)).to_expr()


def token(text: ir.StringValue, padded: ir.Table) -> ir.StringValue:
    """The token of a text.

    Args:
        text: a column of ``padded``, or an expression of its columns; NULL gives NULL.
        padded: the rows, cross-joined with `pads`.

    Returns:
        32 lower-case hexadecimal digits.
    """
    inner = _sha256(_bytes_of_hex(padded.inner_pad + _bytes_in_hex(text)))
    return _sha256(_bytes_of_hex(padded.outer_pad + inner)).left(TOKEN_DIGITS)


def pseudonymised(rows: ir.Table, settings: Settings, tokens: Mapping[str, str]) -> ir.Table:
    """The rows with columns of tokens in the place of those that they are made from.

    Args:
        rows: any rows.
        settings: they hold the key (``MLOPS_ASSETS_PSEUDONYM_KEY``).
        tokens: for each column of tokens the text column that it takes the place of.

    Raises:
        SettingsError: there is no key.
        ContractError: a column is not there, or not of text.

    Example:
        >>> import ibis, mlops_assets as ma
        >>> settings = ma.Settings(pseudonym_key="of thirty-two characters or more ")
        >>> rows = ibis.memtable({"customer_id": ["C000001", None], "spend": [9.5, 3.0]})
        >>> ma.pseudonymised(rows, settings, {"customer_token": "customer_id"}).columns
        ('spend', 'customer_token')
    """
    key = settings.secret(settings.pseudonym_key, "PSEUDONYM_KEY")
    for into, column in tokens.items():
        if column not in rows.columns or not rows[column].type().is_string():
            raise ContractError(
                source=f"Tokens {into}",
                culprit=f"the rows have no text column {column}.",
                remedy=f"Name one of {', '.join(rows.columns)}, cast to text.",
            )
    keyed = rows.cross_join(pads(key))
    made = keyed.mutate(**{into: token(keyed[column], keyed) for into, column in tokens.items()})
    return made.drop(*(set(tokens.values()) - set(tokens)), "inner_pad", "outer_pad")


def person_token(identifier: str, key: str) -> str:
    """The token of one person, as `token` makes it of `person_text` in the engine."""
    return hmac.new(key.encode(), identifier.encode(), "sha256").hexdigest()[:TOKEN_DIGITS]


def person_text(state: ir.StringValue, ncid: ir.StringValue) -> ir.StringValue:
    """What a person's token is made from: state and normalised voter identification number, ``NC:AA100``."""
    return state + ":" + ncid.strip().upper()


def _sha256(value: ir.BinaryValue) -> ir.StringValue:
    return ops.HexDigest(value, "sha256").to_expr()
