"""Models for pandas, Polars and Ibis give the same rules, and what could not be enforced is refused by its name."""

from __future__ import annotations

import decimal
import json
import re
import uuid
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import ibis.expr.datatypes as dt
import pandas as pd
import pandera.ibis
import pandera.pandas
import pandera.polars
import polars as pl
import pyarrow as pa
import pytest
from pandera.engines import pandas_engine
from pandera.typing import pandas as typed

from mlops_assets.platform.assets.asset import asset
from mlops_assets.platform.audit.audit import Candidate, audit
from mlops_assets.platform.contracts import rules
from mlops_assets.platform.contracts.contract import Contract, contract_in
from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.contracts.volume import Reference
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake.frames import as_ibis
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.stage import stage
from mlops_assets_tests.broken_rules import BrokenRules, found_by, told_by
from mlops_assets_tests.platform import orchard

if TYPE_CHECKING:
    from mlops_assets.platform.contracts.schemas import Model
    from mlops_assets.platform.settings import Settings

FIELDS: dict[str, dict[str, Any]] = {
    "tree": {"ge": 1, "unique": True},
    "picker": {"nullable": True, "metadata": {"personal": True, "team": "harvest"}},
    "kilos": {"in_range": {"min_value": 0, "max_value": 100}, "metadata": {"decimals": 3}},
    "kind": {"isin": ["Boskoop", "Cox"], "nullable": True, "description": "Which apple."},
    "shelf": {"str_matches": "A[0-9]|B[0-9]", "str_length": {"max_value": 2}},
}


class OfIbis(pandera.ibis.DataFrameModel):
    """In Ibis' types."""

    tree: dt.Int64 = pandera.ibis.Field(**FIELDS["tree"])
    picker: dt.String = pandera.ibis.Field(**FIELDS["picker"])
    kilos: dt.Float64 = pandera.ibis.Field(**FIELDS["kilos"])
    kind: dt.String = pandera.ibis.Field(**FIELDS["kind"])
    shelf: dt.String = pandera.ibis.Field(**FIELDS["shelf"])


class OfPandas(pandera.pandas.DataFrameModel):
    """In pandas' types."""

    tree: int = pandera.pandas.Field(**FIELDS["tree"])
    picker: str = pandera.pandas.Field(**FIELDS["picker"])
    kilos: typed.Series[float] = pandera.pandas.Field(**FIELDS["kilos"])
    kind: str = pandera.pandas.Field(**FIELDS["kind"])
    shelf: str = pandera.pandas.Field(**FIELDS["shelf"])

    class Config:
        """What has no effect here."""

        coerce = True
        ordered = True
        strict = True


class OfPolars(pandera.polars.DataFrameModel):
    """In Polars' types."""

    tree: pl.Int64 = pandera.polars.Field(**FIELDS["tree"])
    picker: pl.String = pandera.polars.Field(**FIELDS["picker"])
    kilos: float = pandera.polars.Field(**FIELDS["kilos"])
    kind: str = pandera.polars.Field(**FIELDS["kind"])
    shelf: str = pandera.polars.Field(**FIELDS["shelf"])


MODELS = [OfIbis, OfPandas, OfPolars, OfPandas.to_schema(), OfPolars.to_schema()]
NAMES = ["ibis", "pandas", "polars", "pandas schema", "polars schema"]

ROWS = pa.table(
    {
        "tree": [1, 2, 2, 4, 0],
        "picker": ["Ann", None, "Bob", "Ann", "Eve"],
        "kilos": [1.0, 2.0, 3.0, 101.0, None],
        "kind": ["Cox", None, "Pear", "Cox", "Cox"],
        "shelf": ["A1", "B2", "xB2", "xB", "B345"],
    }
)
"""With one repeated tree, one missing weight, and six values that break a rule."""


def contract(model: Any) -> Contract:  # noqa: ANN401  of any library
    return Contract(
        layer="raw",
        table="apples",
        model=model,
        lake=Lake("restricted", personal=True),
        description="Apples.",
        owners=["team:farm"],
    )


def failing(declared: Contract, frame: Any, settings: Settings) -> BrokenRules:  # noqa: ANN401  any frame
    """What is found of these rows."""
    with LakeSession(settings) as session:
        table = as_ibis(session, frame, rules.columns_of(declared))
        staged = stage(session, declared, table, attempt=uuid.uuid4().hex)
        (found,) = audit(session, declared, [Candidate(file=staged, partition={}, reference=Reference())])
    return found_by(found)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_models_of_each_library_give_the_same_columns_rules_and_declarations(model: object) -> None:
    declared, expected = contract(model), contract(OfIbis)
    assert rules.columns_of(declared) == rules.columns_of(expected)
    assert rules.key_columns(declared) == ("tree",)
    assert [(each.kind, each.column, each.text, each.warn) for each in rules.row_rules(declared)] == [
        (each.kind, each.column, each.text, each.warn) for each in rules.row_rules(expected)
    ]
    assert declared.personal == {"picker"}
    assert declared.decimals == {"kilos": 3}
    assert declared.schema.columns["kind"].description == "Which apple."


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_models_of_each_library_find_the_same_rows(model: object, settings: Settings) -> None:
    assert failing(contract(model), ROWS, settings) == {"contract": {"keys": 1, "nulls": 1, "values": 7}}


def test_an_asset_may_have_a_model_and_a_frame_of_pandas(instance: dg.DagsterInstance) -> None:
    @asset(schema=OfPandas, lake=Lake("restricted", personal=True), key="raw/apples")
    def apples(context: dg.AssetExecutionContext) -> pd.DataFrame:
        """Apples."""
        bad = context.run.tags.get("bad")
        return ROWS.slice(0, 3 if bad else 2).to_pandas()

    assert dg.materialize([apples], instance=instance).success
    declared = contract_in(apples.metadata_by_key[apples.key])
    assert declared is not None
    good = [(1, "Ann", 1.0, "Cox", "A1"), (2, None, 2.0, None, "B2")]
    assert orchard.visible(declared) == good
    result = dg.materialize([apples], instance=instance, tags={"bad": "yes"}, raise_on_error=False)
    assert orchard.visible(declared) == good
    [failed] = [each for each in result.get_asset_check_evaluations() if not each.passed]
    assert told_by([failed]) == {"contract": {"keys": 1, "values": 3}}
    sample = str(failed.metadata["sample"].value)
    assert "'picker': '***'" in sample
    # Beside a personal column a text may be a name that has slipped into another.
    assert "Pear" not in sample
    assert "Bob" not in json.dumps([str(entry) for entry in instance.all_logs(result.run_id)])


def of_pandas(kind: Any, **options: Any) -> Any:  # noqa: ANN401  whatever pandera takes
    return pandera.pandas.DataFrameSchema({"x": pandera.pandas.Column(kind, **options)})


def of_polars(kind: Any, **options: Any) -> Any:  # noqa: ANN401  whatever pandera takes
    return pandera.polars.DataFrameSchema({"x": pandera.polars.Column(kind, **options)})


def of_ibis(kind: Any, **options: Any) -> Any:  # noqa: ANN401  whatever pandera takes
    return pandera.ibis.DataFrameSchema({"x": pandera.ibis.Column(kind, **options)})


TYPES: list[tuple[Any, str]] = [
    (of_pandas("int32"), "int32"),
    (of_pandas("Int64"), "int64"),
    (of_pandas("UInt8"), "uint8"),
    (of_pandas("float32"), "float32"),
    (of_pandas(bool), "boolean"),
    (of_pandas("boolean"), "boolean"),
    (of_pandas("string"), "string"),
    (of_pandas(date), "date"),
    (of_pandas(pandas_engine.Decimal(9, 2)), "decimal(9, 2)"),
    (of_pandas(datetime), "timestamp(6)"),
    (of_pandas(pd.DatetimeTZDtype(tz="Europe/Berlin")), "timestamp('UTC', 6)"),
    (of_pandas("category"), "string"),
    (of_pandas(pd.ArrowDtype(pa.date32())), "date"),
    (of_pandas(pd.ArrowDtype(pa.decimal128(9, 2))), "decimal(9, 2)"),
    (of_pandas(pd.ArrowDtype(pa.list_(pa.int64()))), "array<int64>"),
    (of_polars(pl.Int8), "int8"),
    (of_polars(pl.Date), "date"),
    (of_polars(pl.Time), "time"),
    (of_polars(pl.Datetime("ns", "Europe/Berlin")), "timestamp('UTC', 6)"),
    (of_polars(pl.Decimal(9, 2)), "decimal(9, 2)"),
    (of_polars(pl.Categorical), "string"),
    (of_polars(pl.List(pl.Int64)), "array<int64>"),
    (of_polars(pl.Struct({"a": pl.String})), "struct<a: string>"),
    (of_polars(bytes), "binary"),
    (of_ibis(dt.Timestamp), "timestamp(6)"),
    (of_ibis(dt.Timestamp("Europe/Berlin")), "timestamp('UTC', 6)"),
    (of_ibis(decimal.Decimal), "decimal(28, 0)"),
]


@pytest.mark.parametrize(("schema", "kind"), TYPES, ids=[f"{each[1]}-{n}" for n, each in enumerate(TYPES)])
def test_a_type_of_each_library_is_that_which_the_lake_stores(schema: object, kind: str) -> None:
    assert {name: str(each) for name, each in rules.columns_of(contract(schema)).items()} == {"x": kind}


UNKNOWN: list[tuple[Any, str]] = [
    (of_pandas(object), "is object"),
    (of_pandas(complex), "is complex128"),
    (of_pandas(pd.PeriodDtype("M")), r"is period\[M\]"),
    (of_pandas(list[int]), "is "),
    (of_polars(pl.Object), "is Object"),
    (of_polars(pl.Null), "is Null"),
    (of_pandas(None), "has no type"),
    (of_ibis(None), "has no type"),
]


@pytest.mark.parametrize(("schema", "said"), UNKNOWN, ids=[each[1] for each in UNKNOWN])
def test_a_type_that_the_lake_has_not_is_refused_with_its_column(schema: object, said: str) -> None:
    with pytest.raises(ContractError, match=rf"Contract raw/apples: the column 'x' {said}"):
        contract(schema)


@pytest.mark.parametrize("schema", [of_pandas(pd.CategoricalDtype(["a", "b"])), of_polars(pl.Enum(["a", "b"]))])
def test_categories_are_the_values_that_are_allowed(schema: object, settings: Settings) -> None:
    assert failing(contract(schema), pa.table({"x": ["a", "b"]}), settings) == {}
    assert failing(contract(schema), pa.table({"x": ["a", "c"]}), settings) == {"contract": {"values": 1}}


def test_the_type_of_the_whole_frame_is_that_of_each_column() -> None:
    schema = pandera.pandas.DataFrameSchema({"x": pandera.pandas.Column(int)}, dtype="float64")
    assert rules.columns_of(contract(schema)) == {"x": dt.float64}


@pytest.mark.parametrize("of", [of_ibis, of_pandas, of_polars])
def test_what_a_check_says_of_itself_is_kept(of: Any, settings: Settings) -> None:  # noqa: ANN401  one of ours
    check = pandera.pandas.Check.isin(["a"], name="known", error="is known", raise_warning=True, ignore_na=False)
    declared = contract(of(str, checks=[check], nullable=True))
    [rule] = rules.row_rules(declared)
    assert (rule.kind, rule.text, rule.warn) == ("known", "is known", True)
    assert failing(declared, pa.table({"x": ["a", "b", None]}), settings) == {"known": {"known": 2}}


@pytest.mark.parametrize("of", [of_pandas, of_polars])
@pytest.mark.parametrize("element_wise", [True, False])
def test_a_function_over_frames_of_another_library_is_refused_with_its_name(of: Any, *, element_wise: bool) -> None:  # noqa: ANN401  one of ours
    check = pandera.pandas.Check(lambda data: data > 1, name="above_one", element_wise=element_wise)
    with pytest.raises(ContractError, match=r"the column 'x' has the check 'above_one'.*Write it with pandera.ibis"):
        contract(of(int, checks=check))


def test_a_function_over_the_whole_frame_of_another_library_is_refused_with_its_name() -> None:
    class Sums(pandera.pandas.DataFrameModel):
        x: int

        @pandera.pandas.dataframe_check
        @classmethod
        def sums_up(cls, frame: pd.DataFrame) -> bool:
            return bool(frame.x.sum() == 1)

    with pytest.raises(ContractError, match="the schema has the check 'sums_up'"):
        contract(Sums)


def test_a_hypothesis_is_refused_with_its_name() -> None:
    with pytest.raises(ContractError, match="the column 'x' has the check 'one_sample_ttest'"):
        contract(of_pandas(float, checks=pandera.pandas.Hypothesis.one_sample_ttest(popmean=1)))


def test_a_value_that_the_engine_cannot_compare_is_refused() -> None:
    with pytest.raises(ContractError, match="the rule values is no expression over its columns"):
        contract(of_polars(int, checks=pandera.polars.Check.ge(pl.lit(1))))


def test_a_column_that_is_not_named_by_a_text_is_refused() -> None:
    with pytest.raises(ContractError, match="the column 0 has no name in words"):
        contract(pandera.pandas.DataFrameSchema({0: pandera.pandas.Column(int)}))


def test_a_schema_without_columns_is_refused() -> None:
    with pytest.raises(ContractError, match="no columns"):
        contract(pandera.pandas.DataFrameSchema({}))


OPTIONS: dict[str, Any] = {
    "drop_invalid_rows": pandera.pandas.DataFrameSchema({}, drop_invalid_rows=True),
    "parsers": of_pandas(int, parsers=pandera.pandas.Parser(abs)),
    "add_missing_columns": pandera.pandas.DataFrameSchema({}, add_missing_columns=True),
    "strict='filter'": pandera.polars.DataFrameSchema({}, strict="filter"),
    "regex": of_ibis(dt.Int64, regex=True),
    "required=False": of_ibis(dt.Int64, required=False),
    "default": of_polars(bool, default=False),
    "groupby": of_ibis(dt.Int64, checks=pandera.ibis.Check(lambda data: data.table.x > 1, groupby="x")),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_that_would_change_what_is_published_is_refused(option: str) -> None:
    with pytest.raises(ContractError, match=rf"says {re.escape(option)}, which is not enforced here"):
        contract(OPTIONS[option])


def test_named_levels_of_an_index_are_columns() -> None:
    index = pandera.pandas.MultiIndex(
        [pandera.pandas.Index(str, name="week"), pandera.pandas.Index(int, pandera.pandas.Check.ge(1), name="tree")],
        unique=["week", "tree"],
    )
    declared = contract(pandera.pandas.DataFrameSchema({"kilos": pandera.pandas.Column(float)}, index=index))
    assert rules.columns_of(declared) == {"week": dt.string, "tree": dt.int64, "kilos": dt.float64}
    assert rules.key_columns(declared) == ("week", "tree")
    assert [each.text for each in rules.row_rules(declared) if each.column == "tree"][1:] == [
        "greater_than_or_equal_to(1)"
    ]


def test_an_index_without_a_name_is_refused() -> None:
    with pytest.raises(ContractError, match="an index without a name"):
        contract(pandera.pandas.DataFrameSchema({}, index=pandera.pandas.Index(int)))


@pytest.mark.parametrize("of", [of_ibis, of_pandas, of_polars])
def test_a_column_that_is_unique_is_the_key(of: Any, settings: Settings) -> None:  # noqa: ANN401  one of ours
    declared = contract(of(int, unique=True, nullable=True))
    assert rules.key_columns(declared) == ("x",)
    assert failing(declared, pa.table({"x": [1, 2, None]}), settings) == {}
    assert failing(declared, pa.table({"x": [1, 1, None, None]}), settings) == {"contract": {"keys": 2}}


def test_two_keys_are_refused_with_their_columns() -> None:
    columns = {name: pandera.ibis.Column(dt.Int64, unique=name == "x") for name in "xyz"}
    with pytest.raises(ContractError, match="has 2 keys: x; y, z"):
        contract(pandera.ibis.DataFrameSchema(columns, unique=["y", "z"]))


def test_each_alternative_of_a_pattern_matches_from_the_start(settings: Settings) -> None:
    for of in (of_ibis, of_pandas, of_polars):
        declared = contract(of(str, checks=pandera.ibis.Check.str_matches("a|b")))
        assert failing(declared, pa.table({"x": ["a1", "b1", "xb"]}), settings) == {"contract": {"values": 1}}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [(re.compile("a", re.IGNORECASE), "IGNORECASE"), ("(?=a)", "cannot match"), (r"(a)\1", "cannot match")],
)
def test_a_pattern_that_the_engine_would_not_match_is_refused(pattern: Any, said: str) -> None:  # noqa: ANN401  either
    with pytest.raises(ContractError, match=rf"the column 'x'.*{said}"):
        contract(of_pandas(str, checks=pandera.pandas.Check.str_matches(pattern)))


def with_metadata(metadata: dict[str, object]) -> Any:  # noqa: ANN401  a schema
    return of_pandas(float, metadata=metadata)


@pytest.mark.parametrize(
    ("misspelt", "near"), [("personnal", "personal"), ("Decimals", "decimals"), ("nonfinite", "non_finite")]
)
def test_misspelt_metadata_is_refused_with_the_nearest_entry(misspelt: str, near: str) -> None:
    with pytest.raises(ContractError, match=f"the column 'x' has the metadata '{misspelt}'.*Did you mean '{near}'"):
        contract(with_metadata({misspelt: True}))


def test_metadata_of_other_people_is_left_alone() -> None:
    assert contract(with_metadata({"team": "farm", "unit": "kg"})).personal == frozenset()


@pytest.mark.parametrize(
    ("entry", "value", "said"),
    [("personal", "yes", "'yes'. Give it bool"), ("decimals", True, "True. Give it int"), ("default", [1], r"\[1\]")],
)
def test_metadata_of_the_wrong_type_is_refused(entry: str, value: object, said: str) -> None:
    with pytest.raises(ContractError, match=f"the metadata '{entry}', which is {said}"):
        contract(with_metadata({entry: value}))


def test_a_default_that_the_column_cannot_hold_is_refused() -> None:
    with pytest.raises(ContractError, match="the column 'x' has the default 'Cox', which is no float64"):
        contract(with_metadata({"default": "Cox"}))


def test_a_declaration_may_be_taken_back() -> None:
    assert contract(with_metadata({"personal": False})).personal == frozenset()


@pytest.mark.parametrize("model", [None, "raw/apples", {"x": int}, pandera.pandas.SeriesSchema(int), timedelta])
def test_what_is_no_model_of_a_frame_is_refused(model: object) -> None:
    with pytest.raises(ContractError, match="no pandera model of a frame"):
        contract(model)


@pytest.mark.parametrize(
    "schema",
    [
        of_polars(pl.Duration("us")),
        of_polars(pl.List(pl.Duration("us"))),
        of_pandas("timedelta64[ns]"),
        of_ibis(dt.Interval("us")),
    ],
    ids=["polars", "in a list", "pandas", "ibis"],
)
def test_a_duration_is_refused_because_files_would_hold_another(schema: Model) -> None:
    with pytest.raises(ContractError, match="Parquet files keep durations as milliseconds"):
        contract(schema)
