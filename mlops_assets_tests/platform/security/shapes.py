"""Tokens as the identity providers make them, by their documentation: the claims of an application's access token.

Put here the shapes, with names and keys of our own. Keep out what is wrong with a token, which a test adds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key

from mlops_assets_tests.platform.security.identity_provider import CURVE, RSA

if TYPE_CHECKING:
    from collections.abc import Mapping

EDWARDS: Final = Ed25519PrivateKey.generate()
KEYS: Final[Mapping[str, tuple[Any, str]]] = {
    "rsa": (RSA, "RS256"),
    "curve": (CURVE, "ES256"),
    "edwards": (EDWARDS, "EdDSA"),
}
STRANGERS: Final[Mapping[str, tuple[Any, str]]] = {
    "rsa": (generate_rsa_key(65537, 2048), "RS256"),
    "curve": (generate_curve_key(SECP256R1()), "ES256"),
    "edwards": (Ed25519PrivateKey.generate(), "EdDSA"),
}
"""Keys of the same kinds, which no provider has published."""
TENANT: Final = "11111111-2222-3333-4444-555555555555"
API: Final = "66666666-7777-8888-9999-aaaaaaaaaaaa"
CLIENT: Final = "bbbbbbbb-cccc-dddd-eeee-ffffffffffff"
UUID: Final = "312ee6a0-2f1c-4a54-9d11-0123456789ab"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A provider's tokens, and what should be understood of one.

    Attributes:
        provider: the profile's name.
        issuer: the issuer, as the settings name it.
        audience: the audience, likewise.
        claims: claims of an access token, beside the times.
        id_claims: what differs in an ID token of the same login, for the same audience; ``None`` takes a claim away.
        limits: claims that limit it to the territories A and B.
        file: what the operator declares.
        scopes: the scopes that it has here.
        name: the name it has here; one made of a hash when ``None``.
        id_here: its id here; a hash when ``None``.
        header: members of the header beside key and algorithm.
        key: which of the keys signs it.
        audience_in: the claim that names the audience.
    """

    provider: str
    issuer: str
    audience: str
    claims: Mapping[str, Any]
    id_claims: Mapping[str, Any]
    limits: Mapping[str, Any]
    file: str
    scopes: frozenset[str]
    name: str | None
    id_here: str | None
    header: Mapping[str, Any] = field(default_factory=lambda: {"typ": "JWT"})
    key: str = "rsa"
    audience_in: str = "aud"

    def head(self, **changes: object) -> dict[str, Any]:
        """The header of its tokens, beside the algorithm, with those members instead of its own."""
        return {"typ": None, "kid": self.key, **self.header, **changes}

    def body(self, **changes: object) -> dict[str, Any]:
        """Good claims, with those instead of its own; one that is ``None`` is left out."""
        now = int(time.time())
        claims = {"iss": self.issuer, "iat": now, "exp": now + 300, **self.claims, **self.limits, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self,
        claims: Mapping[str, Any] | None = None,
        *,
        by: tuple[Any, str] | None = None,
        head: Mapping[str, Any] | None = None,
    ) -> str:
        """A token of its shape with those claims, signed by its key or another."""
        private, algorithm = by or KEYS[self.key]
        headers = self.head(**(head or {}))
        return jwt.encode(self.body(**(claims or {})), private, algorithm=algorithm, headers=headers)


SHAPES: Final[Mapping[str, Shape]] = {
    "own": Shape(
        provider="own",
        issuer="mlops-assets",
        audience="mlops-assets-service",
        header={"typ": "at+jwt"},
        key="edwards",
        claims={
            "aud": "mlops-assets-service",
            "sub": "dashboard",
            "scope": "customers:read models:infer",
            "nbf": 1,
            "jti": UUID,
        },
        id_claims={"nonce": "x"},
        limits={"limits": {"territory": ["A", "B"]}},
        file="",
        scopes=frozenset({"customers:read", "models:infer"}),
        name="dashboard",
        id_here=UUID,
    ),
    # A service account, from version 25 on: the id has a prefix that tells how the token was got.
    "keycloak": Shape(
        provider="keycloak",
        issuer="https://login.example/realms/acme",
        audience="predictions",
        claims={
            "jti": f"trrtcc:{UUID}",
            "aud": ["predictions", "account"],
            "sub": UUID,
            "typ": "Bearer",
            "azp": "Acme-Dashboard",
            "acr": "1",
            "allowed-origins": ["/*"],
            "realm_access": {"roles": ["offline_access", "wrangler"]},
            "resource_access": {"predictions": {"roles": ["models:infer"]}, "account": {"roles": ["metrics:read"]}},
            "scope": "profile email customers:read",
            "clientHost": "192.0.2.1",
            "preferred_username": "service-account-acme-dashboard",
            "client_id": "Acme-Dashboard",
        },
        id_claims={"typ": "ID", "at_hash": "x", "scope": None, "realm_access": None, "resource_access": None},
        limits={"territory": ["A", "B"]},
        file='limits_from = {territory = "territory"}\nscopes = {wrangler = ["features:read", "predictions:read"]}',
        scopes=frozenset(
            {
                *("profile", "email", "offline_access"),
                *("customers:read", "models:infer", "features:read", "predictions:read"),
            }
        ),
        name="acme-dashboard",
        id_here=None,
    ),
    # With the option "Use "at+jwt" as access token header type", and the limits within an object.
    "keycloak of RFC 9068": Shape(
        provider="keycloak",
        issuer="https://login.example/auth/realms/acme",
        audience="predictions",
        header={"typ": "at+jwt"},
        key="curve",
        claims={"jti": UUID, "aud": "predictions", "sub": UUID, "typ": "Bearer", "azp": "a", "scope": "customers:read"},
        id_claims={"typ": "ID"},
        limits={"limits": {"territory": ["A", "B"]}},
        file='limits_from = {territory = ["limits", "territory"]}',
        scopes=frozenset({"customers:read"}),
        name=None,
        id_here=UUID,
    ),
    "entra v2.0, a person's": Shape(
        provider="entra",
        issuer=f"https://login.microsoftonline.com/{TENANT}/v2.0",
        audience=API,
        claims={
            "aud": API,
            "nbf": 1,
            "aio": "AXQAi/8TAAAA",
            "azp": CLIENT,
            "azpacr": "1",
            "name": "Jane Doe",
            "oid": UUID,
            "preferred_username": "jane.doe@acme.example",
            "rh": "0.AXQA.",
            "scp": "predictions.read openid",
            "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
            "tid": TENANT,
            "uti": "fqiBqXLPj0eQa82S-IYFAA",
            "ver": "2.0",
        },
        id_claims={"azp": None, "azpacr": None, "scp": None, "roles": ["predictions:read"]},
        limits={"extension_territory": ["A", "B"]},
        file='limits_from = {territory = "extension_territory"}\nscopes = {"predictions.read" = "predictions:read"}',
        scopes=frozenset({"predictions:read", "openid"}),
        name=CLIENT,
        id_here="fqiBqXLPj0eQa82S-IYFAA",
    ),
    "entra v1.0, an application's": Shape(
        provider="entra",
        issuer=f"https://sts.windows.net/{TENANT}/",
        audience=API,
        header={"typ": "JWT", "x5t": "rsa"},
        claims={
            "aud": f"api://{API}",
            "nbf": 1,
            "aio": "E2ZgYFgf",
            "appid": CLIENT.upper(),
            "appidacr": "1",
            "idp": f"https://sts.windows.net/{TENANT}/",
            "oid": UUID,
            "rh": "0.AXQA.",
            "roles": ["Predictions.Read.All"],
            "sub": UUID,
            "tid": TENANT,
            "uti": "fqiBqXLPj0eQa82S-IYFAA",
            "ver": "1.0",
        },
        id_claims={"appid": None, "appidacr": None, "nonce": "12345"},
        limits={"territories": ["A", "B"]},
        file=f'audiences = ["api://{API}"]\nlimits_from = {{territory = "territories"}}\n'
        'scopes = {"Predictions.Read.All" = "predictions:read"}',
        scopes=frozenset({"predictions:read"}),
        name=CLIENT,
        id_here="fqiBqXLPj0eQa82S-IYFAA",
    ),
    # Of an application: no id, and a subject that is no name. Custom claims have the address of a namespace.
    "auth0": Shape(
        provider="auth0",
        issuer="https://acme.eu.auth0.com/",
        audience="https://predictions.example",
        claims={
            "sub": "Zq3T7hXkLmN0pR5sVwYb@clients",
            "aud": ["https://predictions.example", "https://acme.eu.auth0.com/userinfo"],
            "azp": "Zq3T7hXkLmN0pR5sVwYb",
            "gty": "client-credentials",
            "scope": "predictions:read",
            "permissions": ["models:infer"],
        },
        id_claims={"nonce": "x", "azp": None, "scope": None, "permissions": None, "sid": "y"},
        limits={"https://acme.example/territories": ["A", "B"]},
        file='limits_from = {territory = "https://acme.example/territories"}',
        scopes=frozenset({"predictions:read", "models:infer"}),
        name="zq3t7hxklmn0pr5svwyb",
        id_here=None,
    ),
    "auth0 of RFC 9068": Shape(
        provider="auth0",
        issuer="https://login.acme.example/",
        audience="https://predictions.example",
        header={"typ": "at+jwt"},
        claims={
            "sub": "auth0|123456",
            "aud": "https://predictions.example",
            "client_id": "Zq3T7hXkLmN0pR5sVwYb",
            "jti": "73WakrfVbNJBaAmhQtEeDv",
            "scope": "openid predictions:read",
        },
        id_claims={"client_id": None, "jti": None, "scope": None},
        limits={"https://acme.example/territories": ["A", "B"]},
        file='limits_from = {territory = "https://acme.example/territories"}',
        scopes=frozenset({"openid", "predictions:read"}),
        name="zq3t7hxklmn0pr5svwyb",
        id_here="73WakrfVbNJBaAmhQtEeDv",
    ),
    "okta": Shape(
        provider="okta",
        issuer="https://acme.okta.com/oauth2/default",
        audience="api://default",
        header={},
        claims={
            "ver": 1,
            "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "aud": "api://default",
            "cid": "0oa66sel34fA0ZkNjR5d7",
            "uid": "00u3w47yhm1XZYCJX5d7",
            "scp": ["predictions:read", "openid"],
            "auth_time": 1660689854,
            "sub": "jane.doe@acme.example",
        },
        id_claims={"at_hash": "x", "idp": "00o1", "amr": ["pwd"], "cid": None, "scp": None},
        limits={"territories": ["A", "B"]},
        file='limits_from = {territory = "territories"}',
        scopes=frozenset({"predictions:read", "openid"}),
        name="0oa66sel34fa0zknjr5d7",
        id_here=None,
    ),
    # The audience is the application's own client, and scopes carry the resource server's name.
    "cognito": Shape(
        provider="cognito",
        issuer="https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI",
        audience="1example23456789abcdefghij",
        header={},
        audience_in="client_id",
        claims={
            "sub": UUID,
            "cognito:groups": ["wranglers"],
            "version": 2,
            "client_id": "1example23456789abcdefghij",
            "origin_jti": UUID,
            "token_use": "access",
            "scope": "aws.cognito.signin.user.admin https://predictions.example/predictions.read",
            "auth_time": 1676312777,
            "jti": UUID,
            "username": "jane.doe@acme.example",
        },
        id_claims={
            "token_use": "id",
            "aud": "1example23456789abcdefghij",
            "client_id": None,
            "scope": None,
            "cognito:username": "jane",
        },
        limits={"custom:territory": ["A", "B"]},
        file='limits_from = {territory = "custom:territory"}\n[scopes]\nwranglers = "features:read"\n'
        '"https://predictions.example/predictions.read" = "predictions:read"',
        scopes=frozenset({"aws.cognito.signin.user.admin", "features:read", "predictions:read"}),
        name="1example23456789abcdefghij",
        id_here=UUID,
    ),
}
