"""Verification keys: public keys of a JWKS (RFC 7517), each for one declared algorithm.

Put here what verifiers take keys from, and the file of them. Keep out the address of an identity provider
(``key_address``), how this platform makes its own keys (``token_keys``) and what is verified with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from mlops_assets.platform.followed_file import FollowedFile
from mlops_assets.platform.security.token_keys import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_MIN_RSA_BITS: Final = 2048


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


class _KeySet(msgspec.Struct):
    """A JWKS, of whose keys nothing is known yet."""

    keys: list[dict[str, Any]]


def parse_keys(text: bytes, *, source: str, algorithms: Collection[Algorithm]) -> Mapping[str, VerificationKey]:
    """The usable keys of a JWKS by their ids; keys for encryption and of other algorithms are left out.

    Raises:
        KeyFileError: it is no JWKS, or holds a private key, two keys of one id, or no usable key.
    """
    try:
        entries = msgspec.json.decode(text, type=_KeySet)
    except (ValueError, RecursionError) as error:
        raise _unreadable(source, f"it cannot be read as a key set ({type(error).__name__})") from error
    keys: dict[str, VerificationKey] = {}
    for entry in entries.keys:
        if "d" in entry or entry.get("kty") == "oct":
            raise KeyFileError(
                source=source,
                culprit="it holds a private or a shared key.",
                remedy="Retire that key; whoever read it can sign.",
            )
        kind = (entry.get("kty"), entry.get("crv"))
        # Compared and not looked up: of a stranger's JSON not even the types are known.
        algorithm = next((each for known, each in _OF_TYPE.items() if known == kind), None)
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


def _read(path: Path, *, algorithms: Collection[Algorithm]) -> Mapping[str, VerificationKey]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise _unreadable(str(path), f"the file cannot be read ({type(error).__name__})") from error
    return parse_keys(text, source=str(path), algorithms=algorithms)


def _unreadable(source: str, culprit: str) -> KeyFileError:
    return KeyFileError(source=source, culprit=f"{culprit}.", remedy="Create keys, or correct the setting.")
