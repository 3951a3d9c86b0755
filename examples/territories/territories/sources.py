"""Sources: a company's exports, simulated, with the truth about what happened in them.

``territories-sources FOLDER`` writes one CSV file of customers a month with its checksum, a database that says who
left, the orders that ``territories-shop`` serves, and ``truth.json``. Three things happen: territories are redrawn in
May, a segment is renamed in June, and July was exported twice into one file.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

MONTHS = tuple(f"2024-{month:02}" for month in range(1, 9))
TERRITORIES = tuple(f"T{number:02}" for number in range(1, 13))
REDRAWN, RECODED, TWICE = "2024-05", "2024-06", "2024-07"
COLUMNS = ("month", "customer_id", "name", "email", "address", "territory", "segment", "monthly_spend")
_FIRST = ("Ann", "Bob", "Cy", "Dee", "Eve", "Flo", "Gus", "Hal")
_LAST = ("Ames", "Boyd", "Cole", "Dunn", "Ebel", "Fox", "Gray", "Holt")
_STREETS = ("Oak", "Elm", "Fir", "Ash")
_PLACES = 10
"""In each territory."""
_REDRAWN_TERRITORIES = 6
_REDRAWN_PLACES = 4
"""Of each redrawn territory."""
_MOST_ORDERS = 3
"""Of a customer in a month."""
_LEAVE = 0.02
_MOVE = 0.01
"""Shares of the customers in a month."""

TRUTH = [
    {"month": REDRAWN, "kind": "redrawn", "territories": TERRITORIES[:_REDRAWN_TERRITORIES]},
    {"month": RECODED, "kind": "recoded", "column": "segment", "from": "SMB", "to": "SMALL"},
    {"month": TWICE, "kind": "repeated", "until": TWICE},
]


class _Customer:
    """A customer, who spends, moves and may leave."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.id = f"C{number:06}"
        self.name = f"{chance.choice(_FIRST)} {chance.choice(_LAST)}"
        self.segment = chance.choices(("SMB", "MID", "ENT"), (6, 3, 1))[0]
        self.spend = chance.lognormvariate(4, 0.6)
        self.move(chance)

    def move(self, chance: random.Random) -> None:
        self.place = chance.randrange(len(TERRITORIES) * _PLACES)
        self.street = f"{chance.randrange(1, 400)} {chance.choice(_STREETS)} St"

    def row(self, month: str) -> tuple[str, ...]:
        segment = "SMALL" if month >= RECODED and self.segment == "SMB" else self.segment
        email = f"{self.id.lower()}@example.com"
        address = f"{self.street}, {10_000 + self.place}"
        return (month, self.id, self.name, email, address, territory(self.place, month), segment, f"{self.spend:.2f}")


def territory(place: int, month: str) -> str:
    """The territory of a place: since May four of ten places in each of the first six belong to the next of them."""
    number, within = divmod(place, _PLACES)
    redrawn = month >= REDRAWN and number < _REDRAWN_TERRITORIES and within < _REDRAWN_PLACES
    return TERRITORIES[(number + 1) % _REDRAWN_TERRITORIES if redrawn else number]


def write(folder: Path, customers: int, seed: int = 7) -> None:
    """Write the exports of all months and the truth.

    Args:
        folder: gets ``customers/<month>.csv``, ``labels.sqlite``, ``orders.json``, the token of orders and
            ``truth.json``.
        customers: in the first month; one in fifty leaves each month, and as many come.
        seed: of all chance.
    """
    chance = random.Random(seed)  # noqa: S311  simulated, not secret
    exports = folder / "customers"
    exports.mkdir(parents=True, exist_ok=True)
    people = [_Customer(number, chance) for number in range(customers)]
    known = customers
    orders: dict[str, list[dict[str, object]]] = {}
    labels: list[tuple[str, str, str]] = []
    for month in MONTHS:
        rows = [person.row(month) for person in people]
        _export(exports / f"{month}.csv", rows * (2 if month == TWICE else 1))
        orders[month] = _orders(people, chance)
        stay = [person for person in people if chance.random() >= _LEAVE]
        staying = {person.id for person in stay}
        labels += [(month, person.id, "false" if person.id in staying else "true") for person in people]
        for person in stay:
            person.spend *= 1 + chance.gauss(0, 0.03)
            if chance.random() < _MOVE:
                person.move(chance)
        people = [*stay, *(_Customer(known + number, chance) for number in range(len(people) - len(stay)))]
        known += len(people) - len(stay)
    _label(folder / "labels.sqlite", labels)
    (folder / "orders.json").write_text(json.dumps(orders), encoding="utf-8")
    (folder / "orders_token").write_text(secrets.token_urlsafe() + "\n", encoding="utf-8")
    (folder / "truth.json").write_text(json.dumps(TRUTH, indent=2) + "\n", encoding="utf-8")


def _export(path: Path, rows: list[tuple[str, ...]]) -> None:
    """A CSV file, and beside it its checksum, which says that it is complete."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n", encoding="utf-8")


def _orders(people: list[_Customer], chance: random.Random) -> list[dict[str, object]]:
    """What they order in a month."""
    found: list[dict[str, object]] = []
    for person in people:
        for _ in range(chance.randrange(_MOST_ORDERS)):
            found.append({"order_id": len(found) + 1, "customer_id": person.id, "amount": round(person.spend / 2, 2)})
    return found


def _label(path: Path, labels: list[tuple[str, str, str]]) -> None:
    """The database of the customer service."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE churn (month TEXT, customer_id TEXT, churned TEXT)")
        database.executemany("INSERT INTO churn VALUES (?, ?, ?)", labels)


def main() -> None:
    """Write the sources into the folder that the command line names."""
    parser = argparse.ArgumentParser(
        prog="territories-sources", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("sources"), help="gets the files (default: sources)"
    )
    parser.add_argument("--customers", type=int, default=6_000, help="in the first month (default: 6000)")
    arguments = parser.parse_args()
    write(arguments.folder, arguments.customers)
    print(f"{len(MONTHS)} months of customers, orders and labels are in {arguments.folder}.")  # noqa: T201  a command's answer


if __name__ == "__main__":
    main()
