"""Tests of keys that an identity provider publishes at an address, against a real https server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from mlops_assets.demo.waiting import wait_until
from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.security import key_address
from mlops_assets.platform.security.key_address import KeyAddress
from mlops_assets.platform.security.token_keys import KeyFileError
from mlops_assets.platform.security.token_verifier import TokenVerifier
from mlops_assets.platform.security.tokens import Refusal, TokenError
from mlops_assets.platform.security.verification_keys import Algorithm
from mlops_assets_tests.platform.security.identity_provider import (
    ALL,
    AUDIENCE,
    CURVE,
    ISSUER,
    RSA,
    Provider,
    entry,
    proxy_to,
    refusal,
    running_provider,
    signed,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="provider")
def _provider(tmp_path: Path) -> Iterator[Provider]:
    with running_provider(tmp_path) as provider:
        yield provider


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


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_that_is_no_key_set_is_not_taken_and_no_redirect_followed(provider: Provider, status: int) -> None:
    provider.status = status
    with pytest.raises(KeyFileError, match=f"it answers {status}"):
        KeyAddress(provider.url, ALL, authority=provider.authority).fetch()
    assert provider.asked == 1


def test_a_provider_that_answers_byte_by_byte_is_not_waited_for(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_address, "_TOTAL_SECONDS", 0.5)
    provider.pause = 0.1
    began = time.monotonic()
    with pytest.raises(KeyFileError, match="bytes too early"):
        KeyAddress(provider.url, ALL, authority=provider.authority).fetch()
    assert time.monotonic() - began < 3
    provider.pause = 0.0
    KeyAddress(provider.url, ALL, authority=provider.authority).fetch()


def test_a_provider_whose_certificate_nobody_vouches_for_is_not_asked(provider: Provider) -> None:
    with pytest.raises(KeyFileError, match="SSLCertVerificationError"):
        KeyAddress(provider.url, ALL).fetch()


@pytest.mark.parametrize("url", ["http://login.example/keys", "file:///etc/passwd", "https://", "https://a:b@c/keys"])
def test_keys_are_fetched_over_https_only(url: str) -> None:
    with pytest.raises(SettingsError, match="no https address"):
        KeyAddress(url, ALL)


def test_keys_are_fetched_by_way_of_a_proxy_that_sees_nothing_of_them(provider: Provider) -> None:
    with proxy_to(provider.server.server_port) as proxy:
        address = KeyAddress(provider.url, ALL, authority=provider.authority, proxy=proxy.url)
        address.fetch()
        verifier = TokenVerifier(keys=address, issuer=ISSUER, audience=AUDIENCE)
        assert verifier.verify(signed(RSA, "RS256", "first")).key_id == "first"
        address.close()
    assert proxy.asked[0].split()[:2] == [b"CONNECT", b"127.0.0.1:%d" % provider.server.server_port]
    assert proxy.passed
    assert b"/keys" not in proxy.passed
    assert b"first" not in proxy.passed


def test_a_proxy_that_does_not_know_the_provider_is_named_with_its_answer(provider: Provider) -> None:
    with proxy_to(1) as proxy, pytest.raises(KeyFileError, match=r"proxy 127\.0\.0\.1:\d+ \(Tunnel .* 403 Filtered"):
        KeyAddress(provider.url, ALL, authority=provider.authority, proxy=proxy.url).fetch()
    assert provider.asked == 0


def test_a_proxy_does_not_vouch_for_the_provider(provider: Provider) -> None:
    with proxy_to(provider.server.server_port) as proxy, pytest.raises(KeyFileError, match="SSLCertVerificationError"):
        KeyAddress(provider.url, ALL, proxy=proxy.url).fetch()
    assert provider.asked == 0


@pytest.mark.parametrize("url", ["https://proxy:1", "proxy:1", "http://", "http://a:b@c:1", "http://c:x", "http://c/d"])
def test_a_proxy_has_a_plain_address_without_account(url: str) -> None:
    with pytest.raises(SettingsError, match="KEYS_URL_PROXY"):
        KeyAddress("https://login.example/keys", ALL, proxy=url)
