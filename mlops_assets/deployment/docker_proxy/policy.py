"""The policy: which run containers may be made, and who may ask for what, as data that an operator can read.

Put here what the policy file holds and how a container to be made is judged. Keep out the HTTP interface around it.

A container is judged by an allow-list: a field of the request that is not known here, and that asks for anything at
all, is refused, so that a newer engine's new field cannot open what older ones closed. What passes is written anew from
the fields that were judged: the engine takes names in any case, and a few letters beyond ASCII for those within, so
that a second spelling of a name could undo the first.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops_assets.deployment.containers import RUN_LABEL
from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

_JOB_LABEL: Final = "dagster/job_name"
_LOGS: Final = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
"""Where a run's output goes, whatever the engine does by default: readable at the end, and bounded."""

_RUN_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@-]*")
_FILLED: Final = r"^[^$]+$"
_NO_NEW_PRIVILEGES: Final = ({"no-new-privileges"}, {"no-new-privileges:true"}, {"no-new-privileges=true"})
_TMPFS_OPTION: Final = re.compile(r"rw|ro|nosuid|nodev|noexec|size=\d+[kmg]?|mode=1?7[0-7]{2}")


class PolicyError(PlatformError):
    """The policy file cannot be used."""


class RefusedError(Exception):
    """A request that the policy does not allow; its text says what and is safe to show."""


class Role(StrEnum):
    """What a client of the proxy is there for; each role has a socket of its own."""

    LAUNCH = "launch"
    """Makes and starts run containers, and looks after them: the daemon."""
    END = "end"
    """Stops run containers on request: the web server."""
    REAP = "reap"
    """Stops and removes run containers, and reads how they ended: the reaper."""


class Profile(BaseModel):
    """What the runs of one code location may reach; a run has all of it from one profile.

    Attributes:
        networks: names of the networks that they may join.
        binds: volumes and secret files that they may mount, exactly as ``SOURCE:TARGET:MODE``.
        environment: names of the variables that they may get.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    networks: frozenset[str] = frozenset()
    binds: frozenset[str] = frozenset()
    environment: frozenset[str] = frozenset()


class Policy(BaseModel):
    """What may be made, and where it may reach.

    Attributes:
        images: references of the images that run containers may use, exactly as the code locations name them.
        profiles: what may be reached together, by the name of a code location.
        user: user and group that run containers must run as.
        commands: first words of the commands that they may run.
        memory: most bytes of memory.
        nano_cpus: most processors, in billionths.
        pids: most processes.
        label: a label and its value that every run container must have: the deployment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: frozenset[Annotated[str, Field(pattern=_FILLED)]] = Field(min_length=1)
    profiles: dict[str, Profile] = Field(min_length=1)
    user: str = Field(default="10001:10001", pattern=r"^[1-9]\d*:[1-9]\d*$")
    commands: tuple[tuple[str, ...], ...] = (("dagster", "api", "execute_run"),)
    memory: int = Field(gt=0)
    nano_cpus: int = Field(gt=0)
    pids: int = Field(gt=0)
    label: tuple[str, Annotated[str, Field(pattern=_FILLED)]]

    @classmethod
    def read(cls, file: Path, *, deployment: str = "", image: str = "") -> Policy:
        """The policy in a JSON file.

        Args:
            file: the file.
            deployment: what stands in it for ``${DEPLOYMENT}``: the name that volumes and networks begin with.
            image: what stands in it for ``${IMAGE}``: the one that runs are made of.

        Raises:
            PolicyError: the file is missing, or is no policy, as one is not that names what is not given.
        """
        try:
            text = file.read_bytes()
            for name, value in (("DEPLOYMENT", deployment), ("IMAGE", image)):
                if _PART.fullmatch(value):
                    text = text.replace(f"${{{name}}}".encode(), value.encode())
            return cls.model_validate_json(text)
        except OSError as error:
            raise PolicyError(
                source=f"Policy file {file}",
                culprit=f"it cannot be read ({error.strerror}).",
                remedy="Name the policy with --policy; docs/deployment.md shows one.",
            ) from error
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'the text'}: {p['msg']}" for p in error.errors())
            raise PolicyError(
                source=f"Policy file {file}", culprit=f"it is no policy ({problems}).", remedy="Correct these fields."
            ) from None

    @cached_property
    def networks(self) -> frozenset[str]:
        """The networks of all profiles."""
        return frozenset().union(*(profile.networks for profile in self.profiles.values()))

    @cached_property
    def binds(self) -> frozenset[str]:
        """The mounts of all profiles."""
        return frozenset().union(*(profile.binds for profile in self.profiles.values()))

    @cached_property
    def environment(self) -> frozenset[str]:
        """The variables of all profiles."""
        return frozenset().union(*(profile.environment for profile in self.profiles.values()))

    def judged(self, container: Mapping[str, Any]) -> dict[str, Any]:
        """Let a container to be made pass, or refuse it.

        Args:
            container: the JSON body of the engine's ``POST /containers/create``.

        Returns:
            The body to send: the fields that were judged, and no others.

        Raises:
            RefusedError: anything in it is not allowed.
        """
        passed = _judged(container, _CONTAINER, self, "")
        # Mount points that the binds name already.
        passed.pop("Volumes", None)
        host = passed["HostConfig"] = _judged(container["HostConfig"], _HOST, self, "HostConfig.")
        if host["MemorySwap"] != host["Memory"]:
            raise RefusedError("HostConfig.MemorySwap has to equal Memory: no swap.")
        host["LogConfig"] = _LOGS
        networks = container.get("NetworkingConfig")
        ends = networks.get("EndpointsConfig") if isinstance(networks, dict) else None
        passed["NetworkingConfig"] = {"EndpointsConfig": dict.fromkeys(ends or {})}
        self.demand_one_profile(passed, networks=ends or ())
        return passed

    def demand_one_profile(self, container: Mapping[str, Any], *, networks: Collection[str]) -> None:
        """Refuse a container that takes some of what it reaches from one profile and some from another.

        Args:
            container: a container as it is to be made, its fields allowed one by one; or with the same fields under
                the same names, as it exists.
            networks: names of the networks that it is to join beside its first.

        Raises:
            RefusedError: no profile has it all.
        """
        host = container["HostConfig"]
        binds = set(host.get("Binds") or ())
        joined = {*networks, host["NetworkMode"]} - {"none"}
        names = {entry.partition("=")[0] for entry in container.get("Env") or ()} & self.environment
        for profile in self.profiles.values():
            if binds <= profile.binds and joined <= profile.networks and names <= profile.environment:
                return
        known = ", ".join(sorted(self.profiles))
        raise RefusedError(f"HostConfig.Binds, networks and Env are not allowed together by any one of {known}.")

    def is_ours(self, inspected: Mapping[str, Any]) -> bool:
        """Whether an existing container is a run container of this deployment.

        Args:
            inspected: the JSON body of the engine's ``GET /containers/{id}/json``.
        """
        config = inspected.get("Config") or {}
        labels = config.get("Labels") or {}
        name, value = self.label
        return bool(_RUN_ID.fullmatch(labels.get(RUN_LABEL, ""))) and labels.get(name) == value


_Rule = tuple[bool, "Callable[[Policy, Any], bool]"]
"""Whether the field must be there, and whether a value of it is allowed."""


def _judged(fields: Mapping[str, Any], rules: Mapping[str, _Rule], policy: Policy, where: str) -> dict[str, Any]:
    for name, (_, allows) in rules.items():
        if (name in fields or rules[name][0]) and not allows(policy, fields.get(name)):
            raise RefusedError(f"{where}{name} is not allowed to be {_shown(fields.get(name))}.")
    for name in fields.keys() - rules.keys():
        if not _asks_nothing(fields[name]):
            raise RefusedError(f"{where}{name!r:.80} is not allowed to be set.")
    return {name: fields[name] for name in rules if name in fields}


def _asks_nothing(value: object) -> bool:
    """Whether a field is as good as absent."""
    # Docker's clients send -1 for "as the engine does by default" in a few fields of old.
    return value is None or value is False or value in (0, -1, "", [], {})


def _shown(value: object) -> str:
    return "absent" if value is None else repr(value)[:80]


def _absent(_: Policy, value: object) -> bool:
    return _asks_nothing(value)


def _anything(_: Policy, value: object) -> bool:
    return value is None or isinstance(value, bool | str)


def _whole(value: object, most: int) -> bool:
    return type(value) is int and 0 < value <= most


def _command(policy: Policy, value: object) -> bool:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return False
    return any(tuple(value[: len(allowed)]) == allowed for allowed in policy.commands)


def _environment(policy: Policy, value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and all(
        isinstance(entry, str) and entry.partition("=")[0] in policy.environment | {"DAGSTER_RUN_JOB_NAME"}
        for entry in value
    )


def _labels(policy: Policy, value: object) -> bool:
    if not isinstance(value, dict) or not all(isinstance(entry, str) for entry in value.values()):
        return False
    name, wanted = policy.label
    # Others could make another program take the container for its own.
    known = value.keys() <= {RUN_LABEL, _JOB_LABEL, name}
    return known and bool(_RUN_ID.fullmatch(value.get(RUN_LABEL, ""))) and value.get(name) == wanted


def _binds(policy: Policy, value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and all(isinstance(bind, str) and bind in policy.binds for bind in value)


def _volumes(policy: Policy, value: object) -> bool:
    """Mount points are listed a second time here; one without a bind would be a fresh volume on the machine's disk."""
    targets = {bind.split(":")[1] for bind in policy.binds}
    return value is None or (
        isinstance(value, dict) and all(path in targets and _asks_nothing(rest) for path, rest in value.items())
    )


def _tmpfs(_: Policy, value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, dict) and all(
        path == "/tmp"  # noqa: S108  the one place a run may write beside its volumes
        and isinstance(options, str)
        and {"nosuid", "nodev"} <= set(options.split(","))
        and all(_TMPFS_OPTION.fullmatch(option) for option in options.split(","))
        for path, options in value.items()
    )


def _networks(policy: Policy, value: object) -> bool:
    if _asks_nothing(value):
        return True
    if not isinstance(value, dict):
        return False
    # Docker's client in Python puts the network's name here as well, with nothing under it; the engine ignores it.
    ends = value.get("EndpointsConfig") or {}
    return (
        all(_asks_nothing(settings) for name, settings in value.items() if name != "EndpointsConfig")
        and isinstance(ends, dict)
        and all(
            name in policy.networks
            and (settings is None or (isinstance(settings, dict) and all(map(_asks_nothing, settings.values()))))
            for name, settings in ends.items()
        )
    )


_CONTAINER: Final[Mapping[str, _Rule]] = {
    "Image": (True, lambda policy, value: isinstance(value, str) and value in policy.images),
    "User": (True, lambda policy, value: value == policy.user),
    "Cmd": (True, _command),
    "Env": (False, _environment),
    "Volumes": (False, _volumes),
    "Labels": (True, _labels),
    "HostConfig": (True, lambda _, value: isinstance(value, dict)),
    "NetworkingConfig": (False, _networks),
    "Entrypoint": (False, _absent),
    "AttachStdin": (False, _anything),
    "AttachStdout": (False, _anything),
    "AttachStderr": (False, _anything),
    "StdinOnce": (False, _anything),
    "Hostname": (False, _absent),
    "NetworkDisabled": (False, _anything),
}
_HOST: Final[Mapping[str, _Rule]] = {
    "NetworkMode": (
        True,
        lambda policy, value: value == "none" or (isinstance(value, str) and value in policy.networks),
    ),
    "ReadonlyRootfs": (True, lambda _, value: value is True),
    "CapDrop": (True, lambda _, value: value == ["ALL"]),
    "CapAdd": (False, _absent),
    "Privileged": (False, _absent),
    "SecurityOpt": (True, lambda _, value: isinstance(value, list) and set(map(str, value)) in _NO_NEW_PRIVILEGES),
    "Memory": (True, lambda policy, value: _whole(value, policy.memory)),
    "MemorySwap": (True, lambda policy, value: _whole(value, policy.memory)),
    "NanoCpus": (True, lambda policy, value: _whole(value, policy.nano_cpus)),
    "PidsLimit": (True, lambda policy, value: _whole(value, policy.pids)),
    "Binds": (False, _binds),
    "Tmpfs": (False, _tmpfs),
    "Init": (False, _anything),
}
