"""Tests of key sets and of what is revoked, and of tokens signed by them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key

from mlops_assets.platform.security.revocations import (
    RevocationFile,
    begin_revocations,
    read_revoked,
    revoke_key,
    revoke_token,
)
from mlops_assets.platform.security.token_keys import KeyFileError
from mlops_assets.platform.security.token_verifier import TokenVerifier
from mlops_assets.platform.security.tokens import Refusal
from mlops_assets.platform.security.verification_keys import Algorithm, KeyFile, VerificationKey, parse_keys
from mlops_assets_tests.platform.security.identity_provider import (
    ALL,
    AUDIENCE,
    CURVE,
    ISSUER,
    RSA,
    entry,
    refusal,
    signed,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Changing:
    """Keys of which one is withdrawn, by another thread, just after they were read for the first time."""

    def __init__(self, before: Mapping[str, VerificationKey], after: Mapping[str, VerificationKey]) -> None:
        self._each = [before, after]
        self.generation = 0

    def keys(self) -> Mapping[str, VerificationKey]:
        self.generation = 1
        return self._each.pop(0) if len(self._each) > 1 else self._each[0]

    def ask_again(self) -> None:
        """There is nobody to ask."""

    def close(self) -> None:
        """Nothing is open."""


def test_a_token_is_not_remembered_by_a_key_that_is_withdrawn_at_that_moment() -> None:
    first, second = (
        parse_keys(text(entry(RSA, Algorithm.RS256, key_id)), source="keys", algorithms=ALL)
        for key_id in ("first", "second")
    )
    verifier = TokenVerifier(keys=Changing(first, second), issuer=ISSUER, audience=AUDIENCE)
    assert refusal(verifier, signed(RSA, "RS256", "first")) is Refusal.UNKNOWN_KEY


@pytest.mark.parametrize(
    ("content", "culprit"),
    [
        (b"{}", "cannot be read as a key set"),
        (b"[1]", "cannot be read as a key set"),
        (b'{"keys": [1]}', "cannot be read as a key set"),
        pytest.param(b'{"keys": ' + b"[" * 100_000, "cannot be read as a key set", id="deep"),
        (text(entry(RSA, Algorithm.RS256, "a", kty=["RSA"])), "no signing key"),
        (text(entry(CURVE, Algorithm.ES256, "a", crv={})), "no signing key"),
        (text(entry(RSA, Algorithm.RS256, "a", n=5)), "a key cannot be read"),
        (text(), "no signing key"),
        (text(entry(RSA, Algorithm.RS256, "a", use="enc")), "no signing key"),
        (text(entry(RSA, Algorithm.RS256, "a", alg="RS512")), "no signing key"),
        (text(entry(CURVE, Algorithm.ES256, "a"), entry(RSA, Algorithm.RS256, "a")), "same id"),
        (text({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}), "private or a shared key"),
        (text(entry(RSA, Algorithm.RS256, "a", d="AQAB")), "private or a shared key"),
        (text(entry(CURVE, Algorithm.ES256, "a", x="AAAA")), "a key cannot be read"),
        (text(entry(generate_rsa_key(65537, 1024), Algorithm.RS256, "a")), "only 1024 bits"),  # noqa: S505  refused
    ],
)
def test_a_key_set_that_cannot_be_trusted_is_refused(content: bytes, culprit: str) -> None:
    with pytest.raises(KeyFileError, match=culprit):
        parse_keys(content, source="keys", algorithms=ALL)


def test_only_declared_algorithms_are_taken_and_each_key_verifies_its_own_only(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(text(entry(RSA, Algorithm.RS256, "rsa"), entry(CURVE, Algorithm.ES256, "curve")))
    verifier = TokenVerifier(keys=KeyFile(file, ALL), issuer=ISSUER, audience=AUDIENCE)
    assert verifier.verify(signed(RSA, "RS256", "rsa")).key_id == "rsa"
    assert verifier.verify(signed(CURVE, "ES256", "curve")).key_id == "curve"
    assert refusal(verifier, signed(RSA, "RS256", "curve")) is Refusal.ALGORITHM
    assert refusal(verifier, signed(RSA, "RS512", "rsa")) is Refusal.ALGORITHM
    assert refusal(verifier, signed(RSA, "PS256", "rsa")) is Refusal.ALGORITHM
    narrow = TokenVerifier(keys=KeyFile(file, (Algorithm.ES256,)), issuer=ISSUER, audience=AUDIENCE)
    assert refusal(narrow, signed(RSA, "RS256", "rsa")) is Refusal.ALGORITHM


@pytest.mark.parametrize("confirmation", [{}, {"jkt": "x"}, {"x5t#S256": "x", "jkt": "y"}, "x", None])
def test_a_binding_that_is_not_understood_is_refused(tmp_path: Path, confirmation: object) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(text(entry(CURVE, Algorithm.ES256, "curve")))
    verifier = TokenVerifier(keys=KeyFile(file, ALL), issuer=ISSUER, audience=AUDIENCE)
    assert refusal(verifier, signed(CURVE, "ES256", "curve", cnf=confirmation)) is Refusal.BINDING


def test_a_revoked_token_or_key_is_refused_though_it_was_just_taken(tmp_path: Path) -> None:
    file, revoked = tmp_path / "jwks.json", tmp_path / "lists" / "revoked.json"
    file.write_bytes(text(entry(RSA, Algorithm.RS256, "rsa"), entry(CURVE, Algorithm.ES256, "curve")))
    verifier = TokenVerifier(
        keys=KeyFile(file, ALL), issuer=ISSUER, audience=AUDIENCE, revocations=RevocationFile(revoked)
    )
    begin_revocations(revoked)
    one, other = signed(RSA, "RS256", "rsa"), signed(CURVE, "ES256", "curve", jti="another-1")
    verifier.verify(one)
    verifier.verify(other)
    revoke_token(revoked, "ab_CD-1234", expires=time.time() + 60)
    time.sleep(0.6)
    assert refusal(verifier, one) is Refusal.REVOKED
    verifier.verify(other)
    revoke_key(revoked, "curve")
    time.sleep(0.6)
    assert refusal(verifier, other) is Refusal.REVOKED
    revoked.write_text("{", encoding="utf-8")
    time.sleep(0.6)
    with pytest.raises(KeyFileError, match="list of revocations"):
        verifier.verify(one)
    revoked.unlink()
    with pytest.raises(KeyFileError, match="no list of revocations"):
        verifier.verify(one)


def test_a_list_that_was_lost_lets_nobody_in_also_after_a_restart_and_is_not_begun_anew_by_a_revocation(
    tmp_path: Path,
) -> None:
    revoked = tmp_path / "revoked.json"
    begin_revocations(revoked)
    revoke_key(revoked, "old")
    begin_revocations(revoked)
    assert RevocationFile(revoked).revoked().key_ids == {"old"}
    revoked.unlink()
    for lost in (revoked, tmp_path / "no-folder" / "revoked.json"):
        with pytest.raises(KeyFileError, match="no list of revocations"):
            RevocationFile(lost).revoked()
        with pytest.raises(KeyFileError, match="no list of revocations"):
            revoke_token(lost, "ab_CD-1234", expires=time.time() + 60)


def test_a_token_leaves_the_list_once_it_has_expired(tmp_path: Path) -> None:
    revoked = tmp_path / "revoked.json"
    begin_revocations(revoked)
    revoke_token(revoked, "old-token", expires=time.time() - timedelta(days=2).total_seconds())
    revoke_token(revoked, "new-token", expires=time.time() + 60)
    assert set(read_revoked(revoked).tokens) == {"new-token"}


@pytest.mark.parametrize(
    "content", [f'{{"tokens": {{"a": {10**400}}}, "keys": []}}', "[" * 100_000], ids=["huge", "deep"]
)
def test_a_list_of_revocations_that_nobody_could_have_meant_is_damaged(tmp_path: Path, content: str) -> None:
    revoked = tmp_path / "revoked.json"
    revoked.write_text(content, encoding="utf-8")
    with pytest.raises(KeyFileError, match="cannot be read as a list of revocations"):
        read_revoked(revoked)


def test_of_many_revocations_at_once_none_is_lost(tmp_path: Path) -> None:
    revoked = tmp_path / "revoked.json"
    begin_revocations(revoked)
    wanted = {f"token-{number}" for number in range(24)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: revoke_token(revoked, name, expires=time.time() + 60), wanted))
    assert set(read_revoked(revoked).tokens) == wanted
