"""The proxy between Docker's own client and a real engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest
from docker.errors import APIError, NotFound

from mlops_assets.deployment.docker_proxy.policy import Policy, Profile, Role
from mlops_assets.deployment.docker_proxy.server import DockerProxy, EngineError
from mlops_assets_tests.background import served
from mlops_assets_tests.docker_engine import base_image, require_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

pytestmark = [pytest.mark.docker]

ENGINE = Path("/var/run/docker.sock")
DEPLOYMENT = f"test-{os.getpid()}"


@pytest.fixture(scope="module")
def policy() -> Policy:
    require_engine()
    return Policy(
        images=frozenset({base_image()}),
        profiles={"here": Profile()},
        commands=(("python3", "-c"),),
        memory=2**28,
        nano_cpus=10**9,
        pids=64,
        label=("mlops_assets/deployment", DEPLOYMENT),
    )


@contextlib.contextmanager
def _clients(policy: Policy, folder: Path) -> Iterator[dict[Role, docker.DockerClient]]:
    """Docker's clients, each through the proxy's socket for its role."""
    with contextlib.ExitStack() as stack:
        through = {}
        for role in Role:
            listen = folder / f"{role}.sock"
            stack.enter_context(served(DockerProxy(policy, role, listen=listen, engine=ENGINE).start))
            through[role] = docker.DockerClient(base_url=f"unix://{listen}", timeout=60)
            stack.callback(through[role].close)
        yield through
    direct = docker.from_env()
    for left in direct.containers.list(all=True, filters={"label": f"mlops_assets/deployment={DEPLOYMENT}"}):
        left.remove(force=True, v=True)
    direct.close()


@pytest.fixture
def clients(policy: Policy, tmp_path: Path) -> Iterator[dict[Role, docker.DockerClient]]:
    with _clients(policy, tmp_path) as clients:
        yield clients


@pytest.fixture
def client(clients: dict[Role, docker.DockerClient]) -> docker.DockerClient:
    """The client that launches."""
    return clients[Role.LAUNCH]


@pytest.fixture
def reaping(clients: dict[Role, docker.DockerClient]) -> docker.DockerClient:
    """The client that removes."""
    return clients[Role.REAP]


def _hardened(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  any argument of Docker's client
    return {
        "image": base_image(),
        "command": ["python3", "-c", "print('done')"],
        "user": "10001:10001",
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": 2**28,
        "memswap_limit": 2**28,
        "nano_cpus": 10**9,
        "pids_limit": 64,
        "labels": {
            "dagster/run_id": str(uuid.uuid4()),
            "dagster/job_name": "job",
            "mlops_assets/deployment": DEPLOYMENT,
        },
        **changes,
    }


def test_a_run_container_is_made_started_watched_and_removed_by_dockers_own_client(
    client: docker.DockerClient, reaping: docker.DockerClient
) -> None:
    assert client.ping()
    container = client.containers.create(**_hardened())
    container.start()
    assert container.wait()["StatusCode"] == 0
    assert container.logs(tail=10) == b"done\n"
    container.reload()
    assert container.attrs["State"]["Status"] == "exited"
    (listed,) = reaping.containers.list(all=True)
    assert listed.id == container.id
    listed.remove(v=True)
    assert reaping.containers.list(all=True) == []


def test_a_run_gets_one_container_however_often_it_is_launched(client: docker.DockerClient) -> None:
    asked = _hardened()
    client.containers.create(**asked)
    with pytest.raises(APIError, match="already in use") as refused:
        client.containers.create(**asked)
    assert refused.value.status_code == 409


def test_each_role_is_refused_what_the_others_are_there_for(clients: dict[Role, docker.DockerClient]) -> None:
    container = clients[Role.LAUNCH].containers.create(**_hardened())
    for role in (Role.END, Role.REAP):
        with pytest.raises(APIError, match=f"not allowed to a client that is there to {role}"):
            clients[role].containers.create(**_hardened())
        with pytest.raises(APIError, match=f"not allowed to a client that is there to {role}"):
            clients[role].api.start(container.id)
    for role in (Role.LAUNCH, Role.END):
        with pytest.raises(APIError, match=f"not allowed to a client that is there to {role}"):
            clients[role].api.remove_container(container.id)
        with pytest.raises(APIError, match=f"not allowed to a client that is there to {role}"):
            clients[role].containers.list(all=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"privileged": True}, "Privileged"),
        ({"volumes": ["/:/host"]}, "Volumes|Binds"),
        ({"network_mode": "host"}, "NetworkMode"),
        ({"user": "0"}, "User"),
        ({"cap_add": ["SYS_ADMIN"]}, "CapAdd"),
        ({"command": ["sh"]}, "Cmd"),
        ({"environment": {"LD_PRELOAD": "x"}}, "Env"),
        ({"pid_mode": "host"}, "PidMode"),
        ({"mem_limit": "10g"}, "Memory"),
        ({"devices": ["/dev/kmsg"]}, "Devices"),
        ({"ports": {"80/tcp": 80}}, "not allowed"),
    ],
)
def test_a_softened_container_is_refused_and_the_client_is_told_why(
    client: docker.DockerClient, reaping: docker.DockerClient, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(APIError, match=named) as refused:
        client.containers.create(**_hardened(**change))
    assert refused.value.status_code == 403
    assert reaping.containers.list(all=True) == []


@pytest.fixture
def stranger() -> Iterator[Container]:
    """A container that is not the deployment's."""
    require_engine()
    direct = docker.from_env()
    container = direct.containers.run(base_image(), ["sleep", "60"], detach=True, network_mode="none")
    yield container
    container.remove(force=True, v=True)
    direct.close()


def test_other_containers_are_out_of_reach_by_any_request(reaping: docker.DockerClient, stranger: Container) -> None:
    through = reaping.api
    for request in (through.inspect_container, through.logs, through.stop, through.kill, through.remove_container):
        with pytest.raises(APIError, match="no run container of this deployment"):
            request(stranger.id)
    assert stranger.id not in [each.id for each in reaping.containers.list(all=True)]
    stranger.reload()
    assert stranger.status == "running"


def test_nothing_is_executed_in_a_run_container(client: docker.DockerClient) -> None:
    container = client.containers.create(**_hardened(command=["python3", "-c", "import time; time.sleep(60)"]))
    container.start()
    with pytest.raises(APIError, match="not allowed"):
        container.exec_run(["id"])


def test_images_cannot_be_pulled_or_built(client: docker.DockerClient) -> None:
    with pytest.raises(APIError, match="Refused by the deployment's policy"):
        client.images.pull("debian", tag="12")


def _raw(listen: Path, sent: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(listen))
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            connection.sendall(sent)
            while block := connection.recv(65536):
                answer += block
        return answer


@pytest.mark.parametrize(
    "sent",
    [
        b"NOT HTTP\r\n\r\n",
        b"POST /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
        b"GET /version HTTP/1.1\r\nHost: d\r\nX: " + b"a" * 2**21 + b"\r\n\r\n",
    ],
)
def test_a_request_that_two_readers_could_read_differently_is_not_passed_on(
    client: docker.DockerClient, tmp_path: Path, sent: bytes
) -> None:
    assert client.ping()
    answer = _raw(tmp_path / "launch.sock", sent)
    assert answer[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 403", b""}


def test_a_second_request_on_one_connection_never_reaches_the_engine(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    assert client.ping()
    first = b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"
    answer = _raw(tmp_path / "launch.sock", first + b"GET /info HTTP/1.1\r\nHost: d\r\n\r\n")
    assert answer.count(b"HTTP/1.1") <= 1
    assert b"ServerVersion" not in answer


def test_the_socket_is_for_its_owner_alone(client: docker.DockerClient, tmp_path: Path) -> None:
    assert client.ping()
    assert stat.S_IMODE((tmp_path / "launch.sock").stat().st_mode) == 0o600


def test_without_an_engine_the_client_is_told_so(policy: Policy, tmp_path: Path) -> None:
    listen = tmp_path / "docker.sock"
    with served(DockerProxy(policy, Role.LAUNCH, listen=listen, engine=tmp_path / "nowhere.sock").start):
        assert b"503 Service Unavailable" in _raw(listen, b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")


def test_a_socket_that_cannot_be_made_is_an_error_that_names_it(policy: Policy, tmp_path: Path) -> None:
    async def start() -> None:
        await DockerProxy(policy, Role.LAUNCH, listen=tmp_path / "nowhere" / "docker.sock", engine=ENGINE).start()

    with pytest.raises(EngineError, match=r"docker\.sock: it cannot be made"):
        asyncio.run(start())


def test_a_client_that_goes_away_while_waiting_leaves_the_proxy_serving(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    container = client.containers.create(**_hardened(command=["python3", "-c", "import time; time.sleep(20)"]))
    container.start()
    for _ in range(80):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(tmp_path / "launch.sock"))
            connection.sendall(f"POST /containers/{container.id}/wait HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    # It notices when it next looks at them, which a busy machine lets wait.
    assert any(_answers(client) for _ in range(120))


def _answers(client: docker.DockerClient) -> bool:
    time.sleep(0.5)
    try:
        return bool(client.ping())
    except APIError:
        return False


def test_a_container_that_is_not_there_is_told_as_the_engine_tells_it(client: docker.DockerClient) -> None:
    with pytest.raises(NotFound):
        client.containers.get("f" * 64)


def test_an_upgrade_of_the_connection_is_refused(client: docker.DockerClient, tmp_path: Path) -> None:
    assert client.ping()
    sent = b"POST /session HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert _raw(tmp_path / "launch.sock", sent)[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 403"}
