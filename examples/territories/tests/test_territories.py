"""The project: what it publishes of each month, and what it holds back."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import dagster as dg
import pytest

from territories import assets, sources
from territories.definitions import defs
from territories.shop import shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ask = Callable[..., tuple[int, Any]]

CUSTOMERS = 600
PROGRAMS = Path(sys.executable).parent


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh home folder, and fresh sources beside it, the shop among them."""
    folder = tmp_path_factory.mktemp("territories")
    there = folder / "sources"
    sources.write(there, CUSTOMERS)
    with pytest.MonkeyPatch.context() as patch, shop(there, port=0) as serving:
        thread = Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        patch.setenv("TERRITORIES_SOURCES", str(there))
        patch.setenv("TERRITORIES_LABELS", str(there / "labels.sqlite"))
        patch.setenv("TERRITORIES_ORDERS_URL", f"http://127.0.0.1:{serving.server_port}/orders")
        patch.setenv("TERRITORIES_ORDERS_TOKEN", (there / "orders_token").read_text(encoding="utf-8").strip())
        patch.setenv("MLOPS_ASSETS_HOME", str(folder / "home"))
        patch.setenv("MLOPS_ASSETS_PSEUDONYM_KEY", "a key of the tests, longer than thirty-two")
        yield folder / "home"
        serving.shutdown()
        thread.join()


def load(month: str, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Load a month's customers and count their territories."""
    job = defs.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(partition_key=month, instance=instance, raise_on_error=False)


def lake(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What ``mlops-assets lake`` says."""
    command = [PROGRAMS / "mlops-assets", "lake", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})


@pytest.fixture(scope="module")
def loaded() -> dg.DagsterInstance:
    """An instance in which every month has been tried."""
    instance = dg.DagsterInstance.ephemeral()
    succeeded = {month: load(month, instance).success for month in sources.MONTHS}
    # A class that means something else stops what counts by it, until somebody has judged that.
    assert succeeded == {month: month != sources.RECODED for month in sources.MONTHS}
    return instance


def failed_checks(instance: dg.DagsterInstance, month: str) -> set[str]:
    """The checks that the customers of that month have failed, in its last run."""
    records = instance.get_event_records(dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION))
    evaluations = [record.event_log_entry.dagster_event.asset_check_evaluation_data for record in records]
    return {each.check_name for each in evaluations if each.partition == month and not each.passed}


def test_checks_tell_of_what_is_odd_and_stop_what_would_mislead(loaded: dg.DagsterInstance) -> None:
    assert failed_checks(loaded, "2024-01") == set()
    assert failed_checks(loaded, sources.RECODED) == {
        "known_segment",
        "entry_events_are_judged",
        "no_blocking_entry_event",
    }
    assert failed_checks(loaded, sources.TWICE) == {
        "known_segment",
        "contract_warnings",
        "entry_events_are_judged",
        "no_entry_event",
    }


def variance(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What ``mlops-assets variance`` says."""
    command = [PROGRAMS / "mlops-assets", "variance", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})


def events() -> list[dict[str, Any]]:
    """The named events."""
    return [json.loads(line) for line in variance("events", "--json").stdout.splitlines()]


@pytest.mark.usefixtures("loaded")
def test_what_happened_is_named_and_nothing_else() -> None:
    assert [(event["partition"], event["cause"], event["kind"]) for event in events()] == [
        (sources.REDRAWN, "boundary", "redrawn"),
        (sources.RECODED, "entry", "reclassed"),
        (sources.TWICE, "entry", "repeated"),
    ]
    redrawn, recoded, twice = events()
    assert set(redrawn["units"].split(",")) <= set(sources.TERRITORIES[:6])
    assert recoded["name"] == "segment SMB recoded to SMALL"
    assert twice["name"] == "every record loaded twice"


def test_a_month_that_is_held_back_is_published_once_somebody_rejects_its_event(loaded: dg.DagsterInstance) -> None:
    (recoded,) = [event for event in events() if event["partition"] == sources.RECODED]
    judged = variance("judge", recoded["event_id"], "reject", "--by", "Ann", "--note", "a new name of the same segment")
    assert judged.returncode == 0, judged.stderr
    assert load(sources.RECODED, loaded).success
    (recoded,) = [event for event in events() if event["partition"] == sources.RECODED]
    assert (recoded["judgement"], recoded["judged_by"]) == ("rejected", "Ann")


@pytest.mark.usefixtures("loaded")
def test_the_territories_count_everybody_once() -> None:
    shown = lake("show", "wrangled/territories", "--partition", "2024-01", "--csv")
    rows = list(csv.DictReader(shown.stdout.splitlines()))
    assert sum(int(row["customers"]) for row in rows) == CUSTOMERS
    assert {row["territory"] for row in rows} == set(sources.TERRITORIES)


@pytest.mark.usefixtures("loaded")
def test_orders_and_labels_are_those_of_the_month() -> None:
    """All pages of the one, all rows of the other."""
    for table, key, known in (("raw/orders", "order_id", 300), ("raw/churn_labels", "churned", CUSTOMERS)):
        shown = lake("show", table, "--partition", "2024-02", "--csv")
        rows = list(csv.DictReader(shown.stdout.splitlines()))
        assert {row["month"] for row in rows} == {"2024-02"}
        assert len(rows) >= known
        assert all(row[key] for row in rows)


@pytest.mark.usefixtures("loaded")
def test_names_are_not_shown() -> None:
    shown = lake("show", "raw/customer_export", "--partition", "2024-01")
    assert shown.returncode == 0
    assert not re.search(r"@example\.com|C000\d\d\d| St\b", shown.stdout)


@pytest.mark.usefixtures("loaded")
def test_the_lakes_are_sound() -> None:
    checked = lake("check", "--hashes")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "No faults." in checked.stdout


@pytest.mark.usefixtures("loaded")
def test_a_month_is_rebuilt_hash_for_hash() -> None:
    rebuilt = lake("rebuild", "wrangled/territories", "--partition", "2024-05")
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    assert "Rebuilt: equal." in rebuilt.stdout


def test_a_month_that_is_not_there_names_the_file_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERRITORIES_SOURCES", str(tmp_path))
    asset = assets.CUSTOMERS.model_copy(update={"retries": 0}).asset()
    failed = dg.materialize([asset], partition_key="2024-03", raise_on_error=False)
    [event] = failed.get_step_failure_events()
    told = event.step_failure_data.user_failure_data
    assert told is not None
    assert "File customers/2024-03.csv" in str(told.description)
    assert "Wait for the delivery, or ask its sender." in str(told.description)


@pytest.fixture
def served(home: Path, loaded: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:  # noqa: ARG001  what it serves
    """Asks a running service for a path with a token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLOPS_ASSETS_SERVICE__PORT", str(port))
    process = subprocess.Popen([PROGRAMS / "mlops-assets", "serve"], stdout=subprocess.DEVNULL)
    authority = home / "tls" / "authority.crt"

    def ask(path: str, token: str = "", keys: object = None) -> tuple[int, Any]:
        body = None if keys is None else json.dumps({"keys": keys}).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = Request(f"https://127.0.0.1:{port}{path}", body, headers)
        try:
            with urlopen(request, context=ssl.create_default_context(cafile=authority)) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)

    try:
        for _ in range(300):
            with suppress(OSError):
                if ask("/health/ready")[0] == HTTPStatus.OK:
                    break
            time.sleep(0.1)
        yield ask
    finally:
        process.terminate()
        process.wait()


def token(*arguments: str) -> str:
    """A token for the customers."""
    command = [PROGRAMS / "mlops-assets", "token", "dashboard", "--scope", "customers:read", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_customers_are_served_by_their_key_and_limited_by_territory(served: Ask) -> None:
    everything, limited = token(), token("--limit", "territory=T01,T02")
    status, page = served("/v1/tables/customers?month=latest&limit=500", everything)
    assert status == HTTPStatus.OK
    assert {row["month"] for row in page["items"]} == {"2024-08"}
    seen = {row["customer_token"]: row["territory"] for row in page["items"]}
    for customer, territory in list(seen.items())[:50]:
        status, found = served(f"/v1/tables/customers/{customer}", limited)
        if territory in {"T01", "T02"}:
            assert (status, found["row"]["territory"]) == (HTTPStatus.OK, territory)
        else:
            assert status == HTTPStatus.NOT_FOUND
    _, own = served("/v1/tables/customers?month=latest&limit=500", limited)
    assert {row["territory"] for row in own["items"]} == {"T01", "T02"}
    assert served("/v1/tables/customers?territory=T03", limited)[0] == HTTPStatus.FORBIDDEN
    status, found = served("/v1/lookup/customers", limited, [{"customer_token": customer} for customer in seen][:100])
    assert [row and row["territory"] for row in found["rows"]] == [
        territory if territory in {"T01", "T02"} else None for territory in list(seen.values())[:100]
    ]


def test_nobody_is_served_without_a_token_or_with_one_for_something_else(served: Ask) -> None:
    assert served("/v1/tables/customers")[0] == HTTPStatus.UNAUTHORIZED
    assert served("/v1/tables/territories", token())[0] == HTTPStatus.FORBIDDEN


@pytest.fixture
def address() -> Iterator[str]:
    """Where ``dg dev`` answers, in the project's folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    process = subprocess.Popen(
        [PROGRAMS / "dg", "dev", "--port", str(port)],
        env={**environment, "PATH": f"{PROGRAMS}{os.pathsep}{environment['PATH']}"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            # Whoever starts tests in the background may have them ignore interrupts, and so what they start.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_dg_dev_shows_all_tables_with_their_checks(address: str) -> None:
    query = "{ assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks { name } } } } }"
    body = json.dumps({"query": query}).encode()
    request = Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    for _ in range(600):
        try:
            with urlopen(request) as answer:
                nodes = json.load(answer)["data"]["assetNodes"]
        except OSError:
            nodes = []
        if nodes:
            break
        time.sleep(0.5)
    checks = {
        "/".join(node["assetKey"]["path"]): {check["name"] for check in node["assetChecksOrError"]["checks"]}
        for node in nodes
    }
    assert set(checks) == {
        "raw/customer_export",
        "raw/orders",
        "raw/churn_labels",
        "wrangled/customers",
        "wrangled/territories",
        "variance/customers_summaries",
        "variance/customers_drift",
        "variance/customers_changes",
        "variance/customers_events",
        "variance/customers_flows",
        "variance/customers_verdicts",
        "reports/customers",
        "reports/customers_history",
        "served/customers",
        "served/territories",
    }
    assert checks["raw/customer_export"] == {"contract", "contract_warnings", "known_segment"}
