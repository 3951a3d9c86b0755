"""Tests of who may see what, against a running service."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from litestar import Litestar, get
from litestar.testing import TestClient

from mlops_assets.platform.security.token_keys import key_id_of, read_signing_key
from mlops_assets.platform.security.token_verifier import TokenVerifier
from mlops_assets.platform.security.verification_keys import KeyFile
from mlops_assets.serving.http.problems import exception_handlers
from mlops_assets.serving.identity.access import AccessGuard
from mlops_assets.serving.identity.authentication import Authenticator
from mlops_assets.serving.identity.limits import ConcurrencyLimiter, RateLimiter
from mlops_assets.serving.identity.scopes import Scope
from mlops_assets_tests.serving.service_process import AUDIENCE, ISSUER, Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

PROTECTED = ("/v1/tables/predictions", "/v1/tables/predictions/NC/12/turnout", "/v1/exports", "/openapi.json")


def claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "test-client",
        "scope": "predictions:read",
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "jti": "0" * 32,
        **changes,
    }


def signed(service: Service, **changes: object) -> str:
    private = read_signing_key(service.signing_key)
    header = {"kid": key_id_of(private.public_key()), "typ": "at+jwt"}
    return jwt.encode(claims(**changes), private, algorithm="EdDSA", headers=header)


def by_hand(service: Service, header: dict[str, object] | None = None, **changes: object) -> str:
    """A token whose parts no library has looked at, signed by the service's own key all the same."""
    private = read_signing_key(service.signing_key)
    head = {"alg": "EdDSA", "kid": key_id_of(private.public_key()), "typ": "at+jwt", **(header or {})}
    texts = (json.dumps(part).replace('"deep"', "[" * 2000 + "]" * 2000) for part in (head, claims(**changes)))
    signed = ".".join(base64url(text.encode()) for text in texts)
    return f"{signed}.{base64url(private.sign(signed.encode()))}"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(service: Service) -> str:
    private = read_signing_key(service.signing_key)
    header = {"kid": key_id_of(private.public_key()), "typ": "at+jwt"}
    return jwt.encode(claims(), "", algorithm="none", headers=header)


def confused(service: Service) -> str:
    public = read_signing_key(service.signing_key).public_key()
    header = {"kid": key_id_of(public), "typ": "at+jwt"}
    secret = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return jwt.encode(claims(), secret, algorithm="HS256", headers=header)


def of_unknown_key(_: Service) -> str:
    private = Ed25519PrivateKey.generate()
    header = {"kid": key_id_of(private.public_key()), "typ": "at+jwt"}
    return jwt.encode(claims(), private, algorithm="EdDSA", headers=header)


def forged(service: Service) -> str:
    public = read_signing_key(service.signing_key).public_key()
    header = {"kid": key_id_of(public), "typ": "at+jwt"}
    return jwt.encode(claims(), Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=header)


BAD_TOKENS: dict[str, Callable[[Service], str]] = {
    "garbage": lambda _: "garbage",
    "algorithm none": unsigned,
    "public key as HS256 secret": confused,
    "unknown key": of_unknown_key,
    "forged": forged,
    "expired": lambda service: signed(service, exp=int(time.time()) - 60),
    "not yet valid": lambda service: signed(service, nbf=int(time.time()) + 60),
    "other audience": lambda service: signed(service, aud="other"),
    "other issuer": lambda service: signed(service, iss="other"),
    "algorithm that is a list": lambda service: by_hand(service, header={"alg": []}),
    "key id that is an object": lambda service: by_hand(service, header={"kid": {}}),
    "type that is a number": lambda service: by_hand(service, header={"typ": 1}),
    "end beyond all numbers": lambda service: by_hand(service, exp=10**400),
    "end that is a truth": lambda service: by_hand(service, exp=True),
    "name that is an object": lambda service: by_hand(service, sub={"a": 1}),
    "name that is half a character": lambda service: by_hand(service, sub="\ud800"),
    "claims nested deep": lambda service: by_hand(service, extra="deep"),
    "limit that is no list": lambda service: signed(service, limits={"state": "NC"}),
}


@pytest.mark.parametrize("path", PROTECTED)
def test_every_route_but_health_needs_a_token(stranger: httpx.Client, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="mlops-assets"'
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("header", ["", "Bearer", "Basic dXNlcjpwYXNz", "token"])
def test_a_header_without_bearer_token_counts_as_none(stranger: httpx.Client, header: str) -> None:
    answer = stranger.get("/v1/exports", headers={"Authorization": header})
    assert (answer.status_code, "error" in answer.headers["www-authenticate"]) == (401, False)


@pytest.mark.parametrize("second", ["Bearer {token}", "Bearer other", "Basic dXNlcjpwYXNz", ""])
def test_two_authorization_headers_are_refused_whichever_comes_first(
    service: Service, stranger: httpx.Client, second: str
) -> None:
    token = service.token()
    pair = [("Authorization", f"Bearer {token}"), ("authorization", second.format(token=token))]
    for headers in (pair, pair[::-1]):
        answer = stranger.get("/v1/tables/predictions/NC/12/turnout", headers=headers)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert 'error="invalid_request"' in answer.headers["www-authenticate"]
        line = audit_line(service, answer.headers["x-request-id"])
        assert (line["decision"], line["reason"], line["principal"]) == ("deny", "repeated_authorization", None)


@pytest.mark.parametrize("path", PROTECTED)
@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_bad_token_opens_no_route(service: Service, stranger: httpx.Client, kind: str, path: str) -> None:
    answer = stranger.get(path, headers={"Authorization": f"Bearer {BAD_TOKENS[kind](service)}"})
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.json()["detail"] == "The bearer token is not valid."


@pytest.mark.parametrize("path", PROTECTED[:2])
def test_a_token_without_the_scope_reads_no_predictions(service: Service, path: str) -> None:
    with service.client(service.token(scopes=["predictions:write"])) as client:
        answer = client.get(path)
        assert answer.status_code == 403
        assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="predictions:read"'
        assert client.get("/openapi.json").status_code == 200


@pytest.mark.parametrize("district", ["12", "99"])
def test_a_district_of_another_state_is_refused_whether_or_not_it_exists(
    nc_client: httpx.Client, district: str
) -> None:
    assert nc_client.get(f"/v1/tables/predictions/GA/{district}/turnout").status_code == 403


def test_a_limited_token_reads_its_own_state(nc_client: httpx.Client) -> None:
    assert nc_client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200


def test_a_list_shows_a_limited_token_its_own_states_only(nc_client: httpx.Client) -> None:
    items = nc_client.get("/v1/tables/predictions", params={"limit": 500}).json()["items"]
    assert {item["state"] for item in items} == {"NC"}


def test_a_list_of_another_state_is_refused(nc_client: httpx.Client) -> None:
    assert nc_client.get("/v1/tables/predictions", params={"state": "GA"}).status_code == 403


def test_a_cursor_from_a_wider_token_does_not_widen_a_limited_one(
    client: httpx.Client, nc_client: httpx.Client
) -> None:
    cursor = client.get("/v1/tables/predictions", params={"limit": 1}).json()["next_cursor"]
    items = nc_client.get("/v1/tables/predictions", params={"cursor": cursor, "limit": 500}).json()["items"]
    assert {item["state"] for item in items} == {"NC"}


def test_a_version_known_to_a_wider_token_is_not_confirmed_to_a_limited_one(
    client: httpx.Client, nc_client: httpx.Client
) -> None:
    etag = client.get("/v1/tables/predictions").headers["etag"]
    assert nc_client.get("/v1/tables/predictions", headers={"If-None-Match": etag}).status_code == 200


def test_a_token_limited_to_no_state_sees_none(service: Service) -> None:
    with service.client(service.token(states=[])) as client:
        assert client.get("/v1/tables/predictions").json()["items"] == []
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 403


def test_a_route_whose_author_forgot_about_access_is_open_to_nobody(tmp_path: Path) -> None:
    @get("/forgotten", sync_to_thread=False)
    def forgotten() -> str:
        return "secret"

    service = Service(tmp_path)
    service.create_keys()
    verifier = TokenVerifier(keys=KeyFile(service.config.keys), issuer=ISSUER, audience=AUDIENCE)
    app = Litestar(
        [forgotten],
        middleware=[
            AccessGuard(Authenticator(verifier), RateLimiter(rate_per_second=9, burst=9), ConcurrencyLimiter(9))
        ],
        exception_handlers=exception_handlers(),
        openapi_config=None,
        logging_config=None,
    )
    with TestClient(app) as client:
        assert client.get("/forgotten").status_code == 401
        everything = {"Authorization": f"Bearer {service.token(scopes=list(Scope))}"}
        assert client.get("/forgotten", headers=everything).status_code == 403


def audit_line(service: Service, request_id: str) -> dict[str, Any]:
    (line,) = [line for line in service.log() if line.get("request_id") == request_id]
    return line


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/tables/predictions/NC/12/turnout", {"decision": "allow", "reason": None, "limit": None, "status": 200}),
        (
            "/v1/tables/predictions/GA/12/turnout",
            {"decision": "deny", "reason": "limit", "limit": "state", "status": 403},
        ),
        ("/nowhere", {"decision": "deny", "reason": "no_route", "route": None, "status": 404}),
    ],
)
def test_each_decision_leaves_one_line_in_the_audit_trail(
    service: Service, nc_client: httpx.Client, path: str, expected: dict[str, object]
) -> None:
    request_id = nc_client.get(path).headers["x-request-id"]
    line = audit_line(service, request_id)
    assert line["message"] == "access"
    assert {name: line[name] for name in expected} == expected


def test_the_audit_trail_names_the_application_and_never_the_token(service: Service, stranger: httpx.Client) -> None:
    token = service.token()
    path = "/v1/tables/predictions?state=NC&district=12"
    good = stranger.get(path, headers={"Authorization": f"Bearer {token}", "X-Request-ID": "my-request-1"})
    bad = stranger.get(path, headers={"Authorization": f"Bearer {token}x"})
    assert good.headers["x-request-id"] == "my-request-1"
    line = audit_line(service, "my-request-1")
    assert line["principal"] == "test-client"
    assert line["token_id"] == jwt.decode(token, options={"verify_signature": False})["jti"]
    assert (line["route"], line["table"]) == ("/v1/tables/{table}", "predictions")
    denied = audit_line(service, bad.headers["x-request-id"])
    assert (denied["decision"], denied["principal"], denied["status"]) == ("deny", None, 401)
    text = (service.folder / "service.log").read_text(encoding="utf-8")
    assert not any(part in text for part in [*token.split("."), "district=12"])


def test_a_request_id_that_could_forge_a_line_is_replaced(service: Service, stranger: httpx.Client) -> None:
    answer = stranger.get("/v1/exports", headers={"X-Request-ID": 'a"} {"decision": "allow'})
    assert len(answer.headers["x-request-id"]) == 32
    assert audit_line(service, answer.headers["x-request-id"])["decision"] == "deny"


def test_health_is_not_in_the_audit_trail(service: Service, stranger: httpx.Client) -> None:
    request_id = stranger.get("/health/live").headers["x-request-id"]
    audit_line(service, stranger.get("/v1/exports").headers["x-request-id"])
    assert not [line for line in service.log() if line.get("request_id") == request_id]
