"""Who may talk to whom: scans from a neighbour on each network find what the documents' table allows, no more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from mlops_assets_tests.deploy.stack import PROJECT, in_container
from mlops_assets_tests.docker_engine import ROOT

if TYPE_CHECKING:
    from mlops_assets_tests.deploy.stack import Stack

pytestmark = [pytest.mark.docker]

OPEN: Final[dict[str, dict[str, list[int]]]] = {
    "storage": {"postgres": [5432]},
    "storage-web": {"postgres": [5432]},
    "runs": {"postgres": [5432]},
    "egress": {"egress": [8888]},
    "front": {"proxy": [8443, 8444], "service-edge": [8445]},
    "outside": {"egress": [8888]},
}
"""For each network its servers and their ports."""

MEMBERS: Final[dict[str, set[str]]] = {
    "storage": {"postgres", "code-plumbing", "code-wrangling", "code-modeling", "daemon", "reaper"},
    "storage-web": {"postgres", "web"},
    "runs": {"postgres"},
    "egress": {"egress"},
    "front": {"proxy", "service-edge"},
    "outside": {"egress"},
}
"""For each network the services on it; run containers join ``runs``, those of plumbing ``egress`` as well."""

_SCAN: Final = """
import json, socket, sys
found = {}
for name, address in json.loads(sys.argv[1]).items():
    found[name] = []
    for port in range(1, 65536):
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((address, port)) == 0:
                found[name].append(port)
print(json.dumps(found))
"""

_REACH: Final = """
import json, socket, sys
found = []
for address, port in json.loads(sys.argv[1]):
    with socket.socket() as probe:
        probe.settimeout(0.7)
        if probe.connect_ex((address, port)) == 0:
            found.append([address, port])
print(json.dumps(found))
"""

_CONNECT: Final = """
import socket, sys
answers = []
for target in sys.argv[1:]:
    with socket.create_connection(("egress", 8888), timeout=60) as connection:
        connection.sendall(f"CONNECT {target} HTTP/1.1\\r\\nHost: {target}\\r\\n\\r\\n".encode())
        answers.append(connection.recv(4096).split()[1].decode())
print(*answers)
"""


@pytest.mark.parametrize("network", OPEN)
def test_a_scan_of_every_port_finds_only_the_networks_server(stack: Stack, network: str) -> None:
    addresses = {name: stack.address(name, network) for name in stack.members(network)}
    found = json.loads(in_container(_SCAN, network=f"{PROJECT}_{network}", arguments=[json.dumps(addresses)]))
    assert found == {name: OPEN[network].get(name, []) for name in addresses}


def test_each_network_has_the_members_of_the_table(stack: Stack) -> None:
    assert {network: stack.members(network) for network in MEMBERS} == MEMBERS
    assert stack.members("runs") | {"docker-proxy", "service"} <= set(stack.running)


@pytest.mark.parametrize("network", [name for name in OPEN if name not in {"front", "outside"}])
def test_no_server_of_another_network_and_no_address_outside_is_reached(stack: Stack, network: str) -> None:
    here = {stack.address(name, network) for name in stack.members(network)}
    others = [
        (stack.address(name, other), port)
        for other, servers in OPEN.items()
        for name, ports in servers.items()
        for port in ports
    ]
    targets = [pair for pair in others if pair[0] not in here] + [("1.1.1.1", 443), ("8.8.8.8", 53)]
    assert json.loads(in_container(_REACH, network=f"{PROJECT}_{network}", arguments=[json.dumps(targets)])) == []


def test_the_way_out_leads_to_declared_hosts_and_encrypted_ports_only(stack: Stack) -> None:  # noqa: ARG001  it runs
    refused = ["example.org:443", "api.census.gov.example.org:443", "xapi.census.gov:443", "169.254.169.254:443"]
    answers = in_container(_CONNECT, network=f"{PROJECT}_egress", arguments=[*refused, "api.census.gov:22"]).split()
    assert answers == ["403"] * 5
    # Declared: the proxy tries; whether anything answers depends on the machine.
    assert in_container(_CONNECT, network=f"{PROJECT}_egress", arguments=["api.census.gov:443"]).strip() != "403"


def test_the_document_has_the_same_table() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|\n ").split("|")]
        for line in (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `mlops-assets_")
    ]
    assert {row[0].strip("`").removeprefix("mlops-assets_"): row[1] for row in rows} == {
        network: ", ".join(f"{name} {'/'.join(map(str, ports))}" for name, ports in servers.items())
        for network, servers in OPEN.items()
    }
