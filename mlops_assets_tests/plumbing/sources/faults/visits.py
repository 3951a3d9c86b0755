"""Visits: the table that the rounds fill, and its rows as texts that are odd in every way that is allowed.

Put here what is good. Keep out what breaks it (``mutations``) and how text is read (``reference``).
"""

from __future__ import annotations

import datetime as dt
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import dagster as dg
import ibis.expr.datatypes as types
import pandera.ibis as pa

from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.contracts.volume import Volume

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

Texts = dict[str, str | None]
"""A row before it is typed."""

MONTH: Final = "2024-01"
MONTHS: Final = dg.MonthlyPartitionsDefinition("2024-01", end_date="2024-07", fmt="%Y-%m")
KINDS: Final = {
    "visit": types.Int64(),
    "who": types.String(),
    "day": types.Date(),
    "at": types.Timestamp(),
    "seen": types.Timestamp(timezone="UTC"),
    "amount": types.Float64(),
    "price": types.Decimal(12, 2),
    "small": types.Int16(),
    "paid": types.Boolean(),
}
NAMES: Final = tuple(KINDS)
_ODD: Final = (
    "", ' a "quoted" word', ", ; \t| '", "\nsecond line", "süß 東京 🙂",
    " spaces ", "NULL", "\\N", "'; DROP TABLE x --",
    "=1+1", "\u00a0\u2028", "# no comment", "x" * 300, "é", "{month} %s",
)  # fmt: skip
_PLAIN: Final = ("", "-a", "_b", " c d", "é")


def contract(
    table: str,
    lake: Lake,
    *,
    personal: bool = False,
    never_null: Sequence[str] = ("visit",),
    further: Mapping[str, types.DataType] = MappingProxyType({}),
) -> Contract:
    """A contract of visits by months, perhaps with further columns."""
    metadata = {"personal": True} if personal else None
    columns = {
        name: pa.Column(kind, nullable=name not in never_null, metadata=metadata)
        for name, kind in [*KINDS.items(), *further.items()]
    }
    return Contract(
        layer="raw",
        table=table,
        model=pa.DataFrameSchema({"month": pa.Column(types.string), **columns}, unique=["month", "visit"]),
        lake=lake,
        description="Who came.",
        owners=["team:plumbing"],
        partitions_def=MONTHS,
        partition_columns={"month": "month"},
        # What a round publishes may be anything that is whole.
        volume=Volume(max_loss=1.0, allow_empty=True),
    )


VISITS: Final = contract("visits", Lake("shop"))
PERSONS: Final = contract("visits", Lake("people", personal=True), personal=True)


def word(chance: random.Random) -> str:
    """A word that no message has by itself."""
    return "".join(chance.choice("bcdfghjklmnpqrstvwxz") for _ in range(9))


def rows(chance: random.Random, most: int = 30, *, plain: bool = False) -> list[Texts]:
    """Some rows, as texts in their usual forms; plain ones stay what they are without quotation marks."""
    return [row(chance, number, plain=plain) for number in range(chance.choice([1, 2, chance.randint(1, most)]))]


def row(chance: random.Random, number: int, *, plain: bool = False) -> Texts:
    """One row; its first column tells it from the others."""
    day = dt.date(2024, 1, 1) + dt.timedelta(days=chance.randrange(400))
    clock = f"{chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}"
    fraction = chance.choice(["", f".{chance.randrange(10**6):06}", ".5"])
    found: Texts = {
        "visit": str(chance.randrange(10**7, 10**14) * 100 + number),
        "who": word(chance) + chance.choice(_PLAIN if plain else _ODD),
        "day": day.isoformat(),
        "at": f"{day}{chance.choice('T ')}{clock}{fraction}",
        "seen": f"{day}T{clock}{fraction}{chance.choice(['Z', '+00:00', '+05:30', '-0800'])}",
        "amount": chance.choice([repr(chance.uniform(-1e6, 1e6)), "0", "-0.0", "1e-300", "1.5e300", "17.", ".5"]),
        "price": f"{chance.randint(-(10**9), 10**9)}.{chance.randrange(100):02}",
        "small": str(chance.randint(-32768, 32767)),
        "paid": chance.choice(["true", "false", "True", "FALSE"]),
    }
    for name in NAMES[1:]:
        if chance.random() < 0.1:
            found[name] = None
    if not plain and chance.random() < 0.05:
        found["who"] = ""
    return found


def words_of(given: Sequence[Texts]) -> bytes:
    """Everything that the rows hold, as bytes."""
    return "\n".join(text for each in given for text in each.values() if text).encode()
