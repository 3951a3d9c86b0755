"""How packages come into an image: uv takes them by hash, and heeds what pip is told; with a real index on loopback.

Put here what ``deploy/image/install.py`` decides. Keep out builds of images: see ``test_builds``.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import ssl
import subprocess
import sys
import sysconfig
import threading
import zipfile
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from mlops_assets.deployment.loopback import AUTHORITY, loopback_certificate
from mlops_assets_tests.docker_engine import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

_WHEEL: Final = "tiny-1.0-py3-none-any.whl"
_CREDENTIALS: Final = "builder:word"
_SIMPLE: Final = "/simple"


@pytest.fixture(name="wheels", scope="module")
def _wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one wheel, and its lock."""
    folder = tmp_path_factory.mktemp("wheels")
    with zipfile.ZipFile(folder / _WHEEL, "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256((folder / _WHEEL).read_bytes()).hexdigest()
    (folder / "lock").write_text(f"tiny==1.0 \\\n    --hash=sha256:{digest}\n", encoding="utf-8")
    return folder


@pytest.fixture(name="install", autouse=True)
def _install(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program of the image build, in an environment where nobody has told pip or uv anything."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "SSL_")) or name.upper().endswith(("_PROXY", "CA_BUNDLE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    specification = importlib.util.spec_from_file_location("install", ROOT / "deploy" / "image" / "install.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(name="got")
def _got(install: ModuleType, wheels: Path, tmp_path: Path) -> Callable[..., bool]:
    """Whether uv gets what the lock names, when pip is told these arguments."""

    def got(*arguments: str, lock: Path = wheels / "lock") -> bool:
        options, variables = install.in_words_of_uv(list(arguments))
        uv = [str(Path(sysconfig.get_path("scripts"), "uv")), "pip", "install", "--no-cache", "--target", str(tmp_path)]
        command = [*uv, *options, *install.BY_HASH, "--requirement", str(lock)]
        subprocess.run(command, check=False, env={**os.environ, **variables, "UV_HTTP_RETRIES": "0"})
        return (tmp_path / "tiny.py").exists()

    return got


@contextmanager
def index(wheels: Path, tls: Path | None = None) -> Iterator[str]:
    """An index that asks for credentials, in TLS with the certificate in that folder; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = base64.b64encode(_CREDENTIALS.encode()).decode()
            if self.headers["Authorization"] != f"Basic {known}":
                self.send_response(HTTPStatus.UNAUTHORIZED)
                self.send_header("WWW-Authenticate", 'Basic realm="index"')
                self.end_headers()
                return
            # A proxy is asked for a whole address.
            body = f'<a href="/{_WHEEL}">{_WHEEL}</a>'.encode()
            if self.path.endswith(_WHEEL):
                body = (wheels / _WHEEL).read_bytes()
            known_path = self.path.endswith(("/simple/tiny/", _WHEEL))
            self.send_response(HTTPStatus.OK if known_path else HTTPStatus.NOT_FOUND)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*loopback_certificate(tls))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    try:
        yield f"{'http' if tls is None else 'https'}://{_CREDENTIALS}@localhost:{server.server_port}/simple"
    finally:
        server.shutdown()
        server.server_close()


def test_an_authority_that_an_argument_names_is_believed(
    got: Callable[..., bool], wheels: Path, tmp_path: Path
) -> None:
    with index(wheels, tmp_path / "tls") as address:
        assert not got("--index-url", address, "--retries", "0")
        assert got("--index-url", address, "--cert", str(tmp_path / "tls" / AUTHORITY))


def test_variables_are_heeded(
    got: Callable[..., bool], wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with index(wheels, tmp_path / "tls") as address:
        monkeypatch.setenv("PIP_INDEX_URL", address)
        monkeypatch.setenv("PIP_CERT", str(tmp_path / "tls" / AUTHORITY))
        assert got()


def test_a_configuration_file_is_heeded(
    got: Callable[..., bool], wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    with index(wheels, tmp_path / "tls") as address:
        said = f"[global]\nindex-url = {address}\n[install]\ncert = {tmp_path / 'tls' / AUTHORITY}\n"
        (tmp_path / "pip.conf").write_text(said, encoding="utf-8")
        assert got()


def test_the_bundle_of_authorities_that_pip_takes_from_the_environment_is_heeded(
    got: Callable[..., bool], wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with index(wheels, tmp_path / "tls") as address:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "tls" / AUTHORITY))
        assert got("--index-url", address)


def test_a_trusted_host_needs_no_authority(got: Callable[..., bool], wheels: Path, tmp_path: Path) -> None:
    with index(wheels, tmp_path / "tls") as address:
        assert got("--index-url", address, "--trusted-host", "localhost")


def test_a_further_index_is_asked(got: Callable[..., bool], wheels: Path) -> None:
    with index(wheels) as address:
        assert not got("--index-url", address.replace("/simple", "/empty"))
        assert got("--index-url", address.replace("/simple", "/empty"), "--extra-index-url", address)


def test_a_proxy_is_used(got: Callable[..., bool], wheels: Path) -> None:
    with index(wheels) as proxy:
        nowhere = f"http://{_CREDENTIALS}@index.invalid{_SIMPLE}"
        assert got("--index-url", nowhere, "--proxy", proxy.removesuffix("/simple"))


def test_a_folder_of_wheels_is_enough(got: Callable[..., bool], wheels: Path) -> None:
    assert got("--no-index", "--find-links", str(wheels))


@pytest.mark.parametrize("hashes", ["", f" --hash=sha256:{'0' * 64}"])
def test_a_wheel_of_another_hash_or_of_none_is_refused(
    got: Callable[..., bool], wheels: Path, tmp_path: Path, hashes: str
) -> None:
    lock = tmp_path / "lock"
    lock.write_text(f"tiny==1.0{hashes}\n", encoding="utf-8")
    assert not got("--no-index", "--find-links", str(wheels), lock=lock)


def test_the_credentials_of_an_index_are_not_told_when_it_fails(
    install: ModuleType, wheels: Path, tmp_path: Path
) -> None:
    lock = tmp_path / "lock"
    uv = install.entry("uv", (ROOT / "requirements-runtime.lock").read_text(encoding="utf-8"))
    lock.write_text(uv + (wheels / "lock").read_text(encoding="utf-8"), encoding="utf-8")
    nowhere = f"http://{_CREDENTIALS}@127.0.0.1:1/index"
    program = [
        sys.executable,
        str(ROOT / "deploy" / "image" / "install.py"),
        str(lock),
        "--index-url",
        nowhere,
        "--retries",
        "0",
    ]
    failed = subprocess.run(program, check=False, capture_output=True, text=True)
    assert failed.returncode != 0
    assert "127.0.0.1:1/index" in failed.stderr
    assert _CREDENTIALS not in failed.stdout + failed.stderr


def test_pip_gets_the_entry_of_uv_and_no_other(install: ModuleType) -> None:
    lock = (ROOT / "requirements-runtime.lock").read_text(encoding="utf-8")
    entry = install.entry("uv", lock).splitlines()
    assert entry[0].startswith("uv==")
    assert all(line.lstrip().startswith("--hash=sha256:") for line in entry[1:])
    assert not entry[-1].endswith("\\")


def test_a_lock_without_uv_is_refused_with_the_remedy(install: ModuleType, wheels: Path) -> None:
    with pytest.raises(SystemExit, match=r"holds no uv.*make lock"):
        install.entry("uv", (wheels / "lock").read_text(encoding="utf-8"))
