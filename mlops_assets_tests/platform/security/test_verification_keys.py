"""Tests of keys that an identity provider publishes, and of tokens signed by them."""

from __future__ import annotations

import json
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key

from mlops_assets.demo.waiting import wait_until
from mlops_assets.deployment.certificates import Authority, Purpose
from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.security.revocations import (
    RevocationFile,
    begin_revocations,
    read_revoked,
    revoke_key,
    revoke_token,
)
from mlops_assets.platform.security.token_keys import KeyFileError
from mlops_assets.platform.security.token_verifier import TokenVerifier
from mlops_assets.platform.security.tokens import Refusal, TokenError
from mlops_assets.platform.security.verification_keys import Algorithm, KeyAddress, KeyFile, VerificationKey, parse_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

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

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                self.send_response(provider.status)
                self.send_header("Location", "http://127.0.0.1/elsewhere")
                self.send_header("Content-Length", str(len(provider.published)))
                self.end_headers()
                self.wfile.write(provider.published)

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"https://127.0.0.1:{self.server.server_port}/keys"


@pytest.fixture(name="provider")
def _provider(tmp_path: Path) -> Iterator[Provider]:
    provider = Provider(tmp_path)
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


def objection(verifier: TokenVerifier, token: str) -> str:
    """What the verifier has against the token; empty if it takes it."""
    try:
        verifier.verify(token)
    except (TokenError, KeyFileError) as error:
        return str(error)
    return ""


def eventually(verifier: TokenVerifier, token: str, *, against: str = "") -> None:
    """Wait until the verifier takes the token, or has that against it."""
    wait_until(
        lambda said: against in said if against else not said,
        lambda: objection(verifier, token),
        what="What the verifier says",
        remedy=f"It should be {against!r}.",
        pause=0.02,
    )


def refusal(verifier: TokenVerifier, token: str) -> Refusal | None:
    with pytest.raises(TokenError) as caught:
        verifier.verify(token)
    return caught.value.reason


def test_tokens_of_a_provider_are_verified_and_its_rotation_is_followed(provider: Provider) -> None:
    # Keys are valid for ten of these: on a busy machine a handshake may take longer than a short one.
    address = KeyAddress(provider.url, ALL, authority=provider.authority, refresh_seconds=2.0)
    verifier = TokenVerifier(keys=address, issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(KeyFileError, match="not known"):
        verifier.verify(signed(RSA, "RS256", "first"))
    eventually(verifier, signed(RSA, "RS256", "first"))
    assert refusal(verifier, signed(CURVE, "ES256", "second")) is Refusal.ALGORITHM
    provider.published = text(entry(CURVE, Algorithm.ES256, "second"))
    eventually(verifier, signed(CURVE, "ES256", "second"))
    # The withdrawn key's tokens, one of them remembered, are refused.
    assert refusal(verifier, signed(RSA, "RS256", "first")) is Refusal.ALGORITHM
    address.close()


def test_keys_of_a_provider_that_fails_stay_for_a_while_and_then_nobody_is_let_in(provider: Provider) -> None:
    address = KeyAddress(provider.url, ALL, authority=provider.authority, refresh_seconds=0.3)
    verifier = TokenVerifier(keys=address, issuer=ISSUER, audience=AUDIENCE)
    token = signed(RSA, "RS256", "first")
    eventually(verifier, token)
    provider.status = 500
    verifier.verify(token)
    eventually(verifier, token, against="still valid")
    provider.status = 200
    eventually(verifier, token)
    address.close()


def test_a_provider_that_once_answers_nonsense_is_asked_again(provider: Provider) -> None:
    good, provider.published = provider.published, text({**entry(RSA, Algorithm.RS256, "first"), "crv": []})
    address = KeyAddress(provider.url, ALL, authority=provider.authority, refresh_seconds=0.1)
    verifier = TokenVerifier(keys=address, issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(KeyFileError):
        verifier.verify(signed(RSA, "RS256", "first"))
    wait_until(lambda asked: asked > 1, lambda: provider.asked, what="The provider", remedy="It should be asked twice.")
    provider.published = good
    eventually(verifier, signed(RSA, "RS256", "first"))
    address.close()


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


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_that_is_no_key_set_is_not_taken_and_no_redirect_followed(provider: Provider, status: int) -> None:
    provider.status = status
    with pytest.raises(KeyFileError, match=f"it answers {status}"):
        KeyAddress(provider.url, ALL, authority=provider.authority).fetch()
    assert provider.asked == 1


def test_a_provider_whose_certificate_nobody_vouches_for_is_not_asked(provider: Provider) -> None:
    with pytest.raises(KeyFileError, match="SSLCertVerificationError"):
        KeyAddress(provider.url, ALL).fetch()


@pytest.mark.parametrize("url", ["http://login.example/keys", "file:///etc/passwd", "https://", "https://a:b@c/keys"])
def test_keys_are_fetched_over_https_only(url: str) -> None:
    with pytest.raises(SettingsError, match="no https address"):
        KeyAddress(url, ALL)


@pytest.mark.parametrize(
    ("content", "culprit"),
    [
        (b"{}", "cannot be read as a key set"),
        (b"[1]", "cannot be read as a key set"),
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


def test_of_many_revocations_at_once_none_is_lost(tmp_path: Path) -> None:
    revoked = tmp_path / "revoked.json"
    begin_revocations(revoked)
    wanted = {f"token-{number}" for number in range(24)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: revoke_token(revoked, name, expires=time.time() + 60), wanted))
    assert set(read_revoked(revoked).tokens) == wanted
