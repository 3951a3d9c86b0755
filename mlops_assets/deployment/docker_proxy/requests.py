"""Requests to the engine: which methods and paths pass for whom, and what is asked first.

Put here the table of routes. Keep out the judging of containers (the policy) and bytes on sockets (the server).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from mlops_assets.deployment.containers import RUN_LABEL
from mlops_assets.deployment.docker_proxy.policy import RefusedError, Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mlops_assets.deployment.docker_proxy.policy import Policy

_VERSION: Final = re.compile(r"/v1\.\d{1,3}(?=/)")
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
_ID: Final = re.compile(r"[0-9a-f]{64}")
_MOST_STOP_SECONDS: Final = 120
_FILTERS: Final = frozenset({"label", "status", "id"})
_IMAGE: Final = r"[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,255}"


@dataclass(frozen=True)
class Request:
    """A request to the engine, read whole.

    Attributes:
        method: method, in capital letters.
        target: path and query.
        body: body; the engine's are small but for archives, which do not pass.
        content_type: value of the header; empty when absent.
    """

    method: str
    target: str
    body: bytes = b""
    content_type: str = ""


async def allowed(
    request: Request, role: Role, policy: Policy, inspect: Callable[[str], Awaitable[Mapping[str, Any]]]
) -> Request:
    """The request to send to the engine, as the policy lets it pass.

    Args:
        request: what a client asks.
        role: what the client is there for.
        policy: what may be asked.
        inspect: asks the engine for what is at a path, such as ``/networks/runs``.

    Returns:
        The request, containers and networks by the id that was judged, and a listing narrowed to run containers of the
        deployment.

    Raises:
        RefusedError: the request does not pass; the text is what the client is told.
    """
    try:
        parts = urlsplit(request.target)
    except ValueError:
        raise RefusedError("The path cannot be read.") from None
    # A second decoding further on could read another path than the one judged here.
    if parts.scheme or parts.netloc or parts.fragment or "%" in parts.path or unquote(parts.path) != parts.path:
        raise RefusedError("The path must be plain.")
    version = _VERSION.match(parts.path)
    prefix = version[0] if version else ""
    path = parts.path[len(prefix) :]
    for roles, method, pattern, parameters, check in _ROUTES:
        found = re.fullmatch(pattern, path)
        if method != request.method or found is None:
            continue
        if role not in roles:
            raise RefusedError(f"{method} {path[:80]} is not allowed to a client that is there to {role}.")
        try:
            query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            raise RefusedError(f"The parameters of {method} {path} cannot be read.") from None
        if unknown := {name for name, _ in query} - parameters or len({name for name, _ in query}) < len(query):
            raise RefusedError(f"The parameters of {method} {path} are not allowed ({unknown}).")
        if check not in _WITH_BODY and request.body.strip() not in {b"", b"{}", b"null"}:
            raise RefusedError(f"{method} {path} takes no body.")
        passed = await check(_Asked(request, role, found.groupdict(), dict(query), policy, inspect))
        if passed.id is not None:
            # A name could be another container's by now; an id that the engine gave is this one's for ever.
            start, end = found.span("name")
            path = path[:start] + passed.id + path[end:]
        target = f"{prefix}{path}" + (f"?{urlencode(passed.query)}" if passed.query else "")
        body = b"" if passed.body is None else json.dumps(passed.body).encode()
        return Request(request.method, target, body, request.content_type)
    raise RefusedError(f"{request.method} {path[:80]} is not allowed.")


@dataclass(frozen=True)
class _Asked:
    """A request whose route is known, and what judging it takes."""

    request: Request
    role: Role
    found: Mapping[str, str]
    query: dict[str, str]
    policy: Policy
    inspect: Callable[[str], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True)
class _Passed:
    """What is written to the engine: parameters, and a body made of what was judged."""

    query: dict[str, str]
    body: dict[str, Any] | None = None
    id: str | None = None


async def _pass(asked: _Asked) -> _Passed:
    return _Passed(asked.query)


async def _image(asked: _Asked) -> _Passed:
    if asked.found["image"] not in asked.policy.images:
        raise RefusedError(f"Image {asked.found['image'][:80]} is not allowed.")
    return _Passed(asked.query)


async def _list(asked: _Asked) -> _Passed:
    name, value = asked.policy.label
    filters = _json_object(asked.query.get("filters", "{}").encode(), "filters")
    if unknown := filters.keys() - _FILTERS:
        raise RefusedError(f"A listing cannot be filtered by {min(unknown)!r:.80}.")
    named = filters.get("label", [])
    # Docker's older form is a mapping of values to true.
    labels = list(named) if isinstance(named, list | dict) else []
    filters["label"] = sorted({*map(str, labels), RUN_LABEL, f"{name}={value}"})
    return _Passed({**asked.query, "filters": json.dumps(filters)})


async def _ours(asked: _Asked) -> _Passed:
    return _Passed(asked.query, id=(await _ours_named(asked, asked.found["name"]))["Id"])


async def _ours_named(asked: _Asked, name: object) -> Mapping[str, Any]:
    """What the engine says about a run container of the deployment."""
    if isinstance(name, str) and re.fullmatch(_NAME, name):
        inspected = await asked.inspect(f"/containers/{name}/json")
        if asked.policy.is_ours(inspected) and _ID.fullmatch(str(inspected.get("Id"))):
            return inspected
    raise RefusedError(f"{name!r:.80} is no run container of this deployment.")


async def _stop(asked: _Asked) -> _Passed:
    seconds = asked.query.get("t", "0")
    if not (seconds.isascii() and seconds.isdigit() and int(seconds) <= _MOST_STOP_SECONDS):
        raise RefusedError(f"A container is stopped within {_MOST_STOP_SECONDS} seconds.")
    container = await _ours_named(asked, asked.found["name"])
    run_id = container["Config"]["Labels"][RUN_LABEL]
    if asked.role is Role.END and container.get("Name") != f"/{_name(asked.policy, run_id)}":
        raise RefusedError(f"{asked.found['name'][:80]} was not made here for the run of its label.")
    return _Passed(asked.query, id=container["Id"])


async def _remove(asked: _Asked) -> _Passed:
    query = dict(asked.query)
    if query.pop("link", "0").lower() not in {"0", "false"}:
        raise RefusedError("A link cannot be removed.")
    return _Passed(query, id=(await _ours_named(asked, asked.found["name"]))["Id"])


async def _logs(asked: _Asked) -> _Passed:
    if asked.query.get("follow", "0").lower() not in {"0", "false"}:
        raise RefusedError("Logs are read once, not followed.")
    return await _ours(asked)


async def _create(asked: _Asked) -> _Passed:
    if asked.request.content_type.partition(";")[0].strip().lower() != "application/json":
        raise RefusedError("A container is described in JSON.")
    container = asked.policy.judged(_json_object(asked.request.body, "the body"))
    # The engine keeps names apart: a run that two daemons launch gets one container.
    return _Passed({"name": _name(asked.policy, container["Labels"][RUN_LABEL])}, container)


def _name(policy: Policy, run_id: str) -> str:
    return f"{policy.label[1]}-run-{run_id}"


async def _network(asked: _Asked) -> _Passed:
    return _Passed(asked.query, id=(await _network_named(asked))[0])


async def _network_named(asked: _Asked) -> tuple[str, str]:
    """Id and name of an allowed network."""
    # Docker's client asks by name first, and by the id that it got from then on.
    inspected = await asked.inspect(f"/networks/{asked.found['name']}")
    identity, name = str(inspected.get("Id")), inspected.get("Name")
    if name not in asked.policy.networks or not _ID.fullmatch(identity):
        raise RefusedError(f"Network {asked.found['name'][:80]} is not allowed.")
    return identity, str(name)


async def _connect(asked: _Asked) -> _Passed:
    network, name = await _network_named(asked)
    joining = _json_object(asked.request.body, "the body")
    if any(value for name, value in joining.items() if name != "Container"):
        raise RefusedError("A container may join a network, but not choose its address.")
    container = await _ours_named(asked, joining.get("Container"))
    joined = (container.get("NetworkSettings") or {}).get("Networks") or {}
    made = {"HostConfig": container["HostConfig"], "Env": container["Config"].get("Env")}
    asked.policy.demand_one_profile(made, networks={*joined, name} - {"none"})
    return _Passed(asked.query, {"Container": container["Id"]}, id=network)


def _json_object(text: bytes, what: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # The engine, written in another language, may take another one of two equal or nearly equal names.
        if len({name.lower() for name, _ in pairs}) < len(pairs):
            raise RefusedError(f"A name stands twice in {what}.")
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise RefusedError(f"JSON was expected in {what}.") from None
    if not isinstance(value, dict):
        raise RefusedError(f"A JSON object was expected in {what}.")
    return value


_WITH_BODY: Final = (_create, _connect)
_ALL: Final = frozenset(Role)
_LAUNCH: Final = frozenset({Role.LAUNCH})
_REAP: Final = frozenset({Role.REAP})
_LOGS: Final = frozenset({"stdout", "stderr", "timestamps", "tail", "since", "until", "follow"})
_CONTAINERS: Final = rf"/containers/(?P<name>{_NAME})"
_ROUTES: Final[tuple[tuple[frozenset[Role], str, str, frozenset[str], Any], ...]] = (
    (_ALL, "GET", "/_ping", frozenset(), _pass),
    (_ALL, "HEAD", "/_ping", frozenset(), _pass),
    (_ALL, "GET", "/version", frozenset(), _pass),
    (_ALL, "GET", rf"{_CONTAINERS}/json", frozenset({"size"}), _ours),
    (_ALL, "GET", rf"{_CONTAINERS}/logs", _LOGS, _logs),
    (_ALL, "POST", rf"{_CONTAINERS}/stop", frozenset({"t"}), _stop),
    (_ALL, "POST", rf"{_CONTAINERS}/wait", frozenset({"condition"}), _ours),
    (_LAUNCH, "GET", rf"/images/(?P<image>{_IMAGE})/json", frozenset(), _image),
    (_LAUNCH, "POST", "/containers/create", frozenset(), _create),
    (_LAUNCH, "POST", rf"{_CONTAINERS}/start", frozenset(), _ours),
    (_LAUNCH, "GET", rf"/networks/(?P<name>{_NAME})", frozenset(), _network),
    (_LAUNCH, "POST", rf"/networks/(?P<name>{_NAME})/connect", frozenset(), _connect),
    (_REAP, "GET", "/containers/json", frozenset({"all", "limit", "size", "trunc_cmd", "filters"}), _list),
    (_REAP, "POST", rf"{_CONTAINERS}/kill", frozenset({"signal"}), _ours),
    (_REAP, "DELETE", _CONTAINERS, frozenset({"v", "force", "link"}), _remove),
)
