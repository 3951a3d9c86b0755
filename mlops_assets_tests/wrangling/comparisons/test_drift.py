"""Drift of a compared table: what is kept of a partition, what is compared with what, and how both are published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import ibis
import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.contracts.wrangled import VOTERS
from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.variance.drift.comparison import ALL_COLUMNS, LEVELS
from mlops_assets.wrangling import compared
from mlops_assets.wrangling.comparisons import drift as drifts
from mlops_assets.wrangling.comparisons.tables import DRIFT as VERDICTS
from mlops_assets_tests.wrangling.kept_contract import kept_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import ibis.expr.types as ir

    from mlops_assets.platform.assets.step import Partition

COMPARED = compared.VOTERS
voter_summaries, drift = COMPARED.drift_assets()
DRIFT = COMPARED.drifts()
_SIZE = 400
_RECODED = "2022-03"


def _voters(month: str, state: str = "NC") -> pa.Table:
    """Voters whose party code is another one from March on; some birth cohorts are not known."""
    generator = np.random.default_rng([int(month[-2:]), ord(state[0])])
    tokens = [f"{n:032x}" for n in range(_SIZE)]
    values: dict[str, Any] = dict.fromkeys(rules.columns_of(VOTERS), ["WHITE"] * _SIZE)
    values |= {
        "state": [state] * _SIZE,
        "month": [month] * _SIZE,
        "person_token": tokens,
        "address_token": tokens,
        "district": generator.choice(["01", "02", "03"], _SIZE),
        "status": ["ACTIVE"] * _SIZE,
        "ethnicity": ["UNDESIGNATED"] * _SIZE,
        "gender": ["FEMALE"] * _SIZE,
        "party": ["UNAFFILIATED"] * _SIZE,
        "birth_cohort": pa.array(generator.integers(1930, 2000, _SIZE) // 5 * 5, mask=generator.random(_SIZE) < 0.05),
        "registered_year": generator.integers(1990, 2020, _SIZE),
        "party_code": ["NPA" if month >= _RECODED else "UNA"] * _SIZE,
        "copies": np.ones(_SIZE, dtype=np.int64),
    }
    return pa.table(values)


def _summary(month: str, state: str = "NC") -> pa.Table:
    return drifts.summary(ibis.memtable(_voters(month, state)), COMPARED.drifting, {"month": month, "state": state})


def test_engine_and_contract_have_the_same_verdicts() -> None:
    assert ("none", *LEVELS, "unknown") == VERDICTS


def test_summaries_keep_their_contract_and_hold_no_pseudonym() -> None:
    rows = kept_rows(ibis.memtable(_summary("2022-01")), COMPARED.summaries())
    assert {row["column"] for row in rows} == set(COMPARED.drifting)
    assert not {"person_token", "address_token"} & set(COMPARED.drifting)
    assert {row["rows"] for row in rows if row["cell"] == "total"} == {_SIZE}


def test_each_month_is_compared_with_the_one_before_of_its_state() -> None:
    kept = [("2022-01", "NC"), ("2022-03", "NC"), ("2022-04", "NC"), ("2022-03", "GA")]
    summaries = pa.concat_tables([_summary(*key) for key in kept])
    found = kept_rows(ibis.memtable(drifts.drift(ibis.memtable(summaries), COMPARED.timeline)), DRIFT)
    assert {(row["state"], row["compared_with"], row["month"]) for row in found} == {
        ("NC", "2022-01", "2022-03"),
        ("NC", "2022-03", "2022-04"),
    }
    drifted = {(row["month"], row["column"]): row["drift"] for row in found if row["drift"] != "none"}
    assert drifted == {("2022-03", "party_code"): "strong", ("2022-03", ALL_COLUMNS): "strong"}


def test_a_single_snapshot_is_compared_with_nothing() -> None:
    assert kept_rows(ibis.memtable(drifts.drift(ibis.memtable(_summary("2022-01")), COMPARED.timeline)), DRIFT) == []


@asset(contract=VOTERS)
def voters(partition: Partition) -> ir.Table:
    """Voters without source."""
    return ibis.memtable(_voters(partition.values["month"], partition.values["state"]))


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def _read_drift() -> list[dict[str, Any]]:
    with LakeSession(Settings.load()) as session:
        catalog = session.attach(DRIFT.lake.name)
        rows: list[dict[str, Any]] = (
            session.ibis.table(DRIFT.table, database=(catalog, "variance")).to_pyarrow().to_pylist()
        )
    return rows


def test_all_snapshots_are_compared_in_one_published_table(instance: dg.DagsterInstance) -> None:
    for month in ("2022-02", "2022-03"):
        made = dg.materialize([voters, voter_summaries], partition_key=f"{month}|NC", instance=instance)
        assert made.success
    made = dg.materialize([voter_summaries, drift], selection=[drift], instance=instance)
    assert made.success
    (event,) = made.get_asset_materialization_events()
    assert event.materialization.metadata["partitions"].value == 2
    strong = {row["column"] for row in _read_drift() if row["drift"] == "strong"}
    assert strong == {"party_code", ALL_COLUMNS}
