"""Resources of dlt: what they yield is published, they keep nothing, and what they raise is told without secrets."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import pytest

import mlops_assets as ma
from mlops_assets.plumbing.sources.conformance import SourceConformance
from mlops_assets_tests.plumbing.sources.api import ApiServer, Asked, Said
from mlops_assets_tests.plumbing.sources.rest_orders import SECRET
from mlops_assets_tests.plumbing.sources.shop import CUSTOMERS, MONTH, SALES, rows, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

pytest.importorskip("dlt", reason="dlt is not installed: pip install 'mlops-assets[dlt]'")

PIPES: Final = "mlops_assets_tests.plumbing.sources.pipes"
DAY: Final = dt.date(2024, 1, 3)


def source(name: str, contract: ma.Contract = SALES, **options: Any) -> ma.DltSource:  # noqa: ANN401
    """The source of that function, which is asked once."""
    given = {"snapshot": True, "retries": 0, **options}
    return ma.DltSource(contract=contract, resource=f"{PIPES}.{name}", **given)


class TestConformance(SourceConformance):
    rows: Sequence[Mapping[str, str | None]] = ()
    answers = True

    @pytest.fixture(autouse=True)
    def _service(self) -> Iterator[None]:
        with ApiServer(self._answer) as api:
            self.url = api.url
            yield

    def _answer(self, asked: Asked) -> Said:
        page = int(asked.query["page"])
        return Said(value=self.rows[page - 1 : page]) if self.answers else Said(status=503)

    def source(self, contract: ma.Contract, **options: Any) -> ma.DltSource:  # noqa: ANN401  as the base
        return ma.DltSource(
            contract=contract,
            resource=f"{PIPES}.sales",
            arguments={"url": self.url, "month": "{month}"},
            **options,
        )

    def give(self, rows: Sequence[Mapping[str, str | None]]) -> None:
        self.rows = rows

    @contextmanager
    def away(self) -> Iterator[None]:
        self.answers = False
        yield
        self.answers = True


@pytest.mark.usefixtures("secrets")
def test_arguments_name_the_partition_and_secrets_are_handed_over() -> None:
    asked: list[Asked] = []

    def answer(question: Asked) -> Said:
        asked.append(question)
        first = question.query["page"] == "1"
        return Said(value=[{"sale": 1, "day": "2024-01-03", "amount": 1, "note": "x"}] if first else [])

    with ApiServer(answer) as api:
        ran = run(
            source(
                "sales",
                arguments={"url": api.url, "month": "{month}"},
                secrets={"token": ma.Secret(file="orders_token")},
                snapshot=False,
            )
        )
    assert ran.success, ran.told
    assert {each.query["month"] for each in asked} == {MONTH}
    assert asked[0].headers["authorization"] == f"Bearer {SECRET}"
    assert ran.metadata["resource"] == "sales"


@pytest.mark.usefixtures("secrets")
def test_the_rest_api_of_dlt_itself_is_a_source() -> None:
    def answer(question: Asked) -> Said:
        if question.headers.get("authorization") != f"Bearer {SECRET}":
            return Said(status=401)
        page = int(question.query["page"])
        return Said(
            value={"items": [{"sale": page, "day": "2024-01-03", "amount": 1, "note": None}] if page < 4 else []}
        )

    with ApiServer(answer) as api:
        config = {
            "client": {
                "base_url": api.url,
                "auth": {"type": "bearer"},
                "paginator": {"type": "page_number", "base_page": 1, "total_path": None},
            },
            "resources": [
                {
                    "name": "sales",
                    "endpoint": {
                        "path": "orders",
                        "params": {"month": "{month}"},
                        "data_selector": "items",
                    },
                }
            ],
        }
        declared = ma.DltSource(
            contract=SALES,
            resource="dlt.sources.rest_api.rest_api_source",
            arguments={"config": config},
            secrets={"config.client.auth.token": ma.Secret(file="orders_token")},
            retries=0,
        )
        ran = run(declared)
    assert ran.success, ran.told
    assert [sale for _, sale, *_ in rows()] == [1, 2, 3]


def test_values_of_python_become_those_of_the_contract() -> None:
    ran = run(source("typed"))
    assert ran.success, ran.told
    assert rows() == [
        (MONTH, 1, DAY, 0.1, None),
        (MONTH, 2, DAY, 1.5, '{"a":[1,true]}'),
        (MONTH, 3, DAY, 1.5, "true"),
    ]


def test_frames_keep_their_types() -> None:
    ran = run(source("frames"))
    assert ran.success, ran.told
    assert rows() == [(MONTH, 1, DAY, 1.5, "x"), (MONTH, 2, DAY, 2.0, None), (MONTH, 3, DAY, 1.5, "x")]


def test_frames_of_several_types_never_change_an_identifier() -> None:
    ran = run(source("widened"))
    assert not ran.success
    assert "sale: 1 of 2 rows" in ran.told, ran.told
    assert rows() == []


def test_a_resource_that_ends_the_process_is_told_as_one_that_failed() -> None:
    ran = run(source("leaving"))
    assert ran.told.startswith(
        "Resource mlops_assets_tests.plumbing.sources.pipes.leaving of dlt: it failed with SystemExit"
    )


def test_one_of_several_resources_is_named() -> None:
    assert "it gives the resources one, other, and take is None" in run(source("two")).told
    assert run(source("two", take="other")).success
    assert [sale for _, sale, *_ in rows()] == [2]


def test_a_resource_that_remembers_gives_the_same_each_time() -> None:
    declared = source("growing")
    assert run(declared).metadata["dagster/row_count"] == 3
    assert run(declared).metadata["dagster/row_count"] == 3


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mixed", "it yields Table, or rows in two ways"),
        ("numbers", "it gives int, which is no resource of dlt"),
        ("nothing", "it is not there (AttributeError)"),
    ],
)
def test_what_is_no_resource_of_rows_is_refused(name: str, told: str) -> None:
    assert told in run(source(name)).told


@pytest.mark.usefixtures("secrets")
def test_what_a_resource_raises_is_told_by_its_type_alone_and_kept_without_the_secret(home: Path) -> None:
    ran = run(source("telling", CUSTOMERS, secrets={"token": ma.Secret(file="orders_token")}))
    assert "it failed with ValueError" in ran.told
    assert "Ann" not in ran.told
    [kept] = [file.read_text(encoding="utf-8") for file in (home / "errors").iterdir()]
    assert "Ann Ames" in kept
    assert SECRET not in kept


def test_several_partitions_are_asked_for_at_once() -> None:
    tags = {"dagster/asset_partition_range_start": "2024-01", "dagster/asset_partition_range_end": "2024-04"}
    assert dg.materialize([source("typed", at_once=2).asset()], tags=tags).success
    assert len(rows()) == 12


def test_dlt_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    for folder in ("account", "work"):
        (tmp_path / folder).mkdir()
    code = "from mlops_assets_tests.plumbing.sources.test_dlt import run, source\nassert run(source('typed')).success\n"
    environment = {**os.environ, "HOME": str(tmp_path / "account"), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "work",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [str(path) for folder in ("account", "work") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert found == []
