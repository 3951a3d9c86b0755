"""REST sources from their declaration to the lake."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.platform.errors import ContractError, SettingsError
from mlops_assets.plumbing.sources.http.auth import Bearer
from mlops_assets.plumbing.sources.http.pages import PageNumber
from mlops_assets.plumbing.sources.http.rest import RestSource
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.raw_layer import facts, failure, materialize, visible
from mlops_assets_tests.plumbing.sources.api import ApiServer, Asked, Said
from mlops_assets_tests.plumbing.sources.rest_orders import ORDERS, QUICK, SECRET, ids, order, read, source, texts

if TYPE_CHECKING:
    from pathlib import Path

DECLARED = """
contract: mlops_assets_tests.plumbing.sources.rest_orders.ORDERS
url: {url}/orders/{{month}}
query: {{since: "{{start}}"}}
auth: {{type: bearer, secret: {{file: orders_token}}}}
paginate: {{type: page_number, size_parameter: size, size: 2, total: meta.total}}
rows: data.items
columns: {{order_id: OrderNo}}
limits: {{attempts: 2, idle_seconds: 1}}
retries: 0
"""


def orders(asked: Asked) -> Said:
    """Five orders, two to a page."""
    start = (int(asked.query["page"]) - 1) * 2
    named = [{"OrderNo": n, "amount": n + 0.5, "paid": True} for n in range(5)]
    return Said(value={"data": {"items": named[start : start + 2]}, "meta": {"total": 5}})


@pytest.mark.usefixtures("secrets")
def test_a_declaration_in_yaml_fills_the_lake() -> None:
    with ApiServer(orders) as api:
        declared = RestSource.resolve_from_yaml(DECLARED.format(url=api.url))
        result = materialize(declared.asset(), "2024-02")

    assert result.success
    assert visible(ORDERS, "month, order_id, amount, paid") == [("2024-02", str(n), n + 0.5, True) for n in range(5)]
    assert facts(result)["pages"] == 4
    assert facts(result)["address"] == f"{api.url}/orders/2024-02"
    assert api.asked[0].path == "/orders/2024-02"
    assert api.asked[0].query == {"since": "2024-02-01T00:00:00+00:00", "page": "1", "size": "2"}
    assert {asked.headers["authorization"] for asked in api.asked} == {f"Bearer {SECRET}"}


@pytest.mark.usefixtures("secrets")
def test_a_declaration_in_python_is_the_one_in_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = source(
        dg.EnvVar("ORDERS_URL"),
        query={"since": "{start}"},
        auth=Bearer(secret=Secret(file="orders_token")),
        paginate=PageNumber(size_parameter="size", size=2, total="meta.total"),
        rows="data.items",
        columns={"order_id": "OrderNo"},
    )
    with ApiServer(orders) as api:
        monkeypatch.setenv("ORDERS_URL", f"{api.url}/orders/{{month}}")
        result = materialize(declared.asset(), "2024-02")

    assert result.success
    assert declared.code_version() == RestSource.resolve_from_yaml(DECLARED.format(url=api.url)).code_version()


def test_a_page_that_breaks_leaves_nothing_visible() -> None:
    def answer(asked: Asked) -> Said:
        return Said(status=500) if asked.query["page"] == "3" else orders(asked)

    declared = {"paginate": PageNumber(), "rows": "data.items", "columns": {"order_id": "OrderNo"}}
    with ApiServer(orders) as api:
        materialize(source(api.url, **declared).asset(), "2024-01")
    with ApiServer(answer) as api:
        result = materialize(source(api.url, **declared).asset(), "2024-02")

    assert not result.success
    assert "(page 3): it answers 500" in failure(result)
    assert {month for (month,) in visible(ORDERS, "month")} == {"2024-01"}


def test_values_keep_their_text(tmp_path: Path) -> None:
    body = (
        b'[{"id": 12345678901234567890, "n": 1.50, "yes": true, "none": null, "in": {"a": [1.0, 2]}, "e": 1e400},'
        b' {"id": "x\\u00e9\\u0000", "n": ' + b"9" * 5000 + b', "late": ""}]'
    )
    with ApiServer(lambda _: Said(value=body)) as api:
        delivered = read(source(api.url), tmp_path / "s")

    assert sorted(delivered.rows.columns) == ["e", "id", "in", "late", "n", "none", "yes"]
    assert texts(delivered) == [
        ("1e400", "12345678901234567890", '{"a": [1.0, 2]}', None, "1.50", None, "true"),
        (None, "xé\0", None, "", "9" * 5000, None, None),
    ]
    assert {str(kind) for kind in delivered.rows.types} == {"VARCHAR"}


def test_a_column_that_comes_late_is_null_before(tmp_path: Path) -> None:
    pages: list[list[dict[str, object]]] = [[{"a": 1}], [{"a": 2, "b": 3}], [{"b": 4}], []]
    with ApiServer(lambda asked: Said(value=pages[int(asked.query["page"]) - 1])) as api:
        delivered = read(source(api.url, paginate=PageNumber()), tmp_path / "s")

    assert texts(delivered) == [("1", None), ("2", "3"), (None, "4")]


@pytest.mark.parametrize(("form", "value"), [("json", []), ("csv", b"")])
def test_no_rows_are_a_table_without_rows(tmp_path: Path, form: str, value: object) -> None:
    with ApiServer(lambda _: Said(value=value)) as api:
        delivered = read(source(api.url, format=form, columns={"order_id": "OrderNo"}), tmp_path / "s")

    assert delivered.rows.columns == ["month", "OrderNo", "amount", "paid"]
    assert texts(delivered) == []


def test_csv_is_read_as_text(tmp_path: Path) -> None:
    body = '\ufefforder_id,amount\r\n007,"1,5"\r\n\r\n8,"a ""b""\n"\r\n'.encode()
    with ApiServer(lambda _: Said(value=body, content_type="text/csv")) as api:
        delivered = read(source(api.url, format="csv"), tmp_path / "s")

    assert texts(delivered) == [("1,5", "007"), ('a "b"\n', "8")]


def test_an_empty_field_of_csv_is_null_unless_it_is_quoted(tmp_path: Path) -> None:
    body = f'order_id,amount\n,""\n{"x" * 200_000},1\n'.encode()
    with ApiServer(lambda _: Said(value=body, content_type="text/csv")) as api:
        delivered = read(source(api.url, format="csv"), tmp_path / "s")

    assert texts(delivered) == [("", None), ("1", "x" * 200_000)]


def test_what_is_filled_into_an_address_cannot_lead_elsewhere(tmp_path: Path) -> None:
    key = "north/../admin?a=b#c"
    shops = dataclasses.replace(ORDERS, partitions_def=dg.StaticPartitionsDefinition([key]))
    with ApiServer(lambda _: Said(value=[order(1)])) as api:
        read(source(f"{api.url}/{{month}}/x", contract=shops), tmp_path / "s", month=key)

    assert api.asked[0].path == "/north%2F..%2Fadmin%3Fa%3Db%23c/x"


def test_questions_keep_their_rate(tmp_path: Path) -> None:
    start = time.monotonic()
    with ApiServer(lambda asked: Said(value=[order(1)] if asked.query["page"] == "1" else [])) as api:
        read(source(api.url, paginate=PageNumber(), rate_per_second=2), tmp_path / "s")

    assert time.monotonic() - start >= 0.5


@pytest.mark.parametrize("option", ["url", "query", "headers"])
def test_a_field_that_is_none_of_the_partition_s_is_refused_as_it_is_declared(option: str) -> None:
    text = "http://example.org/{day}"
    given: dict[str, Any] = {"url": "http://example.org", option: text if option == "url" else {"x": text}}
    with pytest.raises(ContractError, match=rf"its {option} names \{{day\}}"):
        source(**given)


def test_an_address_that_is_not_set_is_an_error_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORDERS_URL", raising=False)
    with pytest.raises(SettingsError, match="Variable ORDERS_URL"):
        read(source(dg.EnvVar("ORDERS_URL"), limits=QUICK), tmp_path / "s")


def test_orders_come_as_they_are_sent(tmp_path: Path) -> None:
    rows = [order(number) for number in (3, 1, 2)]
    with ApiServer(lambda _: Said(value=rows)) as api:
        assert ids(read(source(api.url), tmp_path / "s")) == [3, 1, 2]
