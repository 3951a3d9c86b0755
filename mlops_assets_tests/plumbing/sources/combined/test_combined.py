"""Combined tables: which row is taken, what is told of the others, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis
import ibis.expr.datatypes as dt
import pandera.ibis as pa
import pytest
from dagster.components.resolved.errors import ResolutionException
from dagster.components.testing import create_defs_folder_sandbox

import mlops_assets as ma
from mlops_assets.platform.assets.rebuild import Rebuilt, rebuild
from mlops_assets.platform.errors import ContractError
from mlops_assets.platform.lake import ledger
from mlops_assets.platform.lake.catalog import quote
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.combined.ranked import ranked
from mlops_assets_tests.plumbing.sources.shop import LAKE, MONTH, Ran, contract, rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Order(pa.DataFrameModel):
    month: dt.String
    order: dt.Int64
    amount: dt.Float64 = pa.Field(nullable=True)
    note: dt.String = pa.Field(nullable=True)

    class Config:
        """No order twice."""

        unique = ("month", "order")


class Traced(Order):
    origin: dt.String


class Personal(Order):
    note: dt.String = pa.Field(nullable=True, metadata={"personal": True})


ORDERS: Final = contract("orders", Order)
TRACED: Final = contract("orders", Traced)
SHOP: Final = "('2024-01', 1, 10, 'from the shop'), ('2024-01', 2, 20, NULL)"
FILES: Final = "('2024-01', 2, 21, 'from a file'), ('2024-01', 3, 30, 'from a file')"
NONE: Final[dict[str, Any]] = {"partitions_def": None, "partition_columns": {}}


def table(
    name: str,
    values: str,
    *,
    model: Any = Order,  # noqa: ANN401
    columns: str = "month, order, amount, note",
    **options: Any,  # noqa: ANN401
) -> dg.AssetsDefinition:
    """A published table with these rows."""

    @ma.asset(contract=contract(name, model, **options))
    def made(session: LakeSession) -> Any:  # noqa: ANN401
        names = ", ".join(quote(column.strip()) for column in columns.split(","))
        model_columns = model.to_schema().columns
        kinds = {"int64": "BIGINT", "int32": "INTEGER", "float64": "DOUBLE", "string": "VARCHAR"}
        cast = ", ".join(f"{quote(c)}::{kinds[str(k.dtype.type)]} AS {quote(c)}" for c, k in model_columns.items())
        return session.connection.sql(f"SELECT {cast} FROM (VALUES {values}) AS t({names})")  # noqa: S608

    return made


def run(
    made: ma.Combined,
    sources: Sequence[dg.AssetsDefinition],
    *,
    partition: str | None = MONTH,
    published: Sequence[dg.AssetsDefinition] | None = None,
) -> Ran:
    """Publish the sources (of them those given), then the combined table."""
    instance = dg.DagsterInstance.ephemeral()
    every = [*sources, made.asset()]
    for each in sources if published is None else published:
        key = partition if each.partitions_def is not None else None
        assert dg.materialize([each], partition_key=key, instance=instance).success
    done = dg.materialize(
        every, selection=[made.contract.key], partition_key=partition, instance=instance, raise_on_error=False
    )
    failures = [event.step_failure_data for event in done.all_events if event.is_step_failure]
    told = " ".join(str(each.user_failure_data.description) for each in failures if each.user_failure_data)
    return Ran(
        success=done.success,
        told=told,
        metadata={
            name: value.value
            for each in done.get_asset_materialization_events()
            for name, value in each.materialization.metadata.items()
        },
        checks={each.check_name: each.passed for each in done.get_asset_check_evaluations()},
        descriptions=[str(each.description) for each in done.get_asset_check_evaluations()],
    )


def test_each_key_has_the_row_of_the_first_source_that_has_it_and_the_rest_is_told() -> None:
    made = ma.Combined(contract=TRACED, sources=["raw/shop", "raw/files"], origin="origin")
    ran = run(made, [table("shop", SHOP), table("files", FILES)])
    assert ran.success, ran.told
    assert rows(TRACED) == [
        (MONTH, 1, 10.0, "from the shop", "raw/shop"),
        (MONTH, 2, 20.0, None, "raw/shop"),
        (MONTH, 3, 30.0, "from a file", "raw/files"),
    ]
    assert ran.metadata["rows_by_source"] == {"raw/shop": 2, "raw/files": 1}
    assert ran.metadata["rows_in_source"] == {"raw/shop": 2, "raw/files": 2}
    assert ran.metadata["keys_in_several_sources"] == 1
    assert ran.metadata["keys_disagreeing"] == 1
    assert ran.metadata["keys_disagreeing_by_column"] == {"amount": 1, "note": 1}
    assert ran.metadata["first_key_disagreeing"] == "2024-01|2"


def test_what_a_row_does_not_say_is_filled_from_the_next_source() -> None:
    made = ma.Combined(contract=ORDERS, sources=["raw/shop", "raw/files"], fill=True)
    ran = run(made, [table("shop", SHOP), table("files", FILES)])
    assert (MONTH, 2, 20.0, "from a file") in rows(ORDERS)
    assert ran.metadata["rows_filled"] == 1
    assert ran.metadata["keys_disagreeing_by_column"] == {"amount": 1}


def test_three_sources_are_combined_in_their_order() -> None:
    third = "('2024-01', 1, 1, 'x'), ('2024-01', 3, 1, 'x'), ('2024-01', 4, 1, 'x')"
    made = ma.Combined(contract=ORDERS, sources=["raw/files", "raw/third", "raw/shop"])
    ran = run(made, [table("shop", SHOP), table("files", FILES), table("third", third)])
    assert [(order, note) for _, order, _, note in rows(ORDERS)] == [
        (1, "x"),
        (2, "from a file"),
        (3, "from a file"),
        (4, "x"),
    ]
    assert ran.metadata["rows_by_source"] == {"raw/files": 2, "raw/third": 2, "raw/shop": 0}
    assert ran.metadata["keys_in_several_sources"] == 3


def test_the_versions_that_were_read_are_on_record() -> None:
    made = ma.Combined(contract=ORDERS, sources=["raw/shop", "raw/files"])
    run(made, [table("shop", SHOP), table("files", FILES)])
    with LakeSession(Settings.load()) as session:
        record = ledger.current(session, ORDERS, [MONTH])[MONTH].record
    assert {each.asset: list(each.partitions) for each in record.inputs.values()} == {
        "raw/shop": [MONTH],
        "raw/files": [MONTH],
    }


def test_a_key_that_is_twice_in_one_source_is_refused_by_the_name_of_the_source() -> None:
    twice = table("files", f"{FILES}, ('2024-01', 3, 31, 'again')", duplicate_keys_warn=True)
    ran = run(ma.Combined(contract=ORDERS, sources=["raw/shop", "raw/files"]), [table("shop", SHOP), twice])
    assert "Source raw/files of raw/orders: 1 keys (month, order) are in it more than once, with 1 rows" in ran.told
    assert "the first is 2024-01|3" in ran.told
    assert rows(ORDERS) == []


def test_a_row_without_a_key_is_refused_by_the_name_of_the_source() -> None:
    made = ma.Combined(contract=ORDERS, sources=["raw/shop", "raw/files"], key=["note"])
    told = run(made, [table("shop", SHOP), table("files", FILES)]).told
    assert "Source raw/shop of raw/orders: 1 of its rows have no key (note)." in told


class Contact(Order):
    email: dt.String = pa.Field(metadata={"personal": True})


PEOPLE: Final = ma.Lake("people", personal=True)
CONTACTS: Final = "('2024-01', 2, 21, 'from a file', 'a@example.org')"


def contacts(values: str = CONTACTS, **options: Any) -> dg.AssetsDefinition:  # noqa: ANN401
    """A source with a column of persons."""
    columns = "month, order, amount, note, email"
    return table("contacts", values, model=Contact, columns=columns, lake=PEOPLE, **options)


@pytest.mark.parametrize("personal_table", [True, False])
def test_no_value_is_told_where_the_table_or_a_source_holds_persons(personal_table: bool) -> None:  # noqa: FBT001
    if personal_table:
        made = contract("orders", Personal, lake=PEOPLE)
        other, part = table("files", FILES, model=Personal, lake=PEOPLE), ma.Part(table="raw/files")
        twice = table("files", f"{FILES}, {FILES}", model=Personal, lake=PEOPLE, duplicate_keys_warn=True)
    else:
        made, other, part = ORDERS, contacts(), ma.Part(table="raw/contacts", without=["email"])
        twice = contacts(f"{CONTACTS}, {CONTACTS}", duplicate_keys_warn=True)
    both = ma.Combined(contract=made, sources=["raw/shop", part])
    ran = run(both, [table("shop", SHOP), other])
    assert ran.metadata["keys_disagreeing"] == 1
    assert "first_key_disagreeing" not in ran.metadata
    ran = run(both, [table("shop", SHOP), twice])
    assert "keys (month, order) are in it more than once" in ran.told
    assert "2024-01|" not in ran.told


def test_a_value_that_is_no_partition_is_not_told_where_a_source_holds_persons() -> None:
    part = ma.Part(table="raw/contacts", without=["email"])
    whole = contacts(f"{CONTACTS}, ('Ann', 9, 1, 'x', 'b@example.org')", **NONE)
    told = run(ma.Combined(contract=ORDERS, sources=["raw/shop", part]), [table("shop", SHOP), whole]).told
    assert "1 of its rows are of no partition of the table. Correct" in told


@pytest.mark.parametrize("lake", [LAKE, PEOPLE])
def test_values_of_persons_are_never_taken_into_a_column_that_is_not_personal(lake: ma.Lake) -> None:
    made = contract("orders", Order, lake=lake)
    part = ma.Part(table="raw/contacts", columns={"note": "email"}, without=["note"])
    ran = run(ma.Combined(contract=made, sources=["raw/shop", part]), [table("shop", SHOP), contacts()])
    assert "it has columns that are personal, and in the table they are not: email. Declare them" in ran.told
    assert "example.org" not in ran.told


@pytest.mark.parametrize(("most", "passes"), [(0.0, False), (1.0, True)])
def test_a_check_warns_where_sources_disagree_more_than_is_declared(most: float, passes: bool) -> None:  # noqa: FBT001
    made = ma.Combined(contract=ORDERS, sources=["raw/shop", "raw/files"], most_disagreeing=most)
    ran = run(made, [table("shop", SHOP), table("files", FILES)])
    assert ran.success
    assert ran.checks["sources_agree"] is passes
    assert any("disagree on 1 of 1 keys" in each for each in ran.descriptions) is not passes


def test_a_source_may_lack_a_partition_only_if_it_is_optional() -> None:
    shop, files = table("shop", SHOP), table("files", FILES)
    needed = run(ma.Combined(contract=ORDERS, sources=["raw/shop", "raw/files"]), [shop, files], published=[shop])
    assert "Table raw/files: partition 2024-01 has never been published." in needed.told
    parts: list[ma.Part | str] = ["raw/shop", ma.Part(table="raw/files", optional=True)]
    ran = run(ma.Combined(contract=ORDERS, sources=parts), [shop, files], published=[])
    assert ran.metadata["rows_by_source"] == {"raw/shop": 2, "raw/files": 0}


def test_a_partition_that_no_source_has_is_refused() -> None:
    parts = [ma.Part(table="raw/shop", optional=True), ma.Part(table="raw/files", optional=True)]
    ran = run(ma.Combined(contract=ORDERS, sources=parts), [table("shop", SHOP), table("files", FILES)], published=[])
    assert "nothing of partition 2024-01 is published in raw/shop, raw/files" in ran.told


def test_of_a_source_without_partitions_each_takes_its_own_rows() -> None:
    whole = table("files", f"{FILES}, ('2024-02', 9, 1, 'later')", **NONE)
    ran = run(ma.Combined(contract=ORDERS, sources=["raw/shop", "raw/files"]), [table("shop", SHOP), whole])
    assert ran.success, ran.told
    assert [order for _, order, *_ in rows(ORDERS)] == [1, 2, 3]


def test_rows_of_no_partition_are_refused() -> None:
    whole = table("files", f"{FILES}, ('2024-1', 9, 1, 'strange')", **NONE)
    ran = run(ma.Combined(contract=ORDERS, sources=["raw/shop", "raw/files"]), [table("shop", SHOP), whole])
    assert "1 of its rows are of no partition of the table (month: '2024-1')" in ran.told


def test_tables_without_partitions_are_combined_whole() -> None:
    orders = contract("orders", Order, **NONE)
    sources = [table("shop", SHOP, **NONE), table("files", FILES, **NONE)]
    assert run(ma.Combined(contract=orders, sources=["raw/shop", "raw/files"]), sources, partition=None).success
    assert len(rows(orders)) == 3


def test_a_table_without_partitions_is_made_of_all_that_the_others_have() -> None:
    orders = contract("orders", Order, **NONE)
    shop, files = table("shop", SHOP), table("files", FILES, **NONE)
    instance = dg.DagsterInstance.ephemeral()
    made = ma.Combined(contract=orders, sources=["raw/shop", "raw/files"])
    assert dg.materialize([shop], partition_key=MONTH, instance=instance).success
    assert dg.materialize([files], instance=instance).success
    assert dg.materialize([shop, files, made.asset()], selection=[orders.key], instance=instance).success
    assert [order for _, order, *_ in rows(orders)] == [1, 2, 3]


def test_many_partitions_are_combined_in_one_run() -> None:
    @ma.asset(contract=contract("shop", Order))
    def shop(partition: ma.Partition, session: LakeSession) -> Any:  # noqa: ANN401
        return session.connection.sql(
            f"SELECT '{partition.key}' AS month, 1::BIGINT AS order, 1.0::DOUBLE AS amount, NULL::VARCHAR AS note"
        )

    whole = table("files", "('2024-01', 2, 1, 'x'), ('2024-02', 3, 1, 'x')", **NONE)
    made = ma.Combined(contract=ORDERS, sources=["raw/shop", "raw/files"]).asset()
    instance = dg.DagsterInstance.ephemeral()
    tags = {"dagster/asset_partition_range_start": "2024-01", "dagster/asset_partition_range_end": "2024-03"}
    assert dg.materialize([whole], instance=instance).success
    assert dg.materialize([shop, whole, made], selection=[shop.key, made.key], tags=tags, instance=instance).success
    assert [(month, order) for month, order, *_ in rows(ORDERS)] == [
        ("2024-01", 1),
        ("2024-01", 2),
        ("2024-02", 1),
        ("2024-02", 3),
        ("2024-03", 1),
    ]


class Other(pa.DataFrameModel):
    month: dt.String
    number: dt.Int32
    amount: dt.Float64
    line: dt.Int64


def test_columns_of_other_names_and_smaller_types_are_taken_and_others_left_out_as_declared() -> None:
    other = table("other", "('2024-01', 7, 5, 1)", model=Other, columns="month, number, amount, line")
    part = ma.Part(table="raw/other", columns={"order": "number"}, without=["line"])
    ran = run(ma.Combined(contract=ORDERS, sources=["raw/shop", part]), [table("shop", SHOP), other])
    assert ran.success, ran.told
    assert (MONTH, 7, 5.0, None) in rows(ORDERS)


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"without": ["line"]}, "it lacks columns that the table must have: order."),
        ({"columns": {"order": "number"}}, "it has columns that the table does not take: line."),
        ({"columns": {"order": "number"}, "without": ["line", "x"]}, "it lacks columns that are to be left out: x."),
        (
            {"columns": {"order": "number", "note": "line"}},
            "its column line is int64, in the table it is string.",
        ),
        ({"columns": {"order": "number", "note": "amount"}, "without": ["line"]}, "its column amount is float64, in"),
    ],
)
def test_columns_that_do_not_fit_are_refused_and_never_dropped_in_silence(part: Mapping[str, Any], told: str) -> None:
    other = table("other", "('2024-01', 7, 5, 1)", model=Other, columns="month, number, amount, line")
    made = ma.Combined(contract=ORDERS, sources=["raw/shop", ma.Part(table="raw/other", **part)])
    assert told in run(made, [table("shop", SHOP), other]).told


@pytest.mark.parametrize(
    ("theirs", "ours", "fits"),
    [
        (dt.Int32, dt.Int64, True),
        (dt.UInt32, dt.Int64, True),
        (dt.Float32, dt.Float64, True),
        (dt.UInt64, dt.Int64, False),
        (dt.Int64, dt.UInt64, False),
        (dt.Int64, dt.Int32, False),
        (dt.Float64, dt.Float32, False),
        (dt.Int32, dt.Float64, False),
    ],
)
def test_a_type_is_taken_only_into_one_that_holds_all_its_values(theirs: Any, ours: Any, fits: bool) -> None:  # noqa: ANN401, FBT001
    rows = ibis.memtable({"k": ["a"], "v": [1]}, schema={"k": "string", "v": theirs()})
    model = pa.DataFrameSchema({"k": pa.Column(dt.string), "v": pa.Column(ours, nullable=True)}, unique=["k"])
    table = contract("made", model, **NONE)
    whole: dict[str, Any] = {"key": ["k"], "personal": (), "filled_in": (), "whole": True, "telling": True}
    if fits:
        found = ranked(ma.Part(table="raw/a"), rows, table, ma.Partition(None, {}), **whole)
        assert isinstance(found.rows.schema()["v"], ours)
    else:
        with pytest.raises(ContractError, match=f"its column v is {theirs()}, in the table it is {ours()}"):
            ranked(ma.Part(table="raw/a"), rows, table, ma.Partition(None, {}), **whole)


def test_a_column_that_is_declared_to_be_another_is_not_taken_by_its_own_name_as_well() -> None:
    part = ma.Part(table="raw/files", columns={"note": "amount"}, without=["note"])
    text = table("files", FILES, model=Swapped)
    assert run(ma.Combined(contract=ORDERS, sources=["raw/shop", part]), [table("shop", SHOP), text]).success
    assert (MONTH, 3, None, "30") in rows(ORDERS)


class Swapped(Order):
    amount: dt.String


class Awkward(pa.DataFrameModel):
    month: dt.String
    rows: dt.Int64
    self_: dt.String = pa.Field(alias="self", nullable=True)
    by: dt.String = pa.Field(nullable=True)
    winner: dt.String = pa.Field(alias='the "winner"', nullable=True)
    place: dt.String = pa.Field(alias="source 0 value 0", nullable=True)

    class Config:
        """Called like whatever is counted, or what Ibis and SQL read otherwise."""

        unique = ("month", "rows")


def test_columns_may_be_called_as_they_like() -> None:
    made = contract("orders", Awkward)
    columns = 'month, rows, self, by, the "winner", source 0 value 0'
    sources = [
        table(name, f"('2024-01', 1, {values})", model=Awkward, columns=columns, **options)
        for name, values, options in (("shop", "'a', NULL, NULL, 'b'", {}), ("files", "'c', NULL, 'd', 'e'", NONE))
    ]
    ran = run(ma.Combined(contract=made, sources=["raw/shop", "raw/files"], fill=True), sources)
    assert ran.success, ran.told
    assert rows(made) == [(MONTH, 1, "a", None, "d", "b")]
    assert ran.metadata["keys_disagreeing_by_column"] == {"self": 1, "source 0 value 0": 1}


@pytest.mark.parametrize("named", ["", "orders", "raw/", "raw/files/x", "raw/Files", "raw/my files"])
def test_a_source_that_is_no_key_of_a_table_is_refused(named: str) -> None:
    with pytest.raises(ContractError, match=r"is no key of a table\. Name its layer and the table: raw/orders"):
        ma.Combined(contract=ORDERS, sources=["raw/shop", named])


def test_a_column_that_is_taken_and_left_out_is_refused() -> None:
    with pytest.raises(ContractError, match="Source raw/files of a combined table: x is named in columns and in"):
        ma.Part(table="raw/files", columns={"note": "x"}, without=["x"])


@pytest.mark.parametrize("fill", [True, False])
def test_a_partition_is_rebuilt_from_its_sources_with_an_equal_hash(fill: bool, tmp_path: Path) -> None:  # noqa: FBT001
    shop, whole = table("shop", SHOP), table("files", f"{FILES}, ('2024-02', 9, 1, 'later')", **NONE)
    absent = table("absent", FILES)
    parts: list[ma.Part | str] = ["raw/shop", "raw/files", ma.Part(table="raw/absent", optional=True)]
    made = ma.Combined(contract=TRACED, sources=parts, fill=fill, origin="origin", most_disagreeing=0.0)
    assert run(made, [shop, whole, absent], published=[shop, whole]).success
    before = rows(TRACED)
    # What is published since then does not count.
    for later in (table("shop", "('2024-01', 7, 7, 'later')"), absent):
        assert dg.materialize([later], partition_key=MONTH, instance=dg.DagsterInstance.ephemeral()).success
    again = rebuilt(made, [shop, whole, absent], MONTH, tmp_path)
    assert again.equal
    assert (again.inputs, dict(again.differences)) == (2, {})
    assert rows(TRACED) == before


def test_a_table_made_of_all_partitions_is_rebuilt_with_an_equal_hash(tmp_path: Path) -> None:
    orders = contract("orders", Order, **NONE)
    sources = [table("shop", SHOP), table("files", FILES, **NONE)]
    made = ma.Combined(contract=orders, sources=["raw/shop", "raw/files"])
    for each in sources:
        key = MONTH if each.partitions_def is not None else None
        assert dg.materialize([each], partition_key=key, instance=dg.DagsterInstance.ephemeral()).success
    assert run(made, sources, partition=None, published=[]).success
    assert rebuilt(made, sources, None, tmp_path).equal


def rebuilt(made: ma.Combined, sources: Sequence[dg.AssetsDefinition], partition: str | None, folder: Path) -> Rebuilt:
    """The combined table's newest publish, made again."""
    (folder / "rebuilt").mkdir()
    return rebuild(
        [dg.Definitions(assets=[*sources, made.asset()])],
        made.contract.key.to_user_string(),
        partition,
        settings=Settings.load(),
        home=folder / "rebuilt",
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sources": ["raw/shop", "raw/shop"]}, "two of its sources are one table"),
        ({"sources": ["raw_a/b", "raw/a_b"]}, "two of its sources are one table"),
        ({"sources": ["raw/shop", "raw/orders"]}, "it is one of its own sources"),
        ({"key": ["ordr"]}, "its key name ordr, which is no column"),
        ({"origin": "order"}, "is a part of the key, or no text"),
        ({"contract": contract("other", Other)}, "nothing says which rows are the same"),
    ],
)
def test_a_declaration_that_cannot_be_combined_is_refused(options: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ContractError, match=told):
        ma.Combined(**{"contract": ORDERS, "sources": ["raw/shop", "raw/files"], **options})


def test_it_is_made_once_all_that_must_be_there_is_there() -> None:
    shop, files, extra = table("shop", SHOP), table("files", FILES), table("extra", FILES)
    sources: list[ma.Part | str] = ["raw/shop", "raw/files", ma.Part(table="raw/extra", optional=True)]
    made = ma.Combined(contract=ORDERS, sources=sources).asset()
    instance = dg.DagsterInstance.ephemeral()
    defs = dg.Definitions(assets=[shop, files, extra, made])
    asked = []
    cursor = dg.evaluate_automation_conditions(defs=defs, instance=instance).cursor
    for each in (shop, files):
        assert dg.materialize([each], partition_key=MONTH, instance=instance).success
        found = dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=cursor)
        cursor = found.cursor
        asked.append(found.get_num_requested(ORDERS.key))
    assert asked == [0, 1]


def test_a_declaration_in_yaml_is_the_same() -> None:
    with create_defs_folder_sandbox() as sandbox:
        sandbox.scaffold_component(
            component_cls=ma.Combined,
            defs_yaml_contents={
                "type": "mlops_assets.Combined",
                "attributes": {
                    "contract": f"{__name__}.TRACED",
                    "sources": ["raw/shop", {"table": "raw/files", "optional": True, "columns": {"order": "number"}}],
                    "origin": "origin",
                },
            },
        )
        with sandbox.load_component_and_build_defs(next(sandbox.defs_folder_path.iterdir())) as (made, defs):
            assert isinstance(made, ma.Combined)
            assert [part.called for part in made.parts] == ["raw/shop", "raw/files"]
            assert made.parts[1].optional
            assert made.parts[1].columns == {"order": "number"}
            assert defs.resolve_asset_graph().get(TRACED.key).parent_keys == {
                dg.AssetKey(["raw", "shop"]),
                dg.AssetKey(["raw", "files"]),
            }


def test_what_is_wrong_with_a_source_in_yaml_is_named() -> None:
    with pytest.raises(ResolutionException, match="Source raw/files of a combined table: colums: Extra inputs"):
        ma.Combined.resolve_from_yaml(
            f"contract: {__name__}.TRACED\nsources: [raw/shop, {{table: raw/files, colums: {{order: x}}}}]\n"
        )


def test_contracts_of_other_locations_can_be_sources() -> None:
    made = ma.Combined(contract=ORDERS, sources=[ma.Part(table=contract("shop", Order)), "raw/files"])
    defs = ma.build_defs([made, table("files", FILES)], name="orders")
    assert {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()} == {
        "raw/shop",
        "raw/files",
        "raw/orders",
    }
