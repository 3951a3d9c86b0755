"""What is staged is audited while the next partitions are made: nothing of it shows but the time."""

from __future__ import annotations

import threading
import time
import uuid
from contextvars import ContextVar
from typing import TYPE_CHECKING

import dagster as dg
import duckdb
import ibis.expr.datatypes as dt
import pandera.ibis as pandera
import pyarrow as pa
import pytest

from mlops_assets.platform.assets.auditing import audited
from mlops_assets.platform.audit import audit
from mlops_assets.platform.audit.audit import Candidate
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.contracts.volume import Reference
from mlops_assets.platform.lake.frames import as_ibis
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_assets.platform.audit.outcomes import Audit
    from mlops_assets.platform.settings import Settings

PARTS = "abcd"
PILES = Contract(
    layer="raw",
    table="piles",
    model=pandera.DataFrameSchema(
        {
            "part": pandera.Column(dt.String, nullable=False),
            "id": pandera.Column(dt.Int64, pandera.Check.ge(0), nullable=False),
        },
        unique=["part", "id"],
        strict=True,
    ),
    lake=Lake("curated"),
    description="Piles.",
    owners=["team:piles"],
    partitions_def=dg.StaticPartitionsDefinition(list(PARTS)),
    partition_columns={"part": "part"},
)
LONG = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = -1"


def pile(session: LakeSession, part: str, *ids: int) -> Candidate:
    """The staged rows of a part."""
    rows = pa.table({"part": pa.array([part] * len(ids), pa.string()), "id": pa.array(ids, pa.int64())})
    table = as_ibis(session, rows, rules.columns_of(PILES))
    file = stage(session, PILES, table, attempt=uuid.uuid4().hex)
    return Candidate(file=file, partition={"part": part}, reference=Reference())


def rows_of(found: Sequence[Audit | duckdb.Error]) -> list[int | None]:
    """The number of rows of each audit."""
    return [each.rows for each in found if not isinstance(each, duckdb.Error)]


def test_what_came_while_an_audit_ran_is_audited_together_and_all_is_told_in_its_order(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = audit.audit, []
    begun, go_on = threading.Event(), threading.Event()

    def slow(session: LakeSession, contract: Contract, candidates: Sequence[Candidate]) -> list[Audit]:
        asked.append(len(candidates))
        begun.set()
        assert go_on.wait(60)
        return real(session, contract, candidates)

    monkeypatch.setattr(audit, "audit", slow)

    def made() -> Iterator[Candidate]:
        with LakeSession(settings) as other:
            yield pile(other, "a", 1)
            assert begun.wait(60)
            yield pile(other, "b", 1, 2)
            yield pile(other, "c", 1, 2, 3)
            go_on.set()
            yield pile(other, "d", 1, 2, 3, 4)

    with LakeSession(settings) as session:
        assert rows_of(audited(session, PILES, made(), most=4)) == [1, 2, 3, 4]
    assert asked[0] == 1
    assert sum(asked) == 4
    assert len(asked) <= 3


@pytest.mark.parametrize("made", [1, 3, 4], ids=["one of four", "three of four", "all four"])
def test_partitions_that_were_not_made_are_not_waited_for(made: int, settings: Settings) -> None:
    with LakeSession(settings) as session, LakeSession(settings) as other:
        piles = (pile(other, part, 1) for part in PARTS[:made])
        assert rows_of(audited(session, PILES, piles, most=4)) == [1] * made


def test_a_file_that_cannot_be_audited_is_told_alone(settings: Settings) -> None:
    with LakeSession(settings) as session, LakeSession(settings) as other:
        piles = [pile(other, part, 1) for part in PARTS]
        piles[2].file.path.write_bytes(b"no Parquet at all, cut off somewhere")
        found = audited(session, PILES, iter(piles), most=4)
    assert [isinstance(each, duckdb.Error) for each in found] == [False, False, True, False]


def test_what_has_too_little_memory_beside_the_making_is_audited_once_more_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = audit.audit

    def needy(session: LakeSession, contract: Contract, candidates: Sequence[Candidate]) -> list[Audit]:
        if threading.current_thread() is not threading.main_thread():
            raise duckdb.OutOfMemoryException
        return real(session, contract, candidates)

    monkeypatch.setattr(audit, "audit", needy)
    with LakeSession(settings) as session, LakeSession(settings) as other:
        piles = (pile(other, part, 1) for part in PARTS)
        assert rows_of(audited(session, PILES, piles, most=4)) == [1] * 4


def test_an_audit_beside_the_making_knows_what_the_step_knows(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ContextVar("known", default="nothing")
    known.set("the step")
    real, seen = audit.audit, set()

    def curious(session: LakeSession, contract: Contract, candidates: Sequence[Candidate]) -> list[Audit]:
        seen.add(known.get())
        return real(session, contract, candidates)

    monkeypatch.setattr(audit, "audit", curious)
    with LakeSession(settings) as session, LakeSession(settings) as other:
        assert rows_of(audited(session, PILES, (pile(other, part, 1) for part in PARTS), most=4)) == [1] * 4
    assert seen == {"the step"}


@pytest.mark.parametrize("between_queries", [0.0, 1.5])
@pytest.mark.parametrize("end", [KeyboardInterrupt, dg.DagsterExecutionInterruptedError, RuntimeError])
def test_where_making_ends_the_audit_that_is_under_way_ends_too(
    end: type[BaseException], between_queries: float, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def endless(session: LakeSession, *_: object) -> list[Audit]:
        begun.set()
        time.sleep(between_queries)
        session.connection.execute(LONG).fetchall()
        raise AssertionError

    monkeypatch.setattr(audit, "audit", endless)

    def made() -> Iterator[Candidate]:
        with LakeSession(settings) as other:
            yield pile(other, "a", 1)
            assert begun.wait(60)
            time.sleep(0.5)
            raise end

    began = time.monotonic()
    with LakeSession(settings) as session, pytest.raises(end):
        audited(session, PILES, made(), most=4)
    assert time.monotonic() - began < 30
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
