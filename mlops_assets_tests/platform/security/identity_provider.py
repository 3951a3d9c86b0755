"""An identity provider for tests: its keys, its tokens, an https server that publishes its key set, a proxy before it.

Put here what several tests take a provider from. Keep out what is asked of it.
"""

from __future__ import annotations

import json
import select
import socket
import socketserver
import ssl
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key

from mlops_assets.deployment.certificates import Authority, Purpose
from mlops_assets.platform.security.tokens import Refusal, TokenError
from mlops_assets.platform.security.verification_keys import Algorithm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_assets.platform.security.token_verifier import TokenVerifier

ISSUER, AUDIENCE = "https://login.example", "service"
RSA = generate_rsa_key(65537, 2048)
CURVE = generate_curve_key(SECP256R1())
ALL = tuple(Algorithm)


def entry(private: Any, algorithm: Algorithm, key_id: str, **changes: object) -> dict[str, object]:  # noqa: ANN401
    public = jwt.get_algorithm_by_name(algorithm.value).to_jwk(private.public_key(), as_dict=True)
    return {**public, "kid": key_id, "use": "sig", **changes}


def text(*entries: dict[str, object]) -> bytes:
    return json.dumps({"keys": entries}).encode()


def signed(private: Any, algorithm: str, key_id: str, **claims: object) -> str:  # noqa: ANN401
    now = int(time.time())
    usual: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "dashboard",
        "scope": "predictions:read",
        "jti": "ab_CD-1234",
    }
    usual |= {"iat": now, "nbf": now, "exp": now + 60, **claims}
    return jwt.encode(usual, private, algorithm=algorithm, headers={"kid": key_id, "typ": "at+jwt"})


class Provider:
    """An identity provider: an https server that publishes a key set."""

    def __init__(self, folder: Path) -> None:
        authority = Authority.create("provider")
        issued = authority.issue(["127.0.0.1"], Purpose.SERVER)
        self.authority = folder / "authority.crt"
        self.authority.write_bytes(authority.certificate_pem)
        (folder / "server.pem").write_bytes(issued.certificate_pem + issued.key_pem)
        provider = self
        self.published, self.asked, self.status = text(entry(RSA, Algorithm.RS256, "first")), 0, 200
        self.pause = 0.0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                self.send_response(provider.status)
                self.send_header("Location", "http://127.0.0.1/elsewhere")
                self.send_header("Content-Length", str(len(provider.published)))
                self.end_headers()
                step = 1 if provider.pause else len(provider.published)
                for start in range(0, len(provider.published), step):
                    self.wfile.write(provider.published[start : start + step])
                    time.sleep(provider.pause)

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"https://127.0.0.1:{self.server.server_port}/keys"


@contextmanager
def running_provider(folder: Path) -> Iterator[Provider]:
    """A provider that answers until the end."""
    provider = Provider(folder)
    try:
        yield provider
    finally:
        provider.server.shutdown()
        provider.server.server_close()


class Proxy(socketserver.ThreadingTCPServer):
    """A forwarding proxy that opens tunnels to the ports it allows, and to no others."""

    allow_reuse_address, daemon_threads = True, True

    def __init__(self, allowed: int) -> None:
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.allowed = allowed
        self.asked: list[bytes] = []
        self.passed = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Tunnel(socketserver.StreamRequestHandler):
    """One request of a tunnel."""

    server: Proxy

    def handle(self) -> None:
        request = self.rfile.readline()
        self.server.asked.append(request)
        while self.rfile.readline().strip():
            """The request's headers."""
        if request.split()[1] != b"127.0.0.1:%d" % self.server.allowed:
            self.wfile.write(b"HTTP/1.1 403 Filtered\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.allowed)) as far:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ends = {self.connection: far, far: self.connection}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    if not (data := end.recv(65_536)):
                        return
                    self.server.passed += data
                    ends[end].sendall(data)


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy that lets connections to that port of loopback through."""
    with Proxy(port) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()


def refusal(verifier: TokenVerifier, token: str) -> Refusal | None:
    with pytest.raises(TokenError) as caught:
        verifier.verify(token)
    return caught.value.reason
