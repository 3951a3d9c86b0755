"""A crowd in a lake, one of whom is to be erased: for the tests of erasure.

Put here the tables that hold persons, their weeks, and what every version of them shows. Keep out assertions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import ibis.expr.datatypes as dt
import pandera.ibis as pandera

from mlops_assets.platform.contracts.contract import Contract, Quarantine
from mlops_assets.platform.contracts.volume import ANY_VOLUME
from mlops_assets.platform.lake import erasure
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.platform import orchard
from mlops_assets_tests.platform.lake import upkeep

CANARY: Final = "ZZ-XYZZYX-1"
"""Last of all, so that he is the greatest value in the catalog's statistics."""


class CrowdModel(pandera.DataFrameModel):
    """One row per person and week."""

    week: dt.String = pandera.Field(nullable=False)
    token: dt.String = pandera.Field(nullable=False)
    kilos: dt.Float64 = pandera.Field(nullable=False, ge=0)

    class Config:
        """Strict, keyed by person."""

        strict = True
        unique = ("week", "token")


class NotedCrowdModel(CrowdModel):
    """With a note, which the table has gained since."""

    note: dt.String = pandera.Field(nullable=True)


CROWD: Final = Contract(
    layer="wrangled",
    table="crowd",
    model=CrowdModel,
    lake=orchard.CURATED,
    description="Who picked how much.",
    owners=["team:farm"],
    partitions_def=orchard.PARTITIONS,
    partition_columns={"week": "week"},
    subject={"picker": "token"},
    quarantine=Quarantine(floor=0.1),
    volume=ANY_VOLUME,
)
NOTED: Final = replace(CROWD, model=NotedCrowdModel)
CONTRACTS: Final = {**upkeep.CONTRACTS, "wrangled/crowd": NOTED}
GIVEN: Final = {"picker": frozenset({CANARY})}


def week(key: str, **kilos: float) -> Any:  # noqa: ANN401  an entry of the ledger
    """Publish a week of these persons; underscores become dashes."""
    tokens = [name.replace("_", "-") for name in kilos]
    rows: dict[str, list[Any]] = {"week": [key] * len(tokens), "token": tokens, "kilos": list(kilos.values())}
    return upkeep.publish_table(CROWD, key, rows)


def noted(key: str, note: str, **kilos: float) -> Any:  # noqa: ANN401
    """Publish a week under the contract that has gained a column, with that note at everybody."""
    tokens = [name.replace("_", "-") for name in kilos]
    rows: dict[str, list[Any]] = {
        "week": [key] * len(tokens),
        "token": tokens,
        "kilos": list(kilos.values()),
        "note": [f"{note} {token}" for token in tokens],
    }
    return upkeep.publish_table(NOTED, key, rows)


def some_weeks() -> None:
    """Publish weeks with the canary: alone, among others, replaced, set aside, noted; and a season made from one."""
    first = week("w1", Ann=1.0, Bob=2.0, ZZ_XYZZYX_1=3.0)
    upkeep.publish_table(orchard.SEASON, None, {"weeks": [1], "kilos": [6.0]}, inputs={"crowd": first})
    week("w2", ZZ_XYZZYX_1=4.0)
    week("w1", Ann=1.5, ZZ_XYZZYX_1=3.0)
    week("w3", Ann=1.0, Bob=-1.0, Cid=5.0, ZZ_XYZZYX_1=-2.0)
    noted("w1", "by", Ann=2.0, Bob=2.5, ZZ_XYZZYX_1=3.5)
    week("w3", Dan=7.0)


def versions(*, with_canary: bool = False) -> dict[int, list[tuple[Any, ...]]]:
    """What each version of the lake shows of the crowd and of those set aside, without the canary or with him."""
    with LakeSession(Settings.load()) as session:
        session.attach("curated")
        numbers = session.query("curated", "SELECT snapshot_id FROM ducklake_snapshot ORDER BY snapshot_id")
        shown: dict[int, list[tuple[Any, ...]]] = {}
        for (number,) in numbers:
            rows = []
            for table in ("crowd", "crowd_quarantine"):
                at = f"curated.wrangled.{table} AT (VERSION => {number})"
                try:
                    found = session.connection.execute(f"FROM {at}").fetchall()
                except Exception as error:
                    if "does not exist" not in str(error):
                        raise
                    continue
                rows += [(table, *row) for row in found if with_canary or CANARY not in row]
            shown[int(number)] = sorted(rows, key=repr)
        return shown


def counted(shown: dict[int, list[tuple[Any, ...]]]) -> dict[tuple[int, str], int]:
    """How many rows each version shows of each table; two tables are not read at one moment."""
    tables = ("crowd", "crowd_quarantine")
    return {
        (version, table): sum(row[0] == table for row in rows) for version, rows in shown.items() for table in tables
    }


def forget() -> str:
    """Erase the canary from every lake."""
    with LakeSession(Settings.load()) as session:
        erasure_id = erasure.begin(session, CONTRACTS, GIVEN, by="test")
        for lake in session.settings.lake_names:
            erasure.erase(session, lake, CONTRACTS, GIVEN, erasure_id)
        erasure.settle(session, erasure_id)
        erasure.finish(session, erasure_id)
        return erasure_id
