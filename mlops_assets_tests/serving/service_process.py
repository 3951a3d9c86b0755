"""A service in a process of its own, as clients meet it.

Put here starting, watching and stopping it. Keep out what is asked of it.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args, get_type_hints

import httpx

from mlops_assets.demo.live import free_port
from mlops_assets.platform.security.revocations import begin_revocations
from mlops_assets.platform.security.token_keys import create_keys
from mlops_assets.platform.security.tokens import issue_token
from mlops_assets.platform.settings import ServiceSettings, Settings
from mlops_assets.serving import server, watch
from mlops_assets.serving.config import ServiceConfig
from mlops_assets.serving.edge import edge_configuration
from mlops_assets.serving.exports import follower, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from mlops_assets.platform.exports.export import Export

ISSUER = "test-issuer"
AUDIENCE = "test-service"
HOUR = timedelta(hours=1)


@dataclass
class Service:
    """A service with its folder: exports, keys, log."""

    folder: Path
    public_documentation: bool = False
    damaged: bool = False
    """Whether every query of predictions fails, as on a disk that no longer reads."""
    port: int = 0
    changes: dict[str, Any] = field(default_factory=dict)
    """Values of the configuration beside the usual ones."""
    authority: Path | None = None
    """What clients trust, where the service speaks TLS."""
    edge: dict[str, Any] | None = None
    """Settings of the nginx in front, which has the certificate then; ``None`` for a service on loopback alone."""
    hung_seconds: float | None = None
    """After which time without a sign of life a worker is replaced; the service's own when ``None``."""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    nginx: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.signing_key = self.folder / "signing.pem"
        # As an operator has it who sets nothing, but for what a test would wait for.
        usual = ServiceConfig.from_settings(Settings(home=self.folder, service=ServiceSettings(drain_seconds=0)))
        self.config = replace(
            usual,
            exports=self.folder / "exports",
            inference_log=self.folder / "inference_log",
            keys=self.folder / "jwks.json",
            issuer=ISSUER,
            audience=AUDIENCE,
            model_keys=self.folder / "model-keys.json",
            public_documentation=self.public_documentation,
            poll_seconds=0.1,
            socket=None if self.edge is None else self.folder / "service.sock",
            **{"revoked": None, **self.changes},
        )

    @property
    def workers(self) -> list[int]:
        """The processes that answer."""
        assert self.process is not None
        if self.config.workers == 1:
            return [self.process.pid]
        # Beside them there is the process that keeps track of shared resources.
        commands = {each: Path(f"/proc/{each}/cmdline").read_bytes() for each in children_of(self.process.pid)}
        return [each for each, command in commands.items() if b"spawn_main" in command]

    @property
    def edge_workers(self) -> list[int]:
        """The edge's processes that speak to clients."""
        return [] if self.nginx is None else children_of(self.nginx.pid)

    def memory_kib(self) -> int:
        """What workers and edge hold together; pages that they share count once (PSS)."""
        edge = [] if self.nginx is None else [self.nginx.pid, *self.edge_workers]
        return sum(map(pss_kib, (*self.workers, *edge)))

    def create_keys(self) -> str:
        """Make the first key, and trust the sample's models; returns the key's id."""
        # The service's own process needs no Arrow and no ONNX to start.
        from mlops_assets_tests.serving.sample import trust_models  # noqa: PLC0415

        trust_models(self.folder / "model-keys.json")
        if self.config.revoked is not None:
            begin_revocations(self.config.revoked)
        return create_keys(self.signing_key, self.config.keys)

    def token(
        self,
        *,
        scopes: Iterable[str] = ("predictions:read", "exports:read"),
        states: Iterable[str] | None = None,
        limits: Mapping[str, Iterable[str]] | None = None,
        principal: str = "test-client",
    ) -> str:
        return issue_token(
            principal,
            scopes=scopes,
            lifetime=timedelta(hours=2),
            signing_key=self.signing_key,
            issuer=ISSUER,
            audience=AUDIENCE,
            limits=limits if states is None else {"state": states},
        )

    def client(self, token: str | None = None, *, identity: tuple[Path, Path] | None = None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=self.trust(identity))

    @property
    def hold(self) -> Path:
        """No export is verified to its end as long as this file is there."""
        return self.folder / "hold"

    @property
    def standstill(self) -> Path:
        """The worker that finds this file takes it away and stands still for a minute."""
        return self.folder / "standstill"

    @property
    def url(self) -> str:
        """The service's base address."""
        return f"{'http' if self.authority is None else 'https'}://127.0.0.1:{self.port}"

    def trust(self, identity: tuple[Path, Path] | None = None) -> ssl.SSLContext | bool:
        """What a client verifies the service with, and shows itself: files of a certificate and its key."""
        if self.authority is None:
            return True
        context = ssl.create_default_context(cafile=self.authority)
        if identity is not None:
            context.load_cert_chain(*identity)
        return context

    def log(self) -> list[dict[str, Any]]:
        text = (self.folder / "service.log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def wait_for_log(self, message: str, *, count: int = 1) -> dict[str, Any]:
        """The ``count``-th log line with that message."""
        found: list[dict[str, Any]] = []

        def logged() -> bool:
            found[:] = [line for line in self.log() if line["message"] == message]
            return len(found) >= count

        self.wait_for(logged, f"A service that has logged {message!r} {count} times")
        return found[count - 1]

    def wait_for(self, arrived: Callable[[], bool], name: str = "A service") -> None:
        """Wait until that is so, as long as the service lives and logs more than who asks it."""
        # The service's own process needs no Dagster to start.
        from mlops_assets.demo.waiting import wait_for_process  # noqa: PLC0415

        assert self.process is not None
        log = self.folder / "service.log"
        wait_for_process(
            arrived, self.process, name=name, log=log, telling=lambda line: '"access"' not in line, pause=0.05
        )

    def __enter__(self) -> Self:
        self.port = free_port()
        config = {name: str(v) if isinstance(v, Path) else v for name, v in asdict(self.config).items()}
        log = (self.folder / "service.log").open("wb")
        faults: dict[str, Any] = {"damaged": self.damaged, "hung_seconds": self.hung_seconds}
        faults |= {"hold": str(self.hold), "standstill": str(self.standstill)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps(config), str(self.port), json.dumps(faults)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONWARNINGS": "error::ResourceWarning"},
        )
        if self.edge is not None:
            self._start_edge(self.edge)
        log.close()
        with self.client() as client, ExitStack() as ended_if_it_fails:
            ended_if_it_fails.push(self)
            self.wait_for(lambda: _answers(client))
            ended_if_it_fails.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self.nginx, self.process):
            if each is not None:
                each.terminate()
                each.wait()

    def _start_edge(self, settings: dict[str, Any]) -> None:
        files = {name: getattr(self.config, name) for name in ("socket", "tls_certificate", "tls_key", "client_ca")}
        given = ServiceSettings(port=self.port, **{**files, **settings})
        folder = self.folder / "edge"
        folder.mkdir(exist_ok=True)
        file = folder / "nginx.conf"
        file.write_text(edge_configuration(given, folder=folder), encoding="utf-8")
        # Of another user it could not enter the test's folder.
        more = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
        with (self.folder / "edge.log").open("ab") as log:
            command = ["nginx", "-e", "stderr", "-c", str(file), "-g", more]
            self.nginx = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def children_of(process_id: int) -> list[int]:
    """The processes that a process has started."""
    text = Path(f"/proc/{process_id}/task/{process_id}/children").read_text(encoding="ascii")
    return [int(each) for each in text.split()]


def pss_kib(process_id: int) -> int:
    """Memory of a process; of pages that several share its part."""
    lines = Path(f"/proc/{process_id}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").is_success
    except httpx.TransportError:
        return False


def _fail(*_: object, **__: object) -> None:
    raise sqlite3.DatabaseError("sqlite: database disk image is malformed")


def _held(opened: Callable[..., Export], hold: Path) -> Callable[..., Export]:
    """Opening an export, as from a disk that is slow as long as that file is there."""

    def open_slowly(*words: object, **options: object) -> Export:
        export = opened(*words, **options)
        while hold.exists():
            time.sleep(0.05)
        return export

    return open_slowly


def _standing(look: Callable[[follower.ExportFollower], tuple[int, ...]], file: Path) -> Callable[..., Any]:
    """Looking for exports, as on a disk that does not answer as long as that file is there: the event loop waits."""

    def look_and_stand(self: follower.ExportFollower) -> tuple[int, ...]:
        if file.exists():
            with suppress(FileNotFoundError):
                file.unlink()
            time.sleep(60)
        return look(self)

    return look_and_stand


def main() -> None:
    """Run the service that the arguments describe."""
    config = json.loads(sys.argv[1])
    hints = get_type_hints(ServiceConfig, localns={"Path": Path})
    config = {
        name: Path(v) if v is not None and Path in (hints[name], *get_args(hints[name])) else v
        for name, v in config.items()
    }
    damage()
    server.listen(ServiceConfig(**config), host="127.0.0.1", port=int(sys.argv[2]))


def damage() -> None:
    """Have the faults that the arguments name; done by each worker, too."""
    faults = json.loads(sys.argv[3])
    if faults["damaged"]:
        vars(table)["ServedTable"].one = vars(table)["ServedTable"].latest = _fail
    vars(follower)["open_export"] = _held(vars(follower)["open_export"], Path(faults["hold"]))
    looked = vars(follower.ExportFollower)["_pointer"]
    follower.ExportFollower._pointer = _standing(looked, Path(faults["standstill"]))  # type: ignore[method-assign]
    if faults["hung_seconds"] is not None:
        vars(watch)["_HUNG_SECONDS"] = faults["hung_seconds"]


def require_nginx() -> None:
    """Skip the test, saying why, where nginx is not installed; fail where the environment demands it."""
    if shutil.which("nginx") is not None:
        return
    # The service's own process needs no tests.
    import pytest  # noqa: PLC0415

    reason = "nginx is not installed: it is the edge in front of the service (Debian: apt-get install nginx-light)"
    if "nginx" in os.environ.get("MLOPS_ASSETS_TEST_REQUIRE", ""):
        pytest.fail(reason)
    pytest.skip(reason)


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__":
    damage()
