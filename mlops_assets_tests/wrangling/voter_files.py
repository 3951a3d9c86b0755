"""Small raw voter files and histories, made up row by row.

Put here rows of raw tables that several wrangling tests start from. Keep out expected results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from mlops_assets.contracts.layouts import VOTER_FILE_COLUMNS
from mlops_assets_tests.wrangling.kept_contract import engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis.expr.types as ir

KEY: Final = "a key of the tests that has more than 32 characters"

# Values that occur nowhere else, so that finding one in an output proves a leak.
PERSONAL: Final = {
    "ncid": "ZQ907531",
    "voter_reg_num": "000907532",
    "last_name": "QUIBBLEWORTH",
    "first_name": "ZEPHYRINE",
    "middle_name": "ÆTHEL",
    "res_street_address": "9075 Xylophone  Street Apt 33",
    "zip_code": "907539075",
    "mail_addr1": "PO BOX 907534",
    "mail_zipcode": "90753",
    "full_phone_number": "9075359075",
}

_ROW: Final[dict[str, str | None]] = {
    **dict.fromkeys(VOTER_FILE_COLUMNS, ""),
    **PERSONAL,
    "county_id": "1",
    "county_desc": "ALAMANCE",
    "status_cd": "A",
    "voter_status_desc": "ACTIVE",
    "res_city_desc": "BURLINGTON",
    "state_cd": "NC",
    "registr_dt": "05/06/2009",
    "race_code": "W",
    "ethnic_code": "NL",
    "party_cd": "DEM",
    "gender_code": "F",
    "birth_year": "1983",
    "cong_dist_abbrv": "04",
}


def voter_file(
    *rows: Mapping[str, str | None], state: str = "NC", month: str = "2022-10", layout: str = "from-2022-02-12"
) -> pa.Table:
    """A raw voter file of one snapshot: each row is the usual person with these values changed."""
    count = len(rows)
    columns: dict[str, Any] = {
        "state": pa.array([state] * count, pa.string()),
        "month": pa.array([month] * count, pa.string()),
        "layout": pa.array([layout] * count, pa.string()),
        "source_file": pa.array([f"{state}-{month}.txt"] * count, pa.string()),
        "source_row": pa.array(range(1, count + 1), pa.int64()),
    }
    for column in VOTER_FILE_COLUMNS:
        columns[column] = pa.array([{**_ROW, **row}[column] for row in rows], pa.string())
    return pa.table(columns)


def ncid(number: int) -> str:
    """A voter identification number."""
    return f"ZQ{number}"


def crowd(count: int, first: int = 1, **values: str) -> list[dict[str, str]]:
    """That many persons with these values, numbered from ``first``."""
    return [{"ncid": ncid(number), **values} for number in range(first, first + count)]


def history(election: str, numbers: Iterable[int], *, state: str = "NC", party: str | None = "DEM") -> pa.Table:
    """A raw voting history: the persons of those numbers voted."""
    persons = [ncid(number) for number in numbers]
    count = len(persons)
    return pa.table(
        {
            "state": pa.array([state] * count, pa.string()),
            "election": pa.array([election] * count, pa.string()),
            "ncid": pa.array(persons, pa.string()),
            "county_id": pa.array(["1"] * count, pa.string()),
            "county_desc": pa.array(["ALAMANCE"] * count, pa.string()),
            "election_lbl": pa.array([f"11/08/{election}"] * count, pa.string()),
            "voting_method": pa.array(["IN-PERSON"] * count, pa.string()),
            "voted_party_cd": pa.array([party] * count, pa.string()),
        }
    )


def rows_of(table: ir.Table) -> list[dict[str, Any]]:
    """The rows of a table, in no order that means anything."""
    rows: list[dict[str, Any]] = engine().to_pyarrow(table).to_pylist()
    return rows
