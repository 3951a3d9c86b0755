"""Tests of keys and access tokens, with real signatures."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.platform.security.providers import OWN, PROFILES
from mlops_assets.platform.security.token_keys import (
    KeyFileError,
    create_keys,
    key_id_of,
    read_keys,
    read_signing_key,
    retire_key,
    rotate_keys,
)
from mlops_assets.platform.security.token_verifier import TokenVerifier
from mlops_assets.platform.security.tokens import MAX_LIFETIME, Principal, Refusal, TokenError, issue_token
from mlops_assets.platform.security.verification_keys import KeyFile

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.platform.security.tokens import Columns

ISSUER = "issuer"
AUDIENCE = "service"
HOUR = timedelta(hours=1)


class Office:
    """Keys in a folder, and what issues and verifies with them."""

    def __init__(self, folder: Path) -> None:
        self.signing_key = folder / "private" / "signing.pem"
        self.keys = folder / "public" / "jwks.json"
        self.key_id = create_keys(self.signing_key, self.keys)
        self.verifier = TokenVerifier(keys=KeyFile(self.keys), issuer=ISSUER, audience=AUDIENCE)

    def issue(self, **changes: Any) -> str:  # noqa: ANN401  any argument of issue_token
        arguments = {
            "principal": "dashboard",
            "scopes": ["predictions:read"],
            "lifetime": HOUR,
            "signing_key": self.signing_key,
            "issuer": ISSUER,
            "audience": AUDIENCE,
            **changes,
        }
        return issue_token(**arguments)

    def sign(self, header: dict[str, Any] | None = None, **claims: Any) -> str:  # noqa: ANN401  any JSON value
        """A token with those claims instead of the usual ones; a claim that is ``None`` is left out."""
        now = int(time.time())
        usual = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "dashboard",
            "scope": "predictions:read",
            "iat": now,
            "nbf": now,
            "exp": now + 60,
            "jti": "0" * 32,
            **claims,
        }
        return jwt.encode(
            {name: value for name, value in usual.items() if value is not None},
            read_signing_key(self.signing_key),
            algorithm="EdDSA",
            headers={"kid": self.key_id, "typ": "at+jwt", **(header or {})},
        )

    def refusal(self, token: str) -> Refusal | None:
        with pytest.raises(TokenError) as caught:
            self.verifier.verify(token)
        assert token not in str(caught.value) or not token
        return caught.value.reason


@pytest.fixture(name="office")
def _office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def look_again(verifier: TokenVerifier) -> None:
    """Let the time pass between two looks at the JWKS file."""
    assert isinstance(verifier.keys, KeyFile)
    verifier.keys._file._look_again = 0.0


def test_a_token_says_who_asks_and_what_it_may_see(office: Office) -> None:
    principal = office.verifier.verify(office.issue(limits={"state": ["NC", "GA"]}))
    assert principal.name == "dashboard"
    assert principal.scopes == {"predictions:read"}
    assert principal.limits == {"state": {"NC", "GA"}}
    assert principal.key_id == office.key_id
    assert principal.expires == pytest.approx(time.time() + HOUR.total_seconds(), abs=60)


def test_a_token_without_limit_sees_everything_and_one_with_an_empty_limit_nothing(office: Office) -> None:
    assert office.verifier.verify(office.issue()).limits == {}
    assert office.verifier.verify(office.issue(limits={"state": []})).limits == {"state": frozenset()}


@pytest.mark.parametrize(
    ("required", "limits", "lacking"),
    [
        (frozenset(), None, set()),
        (frozenset({"state"}), None, {"state"}),
        (frozenset({"state"}), {"state": []}, set()),
        (frozenset({"state"}), {"territory": ["A"]}, {"state"}),
        (True, None, {"state", "territory"}),
        (True, {"territory": ["A"]}, {"state"}),
    ],
)
def test_a_token_lacks_the_limits_that_are_required_and_that_it_has_not(
    office: Office, required: Columns, limits: dict[str, list[str]] | None, lacking: set[str]
) -> None:
    office.verifier.required_limits = required
    principal = office.verifier.verify(office.issue(limits=limits))
    assert {column for column in ("state", "territory") if principal.lacks_limit(column)} == lacking


def test_an_audience_may_be_one_of_several(office: Office) -> None:
    assert office.verifier.verify(office.sign(aud=["other", AUDIENCE])).name == "dashboard"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": int(time.time()) - 60}, Refusal.EXPIRED),
        ({"nbf": int(time.time()) + 36_000}, Refusal.NOT_YET_VALID),
        ({"iat": int(time.time()) + 36_000}, Refusal.NOT_YET_VALID),
        ({"iss": "other"}, Refusal.ISSUER),
        ({"aud": "other"}, Refusal.AUDIENCE),
        ({"aud": ["other"]}, Refusal.AUDIENCE),
        ({"aud": []}, Refusal.AUDIENCE),
        ({"aud": [[AUDIENCE]]}, Refusal.AUDIENCE),
        ({"aud": {AUDIENCE: 1}}, Refusal.AUDIENCE),
        ({"sub": "someone@example.org"}, Refusal.CLAIMS),
        ({"sub": 'a"\n{}'}, Refusal.CLAIMS),
        ({"jti": "not an id"}, Refusal.CLAIMS),
        ({"scope": [1]}, Refusal.CLAIMS),
        ({"scope": {}}, Refusal.CLAIMS),
        ({"limits": {"state": "NC"}}, Refusal.CLAIMS),
        ({"limits": {"state": [1]}}, Refusal.CLAIMS),
        *(({name: None}, Refusal.CLAIMS) for name in ("exp", "nbf", "iat", "sub", "jti", "scope", "iss", "aud")),
    ],
)
def test_a_wrong_or_missing_claim_is_refused(office: Office, claims: dict[str, Any], reason: Refusal) -> None:
    assert office.refusal(office.sign(**claims)) is reason


def test_a_null_limit_is_refused_and_not_taken_for_no_limit(office: Office) -> None:
    private = read_signing_key(office.signing_key)
    claims = jwt.decode(office.sign(), options={"verify_signature": False})
    token = jwt.encode(
        {**claims, "limits": None}, private, algorithm="EdDSA", headers={"kid": office.key_id, "typ": "at+jwt"}
    )
    assert office.refusal(token) is Refusal.CLAIMS


def test_a_few_seconds_of_difference_between_clocks_are_forgiven(office: Office) -> None:
    now = int(time.time())
    office.verifier.verify(office.sign(nbf=now + 2, iat=now + 2))
    office.verifier.verify(office.sign(exp=now - 2))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "....", "é.é.é", "\udcff", "a" * 5000])
def test_what_is_no_token_is_refused(office: Office, token: str) -> None:
    assert office.refusal(token) is Refusal.MALFORMED


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changing_any_character_makes_a_token_invalid(office: Office, data: st.DataObject) -> None:
    token = office.sign()
    place = data.draw(st.integers(0, len(token) - 2))  # the last character holds unused bits
    other = data.draw(st.sampled_from("ABCxyz019_-.").filter(lambda character: character != token[place]))
    with pytest.raises(TokenError):
        office.verifier.verify(token[:place] + other + token[place + 1 :])


def test_other_algorithms_are_refused(office: Office) -> None:
    claims = jwt.decode(office.sign(), options={"verify_signature": False})
    headers = {"kid": office.key_id, "typ": "at+jwt"}
    public = read_keys(office.keys)[office.key_id]
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    rsa = generate_private_key(public_exponent=65537, key_size=2048)
    assert office.refusal(jwt.encode(claims, "", algorithm="none", headers=headers)) is Refusal.ALGORITHM
    assert office.refusal(jwt.encode(claims, raw, algorithm="HS256", headers=headers)) is Refusal.ALGORITHM
    assert office.refusal(jwt.encode(claims, rsa, algorithm="RS256", headers=headers)) is Refusal.ALGORITHM


def test_a_token_for_another_purpose_is_refused(office: Office) -> None:
    assert office.refusal(office.sign({"typ": "JWT"})) is Refusal.PURPOSE
    assert office.refusal(office.sign({"typ": None})) is Refusal.PURPOSE


def test_extensions_that_must_be_understood_are_refused(office: Office) -> None:
    assert office.refusal(office.sign({"crit": ["exp"]})) is Refusal.MALFORMED


def test_unknown_keys_and_forged_signatures_are_refused(office: Office, tmp_path: Path) -> None:
    stranger = Office(tmp_path / "stranger")
    assert office.refusal(stranger.sign()) is Refusal.UNKNOWN_KEY
    assert office.refusal(stranger.sign({"kid": office.key_id})) is Refusal.SIGNATURE
    assert office.refusal(office.sign({"kid": "absent"})) is Refusal.UNKNOWN_KEY


def test_a_remembered_token_still_expires(office: Office) -> None:
    token = office.sign(exp=int(time.time()) - 60)
    office.verifier.profile = msgspec.structs.replace(PROFILES[OWN], leeway_seconds=300.0)
    office.verifier.verify(token)
    office.verifier.profile = PROFILES[OWN]
    assert office.refusal(token) is Refusal.EXPIRED


def test_a_rotated_key_is_followed_and_old_tokens_stay_valid(office: Office) -> None:
    old = office.issue()
    office.verifier.verify(old)
    new_key_id = rotate_keys(office.signing_key, office.keys)
    new = office.issue()
    look_again(office.verifier)
    assert office.verifier.verify(new).key_id == new_key_id
    assert office.verifier.verify(old).key_id == office.key_id


def test_a_retired_key_ends_its_tokens_even_remembered_ones(office: Office) -> None:
    old = office.issue()
    office.verifier.verify(old)
    rotate_keys(office.signing_key, office.keys)
    retire_key(office.keys, office.key_id)
    look_again(office.verifier)
    assert office.refusal(old) is Refusal.UNKNOWN_KEY


def test_the_keys_are_not_looked_at_all_the_time(office: Office) -> None:
    old = office.issue()
    office.verifier.verify(old)
    assert isinstance(office.verifier.keys, KeyFile)
    office.verifier.keys._file._look_again = time.monotonic() + 60
    office.keys.unlink()
    office.verifier.verify(old)


def test_nobody_is_let_in_while_the_keys_are_missing_or_damaged(office: Office) -> None:
    token = office.issue()
    office.verifier.verify(token)
    content = office.keys.read_bytes()
    for damaged in (None, b"", b"[]", b'{"keys": 1}', b'{"keys": ["x"]}', b'{"keys": [{"kty": "RSA", "kid": "a"}]}'):
        if damaged is None:
            office.keys.unlink()
        else:
            office.keys.write_bytes(damaged)
        look_again(office.verifier)
        for _ in range(2):
            with pytest.raises(KeyFileError):
                office.verifier.verify(token)
    office.keys.write_bytes(content)
    look_again(office.verifier)
    assert isinstance(office.verifier.verify(token), Principal)


def test_a_private_key_among_the_public_ones_is_refused(office: Office) -> None:
    document = json.loads(office.keys.read_bytes())
    document["keys"][0]["d"] = "secret"
    office.keys.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(KeyFileError, match="it holds a private key") as caught:
        read_keys(office.keys)
    assert "secret" not in str(caught.value)


def test_the_key_file_is_a_key_set_that_other_libraries_read(office: Office) -> None:
    (key,) = jwt.PyJWKSet.from_json(office.keys.read_text(encoding="utf-8")).keys
    assert key.key_id == office.key_id
    claims = jwt.decode(office.issue(), key, algorithms=["EdDSA"], audience=AUDIENCE, issuer=ISSUER)
    assert claims["sub"] == "dashboard"


def test_a_key_id_is_the_thumbprint_of_the_standard_example() -> None:
    # RFC 8037, appendix A.1 to A.3.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    assert key_id_of(public) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_signing_key_is_for_its_owner_only(office: Office) -> None:
    assert office.signing_key.stat().st_mode & 0o777 == 0o600
    rotate_keys(office.signing_key, office.keys)
    assert office.signing_key.stat().st_mode & 0o777 == 0o600
    office.signing_key.chmod(0o640)
    with pytest.raises(KeyFileError, match="others than its owner may read it"):
        office.issue()


def test_a_signing_key_of_another_kind_is_refused(office: Office) -> None:
    other = generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    office.signing_key.write_bytes(pem)
    with pytest.raises(KeyFileError, match="no Ed25519 key"):
        office.issue()
    office.signing_key.write_bytes(b"not a key")
    with pytest.raises(KeyFileError, match="cannot be read"):
        office.issue()


def test_keys_are_not_created_over_existing_ones(office: Office) -> None:
    content = office.signing_key.read_bytes()
    with pytest.raises(KeyFileError, match="there is a signing key already"):
        create_keys(office.signing_key, office.keys)
    assert office.signing_key.read_bytes() == content


def test_of_many_rotations_and_retirements_at_once_none_is_lost(office: Office) -> None:
    old = [rotate_keys(office.signing_key, office.keys) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        retired = [pool.submit(retire_key, office.keys, key_id) for key_id in old]
        made = [pool.submit(rotate_keys, office.signing_key, office.keys) for _ in range(8)]
    for one in retired:
        one.result()
    assert set(read_keys(office.keys)) == {office.key_id, *(one.result() for one in made)}


def test_the_only_key_and_unknown_keys_cannot_be_retired(office: Office) -> None:
    with pytest.raises(KeyFileError, match="its only key"):
        retire_key(office.keys, office.key_id)
    with pytest.raises(KeyFileError, match="holds no key absent"):
        retire_key(office.keys, "absent")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"principal": "someone@example.org"}, "no application's name"),
        ({"scopes": []}, "the scopes are"),
        ({"scopes": ["two words"]}, "the scopes are"),
        ({"lifetime": timedelta(0)}, "the lifetime is"),
        ({"lifetime": MAX_LIFETIME + timedelta(seconds=1)}, "the lifetime is"),
        ({"limits": {"Exp": ["1"]}}, "no columns of tables"),
    ],
)
def test_a_token_that_breaks_the_rules_is_not_issued(office: Office, changes: dict[str, object], message: str) -> None:
    with pytest.raises(TokenError, match=message):
        office.issue(**changes)


def test_tokens_and_exports_need_no_orchestrator() -> None:
    program = (
        "import sys, mlops_assets.platform.security.tokens, mlops_assets.platform.exports.export;"
        "print([m for m in ('dagster', 'duckdb', 'ibis', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
