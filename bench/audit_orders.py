"""The orders that ``bench/audit.py`` audits: sixteen rules, the rows, and how many break each rule.

Put here what every way must know. Keep out what needs a library (``audit_contract``, ``audit_programs``), since each
process is to load its own alone.
"""

from __future__ import annotations

from typing import Final

COUNTRIES: Final = ("DE", "FR", "NL", "AT", "CH", "BE", "DK", "SE", "PL", "IT")
STATES: Final = ("open", "paid", "shipped", "returned")
SKU: Final = r"^[A-Z]{3}-[0-9]{5}$"
EMAIL: Final = r"^[a-z0-9.]+@[a-z0-9.]+\.[a-z]{2,}$"

RULES: Final = (
    "order_id is not null",
    "customer is not null",
    "country is not null",
    "status is not null",
    "ordered_at is not null",
    "amount is not null",
    "customer has 6 to 12 signs",
    "country is one of ten",
    "status is one of four",
    "sku matches a pattern",
    "email matches a pattern",
    "amount is from 0 to 100,000",
    "quantity is from 1 to 100",
    "discount is from 0 to 1",
    "shipped_at is not before ordered_at",
    "order_id is unique",
)
"""The rules in the order in which every way tells their counts."""

NEVER_BROKEN: Final = "order_id is not null"
"""The one rule that no row breaks: pandas would make floats of the key."""

SHARE: Final = 10_000
"""Of so many rows one breaks each of the others."""


def rows_query(rows: int) -> str:
    """The DuckDB query of so many orders, the same each time; of each ``SHARE`` rows one breaks each rule."""

    def odd(rule: str, otherwise: str, value: str) -> str:
        return f"CASE WHEN n % {SHARE} = {RULES.index(rule)} THEN {otherwise} ELSE {value} END"

    def column(name: str, value: str) -> str:
        return f"{odd(f'{name} is not null', 'NULL', value)} AS {name}"

    customer = odd("customer has 6 to 12 signs", "'C'", "'C' || 100000 + h % 900000")
    country = odd("country is one of ten", "'XX'", f"{list(COUNTRIES)}[1 + h % 10]")
    status = odd("status is one of four", "'lost'", f"{list(STATES)}[1 + h % 4]")
    sku = odd("sku matches a pattern", "'ABC-none'", "'ABC-' || 10000 + h % 90000")
    email = odd(
        "email matches a pattern", "'nobody'", "CASE WHEN h % 11 > 0 THEN 'c' || h % 900000 || '@example.org' END"
    )
    amount = odd("amount is from 0 to 100,000", "-1", "h % 10000000 / 100")
    discount = odd("discount is from 0 to 1", "2", "CASE WHEN h % 2 = 0 THEN h % 50 / 100 END")
    shipped = "CASE WHEN h % 7 > 0 THEN placed + to_seconds(h % 1000000) END"
    return f"""
    SELECT {odd("order_id is unique", "n - 1", "n")} AS order_id,
           {column("customer", customer)}, {column("country", country)}, {column("status", status)},
           {sku} AS sku, {email} AS email,
           {odd("quantity is from 1 to 100", "0", "1 + h % 100")} AS quantity,
           {column("amount", f"{amount}::DOUBLE")}, {discount}::DOUBLE AS discount,
           {column("ordered_at", "placed")},
           {odd("shipped_at is not before ordered_at", "placed - INTERVAL 1 DAY", shipped)} AS shipped_at
    FROM (SELECT n, h, TIMESTAMP '2025-01-01' + to_seconds(h % 31536000) AS placed
          FROM (SELECT range AS n, (hash(range) // 2)::BIGINT AS h FROM range({rows})))
    """
