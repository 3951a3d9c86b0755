"""The address at which an identity provider publishes its keys (JWKS), asked again and again.

Put here asking it, by a proxy too, and how long keys are good that cannot be confirmed. Keep out what a key set holds
(``verification_keys``).
"""

from __future__ import annotations

import http.client
import json
import logging
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import jwt

from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.security.token_keys import KeyFileError
from mlops_assets.platform.security.verification_keys import parse_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from mlops_assets.platform.security.verification_keys import Algorithm, VerificationKey

_LOGGER: Final = logging.getLogger(__name__)
_TIMEOUT_SECONDS: Final = 5.0
_TOTAL_SECONDS: Final = 20.0
"""An answer that comes byte by byte is cut then: nobody would look for new keys as long as it lasts."""
_MAX_BYTES: Final = 256 * 1024
_RETRY_SECONDS: Final = 5.0
"""An unknown key id makes the provider be asked again, but not more often than this: anybody can invent key ids."""
_STALE_AFTER: Final = 10
"""Keys that could not be confirmed for this many refreshes are forgotten."""


class KeyAddress:
    """Keys from the https address of an identity provider, asked in a thread of its own so that no request waits.

    They are fetched again every ``refresh_seconds``, and within five seconds when a token names an unknown key. Keys
    that the provider withdraws are refused from the next refresh on; while it does not answer the last ones stay valid
    for ten refreshes.
    """

    def __init__(
        self,
        url: str,
        algorithms: Collection[Algorithm],
        *,
        authority: Path | None = None,
        refresh_seconds: float = 60.0,
        proxy: str | None = None,
    ) -> None:
        """Follow that address.

        Args:
            url: address of the JWKS; https only.
            algorithms: the only algorithms whose keys are taken.
            authority: PEM file with the authority that signs the provider's certificate; the system's when ``None``.
            refresh_seconds: how often the keys are fetched.
            proxy: address of a proxy (``http://egress:8888``) that is asked for a tunnel to the provider: what it
                passes on is encrypted, and the provider's certificate is verified as without it.

        Raises:
            SettingsError: an address cannot be used or holds an account, or the authority cannot be read.
        """
        self._host, self._port, self._path, self._source = _https_address(url)
        self._proxy = None if proxy is None else _proxy_address(proxy)
        try:
            self._context = ssl.create_default_context(cafile=authority)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                source=str(authority),
                culprit=f"it cannot be read as a certificate authority ({type(error).__name__}).",
                remedy="Give the PEM file of the authority that signed the provider's certificate.",
            ) from error
        self._algorithms = frozenset(algorithms)
        self._refresh_seconds = refresh_seconds
        self._generation = 0
        self._keys: Mapping[str, VerificationKey] = {}
        self._fetched = float("-inf")
        self._wanted = threading.Event()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def generation(self) -> int:
        """Grows whenever the keys changed."""
        return self._generation

    def keys(self) -> Mapping[str, VerificationKey]:
        """The provider's keys by their ids.

        Raises:
            KeyFileError: none were fetched yet, or not for too long.
        """
        if self._thread is None:
            # Not before: a process that is forked afterwards would not have the thread.
            self._thread = threading.Thread(target=self._follow, name="token keys", daemon=True)
            self._thread.start()
        if time.monotonic() - self._fetched > self._refresh_seconds * _STALE_AFTER:
            raise KeyFileError(
                source=self._source,
                culprit="the provider's keys are not known, or not known to be still valid.",
                remedy="See the log for why they could not be fetched.",
            )
        return self._keys

    def ask_again(self) -> None:
        """Fetch the keys soon, as a token names an unknown one."""
        self._wanted.set()

    def fetch(self) -> None:
        """Ask the provider once.

        Raises:
            KeyFileError: it did not answer, or not with keys; those known stay.
        """
        host, port = self._proxy or (self._host, self._port)
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=self._context)
        if self._proxy is not None:
            connection.set_tunnel(self._host, self._port)
        opened: list[socket.socket] = []
        deadline = threading.Timer(_TOTAL_SECONDS, _cut, (connection, opened))
        deadline.daemon = True
        deadline.start()
        try:
            connection.connect()
            # The connection forgets it once an answer has begun.
            opened.append(connection.sock)
            # No library that follows redirects: the provider's certificate is what vouches for the keys.
            connection.request("GET", self._path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            text = answer.read(_MAX_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            by = "" if self._proxy is None else f" by way of the proxy {host}:{port}"
            raise self._unusable(f"it does not answer{by} ({_reason(error)})") from error
        finally:
            deadline.cancel()
            connection.close()
        if answer.status != http.HTTPStatus.OK or len(text) > _MAX_BYTES:
            raise self._unusable(f"it answers {answer.status} with {len(text)} bytes")
        if answer.length:
            raise self._unusable(f"its answer ends {answer.length} bytes too early")
        keys = parse_keys(text, source=self._source, algorithms=self._algorithms)
        self._fetched = time.monotonic()
        if {name: _fingerprint(key) for name, key in keys.items()} != {
            name: _fingerprint(key) for name, key in self._keys.items()
        }:
            self._keys = keys
            self._generation += 1
            _LOGGER.info("token keys fetched", extra={"fields": {"source": self._source, "key_ids": sorted(keys)}})

    def close(self) -> None:
        """Ask no more."""
        self._over.set()
        self._wanted.set()

    def _follow(self) -> None:
        while not self._over.is_set():
            try:
                self.fetch()
            except KeyFileError as error:
                _LOGGER.error("token keys not fetched", extra={"fields": {"error": str(error)}})  # noqa: TRY400
            except Exception:
                # Whatever the provider sent: a thread that ended would let nobody in until a restart.
                _LOGGER.exception("token keys not fetched")
            else:
                self._over.wait(min(_RETRY_SECONDS, self._refresh_seconds))
                self._wanted.wait(max(0.0, self._refresh_seconds - _RETRY_SECONDS))
                self._wanted.clear()
                continue
            self._over.wait(min(_RETRY_SECONDS, self._refresh_seconds))

    def _unusable(self, culprit: str) -> KeyFileError:
        return KeyFileError(
            source=self._source, culprit=f"{culprit}.", remedy="Correct the address, or wait for the provider."
        )


def _https_address(url: str) -> tuple[str, int, str, str]:
    """Host, port and path of a JWKS, and what it is called in errors, which is without its query."""
    host, port = _host_and_port(url, "https", 443)
    if host is None:
        raise SettingsError(
            source="Address of the token keys (JWKS)",
            culprit="it is no https address without account.",
            remedy="Give the provider's jwks_uri, such as https://login.example/keys.",
        )
    parts = urlsplit(url)
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    return host, port, path, f"https://{parts.netloc}{parts.path}"


def _proxy_address(url: str) -> tuple[str, int]:
    host, port = _host_and_port(url, "http", 80)
    parts = urlsplit(url)
    if host is None or parts.path.strip("/") or parts.query:
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__KEYS_URL_PROXY",
            culprit="it is no http address of a host and a port, without account and path.",
            remedy="Give the proxy's address, such as http://egress:8888.",
        )
    return host, port


def _host_and_port(url: str, scheme: str, port: int) -> tuple[str | None, int]:
    """Host and port of an address of that scheme; no host where it is none, or names an account."""
    try:
        parts = urlsplit(url)
        given = parts.port
    except ValueError:
        return None, port
    fits = parts.scheme == scheme and parts.username is None and url.isprintable() and " " not in url
    return (parts.hostname or None) if fits else None, given or port


def _cut(connection: http.client.HTTPSConnection, opened: list[socket.socket]) -> None:
    """End the connection under whoever reads from it."""
    for each in (connection.sock, *opened):
        # The socket's own way: that of TLS would take the session from under the reader.
        if isinstance(each, socket.socket):
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    """What went wrong; of a proxy that refuses a tunnel also its status, which is nobody's secret."""
    refused = str(error) if str(error).startswith("Tunnel connection failed") else ""
    return refused or type(error).__name__


def _fingerprint(key: VerificationKey) -> tuple[str, str]:
    return key.algorithm, json.dumps(jwt.get_algorithm_by_name(key.algorithm).to_jwk(key.key, as_dict=True))
