"""Which requests pass: the few that running and cleaning up need, on containers of the deployment alone."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mlops_assets.deployment.docker_proxy.policy import RefusedError, Role
from mlops_assets.deployment.docker_proxy.requests import Request, allowed
from mlops_assets_tests.deployment.docker_proxy.good import IMAGE, LABELS, NETWORK, POLICY, RUN_ID, container

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS = "c" * 64
_OTHERS = "d" * 64
_NETWORK_ID = "e" * 64
_RUN: dict[str, Any] = {
    "Id": _OURS,
    "Name": f"/test-run-{RUN_ID}",
    "Config": {"Labels": LABELS, "Env": ["MLOPS_ASSETS_HOME=/h", "PATH=/bin"]},
    "HostConfig": container()["HostConfig"],
    "NetworkSettings": {"Networks": {NETWORK: {}}},
}
_ENGINE: dict[str, dict[str, Any]] = {
    f"/containers/{_OURS}/json": _RUN,
    "/containers/named/json": _RUN,
    f"/containers/{_OTHERS}/json": {"Id": _OTHERS, "Config": {"Labels": {}}},
    "/networks/mlops-egress": {"Id": "a" * 64, "Name": "mlops-egress"},
    f"/networks/{NETWORK}": {"Id": _NETWORK_ID, "Name": NETWORK},
    f"/networks/{_NETWORK_ID}": {"Id": _NETWORK_ID, "Name": NETWORK},
    "/networks/bridge": {"Id": "f" * 64, "Name": "bridge"},
}


async def _inspect(path: str) -> Mapping[str, Any]:
    return _ENGINE.get(path, {})


def _ask(method: str, target: str, body: object = None) -> Request:
    """The request as it passes for the role that is there for it; refused if for none."""
    content = b"" if body is None else json.dumps(body).encode()
    kind = "application/json" if body is not None else ""
    for role in Role:
        try:
            return asyncio.run(allowed(Request(method, target, content, kind), role, POLICY, _inspect))
        except RefusedError as error:
            if "a client that is there to" not in str(error):
                raise
    raise RefusedError("no role")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/_ping"),
        ("HEAD", "/_ping"),
        ("GET", "/version"),
        ("GET", "/v1.41/version"),
        ("GET", f"/v1.41/images/{IMAGE}/json"),
        ("GET", f"/v1.41/containers/{_OURS}/json"),
        ("GET", f"/containers/{_OURS}/logs?stdout=1&stderr=1&tail=40&follow=0"),
        ("POST", f"/containers/{_OURS}/start"),
        ("POST", f"/containers/{_OURS}/stop?t=30"),
        ("POST", f"/containers/{_OURS}/kill?signal=SIGKILL"),
        ("POST", f"/containers/{_OURS}/wait"),
        ("DELETE", f"/containers/{_OURS}?v=True&force=False"),
        ("GET", f"/networks/{_NETWORK_ID}"),
    ],
)
def test_what_a_run_needs_passes_unchanged(method: str, target: str) -> None:
    assert _ask(method, target).target == target


def test_a_name_is_replaced_by_the_id_that_was_judged() -> None:
    assert _ask("POST", "/containers/named/stop?t=10").target == f"/containers/{_OURS}/stop?t=10"
    assert _ask("DELETE", "/containers/named?force=1&link=False").target == f"/containers/{_OURS}?force=1"
    assert _ask("GET", f"/networks/{NETWORK}").target == f"/networks/{_NETWORK_ID}"


@pytest.mark.parametrize(
    "name", ["/another-run", f"/other-run-{RUN_ID}", "/test-run-00000000-0000-0000-0000-000000000008"]
)
def test_who_ends_runs_stops_no_container_of_another_name_than_its_run_has(name: str) -> None:
    async def inspect(_: str) -> Mapping[str, Any]:
        return {**_RUN, "Name": name}

    request = Request("POST", f"/containers/{_OURS}/stop?t=30")
    with pytest.raises(RefusedError, match="not made here for the run of its label"):
        asyncio.run(allowed(request, Role.END, POLICY, inspect))


def test_a_hardened_container_can_be_made() -> None:
    assert _ask("POST", "/v1.41/containers/create", container()).target.startswith("/v1.41/containers/create?")


def test_the_engine_names_the_container_by_its_run_so_that_a_run_has_one() -> None:
    passed = urlsplit(_ask("POST", "/containers/create", container()).target)
    assert parse_qs(passed.query) == {"name": [f"test-run-{LABELS['dagster/run_id']}"]}


def test_a_run_container_cannot_join_a_network_of_another_profile() -> None:
    with pytest.raises(RefusedError, match="not allowed together by any one of here, there"):
        _ask("POST", "/networks/mlops-egress/connect", {"Container": _OURS})


@pytest.mark.parametrize("network", [NETWORK, _NETWORK_ID])
def test_a_run_container_can_join_an_allowed_network_by_name_and_by_id(network: str) -> None:
    passed = _ask("POST", f"/networks/{network}/connect", {"Container": _OURS, "EndpointConfig": {}})
    assert json.loads(passed.body) == {"Container": _OURS}


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/info"),
        ("GET", "/events"),
        ("GET", "/images/json"),
        ("GET", "/images/debian:12/json"),
        ("GET", f"/images/{IMAGE}/../../containers/{_OTHERS}/json"),
        ("POST", "/images/create?fromImage=debian"),
        ("POST", "/build"),
        ("POST", "/commit"),
        ("POST", "/auth"),
        ("POST", "/session"),
        ("POST", f"/containers/{_OURS}/exec"),
        ("POST", "/exec/1/start"),
        ("POST", f"/containers/{_OURS}/attach?stream=1"),
        ("GET", f"/containers/{_OURS}/attach/ws"),
        ("POST", f"/containers/{_OURS}/update"),
        ("POST", f"/containers/{_OURS}/rename?name=x"),
        ("POST", f"/containers/{_OURS}/restart"),
        ("POST", f"/containers/{_OURS}/pause"),
        ("GET", f"/containers/{_OURS}/export"),
        ("GET", f"/containers/{_OURS}/archive?path=/"),
        ("PUT", f"/containers/{_OURS}/archive?path=/"),
        ("GET", f"/containers/{_OURS}/logs?stdout=1&follow=1"),
        ("GET", f"/containers/{_OURS}/logs?stdout=1&stdout=0"),
        ("GET", f"/containers/{_OURS}/json?x=1"),
        ("GET", f"/containers/{_OURS}/json?%zz"),
        ("GET", f"/containers/{_OURS}/json#x"),
        ("POST", "/containers/prune"),
        ("POST", "/containers/create?name=postgres"),
        ("POST", f"/containers/{_OURS}/stop?t=-1"),
        ("POST", f"/containers/{_OURS}/stop?t=9999"),
        ("DELETE", f"/containers/{_OURS}?link=1"),
        ("GET", "/containers/json?filters=%7B%22ancestor%22:%5B%22x%22%5D%7D"),
        ("GET", "//["),
        ("POST", "/volumes/create"),
        ("GET", "/volumes"),
        ("POST", "/networks/create"),
        ("DELETE", f"/networks/{NETWORK}"),
        ("GET", "/networks"),
        ("GET", "/networks/bridge"),
        ("POST", "/swarm/init"),
        ("GET", "/secrets"),
        ("POST", "/plugins/pull"),
        ("GET", f"/containers/{_OTHERS}/json"),
        ("GET", f"/containers/{_OTHERS}/logs?stdout=1"),
        ("POST", f"/containers/{_OTHERS}/stop"),
        ("DELETE", f"/containers/{_OTHERS}?force=1"),
        ("POST", "/containers/nowhere/start"),
        ("GET", f"//containers/{_OURS}/json"),
        ("GET", f"http://engine/containers/{_OURS}/json"),
        ("GET", f"/%63ontainers/{_OURS}/json"),
        ("GET", f"/containers/../containers/{_OURS}/json"),
        ("GET", f"/v1.41/v1.41/containers/{_OURS}/json"),
        ("GET", f"/v2.0/containers/{_OURS}/json"),
        ("get", "/version"),
        ("TRACE", "/version"),
    ],
)
def test_everything_else_is_refused(method: str, target: str) -> None:
    with pytest.raises(RefusedError):
        _ask(method, target)


def test_a_body_where_none_belongs_is_refused() -> None:
    with pytest.raises(RefusedError, match="takes no body"):
        _ask("POST", f"/containers/{_OURS}/start", {"Binds": ["/:/host"]})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"HostConfig": {}, "HostConfig": {}}',
        b'{"HostConfig": {}, "hostConfig": {}}',
        b'{"HostConfig": {"Privileged": false, "privileged": true}}',
    ],
)
def test_a_body_that_two_readers_could_read_differently_is_refused(text: bytes) -> None:
    with pytest.raises(RefusedError, match="body"):
        asyncio.run(
            allowed(Request("POST", "/containers/create", text, "application/json"), Role.LAUNCH, POLICY, _inspect)
        )


def test_a_container_that_is_not_described_in_json_is_refused() -> None:
    request = Request("POST", "/containers/create", json.dumps(container()).encode(), "text/plain")
    with pytest.raises(RefusedError, match="JSON"):
        asyncio.run(allowed(request, Role.LAUNCH, POLICY, _inspect))


@pytest.mark.parametrize(
    ("network", "body"),
    [
        ("bridge", {"Container": _OURS}),
        (NETWORK, {"Container": _OTHERS}),
        (NETWORK, {"Container": ""}),
        (NETWORK, {"Container": f"x/../{_OURS}"}),
        (NETWORK, {}),
        (NETWORK, {"Container": _OURS, "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.0.0.2"}}}),
    ],
)
def test_no_other_network_container_or_address_can_be_chosen(network: str, body: object) -> None:
    with pytest.raises(RefusedError):
        _ask("POST", f"/networks/{network}/connect", body)


@pytest.mark.parametrize(
    "filters", [None, {}, {"label": ["x=1"]}, {"label": {"dagster/run_id": True}}, {"status": ["exited"]}]
)
def test_a_listing_shows_run_containers_of_the_deployment_alone(filters: dict[str, Any] | None) -> None:
    query = "" if filters is None else "&filters=" + json.dumps(filters).replace(" ", "").replace('"', "%22")
    narrowed = _ask("GET", f"/containers/json?all=1{query}").target
    labels = json.loads(parse_qs(urlsplit(narrowed).query)["filters"][0])["label"]
    assert {"dagster/run_id", "mlops_assets/deployment=test"} <= set(labels)
