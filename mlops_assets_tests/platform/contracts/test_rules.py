"""Every kind of rule can fail, alone, and is counted exactly."""

from __future__ import annotations

import dataclasses
import json
import math
import uuid
import warnings
from typing import TYPE_CHECKING, Any

import dagster as dg
import ibis.expr.datatypes as dt
import pandera.ibis as pandera
import pyarrow as pa
import pytest
from dagster._utils.warnings import PreviewWarning
from pandera.engines import ibis_engine

from mlops_assets.platform.audit.audit import Candidate, audit
from mlops_assets.platform.audit.outcomes import CheckOutcome
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.contract import Contract, Quarantine
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.contracts.volume import Reference, Volume
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake.frames import as_ibis
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import stage
from mlops_assets_tests.broken_rules import BrokenRules, found_by

if TYPE_CHECKING:
    from mlops_assets.platform.audit.outcomes import Audit
    from mlops_assets.platform.settings import Settings

GOOD: dict[str, Any] = {"part": "a", "id": 1, "word": "red", "number": 5.0, "note": None}
SCHEMA = pa.schema(
    [
        ("part", pa.string()),
        ("id", pa.int64()),
        ("word", pa.string()),
        ("number", pa.float64()),
        ("note", pa.string()),
    ]
)


def contract(**columns: pandera.Column) -> Contract:
    base = {
        "part": pandera.Column(dt.String, nullable=False),
        "id": pandera.Column(dt.Int64, nullable=False),
        "word": pandera.Column(dt.String, nullable=True),
        "number": pandera.Column(dt.Float64, nullable=True),
        "note": pandera.Column(dt.String, nullable=True),
    }
    return Contract(
        layer="raw",
        table="things",
        model=pandera.DataFrameSchema({**base, **columns}, unique=["part", "id"], strict=True),
        lake=Lake("curated"),
        description="Things.",
        owners=["team:things"],
        partitions_def=dg.StaticPartitionsDefinition(["a", "b"]),
        partition_columns={"part": "part"},
    )


def failing(contract: Contract, rows: list[dict[str, Any]], settings: Settings) -> BrokenRules:
    """What is found of these rows."""
    return found_by(audited(contract, rows, settings))


def audited(contract: Contract, rows: list[dict[str, Any]], settings: Settings) -> Audit:
    """The audit of these rows as one partition."""
    with LakeSession(settings) as session:
        table = as_ibis(session, pa.Table.from_pylist(rows, schema=SCHEMA), rules.columns_of(contract))
        staged = stage(session, contract, table, attempt=uuid.uuid4().hex)
        (found,) = audit(session, contract, [Candidate(file=staged, partition={"part": "a"}, reference=Reference())])
    return found


CASES: list[tuple[str, str, pandera.Check, Any]] = [
    ("equal_to", "word", pandera.Check.eq("red"), "blue"),
    ("not_equal_to", "word", pandera.Check.ne("blue"), "blue"),
    ("greater_than", "number", pandera.Check.gt(4), 4.0),
    ("greater_than_or_equal_to", "number", pandera.Check.ge(5), 4.9),
    ("less_than", "number", pandera.Check.lt(6), 6.0),
    ("less_than_or_equal_to", "number", pandera.Check.le(5), 5.1),
    ("in_range", "number", pandera.Check.in_range(1, 9), 10.0),
    ("isin", "word", pandera.Check.isin(["red"]), "blue"),
    ("notin", "word", pandera.Check.notin(["blue"]), "blue"),
    ("str_matches", "word", pandera.Check.str_matches("^r"), "blue"),
    ("str_contains", "word", pandera.Check.str_contains("e"), "x"),
    ("str_startswith", "word", pandera.Check.str_startswith("r"), "blue"),
    ("str_endswith", "word", pandera.Check.str_endswith("d"), "blue"),
    ("str_length", "word", pandera.Check.str_length(1, 3), "blue"),
]


@pytest.mark.parametrize(("kind", "column", "check", "bad"), CASES, ids=[case[0] for case in CASES])
def test_each_built_in_rule_counts_exactly_the_rows_that_break_it(
    kind: str, column: str, check: pandera.Check, bad: object, settings: Settings
) -> None:
    del kind
    kind_of = rules.columns_of(contract())[column]
    strict = contract(**{column: pandera.Column(type(kind_of), check, nullable=True)})
    rows = [{**GOOD, "id": 1}, {**GOOD, "id": 2, column: bad}, {**GOOD, "id": 3, column: None}]
    assert failing(strict, rows, settings) == {"contract": {"values": 1}}
    assert failing(strict, rows[::2], settings) == {}


def test_a_null_in_a_column_that_needs_a_value_is_counted(settings: Settings) -> None:
    strict = contract(word=pandera.Column(dt.String, nullable=False))
    assert failing(strict, [GOOD, {**GOOD, "id": 2, "word": None}], settings) == {"contract": {"nulls": 1}}


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("nullable", [True, False])
def test_a_float_that_is_not_finite_is_counted_whatever_else_is_asked_of_it(
    odd: float, *, nullable: bool, settings: Settings
) -> None:
    strict = contract(number=pandera.Column(dt.Float64, nullable=nullable))
    assert failing(strict, [GOOD, {**GOOD, "id": 2, "number": odd}], settings) == {"contract": {"values": 1}}


def test_a_null_is_no_number_that_is_not_finite(settings: Settings) -> None:
    assert failing(contract(), [{**GOOD, "number": None}], settings) == {}


def test_a_contract_may_allow_what_is_not_finite(settings: Settings) -> None:
    allowing = contract(number=pandera.Column(dt.Float64, nullable=True, metadata={"non_finite": True}))
    assert failing(allowing, [{**GOOD, "number": math.inf}, {**GOOD, "id": 2, "number": math.nan}], settings) == {}


def test_a_time_without_end_is_counted(settings: Settings) -> None:
    timed = contract(note=pandera.Column(dt.Timestamp, nullable=True))
    with LakeSession(settings) as session:
        query = "SELECT 'a' AS part, 1 AS id, 'red' AS word, 5.0 AS number, 'infinity'::TIMESTAMP AS note"
        staged = stage(session, timed, session.ibis.sql(query), attempt=uuid.uuid4().hex)
        (found,) = audit(session, timed, [Candidate(file=staged, partition={"part": "a"}, reference=Reference())])
    assert found_by(found) == {"contract": {"values": 1}}


@pytest.mark.parametrize(
    ("kind", "fine", "odd"),
    [
        ("array<float64>", "[1.0, NULL]", "[1.0, 'nan'::DOUBLE]"),
        ("struct<a: string, b: float64>", "{'a': 'nan', 'b': NULL}", "{'a': '', 'b': 'inf'::DOUBLE}"),
        ("map<string, date>", "MAP {'infinity': DATE '2024-01-01'}", "MAP {'a': 'infinity'::DATE}"),
        ("array<struct<a: array<float32>>>", "[{'a': [1.0]}]", "[{'a': [1.0, '-inf'::FLOAT]}]"),
    ],
)
def test_what_is_not_finite_is_counted_wherever_it_is_nested(
    kind: str, fine: str, odd: str, settings: Settings
) -> None:
    nested = contract(note=pandera.Column(ibis_engine.DataType(dt.dtype(kind)), nullable=True))
    rows = " UNION ALL ".join(
        f"SELECT 'a' AS part, {number} AS id, 'red' AS word, 5.0 AS number, {value} AS note"
        for number, value in enumerate((fine, odd, "NULL"))
    )
    with LakeSession(settings) as session:
        staged = stage(session, nested, session.ibis.sql(rows), attempt=uuid.uuid4().hex)
        (found,) = audit(session, nested, [Candidate(file=staged, partition={"part": "a"}, reference=Reference())])
    assert found_by(found) == {"contract": {"values": 1}}


def test_a_repeated_key_counts_the_surplus_rows(settings: Settings) -> None:
    assert failing(contract(), [GOOD, GOOD, GOOD, {**GOOD, "id": 2}], settings) == {"contract": {"keys": 2}}


def test_a_row_of_another_partition_is_counted(settings: Settings) -> None:
    assert failing(contract(), [GOOD, {**GOOD, "part": "b"}], settings) == {"contract": {"partition_membership": 1}}


def test_a_named_check_is_a_check_of_its_own_and_a_named_warning_warns() -> None:
    named = contract(
        word=pandera.Column(dt.String, pandera.Check.isin(["red"], name="known_words", raise_warning=True)),
        number=pandera.Column(dt.Float64, pandera.Check.ge(0, name="not_negative"), nullable=True),
    )
    assert rules.check_names(named) == {"contract": True, "known_words": False, "not_negative": True}


def test_a_rule_that_cannot_be_decided_counts_as_broken(settings: Settings) -> None:
    undecided = contract()
    schema = undecided.schema
    schema.checks = [pandera.Check(lambda data: data.table.number > 1, name="above_one")]
    rows = [GOOD, {**GOOD, "id": 2, "number": None}]
    assert failing(dataclasses.replace(undecided, model=schema), rows, settings) == {"above_one": {"above_one": 1}}


def test_what_warns_without_a_name_is_a_check_beside_the_blocking_one(settings: Settings) -> None:
    warning = contract(
        word=pandera.Column(dt.String, pandera.Check.isin(["red"], raise_warning=True)),
        number=pandera.Column(dt.Float64, pandera.Check.ge(0), nullable=True),
    )
    assert rules.check_names(warning) == {"contract": True, "contract_warnings": False}
    rows = [GOOD, {**GOOD, "id": 2, "word": "blue"}, {**GOOD, "id": 3, "number": -1.0}]
    assert failing(warning, rows, settings) == {"contract": {"values": 1}, "contract_warnings": {"values": 1}}


def test_a_repeated_key_may_warn(settings: Settings) -> None:
    raw = dataclasses.replace(contract(), duplicate_keys_warn=True)
    assert rules.check_names(raw) == {"contract": True, "contract_warnings": False}
    assert failing(raw, [GOOD, GOOD, GOOD], settings) == {"contract_warnings": {"keys": 2}}


def test_rules_of_all_kinds_are_found_at_once_with_rows_of_each_in_the_sample(settings: Settings) -> None:
    strict = contract(word=pandera.Column(dt.String, pandera.Check.isin(["red"]), nullable=False))
    bad = [{**GOOD, "id": 2, "word": "blue"}, {**GOOD, "id": 3, "word": None}, {**GOOD, "part": "b", "id": 4}]
    (outcome,) = audited(strict, [GOOD, GOOD, *bad], settings).outcomes
    assert [(each.kind, each.column, each.text, each.rows) for each in outcome.broken] == [
        ("keys", "part, id", "no two rows have the same key", 1),
        ("partition_membership", "part", "equals 'a'", 1),
        ("nulls", "word", "is not null", 1),
        ("values", "word", "isin(['red'])", 1),
    ]
    assert {kind: [row["id"] for row in rows] for kind, rows in outcome.samples.items()} == {
        "keys": ["1", "1"],
        "partition_membership": ["4"],
        "nulls": ["3"],
        "values": ["2"],
    }


def test_a_sample_has_five_rows_of_each_kind_and_those_that_warn_are_told_apart(settings: Settings) -> None:
    strict = contract(
        word=pandera.Column(dt.String, pandera.Check.isin(["red"]), nullable=False),
        number=pandera.Column(dt.Float64, pandera.Check.ge(0, raise_warning=True)),
    )
    rows = [{**GOOD, "id": number, "word": "blue" if number < 9 else None} for number in range(18)]
    blocking, warning = audited(strict, [*rows, {**GOOD, "id": 18, "number": -1.0}], settings).outcomes
    assert {kind: len(rows) for kind, rows in blocking.samples.items()} == {"nulls": 5, "values": 5}
    assert [row["id"] for row in warning.samples["values"]] == ["18"]


def test_an_outcome_survives_its_record_but_for_its_samples(settings: Settings) -> None:
    (outcome,) = audited(contract(), [GOOD, GOOD, {**GOOD, "part": "b"}], settings).outcomes
    assert outcome.samples
    assert CheckOutcome.from_record(json.loads(json.dumps(outcome.as_record()))) == dataclasses.replace(
        outcome, samples={}
    )


def test_the_checks_say_what_they_hold() -> None:
    declared = dataclasses.replace(
        contract(word=pandera.Column(dt.String, pandera.Check.isin(["red"], raise_warning=True))),
        volume=Volume(expect_rows=(3, 9), max_loss=1.0),
        quarantine=Quarantine(floor=0.5),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PreviewWarning)
        specs = rules.check_specs(declared)
    assert {spec.name: spec.description for spec in specs} == {
        "contract": "Where one is broken, nothing is published. shape: columns and types, no more and no less; "
        "volume: 3 to 9 rows; partition_membership: each row's part; keys: no two rows with the same part, id; "
        "nulls: 3 columns; values: 1 rules.",
        "contract_warnings": "Where one is broken, the data flows on. values: 1 rules; quarantine: rows set aside in "
        "things_quarantine.",
    }


def test_a_name_that_both_warns_and_blocks_is_refused() -> None:
    with pytest.raises(ContractError, match="the rule known both warns and blocks"):
        contract(
            word=pandera.Column(dt.String, pandera.Check.isin(["red"], name="known", raise_warning=True)),
            number=pandera.Column(dt.Float64, pandera.Check.ge(0, name="known"), nullable=True),
        )


@pytest.mark.parametrize(
    "name", ["contract", "contract_warnings", "shape", "volume", "keys", "values", "quarantine", "Two Words", "1st"]
)
def test_a_rule_name_that_is_taken_or_unusable_is_refused(name: str) -> None:
    with pytest.raises(ContractError, match="Rename the check"):
        contract(word=pandera.Column(dt.String, pandera.Check.isin(["red"], name=name)))


def test_an_element_wise_rule_is_refused() -> None:
    with pytest.raises(ContractError, match="single Python values"):
        contract(word=pandera.Column(dt.String, pandera.Check(bool, element_wise=True, name="truthy")))


def test_a_rule_without_one_boolean_for_each_row_is_refused() -> None:
    with pytest.raises(ContractError, match="one boolean for each row"):
        contract(word=pandera.Column(dt.String, pandera.Check(lambda data: data.table.count(), name="count_it")))


def test_a_null_in_a_list_neither_forbids_other_values_nor_allows_them(settings: Settings) -> None:
    listed = contract(
        word=pandera.Column(dt.String, pandera.Check.notin(["blue", None]), nullable=True),
        number=pandera.Column(dt.Float64, pandera.Check.isin([5.0, None]), nullable=True),
    )
    rows = [GOOD, {**GOOD, "id": 2, "word": "blue", "number": 4.0}, {**GOOD, "id": 3, "word": None, "number": None}]
    assert failing(listed, rows, settings) == {"contract": {"values": 2}}


@pytest.mark.parametrize(("check", "broken"), [("isin", 2), ("notin", 1)])
def test_a_list_without_values_is_a_rule_like_others_and_says_nothing_of_a_null(
    check: str, broken: int, settings: Settings
) -> None:
    empty = getattr(pandera.Check, check)([], ignore_na=False)
    listed = contract(word=pandera.Column(dt.String, empty, nullable=True))
    assert failing(listed, [GOOD, {**GOOD, "id": 2, "word": None}], settings) == {"contract": {"values": broken}}
