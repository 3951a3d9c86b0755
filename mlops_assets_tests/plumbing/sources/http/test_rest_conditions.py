"""REST services that are asked by their validator: no run where nothing changed, never another answer's rows."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.platform.assets.definitions import build_defs
from mlops_assets.plumbing.sources.http.pages import PageNumber
from mlops_assets_tests.plumbing.sources.file_server import OLD, FileServer
from mlops_assets_tests.plumbing.sources.rest_orders import order, source
from mlops_assets_tests.plumbing.sources.shop import run

if TYPE_CHECKING:
    from collections.abc import Iterator

MOMENT = dt.datetime(2024, 2, 2, 6, tzinfo=dt.UTC)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        give(running, 1)
        yield running


def give(server: FileServer, *numbers: int, path: str = "/orders") -> None:
    server.files[path] = json.dumps([order(number) for number in numbers]).encode()


def due(url: str, instance: dg.DagsterInstance, **options: Any) -> list[str | None]:  # noqa: ANN401  of a declaration
    """The partitions that the schedule asks for."""
    declared = source(f"{url}/orders", cron="0 6 2 * *", **options)
    [schedule] = declared.schedules()
    repository = build_defs([declared.asset()], name="shop", schedules=[schedule]).get_repository_def()
    ticked = schedule.evaluate_tick(
        dg.build_schedule_context(instance, scheduled_execution_time=MOMENT, repository_def=repository)
    )
    return [each.partition_key for each in ticked.run_requests or []]


def publish(url: str, instance: dg.DagsterInstance, **options: Any) -> None:  # noqa: ANN401  of a declaration
    done = run(source(f"{url}/orders", **options), instance=instance)
    assert done.success, done.told


@pytest.mark.parametrize(("etags", "modified"), [("strong", None), ("weak", None), ("", OLD)])
@pytest.mark.parametrize("conditions", ["heeded", "not heeded"])
def test_an_answer_that_stands_starts_no_run(
    server: FileServer, instance: dg.DagsterInstance, etags: str, modified: str | None, conditions: str
) -> None:
    manners = server.manners
    manners.etags, manners.modified, manners.conditions = etags, modified, conditions == "heeded"
    assert due(server.url, instance) == ["2024-01"]
    publish(server.url, instance)
    assert due(server.url, instance) == []
    give(server, 1, 2)
    manners.modified = modified and "Sun, 02 Jan 2022 00:00:00 GMT"
    assert due(server.url, instance) == ["2024-01"]
    publish(server.url, instance)
    assert due(server.url, instance) == []


def test_what_was_never_published_is_not_asked_about(server: FileServer, instance: dg.DagsterInstance) -> None:
    assert due(server.url, instance) == ["2024-01"]
    assert server.asked == []


def test_a_service_without_validators_is_always_run(server: FileServer, instance: dg.DagsterInstance) -> None:
    server.manners.etags = ""
    publish(server.url, instance)
    assert due(server.url, instance) == ["2024-01"]


def test_a_service_that_is_away_is_run_so_that_the_run_tells(server: FileServer, instance: dg.DagsterInstance) -> None:
    publish(server.url, instance)
    server.manners.status = 503
    assert due(server.url, instance) == ["2024-01"]


def test_a_validator_of_another_address_says_nothing_of_this_one(
    server: FileServer, instance: dg.DagsterInstance
) -> None:
    publish(server.url, instance)
    with FileServer() as other:
        give(other, 1)
        assert due(other.url, instance) == ["2024-01"]


@pytest.mark.parametrize(
    "options", [{"query": {"state": "new"}}, {"columns": {"amount": "total"}, "headers": {"A": "b"}}]
)
def test_a_declaration_that_asks_otherwise_is_run_though_the_answer_stands(
    server: FileServer, instance: dg.DagsterInstance, options: dict[str, Any]
) -> None:
    publish(server.url, instance)
    assert due(server.url, instance, **options) == ["2024-01"]


def test_a_declaration_that_reads_otherwise_is_run_though_the_answer_stands(
    server: FileServer, instance: dg.DagsterInstance
) -> None:
    publish(server.url, instance)
    assert due(server.url, instance, formats={"paid": "yes/no"}) == ["2024-01"]


def test_pages_are_not_asked_about(server: FileServer, instance: dg.DagsterInstance) -> None:
    publish(server.url, instance)
    server.asked.clear()
    assert due(server.url, instance, paginate=PageNumber()) == ["2024-01"]
    assert server.asked == []
