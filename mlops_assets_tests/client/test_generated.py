"""Tests of the generated client: its types, and what it does with the service of both domains.

Its package is there only while tests run, so it is imported by them.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.client.connections import async_connection, connection
from mlops_assets.client.paging import NoPageError, async_pages, pages
from mlops_assets_tests.client.conftest import generated
from mlops_assets_tests.client.misbehaving import BUSY, GOOD, Answer, Misbehaving
from mlops_assets_tests.serving.sample import EVERY_KIND, EVERYTHING, MODEL, PERSONS, export_customers
from mlops_assets_tests.serving.service_process import Service
from mlops_assets_tests.serving.test_access import signed

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of the highest scope, so it is made before all others.
pytestmark = pytest.mark.usefixtures("acme")
APPLICATION = Path(__file__).with_name("application.txt")
CUSTOMERS, NORTH = 10, [1, 3, 5, 7, 9]
PATH = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))


@pytest.fixture(name="application", scope="module")
def _application(acme: Path) -> Path:
    program = acme / "application.py"
    program.write_text(APPLICATION.read_text(encoding="utf-8"), encoding="utf-8")
    return program


@pytest.fixture(name="client", scope="module")
def _client(running: Service) -> Iterator[Any]:
    token = running.token(scopes=EVERYTHING)
    http = connection(running.url, token=lambda: token)
    with acme_client(running.url).set_httpx_client(http) as client:
        yield client


def acme_client(url: str) -> Any:  # noqa: ANN401  it is generated
    return importlib.import_module("acme").Client(url)


def called(name: str) -> Any:  # noqa: ANN401  it is generated
    return importlib.import_module(f"acme.api.{name}")


def models() -> Any:  # noqa: ANN401  it is generated
    return importlib.import_module("acme.models")


def checked(program: Path) -> str:
    """What the strict type checker says of a program and of the generated package."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir=cache", "--config-file=", program.name, "acme"],
        capture_output=True,
        text=True,
        check=False,
        cwd=program.parent,
        env={**os.environ, "MYPYPATH": PATH},
    )
    return done.stdout


def test_the_generated_package_and_an_application_of_it_are_strictly_typed(application: Path) -> None:
    assert "Success: no issues found" in checked(application)


def test_a_misspelt_filter_is_found_by_the_type_checker(application: Path) -> None:
    wrong = application.with_name("wrong.py")
    text = application.read_text(encoding="utf-8")
    wrong.write_text(text.replace('territory="north"', 'teritory="north"').replace("row.customer", "row.custom"))
    said = checked(wrong)
    assert said.count('Unexpected keyword argument "teritory"') == 2
    assert said.count('"CustomersRow" has no attribute "custom"') == text.count("row.customer")


def test_an_application_asks_for_rows_and_scores_sync_and_async(application: Path, running: Service) -> None:
    done = subprocess.run(
        [sys.executable, application, running.url, running.token(scopes=EVERYTHING), PERSONS[0]],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": PATH},
    )
    assert done.returncode == 0, done.stderr
    expected = {
        "page": [1, 2],
        "moment": [4],
        "one": ["2024-02", "2020-01-04", None],
        "district": ["2020", 0.5],
        "found": [["2024-02", 4], ["2024-01", 5], None],
        "persons": 40,
        "models": [EVERY_KIND, MODEL],
        "scores": [19.0, 20.0],
        "all": NORTH,
    }
    assert json.loads(done.stdout) == [expected, expected]


def test_problems_are_answers_with_the_requests_id_and_what_is_wrong(client: Any) -> None:  # noqa: ANN401
    missing = called("tables.get_customers").sync(99, client=client)
    assert isinstance(missing, models().Problem)
    assert (missing.status, len(missing.request_id)) == (404, 32)
    rows = models().ScoreRequest.from_dict({"rows": [{"age": 1}]})
    unfit = called("models.score").sync(MODEL, client=client, body=rows)
    assert (unfit.status, unfit.errors[0].parameter) == (422, "rows")


def test_a_limited_token_gets_a_problem_for_what_it_may_not_see(running: Service) -> None:
    token = running.token(scopes=EVERYTHING, limits={"territory": ["north"]})
    with connection(running.url, token=lambda: token) as http:
        client = acme_client(running.url).set_httpx_client(http)
        listed = called("tables.list_customers").sync(client=client, month="latest")
        assert [row.customer for row in listed.items] == NORTH
        with pytest.raises(NoPageError) as caught:
            list(pages(called("tables.list_customers").sync, client=client, territory="south"))
    assert isinstance(caught.value.answer, models().Problem)
    assert caught.value.answer.status == 403


def test_what_has_not_changed_is_not_transferred_again(client: Any) -> None:  # noqa: ANN401
    ask = called("tables.list_customers").sync_detailed
    first = ask(client=client)
    again = ask(client=client, if_none_match=first.headers["etag"])
    assert (again.status_code, again.content, again.parsed) == (304, b"", None)
    assert ask(client=client, if_none_match='"another"').status_code == 200


def test_an_expired_token_is_renewed(running: Service) -> None:
    expired = signed(running, exp=1_600_000_000)
    given = iter([expired, running.token(scopes=EVERYTHING)])
    client = acme_client(running.url)
    with client.set_httpx_client(connection(running.url, token=lambda: next(given))):
        assert called("tables.get_customers").sync(1, client=client).row.customer == 1
    with client.set_httpx_client(connection(running.url, token=lambda: expired)):
        assert called("tables.get_customers").sync(1, client=client).status == 401


def test_overload_is_tried_again_and_a_redirect_is_none_of_its_answers() -> None:
    models_of_none: Answer = (200, {}, b'{"models": []}')
    with Misbehaving(BUSY, None, models_of_none, (307, {"Location": "/"}, b""), GOOD) as server:
        client = acme_client(server.url)
        with client.set_httpx_client(connection(server.url)):
            assert called("models.served_models").sync(client=client).models == []
            assert called("models.served_models").sync(client=client) is None
        assert len(server.asked) == 4


def test_pages_are_of_one_export_although_another_becomes_current(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_keys()
    first = export_customers(service.config.exports).export_id
    ask = called("tables.list_customers")
    token = service.token(scopes=EVERYTHING)
    with service, connection(service.url, token=lambda: token) as http:
        service.wait_for_log("export served")
        client = acme_client(service.url).set_httpx_client(http)
        found = pages(ask.sync, client=client, limit=6)
        seen = [next(found)]
        export_customers(service.config.exports, 3)
        service.wait_for_log("export served", count=2)
        seen += found
        assert {page.export_id for page in seen} == {first}
        assert sum(len(page.items) for page in seen) == 2 * CUSTOMERS

        async def counted(as_of: str) -> int:
            async with async_connection(service.url, token=lambda: token) as http:
                client = acme_client(service.url).set_async_httpx_client(http)
                found = async_pages(ask.asyncio, client=client, limit=6, as_of=as_of)
                return sum([len(page.items) async for page in found])

        assert asyncio.run(counted(first)) == 2 * CUSTOMERS
        assert asyncio.run(counted(seen[0].export_id)) == 2 * CUSTOMERS
        assert sum(len(page.items) for page in pages(ask.sync, client=client, limit=6)) == 3 * CUSTOMERS


def test_a_token_of_one_table_makes_a_client_of_that_table_alone(running: Service, tmp_path: Path) -> None:
    token = running.token(scopes=("customers:read",))
    assert generated(running, tmp_path / "shop", token=token).exit_code == 0
    made = {path.stem for path in (tmp_path / "shop" / "api" / "tables").glob("*.py")}
    assert made == {"__init__", "get_customers", "list_customers", "look_up_customers", "served_tables"}
