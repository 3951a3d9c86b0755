"""A policy and a container that it allows; every test changes one thing.

Put here what the tests of the proxy share. Keep out assertions.
"""

from __future__ import annotations

import copy
import uuid
from typing import Any

from mlops_assets.deployment.docker_proxy.policy import Policy, Profile

IMAGE = "mlops-assets:1.0"
NETWORK = "mlops-runs"
POLICY = Policy(
    images=frozenset({IMAGE}),
    profiles={
        "here": Profile(
            networks=frozenset({NETWORK}),
            binds=frozenset({"lake:/var/lib/mlops-assets:rw", "/etc/deployment/pseudonym:/run/secrets/pseudonym:ro"}),
            environment=frozenset({"MLOPS_ASSETS_HOME"}),
        ),
        "there": Profile(
            networks=frozenset({NETWORK, "mlops-egress"}),
            binds=frozenset({"landing:/var/lib/landing:ro"}),
            environment=frozenset({"HTTPS_PROXY"}),
        ),
    },
    memory=2**31,
    nano_cpus=2 * 10**9,
    pids=256,
    label=("mlops_assets/deployment", "test"),
)
RUN_ID = str(uuid.UUID(int=7))
LABELS = {"dagster/run_id": RUN_ID, "dagster/job_name": "job", "mlops_assets/deployment": "test"}

_CONTAINER: dict[str, Any] = {
    "Image": IMAGE,
    "User": "10001:10001",
    "Cmd": ["dagster", "api", "execute_run", "{}"],
    "Env": ["MLOPS_ASSETS_HOME=/var/lib/mlops-assets", "DAGSTER_RUN_JOB_NAME=job"],
    "Labels": LABELS,
    "Tty": False,
    "HostConfig": {
        "NetworkMode": NETWORK,
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "Memory": 2**30,
        "MemorySwap": 2**30,
        "NanoCpus": 10**9,
        "PidsLimit": 128,
        "Binds": ["lake:/var/lib/mlops-assets:rw"],
        "Tmpfs": {"/tmp": "rw,nosuid,nodev,noexec,size=64m,mode=1777"},  # noqa: S108  the container's own
        "Init": True,
    },
    "NetworkingConfig": {"EndpointsConfig": {NETWORK: None}},
}


def container(path: str = "", value: object = None) -> dict[str, Any]:
    """The allowed container, with the field at a dotted path set to a value, or taken away if it is ``...``."""
    changed = copy.deepcopy(_CONTAINER)
    if path:
        *places, name = path.split(".")
        inner = changed
        for place in places:
            inner = inner[place]
        if value is ...:
            del inner[name]
        else:
            inner[name] = value
    return changed
