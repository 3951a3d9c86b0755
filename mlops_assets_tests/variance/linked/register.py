"""A register for the tests of health: homes that people leave and others take, units of all sizes, growth.

Put here how the register is made and goes on for a month. Keep out what breaks it, and expectations.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import ibis
import pyarrow as pa

from mlops_assets.variance.linked.snapshots import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Row = dict[str, Any]

COLUMNS: Final = ("person", "unit", "street", "place", "segment", "gender", "cohort")
LAYOUT: Final = Layout(
    entity="person",
    unit="unit",
    address=("street", "place"),
    attributes=dict.fromkeys(("segment", "gender", "cohort")),
)
WITHOUT_ADDRESS: Final = Layout(
    entity="person", unit="unit", address=("person",), attributes=dict.fromkeys(("segment", "gender", "cohort"))
)
ADDRESS_ALONE: Final = Layout(entity="person", unit="unit", address=("street", "place"), attributes={})
SIZES: Final = (900, 400, 150, 60, 25, 12, 5)
"""Homes of each unit."""


def register(seed: int, sizes: Sequence[int] = SIZES) -> list[Row]:
    """Homes of one to three people; one segment is that of most people in its unit."""
    chance = random.Random(seed)  # noqa: S311  a population, not a secret
    rows: list[Row] = []
    for number, homes in enumerate(sizes):
        unit = f"U{number + 1}"
        for home in range(homes):
            street = f"{home} {unit} Street"
            rows += [_somebody(chance, unit, street) for _ in range(chance.choice((1, 1, 2, 3)))]
    return rows


def month_later(seed: int, rows: Sequence[Row], *, churn: float = 0.02, growth: float = 0.0) -> list[Row]:
    """The register after people have left, moved into homes left by others, and come, each at the rate of churn.

    Homes that are left are let again at once, to people who look like their neighbours as everybody does.
    """
    chance = random.Random(seed)  # noqa: S311  a population, not a secret
    stay, homes, looking = [], [], []
    for row in rows:
        fate = chance.random()
        if fate < 2 * churn:
            homes.append(row)
            if fate < churn:
                looking.append(row)
        else:
            changed = {"segment": chance.choice("ABC")} if chance.random() < churn / 2 else {}
            stay.append({**row, **changed})
    chance.shuffle(homes)
    later = [*stay, *({**row, **_place(home)} for row, home in zip(looking, homes, strict=False))]
    later += [_somebody(chance, home["unit"], home["street"]) for home in homes[len(looking) :]]
    built = chance.choices(rows, k=int(len(rows) * growth))
    later += [_somebody(chance, row["unit"], f"new {chance.getrandbits(40)} Street") for row in built]
    chance.shuffle(later)
    return later


def table(rows: Iterable[Row]) -> Any:  # noqa: ANN401  an Ibis table
    """The rows as a table."""
    given = list(rows)
    return ibis.memtable(pa.table({name: pa.array([row[name] for row in given], pa.string()) for name in COLUMNS}))


def _somebody(chance: random.Random, unit: str, street: str) -> Row:
    usual = "ABC"[int(unit[1:]) % 3]
    return {
        "person": f"{chance.getrandbits(60):019d}",
        "unit": unit,
        "street": street,
        "place": f"Town {unit}",
        "segment": usual if chance.random() < 0.5 else chance.choice("ABC"),
        "gender": chance.choice("FM"),
        "cohort": str(chance.randrange(1930, 2005, 5)),
    }


def _place(home: Row) -> Row:
    return {name: home[name] for name in ("unit", "street", "place")}
