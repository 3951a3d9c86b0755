"""Which containers the policy lets be made: the hardened one, and nothing that differs from it for the worse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.deployment.docker_proxy.policy import Policy, PolicyError, RefusedError
from mlops_assets_tests.deployment.docker_proxy.good import LABELS, POLICY, container

if TYPE_CHECKING:
    from pathlib import Path


def test_the_hardened_run_container_passes_field_by_field() -> None:
    passed = POLICY.judged(container())
    wanted = container()
    assert {**passed["HostConfig"], "LogConfig": None} == {**wanted["HostConfig"], "LogConfig": None}
    assert passed["HostConfig"]["LogConfig"]["Config"]["max-size"] == "10m"
    assert {name: passed[name] for name in ("Image", "User", "Cmd", "Env", "Labels")} == {
        name: wanted[name] for name in ("Image", "User", "Cmd", "Env", "Labels")
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("HostConfig.Binds", ["landing:/var/lib/landing:ro"]),
        ("HostConfig.Binds", ["lake:/var/lib/mlops-assets:rw", "landing:/var/lib/landing:ro"]),
        ("HostConfig.NetworkMode", "mlops-egress"),
        ("NetworkingConfig", {"EndpointsConfig": {"mlops-egress": None}}),
        ("Env", ["MLOPS_ASSETS_HOME=/h", "HTTPS_PROXY=http://egress:8888"]),
    ],
)
def test_a_run_cannot_take_something_from_each_of_two_profiles(path: str, value: object) -> None:
    with pytest.raises(RefusedError, match="not allowed together by any one of here, there"):
        POLICY.judged(container(path, value))


def test_a_run_of_another_profile_passes_with_what_that_one_has() -> None:
    other = container("HostConfig.Binds", ["landing:/var/lib/landing:ro"])
    other["Env"] = ["HTTPS_PROXY=http://egress:8888"]
    other["HostConfig"]["NetworkMode"] = "mlops-egress"
    assert POLICY.judged(other)["HostConfig"]["NetworkMode"] == "mlops-egress"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("HostConfig.MaskedPaths", []),
        ("HostConfig.ReadonlyPaths", []),
        ("HostConfig.CpuQuota", -1),
        ("Volumes", {"/var/lib/mlops-assets": {}}),
        ("Ho\u017ftConfig", None),
        ("HostConfig.ReadonlyRootf\u017f", False),
        ("HostConfig.\u212aernelMemory", 0),
    ],
)
def test_what_asks_for_nothing_but_could_mean_something_does_not_reach_the_engine(path: str, value: object) -> None:
    passed = json.dumps(POLICY.judged(container(path, value)), ensure_ascii=False)
    assert passed.isascii()
    assert json.loads(passed)["HostConfig"]["ReadonlyRootfs"] is True
    assert path.rpartition(".")[2] not in passed


@pytest.mark.parametrize(
    "value", [None, {}, {"mlops-runs": None}, {"EndpointsConfig": {"mlops-runs": {"Links": None}}}]
)
def test_a_network_that_is_allowed_may_be_named_in_any_of_the_clients_ways(value: object) -> None:
    POLICY.judged(container("NetworkingConfig", value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("NetworkingConfig", {"endpointsConfig": {"storage": {}}}),
        ("Image", "debian:12"),
        ("Image", "mlops-assets:1.0@sha256:" + "0" * 64),
        ("Image", ...),
        ("User", "0:0"),
        ("User", "root"),
        ("User", ...),
        ("Cmd", ["sh", "-c", "id"]),
        ("Cmd", "dagster api execute_run"),
        ("Cmd", ["dagster", "api"]),
        ("Cmd", ...),
        ("Entrypoint", ["sh"]),
        ("Env", ["LD_PRELOAD=/tmp/x.so"]),
        ("Env", ["MLOPS_ASSETS_HOMELESS=1"]),
        ("Env", {"MLOPS_ASSETS_HOME": "x"}),
        ("Labels", {}),
        ("Labels", {**LABELS, "mlops_assets/deployment": "other"}),
        ("Labels", {**LABELS, "dagster/run_id": "x"}),
        ("Volumes", {"/data": {}}),
        ("ExposedPorts", {"80/tcp": {}}),
        ("Healthcheck", {"Test": ["CMD", "true"]}),
        ("StopSignal", "SIGKILL"),
        ("HostConfig", ...),
        ("HostConfig", None),
        ("HostConfig.Privileged", True),
        ("HostConfig.Privileged", 1),
        ("HostConfig.ReadonlyRootfs", False),
        ("HostConfig.ReadonlyRootfs", 1),
        ("HostConfig.ReadonlyRootfs", ...),
        ("HostConfig.CapDrop", ["NET_RAW"]),
        ("HostConfig.CapDrop", ...),
        ("HostConfig.CapAdd", ["SYS_ADMIN"]),
        ("HostConfig.SecurityOpt", ["no-new-privileges:true", "seccomp=unconfined"]),
        ("HostConfig.SecurityOpt", ["no-new-privileges:false"]),
        ("HostConfig.SecurityOpt", ["apparmor=unconfined"]),
        ("HostConfig.SecurityOpt", ...),
        ("HostConfig.NetworkMode", "host"),
        ("HostConfig.NetworkMode", "default"),
        ("HostConfig.NetworkMode", "bridge"),
        ("HostConfig.NetworkMode", "container:postgres"),
        ("HostConfig.NetworkMode", ...),
        ("NetworkingConfig", {"EndpointsConfig": {"storage": None}}),
        ("NetworkingConfig", {"EndpointsConfig": {"mlops-runs": {"IPAMConfig": {"IPv4Address": "10.0.0.2"}}}}),
        ("NetworkingConfig", {"EndpointsConfig": {"mlops-runs": {"Links": ["postgres"]}}}),
        ("HostConfig.PidMode", "host"),
        ("HostConfig.IpcMode", "host"),
        ("HostConfig.UTSMode", "host"),
        ("HostConfig.UsernsMode", "host"),
        ("HostConfig.CgroupnsMode", "host"),
        ("HostConfig.CgroupParent", "/system.slice"),
        ("HostConfig.Runtime", "nvidia"),
        ("HostConfig.Devices", [{"PathOnHost": "/dev/sda"}]),
        ("HostConfig.DeviceRequests", [{"Count": -1}]),
        ("HostConfig.DeviceCgroupRules", ["a *:* rwm"]),
        ("HostConfig.Sysctls", {"net.ipv4.ip_forward": "1"}),
        ("HostConfig.GroupAdd", ["docker"]),
        ("HostConfig.VolumesFrom", ["postgres"]),
        ("HostConfig.Links", ["postgres"]),
        ("HostConfig.ExtraHosts", ["postgres:10.0.0.2"]),
        ("HostConfig.Dns", ["10.0.0.2"]),
        ("HostConfig.PortBindings", {"80/tcp": [{"HostPort": "80"}]}),
        ("HostConfig.PublishAllPorts", True),
        ("HostConfig.AutoRemove", True),
        ("HostConfig.RestartPolicy", {"Name": "always"}),
        ("HostConfig.RestartPolicy", {"name": "always"}),
        ("HostConfig.LogConfig", {"type": "syslog", "config": {"syslog-address": "tcp://10.0.0.2"}}),
        ("HostConfig.OomKillDisable", True),
        ("HostConfig.MaskedPaths", ["/proc/kcore"]),
        ("HostConfig.Memory", 0),
        ("HostConfig.Memory", 2**31 + 1),
        ("HostConfig.Memory", ...),
        ("HostConfig.MemorySwap", -1),
        ("HostConfig.MemorySwap", 2**31),
        ("Hostname", "postgres"),
        ("Labels", {**LABELS, "com.docker.compose.project": "mlops-assets"}),
        ("HostConfig.MemorySwap", ...),
        ("HostConfig.NanoCpus", 3 * 10**9),
        ("HostConfig.NanoCpus", ...),
        ("HostConfig.PidsLimit", -1),
        ("HostConfig.PidsLimit", True),
        ("HostConfig.PidsLimit", ...),
        ("HostConfig.Binds", ["/:/host:rw"]),
        ("HostConfig.Binds", ["/var/run/docker.sock:/var/run/docker.sock"]),
        ("HostConfig.Binds", ["lake:/var/lib/mlops-assets"]),
        ("HostConfig.Binds", ["/etc/deployment/pseudonym:/run/secrets/pseudonym:rw"]),
        ("HostConfig.Binds", ["/etc/deployment/../shadow:/run/secrets/pseudonym:ro"]),
        ("HostConfig.Mounts", [{"Type": "bind", "Source": "/", "Target": "/host"}]),
        ("HostConfig.Tmpfs", {"/usr": "rw,nosuid,nodev"}),
        ("HostConfig.Tmpfs", {"/tmp": "rw,exec"}),  # noqa: S108  the container's own
        ("HostConfig.Tmpfs", {"/tmp": "nosuid,nodev,exec"}),  # noqa: S108  likewise
        ("HostConfig.LogConfig", {"Type": "syslog", "Config": {"syslog-address": "tcp://10.0.0.2"}}),
        ("hostConfig", {"Privileged": True}),
        ("HostConfig.privileged", True),
        ("HostConfig.AFieldOfTheFuture", "on"),
    ],
)
def test_one_change_for_the_worse_is_refused_and_named(path: str, value: object) -> None:
    name = path.rpartition(".")[2]
    with pytest.raises(RefusedError, match=name):
        POLICY.judged(container(path, value))


@given(
    st.sampled_from(["", "HostConfig."]),
    st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=12),
    st.one_of(st.just(value=True), st.integers(min_value=1), st.text(min_size=1), st.lists(st.text(), min_size=1)),
)
def test_no_unknown_field_that_asks_for_anything_passes(place: str, name: str, value: object) -> None:
    wanted = container()
    known = wanted if not place else wanted["HostConfig"]
    if name in {*known, "Entrypoint", "StdinOnce"}:
        return
    with pytest.raises(RefusedError):
        POLICY.judged(container(place + name, value))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"images": []}', '{"unknown": 1}'])
def test_a_file_that_is_no_policy_is_refused_by_its_fields(tmp_path: Path, content: str) -> None:
    file = tmp_path / "policy.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(PolicyError, match="it is no policy"):
        Policy.read(file)


def test_a_missing_policy_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"nowhere\.json: it cannot be read"):
        Policy.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize("user", ["0:0", "0:10001", "10001:0", "root"])
def test_a_policy_cannot_allow_root(tmp_path: Path, user: str) -> None:
    fields: dict[str, Any] = {**json.loads(POLICY.model_dump_json()), "user": user}
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(PolicyError, match="user"):
        Policy.read(file)


def test_only_run_containers_of_the_same_deployment_are_ours() -> None:
    assert POLICY.is_ours({"Config": {"Labels": LABELS}})
    assert not POLICY.is_ours({"Config": {"Labels": {**LABELS, "mlops_assets/deployment": "other"}}})
    assert not POLICY.is_ours({"Config": {"Labels": {"mlops_assets/deployment": "test"}}})
    assert not POLICY.is_ours({"Config": {"Labels": None}})
    assert not POLICY.is_ours({})
