"""Tests of identity providers: every profile, and everything that can be wrong with a token of its shape.

Each verifier takes its keys from an https server, as from the provider.
"""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.security.claims import unverified_token_id
from mlops_assets.platform.security.key_address import KeyAddress
from mlops_assets.platform.security.providers import PROFILES, demand_issuer, read_profile
from mlops_assets.platform.security.revocations import RevocationFile, begin_revocations, revoke_token
from mlops_assets.platform.security.token_verifier import TokenVerifier
from mlops_assets.platform.security.tokens import Principal, Refusal, TokenError
from mlops_assets.platform.security.verification_keys import Algorithm
from mlops_assets.platform.settings import Provider
from mlops_assets_tests.platform.security.identity_provider import (
    ALL,
    CURVE,
    RSA,
    entry,
    refusal,
    running_provider,
    text,
)
from mlops_assets_tests.platform.security.shapes import CLIENT, EDWARDS, KEYS, SHAPES, STRANGERS, UUID, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the curve P-256 (SEC 2)."""


@pytest.fixture(name="keys", scope="module")
def _keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyAddress]:
    with running_provider(tmp_path_factory.mktemp("provider")) as server:
        server.published = text(
            entry(RSA, Algorithm.RS256, "rsa"),
            entry(CURVE, Algorithm.ES256, "curve"),
            entry(EDWARDS, Algorithm.EDDSA, "edwards"),
        )
        address = KeyAddress(server.url, ALL, authority=server.authority, refresh_seconds=3600)
        address.fetch()
        yield address
        address.close()


def verifier_of(shape: Shape, keys: KeyAddress, folder: Path) -> TokenVerifier:
    file = folder / "provider.toml"
    file.write_text(shape.file, encoding="utf-8")
    return TokenVerifier(
        keys=keys,
        issuer=shape.issuer,
        audience=shape.audience,
        profile=read_profile(shape.provider, file),
        required_limits=True,
    )


@pytest.fixture(name="shape_name", params=SHAPES)
def _shape_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(name="shape")
def _shape(shape_name: str) -> Shape:
    return SHAPES[shape_name]


@pytest.fixture(name="verifier")
def _verifier(shape: Shape, keys: KeyAddress, tmp_path: Path) -> TokenVerifier:
    return verifier_of(shape, keys, tmp_path)


def encoded(part: str | bytes) -> str:
    return base64.urlsafe_b64encode(part.encode() if isinstance(part, str) else part).rstrip(b"=").decode()


def by_hand(head: dict[str, Any], payload: bytes, sign: Callable[[bytes], bytes] = EDWARDS.sign) -> str:
    """A token whose parts no library has looked at, signed all the same."""
    given = {name: value for name, value in head.items() if value is not None}
    signed = f"{encoded(json.dumps(given))}.{encoded(payload)}"
    return f"{signed}.{encoded(sign(signed.encode()))}"


def by_public_key(shape: Shape) -> str:
    """A token whose secret is the provider's public key."""
    pem = KEYS[shape.key][0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    mac = jwt.get_algorithm_by_name("HS256")
    return by_hand(shape.head(alg="HS256"), json.dumps(shape.body()).encode(), lambda text: mac.sign(text, pem))


def by_no_key(shape: Shape) -> str:
    return jwt.encode(shape.body(), "", algorithm="none", headers=shape.head())


def of_unknown_algorithm(shape: Shape) -> str:
    return by_hand(shape.head(alg="XX999"), json.dumps(shape.body()).encode())


def with_null_as_limit(shape: Shape) -> str:
    private, algorithm = KEYS[shape.key]
    claims = {**shape.body(), **dict.fromkeys(shape.limits)}
    return jwt.encode(claims, private, algorithm=algorithm, headers=shape.head())


def id_token(shape: Shape) -> str:
    """One of the same login, and for the very audience that the service expects."""
    typ = "JWT" if shape.header.get("typ") else None
    return shape.token(shape.id_claims, head={"typ": typ})


def soon(seconds: int) -> int:
    return int(time.time()) + seconds


OTHERS: Final = {"rsa": "curve", "curve": "edwards", "edwards": "rsa"}
CELLS: Final[dict[str, tuple[Callable[[Shape], str], Refusal | None]]] = {
    "good": (lambda shape: shape.token(), None),
    "audience in a list": (lambda shape: shape.token({shape.audience_in: ["x", shape.audience]}), None),
    "wrong audience": (lambda shape: shape.token({shape.audience_in: "other"}), Refusal.AUDIENCE),
    "wrong issuer": (lambda shape: shape.token({"iss": shape.issuer + "x"}), Refusal.ISSUER),
    "issuer without its last sign": (lambda shape: shape.token({"iss": shape.issuer[:-1]}), Refusal.ISSUER),
    "expired": (lambda shape: shape.token({"exp": soon(-60)}), Refusal.EXPIRED),
    "without end": (lambda shape: shape.token({"exp": None}), Refusal.CLAIMS),
    "not yet valid": (lambda shape: shape.token({"nbf": soon(60)}), Refusal.NOT_YET_VALID),
    "made in the future": (lambda shape: shape.token({"iat": soon(60)}), Refusal.NOT_YET_VALID),
    "ID token": (id_token, Refusal.PURPOSE),
    "other key": (lambda shape: shape.token(by=STRANGERS[shape.key]), Refusal.SIGNATURE),
    "unknown key": (lambda shape: shape.token(head={"kid": "unknown"}), Refusal.UNKNOWN_KEY),
    "key of another algorithm": (lambda shape: shape.token(by=KEYS[OTHERS[shape.key]]), Refusal.ALGORITHM),
    "none": (by_no_key, Refusal.ALGORITHM),
    "unknown alg": (of_unknown_algorithm, Refusal.ALGORITHM),
    "alg of a secret": (by_public_key, Refusal.ALGORITHM),
    "without limits": (lambda shape: shape.token(dict.fromkeys(shape.limits)), None),
    "limit that is null": (with_null_as_limit, Refusal.CLAIMS),
}
EXCEPTIONS: Final = {
    # Its audience is the application's name, and an application has one.
    ("cognito", "audience in a list"): Refusal.CLAIMS,
}


@pytest.mark.parametrize("cell", CELLS)
def test_each_fault_of_a_token_is_found_in_each_providers_shape(
    shape_name: str, shape: Shape, verifier: TokenVerifier, cell: str
) -> None:
    make, reason = CELLS[cell]
    token, reason = make(shape), EXCEPTIONS.get((shape_name, cell), reason)
    if reason is not None:
        assert refusal(verifier, token) is reason
        return
    principal = verifier.verify(token)
    limits = {} if cell == "without limits" else {"territory": frozenset({"A", "B"})}
    assert (principal.scopes, principal.limits) == (shape.scopes, limits)
    assert principal.lacks_limit("territory") == (cell == "without limits")
    assert principal.lacks_limit("region")


def test_the_name_is_the_applications_in_a_form_that_is_fit_for_a_log(shape: Shape, verifier: TokenVerifier) -> None:
    name = verifier.verify(shape.token()).name
    assert name == shape.name if shape.name else re.fullmatch("client-[0-9a-f]{16}", name)


def test_the_id_is_the_tokens_own_or_a_hash_that_can_be_found_again(shape: Shape, verifier: TokenVerifier) -> None:
    token = shape.token()
    found = verifier.verify(token).token_id
    assert found == shape.id_here if shape.id_here else re.fullmatch("[A-Za-z0-9_-]{43}", str(found))
    assert unverified_token_id(token, verifier.profile) == found


def test_a_token_is_revoked_by_that_id(shape: Shape, verifier: TokenVerifier, tmp_path: Path) -> None:
    begin_revocations(tmp_path / "revoked.json")
    verifier.revocations = RevocationFile(tmp_path / "revoked.json")
    token, later = shape.token(), shape.token({"exp": soon(600), str(verifier.profile.id_from): f"{UUID[:-1]}0"})
    verifier.verify(token)
    revoke_token(tmp_path / "revoked.json", unverified_token_id(token, verifier.profile), expires=time.time() + 600)
    time.sleep(0.6)
    assert refusal(verifier, token) is Refusal.REVOKED
    verifier.verify(later)


def test_another_text_of_the_same_signature_is_the_same_token(keys: KeyAddress, tmp_path: Path) -> None:
    shape = SHAPES["auth0"]
    verifier = verifier_of(shape, keys, tmp_path)
    token = shape.token(by=KEYS["curve"], head={"kid": "curve"})
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    assert decode_dss_signature(encode_dss_signature(r, ORDER - s)) == (r, ORDER - s)
    other = f"{signed}.{encoded(r.to_bytes(32, 'big') + (ORDER - s).to_bytes(32, 'big'))}"
    assert other != token
    assert verifier.verify(other).token_id == verifier.verify(token).token_id
    assert verifier.verify(f"{token}==").token_id == verifier.verify(token).token_id


@pytest.mark.parametrize("name", ["jane.doe@acme.example", "Jane Doe", "a", "x" * 64, "client-0123456789abcdef", "é"])
def test_what_is_no_applications_name_does_not_reach_the_log(keys: KeyAddress, tmp_path: Path, name: str) -> None:
    shape = SHAPES["auth0"]
    verifier = verifier_of(shape, keys, tmp_path)
    found = verifier.verify(shape.token({"azp": name})).name
    assert re.fullmatch("client-[0-9a-f]{16}", found)
    assert found != name
    assert verifier.verify(shape.token({"azp": name, "scope": "openid"})).name == found
    assert verifier.verify(shape.token({"azp": f"{name}2"})).name != found


@pytest.mark.parametrize("scopes", ["predictions:read models:infer", ["predictions:read", "models:infer"]])
@pytest.mark.parametrize("of", ["okta", "entra v2.0, a person's"])
def test_scopes_may_be_a_text_or_a_list(keys: KeyAddress, tmp_path: Path, of: str, scopes: object) -> None:
    shape = SHAPES[of]
    principal = verifier_of(shape, keys, tmp_path).verify(shape.token({"scp": scopes}))
    assert principal.scopes == {"predictions:read", "models:infer"}


def test_one_value_of_a_limit_may_be_a_text(keys: KeyAddress, tmp_path: Path) -> None:
    shape = SHAPES["entra v2.0, a person's"]
    principal = verifier_of(shape, keys, tmp_path).verify(shape.token({"extension_territory": "A B"}))
    assert principal.limits == {"territory": {"A B"}}


def test_a_role_of_another_client_means_nothing_here(keys: KeyAddress, tmp_path: Path) -> None:
    shape = SHAPES["keycloak"]
    principal = verifier_of(shape, keys, tmp_path).verify(shape.token())
    assert "metrics:read" not in principal.scopes


def test_tokens_of_a_person_and_of_an_application_are_known_by_the_application(
    keys: KeyAddress, tmp_path: Path
) -> None:
    shape = SHAPES["entra v2.0, a person's"]
    principal = verifier_of(shape, keys, tmp_path).verify(shape.token())
    assert principal.name == CLIENT
    assert not any(part in repr(principal) for part in ("jane", "Jane", UUID))


def test_a_principal_may_be_each_person_by_an_id_that_is_no_name_and_still_by_no_id_token(
    keys: KeyAddress, tmp_path: Path
) -> None:
    shape = SHAPES["entra v2.0, a person's"]
    each = replace(shape, file=f'name_from = ["oid"]\n{shape.file}')
    verifier = verifier_of(each, keys, tmp_path)
    assert verifier.verify(each.token()).name == UUID
    assert refusal(verifier, id_token(each)) is Refusal.PURPOSE


def test_there_is_a_profile_for_each_provider_of_the_settings() -> None:
    assert set(PROFILES) == set(Provider)


@pytest.mark.parametrize("name", SHAPES)
def test_the_issuer_of_the_settings_has_to_look_like_one_of_the_provider(name: str) -> None:
    shape = SHAPES[name]
    demand_issuer(PROFILES[shape.provider], shape.issuer, shape.provider)


@pytest.mark.parametrize(
    ("provider", "issuer"),
    [
        ("auth0", "https://acme.eu.auth0.com"),
        ("entra", "https://login.microsoftonline.com/common/v2.0"),
        ("entra", f"https://login.microsoftonline.com/{CLIENT}/v2.0/"),
        ("okta", "https://acme.okta.com"),
        ("cognito", "https://cognito-idp.eu-west-1.amazonaws.com/"),
        ("keycloak", "https://login.example/realms/acme/"),
        ("keycloak", "mlops-assets"),
    ],
)
def test_an_issuer_that_no_token_can_name_is_refused_at_the_start(provider: str, issuer: str) -> None:
    with pytest.raises(SettingsError, match="is no issuer of"):
        demand_issuer(PROFILES[provider], issuer, provider)


@pytest.mark.parametrize(
    ("content", "culprit"),
    [
        ("types = [", "cannot be read"),
        ("typos = 1", "unknown field `typos`"),
        ("leeway_seconds = 3600", "leeway_seconds"),
        ("algorithms = ['HS256']", "Invalid enum value 'HS256'"),
        ("name_from = []", "name_from"),
        ("issuer = '['", "cannot be read"),
        ("scopes = {a = 'Not A Scope'}", "cannot be the name of a scope"),
        ("limits_from = {Territory = 'a'}", "cannot be columns"),
        ("limits_from = {territory = 5}", "limits_from"),
    ],
)
def test_a_profile_that_cannot_be_meant_is_refused(tmp_path: Path, content: str, culprit: str) -> None:
    file = tmp_path / "provider.toml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=culprit):
        read_profile("auth0", file)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_profile("auth0", tmp_path / "missing.toml")


def test_a_provider_that_nobody_knows_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(SettingsError, match="Choose among own, keycloak, entra, auth0, okta, cognito"):
        read_profile("elsewhere")


def deep(levels: int) -> Any:  # noqa: ANN401  any JSON value
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


ANY_TEXT: Final = st.text(st.characters(exclude_categories=()), max_size=12)
LEAVES: Final = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | ANY_TEXT
    | st.sampled_from([10**400, -(10**400), 10**18, 1e308, "\ud800", "", [], {}, deep(200), deep(700)])
)
VALUES: Final = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=5,
)
NAMES: Final = st.sampled_from(
    [
        *("iss", "aud", "exp", "iat", "nbf", "sub", "azp", "appid", "cid", "client_id", "jti", "uti", "ver", "typ"),
        *("scope", "scp", "roles", "permissions", "cognito:groups", "realm_access", "resource_access", "token_use"),
        *("limits", "cnf", "territory", "territories", "extension_territory", "custom:territory", "nonce"),
        "https://acme.example/territories",
    ]
)
HEADERS: Final = st.dictionaries(
    st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "x5t"]), VALUES, max_size=3
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(header=HEADERS, changes=st.dictionaries(NAMES, VALUES, max_size=4), raw=st.none() | st.binary(max_size=40))
def test_whatever_a_signed_token_says_it_is_understood_or_refused_with_a_reason(
    shape: Shape, verifier: TokenVerifier, header: dict[str, Any], changes: dict[str, Any], raw: bytes | None
) -> None:
    payload = json.dumps({**shape.body(), **changes}).encode() if raw is None else raw
    token = by_hand({**shape.head(kid="edwards", alg="EdDSA"), **header}, payload)
    try:
        principal = verifier.verify(token)
    except TokenError as error:
        assert isinstance(error.reason, Refusal)  # noqa: PT017  either of two outcomes is good
        return
    assert isinstance(principal, Principal)
    assert re.fullmatch("[a-z0-9][a-z0-9-]{1,62}", principal.name)
    assert re.fullmatch("[A-Za-z0-9_-]{8,64}", str(principal.token_id))
    assert all(isinstance(scope, str) for scope in principal.scopes)
    assert all(isinstance(value, str) for values in principal.limits.values() for value in values)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("levels", [900, 1_000, 1_500, 3_000, 100_000])
@pytest.mark.parametrize("where", ["header", "payload"])
def test_json_nested_ever_so_deep_is_malformed(
    shape: Shape, verifier: TokenVerifier, opening: str, levels: int, where: str
) -> None:
    nest = opening * levels + "1" + ("]" if opening == "[" else "}") * levels
    head = json.dumps({**shape.header, "kid": "edwards", "alg": "EdDSA"})
    body = json.dumps({"iss": shape.issuer})
    parts = [head[:-1] + f', "x": {nest}}}', body] if where == "header" else [head, body[:-1] + f', "x": {nest}}}']
    signed = ".".join(map(encoded, parts))
    with pytest.raises(TokenError):
        verifier.verify(f"{signed}.{encoded(EDWARDS.sign(signed.encode()))}")
