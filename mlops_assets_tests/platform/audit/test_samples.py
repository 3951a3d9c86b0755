"""Of a check that rows fail a few of them are shown."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt
import pandera.ibis as pandera
import pytest

from mlops_assets.platform.audit.audit import SAMPLE_ROWS, Candidate, audit
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.contracts.volume import Reference
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import stage

if TYPE_CHECKING:
    from mlops_assets.platform.settings import Settings

THINGS = Contract(
    layer="raw",
    table="things",
    model=pandera.DataFrameSchema(
        {
            "id": pandera.Column(dt.Int64, nullable=True),
            "part": pandera.Column(dt.String, nullable=True),
            "number": pandera.Column(dt.Float64, pandera.Check.ge(0)),
        },
        unique=["id", "part"],
    ),
    lake=Lake("curated"),
    description="Things.",
    owners=["team:things"],
)


def samples(query: str, settings: Settings) -> dict[str, list[tuple[str | None, ...]]]:
    """The sample of each kind of rule that the query's rows break."""
    with LakeSession(settings) as session:
        staged = stage(session, THINGS, session.ibis.sql(query), attempt=uuid.uuid4().hex)
        (found,) = audit(session, THINGS, [Candidate(file=staged, partition={}, reference=Reference())])
    return {
        kind: [tuple(row.values()) for row in rows]
        for outcome in found.outcomes
        for kind, rows in outcome.samples.items()
    }


def test_rows_of_the_least_repeated_keys_are_shown_whatever_keys_are_missing(settings: Settings) -> None:
    rows = "SELECT i // 2 AS id, 'a' AS part, 1.0 AS number FROM range(40) r(i)"
    missing = "SELECT NULL, 'a', 1.0 FROM range(9) UNION ALL SELECT 0, NULL, 1.0 FROM range(9)"
    found = samples(f"{rows} UNION ALL {missing}", settings)
    assert found == {"keys": [(str(number), "a", "1.0") for number in (0, 0, 1, 1, 2)]}


def test_of_many_repeated_keys_some_are_shown(settings: Settings) -> None:
    found = samples("SELECT i // 2 AS id, 'a' AS part, 1.0 AS number FROM range(2000) r(i)", settings)
    assert list(found) == ["keys"]
    assert len(found["keys"]) == SAMPLE_ROWS
    assert [row[0] for row in found["keys"][:4:2]] == [row[0] for row in found["keys"][1:4:2]]


@pytest.mark.parametrize("key", range(3))
def test_one_key_that_is_repeated_often_is_shown_wherever_it_lies(key: int, settings: Settings) -> None:
    found = samples("SELECT 0 AS id, 'a' AS part, 1.0 AS number FROM range(2000)".replace("0", str(key), 1), settings)
    assert found == {"keys": [(str(key), "a", "1.0")] * SAMPLE_ROWS}


def test_the_few_bad_rows_among_many_are_found(settings: Settings) -> None:
    rows = "SELECT i AS id, 'a' AS part, if(i % 20000 = 7, -1.0, 1.0) AS number FROM range(200000) r(i)"
    found = samples(rows, settings)
    assert list(found) == ["values"]
    assert len(found["values"]) == SAMPLE_ROWS
    assert {row[2] for row in found["values"]} == {"-1.0"}
