"""Verification keys: public keys of a JWKS (RFC 7517), each for one declared algorithm.

Put here where verifiers take keys from: a file, or the https address of an identity provider. Keep out how this
platform makes its own keys (``token_keys``) and what is verified with them.
"""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.followed_file import FollowedFile
from mlops_assets.platform.security.token_keys import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_LOGGER: Final = logging.getLogger(__name__)
_TIMEOUT_SECONDS: Final = 5.0
_MAX_BYTES: Final = 256 * 1024
_MIN_RSA_BITS: Final = 2048
_RETRY_SECONDS: Final = 5.0
"""An unknown key id makes the provider be asked again, but not more often than this: anybody can invent key ids."""
_STALE_AFTER: Final = 10
"""Keys that could not be confirmed for this many refreshes are forgotten."""


class Algorithm(StrEnum):
    """Signature algorithms that an operator may allow (RFC 7518, RFC 8037)."""

    EDDSA = "EdDSA"
    ES256 = "ES256"
    RS256 = "RS256"


_OF_TYPE: Final = {
    ("OKP", "Ed25519"): Algorithm.EDDSA,
    ("EC", "P-256"): Algorithm.ES256,
    ("RSA", None): Algorithm.RS256,
}


@dataclass(frozen=True)
class VerificationKey:
    """A public key and the only algorithm it verifies.

    Attributes:
        key: the key, as the JWT library wants it.
        algorithm: the algorithm.
    """

    key: Any
    algorithm: Algorithm


class KeySource(Protocol):
    """Where a verifier takes its keys from."""

    @property
    def generation(self) -> int:
        """Grows whenever the keys may have changed."""

    def keys(self) -> Mapping[str, VerificationKey]:
        """The keys by their ids.

        Raises:
            KeyFileError: there are none at the moment: nobody can be let in.
        """

    def ask_again(self) -> None:
        """A token names a key that is not among them; it may be a new one."""

    def close(self) -> None:
        """The keys are not needed any more."""


class KeyFile:
    """Keys from a JWKS file, followed within a second."""

    def __init__(self, path: Path, algorithms: Collection[Algorithm] = (Algorithm.EDDSA,)) -> None:
        self._file = FollowedFile(path, partial(_read, algorithms=frozenset(algorithms)))

    @property
    def generation(self) -> int:
        """Grows whenever the file may have changed."""
        return self._file.generation

    def keys(self) -> Mapping[str, VerificationKey]:
        """The keys of the file by their ids.

        Raises:
            KeyFileError: it is missing or damaged, or holds a private key or no key of an allowed algorithm.
        """
        return self._file.content()

    def ask_again(self) -> None:
        """Look at the file at once: a token of a new key is good from its first second on."""
        self._file.look_now()

    def close(self) -> None:
        """Nothing to do: a file is not held open."""


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
    ) -> None:
        """Follow that address.

        Args:
            url: address of the JWKS; https only.
            algorithms: the only algorithms whose keys are taken.
            authority: PEM file with the authority that signs the provider's certificate; the system's when ``None``.
            refresh_seconds: how often the keys are fetched.

        Raises:
            SettingsError: the address is not https, holds an account, or the authority cannot be read.
        """
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.username:
            raise SettingsError(
                source="Address of the token keys (JWKS)",
                culprit="it is no https address without account.",
                remedy="Give the provider's jwks_uri, such as https://login.example/keys.",
            )
        try:
            self._context = ssl.create_default_context(cafile=authority)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                source=str(authority),
                culprit=f"it cannot be read as a certificate authority ({type(error).__name__}).",
                remedy="Give the PEM file of the authority that signed the provider's certificate.",
            ) from error
        self._host, self._port = parts.hostname, parts.port or 443
        self._path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        self._source = f"https://{parts.netloc}{parts.path}"
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
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=_TIMEOUT_SECONDS, context=self._context
        )
        try:
            # No library that follows redirects: the provider's certificate is what vouches for the keys.
            connection.request("GET", self._path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            text = answer.read(_MAX_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._unusable(f"it does not answer ({type(error).__name__})") from error
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK or len(text) > _MAX_BYTES:
            raise self._unusable(f"it answers {answer.status} with {len(text)} bytes")
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


def parse_keys(text: bytes, *, source: str, algorithms: Collection[Algorithm]) -> Mapping[str, VerificationKey]:
    """The usable keys of a JWKS by their ids; keys for encryption and of other algorithms are left out.

    Raises:
        KeyFileError: it is no JWKS, or holds a private key, two keys of one id, or no usable key.
    """
    try:
        entries = [dict(entry) for entry in json.loads(text)["keys"]]
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(source, f"it cannot be read as a key set ({type(error).__name__})") from error
    keys: dict[str, VerificationKey] = {}
    for entry in entries:
        if "d" in entry or entry.get("kty") == "oct":
            raise KeyFileError(
                source=source,
                culprit="it holds a private or a shared key.",
                remedy="Retire that key; whoever read it can sign.",
            )
        algorithm = _OF_TYPE.get((str(entry.get("kty")), entry.get("crv")))
        usable = entry.get("use", "sig") == "sig" and isinstance(entry.get("kid"), str)
        if algorithm is None or not usable or algorithm not in algorithms or entry.get("alg", algorithm) != algorithm:
            continue
        if entry["kid"] in keys:
            raise _unreadable(source, "two of its keys have the same id")
        keys[entry["kid"]] = VerificationKey(_key(entry, algorithm, source), algorithm)
    if not keys:
        raise _unreadable(source, f"it holds no signing key for {', '.join(sorted(algorithms))}")
    return keys


def _key(entry: Mapping[str, Any], algorithm: Algorithm, source: str) -> Any:  # noqa: ANN401  of several libraries' types
    try:
        key = jwt.PyJWK(dict(entry), algorithm=algorithm.value).key
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise _unreadable(source, f"a key cannot be read ({type(error).__name__})") from error
    if isinstance(key, RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        raise _unreadable(source, f"an RSA key has only {key.key_size} bits")
    return key


def _fingerprint(key: VerificationKey) -> tuple[str, str]:
    return key.algorithm, json.dumps(jwt.get_algorithm_by_name(key.algorithm).to_jwk(key.key, as_dict=True))


def _read(path: Path, *, algorithms: Collection[Algorithm]) -> Mapping[str, VerificationKey]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise _unreadable(str(path), f"the file cannot be read ({type(error).__name__})") from error
    return parse_keys(text, source=str(path), algorithms=algorithms)


def _unreadable(source: str, culprit: str) -> KeyFileError:
    return KeyFileError(source=source, culprit=f"{culprit}.", remedy="Create keys, or correct the setting.")
