"""The running containers: section 5 of the CIS Docker Benchmark; what differs is explained in docs/deployment.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from mlops_assets_tests.deploy.stack import PROJECT, TAG, docker

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.deploy.stack import Stack

pytestmark = [pytest.mark.docker]

_ENGINE_SOCKET: Final = "/var/run/docker.sock"
_SECRETS: Final = f"{PROJECT}_secrets-"


def host(entry: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = entry["HostConfig"]
    return config


CHECKS: Final[dict[str, Callable[[dict[str, Any]], bool]]] = {
    "5.2 a profile for system calls": lambda e: set(host(e)["SecurityOpt"]) == {"no-new-privileges:true"},
    "5.4 no capability": lambda e: host(e)["CapDrop"] == ["ALL"] and not host(e)["CapAdd"],
    "5.5 not privileged": lambda e: not host(e)["Privileged"],
    "5.8 no privileged port": lambda e: all(int(p.split("/")[0]) >= 1024 for p in host(e)["PortBindings"] or {}),
    "5.10 not the host's network": lambda e: host(e)["NetworkMode"] != "host",
    "5.11 limited memory": lambda e: 0 < host(e)["Memory"] == host(e)["MemorySwap"],
    "5.12 limited processors": lambda e: host(e)["NanoCpus"] > 0,
    "5.13 read-only root": lambda e: host(e)["ReadonlyRootfs"],
    "5.14 ports at one address": lambda e: all(
        binding["HostIp"] == "127.0.0.1" for bound in (host(e)["PortBindings"] or {}).values() for binding in bound
    ),
    "5.16 not the host's processes": lambda e: host(e)["PidMode"] != "host",
    "5.17 not the host's shared memory": lambda e: host(e)["IpcMode"] not in {"host", "shareable"},
    "5.18 no device": lambda e: not host(e)["Devices"],
    "5.20 mounts are not shared on": lambda e: all(m.get("Propagation", "") in {"", "rprivate"} for m in e["Mounts"]),
    "5.21 not the host's name": lambda e: host(e)["UTSMode"] != "host",
    "5.25 no control group of another": lambda e: not host(e)["CgroupParent"],
    "5.26 no new privileges": lambda e: "no-new-privileges:true" in host(e)["SecurityOpt"],
    "5.29 limited processes": lambda e: 0 < host(e)["PidsLimit"] <= 1024,
    "5.30 not the default network": lambda e: "bridge" not in e["NetworkSettings"]["Networks"],
    "5.31 not the host's users": lambda e: host(e)["UsernsMode"] != "host",
    "an unprivileged user": lambda e: e["Config"]["User"] == "10001:10001",
    "a process that reaps": lambda e: host(e)["Init"] is True,
    "a log that ends": lambda e: host(e)["LogConfig"]["Config"].get("max-size") is not None,
}


@pytest.mark.parametrize("check", CHECKS)
def test_every_container_passes(stack: Stack, check: str) -> None:
    assert {name for name, entry in stack.containers.items() if not CHECKS[check](entry)} == set()


def test_5_27_every_container_is_checked_for_health(stack: Stack) -> None:
    assert {name for name, entry in stack.running.items() if "Health" not in entry["State"]} == set()


def test_5_6_no_container_runs_a_shell_server(stack: Stack) -> None:
    for entry in stack.running.values():
        assert "ssh" not in docker("top", entry["Id"], "-o", "pid,comm").lower()


def test_5_32_only_the_policy_proxy_reaches_the_engine_and_it_is_on_no_network(stack: Stack) -> None:
    mounting = {
        name for name, entry in stack.containers.items() if _ENGINE_SOCKET in {m["Source"] for m in entry["Mounts"]}
    }
    assert mounting == {"docker-proxy"}
    assert set(stack.containers["docker-proxy"]["NetworkSettings"]["Networks"]) == {"none"}


def test_5_7_nothing_of_the_host_is_mounted_but_the_socket(stack: Stack) -> None:
    mounted = {
        (name, mount["Destination"])
        for name, entry in stack.containers.items()
        for mount in entry["Mounts"]
        if mount["Type"] == "bind"
    }
    assert mounted == {("docker-proxy", _ENGINE_SOCKET)}


def test_no_secret_is_in_an_environment_or_a_command(stack: Stack) -> None:
    volumes = [name for name in docker("volume", "ls", "--format", "{{.Name}}").split() if name.startswith(_SECRETS)]
    mounts = [word for name in volumes for word in ("--volume", f"{name}:/s/{name}:ro")]
    find = r"find /s -name '*password' -exec sh -c 'cat {}; echo' \;; cat /s/*/mlops_assets_pseudonym_key"
    secrets = set(
        docker("run", "--rm", "--network", "none", *mounts, f"mlops-assets-web:{TAG}", "sh", "-c", find).split()
    )
    assert len(secrets) == 4
    for entry in stack.containers.values():
        shown = str(entry["Config"]["Env"]) + str(entry["Config"]["Cmd"]) + str(entry["Args"])
        assert not {secret for secret in secrets if secret in shown}


def test_only_readers_of_a_secret_mount_it_and_none_can_change_it(stack: Stack) -> None:
    readers: dict[str, set[str]] = {}
    for name, entry in stack.running.items():
        for mount in entry["Mounts"]:
            if mount.get("Name", "").startswith(_SECRETS):
                readers.setdefault(mount["Name"].removeprefix(_SECRETS), set()).add(name)
                assert mount["RW"] is False, (name, mount["Name"])
    everybody = {"code-plumbing", "code-wrangling", "code-modeling", "daemon", "reaper", "web"}
    assert readers == {
        "postgres": {"postgres"},
        "proxy": {"proxy", "service-edge"},
        "service": {"service"},
        "storage": everybody,
        "plumbing": {"code-plumbing"},
        "wrangling": {"code-wrangling"},
        "modeling": {"code-modeling"},
        "reaper": {"reaper"},
    }
