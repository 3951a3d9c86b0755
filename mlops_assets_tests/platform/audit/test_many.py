"""Partitions that are audited together are found to be what each of them is found to be alone."""

from __future__ import annotations

import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import dagster as dg
import ibis.expr.datatypes as dt
import pandera.ibis as pandera
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from mlops_assets.platform.audit.audit import Candidate, audit
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.contract import Contract
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.contracts.volume import Reference
from mlops_assets.platform.lake.frames import as_ibis
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import stage
from mlops_assets.platform.settings import Settings
from mlops_assets_tests.broken_rules import found_by

if TYPE_CHECKING:
    from mlops_assets.platform.audit.outcomes import Audit

SCHEMA = pa.schema([("part", pa.string()), ("shop", pa.string()), ("id", pa.int64()), ("number", pa.float64())])
COLUMNS = {
    "part": pandera.Column(dt.String, nullable=False),
    "shop": pandera.Column(dt.String, nullable=True),
    "id": pandera.Column(dt.Int64, nullable=False),
    "number": pandera.Column(dt.Float64, pandera.Check.ge(0), nullable=True),
}
KEYS = [["part", "id"], ["part"], ["id"], ["part", "shop"], ["shop", "id"], ["id", "number"], None]


def contract(unique: list[str] | None, *, both: bool) -> Contract:
    """A table of those keys, partitioned by part, or by part and shop."""
    parts = dg.StaticPartitionsDefinition(["a", "b"])
    columns = ("part", "shop") if both else ("part",)
    return Contract(
        layer="raw",
        table="things",
        model=pandera.DataFrameSchema(COLUMNS, unique=unique, strict=True),
        lake=Lake("curated"),
        description="Things.",
        owners=["team:things"],
        partitions_def=dg.MultiPartitionsDefinition(dict.fromkeys(columns, parts)) if both else parts,
        partition_columns={column: column for column in columns},
    )


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "part": st.sampled_from(["a", "a", "a", "b", "A", "", None]),
            "shop": st.sampled_from(["a", "a", "b", None]),
            "id": st.sampled_from([1, 2, 3, 4, 5, None]),
            "number": st.sampled_from([0.0, -0.0, 1.5, -1.0, float("nan"), float("inf"), None]),
        }
    ),
    max_size=5,
)


def worded(found: Audit) -> dict[str, Any]:
    """What was found, without the samples, whose rows have no order."""
    return {"rows": found.rows, "hash": found.content_hash, "outcomes": [each.as_record() for each in found.outcomes]}


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("unique", KEYS, ids=str)
@profile(max_examples=8)
@given(partitions=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab"), ROWS), min_size=1, max_size=5))
def test_whatever_rows_come_many_are_found_to_be_what_each_is_alone_and_keys_are_counted_as_python_counts_them(
    unique: list[str] | None, *, both: bool, partitions: list[tuple[str, str, list[dict[str, Any]]]]
) -> None:
    declared = contract(unique, both=both)
    with TemporaryDirectory() as folder, LakeSession(Settings(home=Path(folder))) as session:
        candidates = []
        for part, shop, rows in partitions:
            table = as_ibis(session, pa.Table.from_pylist(rows, schema=SCHEMA), rules.columns_of(declared))
            staged = stage(session, declared, table, attempt=uuid.uuid4().hex)
            partition = {"part": part, "shop": shop} if both else {"part": part}
            candidates.append(Candidate(file=staged, partition=partition, reference=Reference()))
        together = audit(session, declared, candidates)
        alone = [found for each in candidates for found in audit(session, declared, [each])]
    assert [worded(found) for found in together] == [worded(found) for found in alone]
    for found, (part, shop, rows) in zip(together, partitions, strict=True):
        broken = found_by(found).get("contract", {})
        if unique is not None:
            keys = {tuple(str(abs(v) if v == 0 else v) for v in (row[column] for column in unique)) for row in rows}
            assert broken.get("keys", 0) == len(rows) - len(keys)
        elsewhere = sum(row["part"] != part for row in rows) + both * sum(row["shop"] != shop for row in rows)
        assert broken.get("partition_membership", 0) == elsewhere


@pytest.mark.parametrize("unique", [["part", "id"], ["id"]], ids=str)
@pytest.mark.parametrize("nulls", [1, 2])
def test_a_lone_null_in_a_key_is_no_repeated_key(unique: list[str], nulls: int, settings: Settings) -> None:
    declared = contract(unique, both=False)
    row = {"part": "a", "shop": None, "number": None}
    table = pa.Table.from_pylist([{**row, "id": each} for each in (1, 2, *[None] * nulls)], schema=SCHEMA)
    with LakeSession(settings) as session:
        rows = as_ibis(session, table, rules.columns_of(declared))
        staged = stage(session, declared, rows, attempt=uuid.uuid4().hex)
        (found,) = audit(session, declared, [Candidate(file=staged, partition={"part": "a"}, reference=Reference())])
    assert found_by(found) == {"contract": {"nulls": 1} if nulls == 1 else {"keys": 1, "nulls": 2}}
