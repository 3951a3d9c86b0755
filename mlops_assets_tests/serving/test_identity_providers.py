"""A service that takes tokens of an identity provider: its keys come over https, by way of a proxy."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.security.revocations import begin_revocations
from mlops_assets.platform.security.verification_keys import Algorithm
from mlops_assets.platform.settings import Provider, ServiceSettings, Settings
from mlops_assets.serving.config import ServiceConfig
from mlops_assets_tests.platform.security.identity_provider import RSA, entry, proxy_to, running_provider, text
from mlops_assets_tests.platform.security.shapes import SHAPES
from mlops_assets_tests.serving.sample import export_everything, trust_models
from mlops_assets_tests.serving.service_process import AUDIENCE, ISSUER, Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHAPE: Final = SHAPES["keycloak"]
PROFILE: Final = """
limits_from = {state = "states"}
scopes = {wrangler = ["predictions:read", "features:read"]}
"""


def token(**changes: Any) -> str:  # noqa: ANN401  any JSON value
    claims = {"iss": ISSUER, "aud": AUDIENCE, "resource_access": {AUDIENCE: {"roles": ["models:infer"]}}}
    return SHAPE.token({**claims, "territory": None, "states": ["NC"], **changes})


@pytest.fixture(name="keycloak", scope="module")
def _keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("keycloak")
    (folder / "provider.toml").write_text(PROFILE, encoding="utf-8")
    with running_provider(folder) as provider, proxy_to(provider.server.server_port) as proxy:
        provider.published = text(entry(RSA, Algorithm.RS256, "rsa"))
        changes = {
            "provider": "keycloak",
            "provider_file": folder / "provider.toml",
            "require_limits": True,
            "keys_url": provider.url,
            "keys_url_ca": provider.authority,
            "keys_url_proxy": proxy.url,
            "algorithms": ("RS256",),
            "revoked": folder / "revoked.json",
        }
        service = Service(folder, changes=changes)
        trust_models(folder / "model-keys.json")
        begin_revocations(folder / "revoked.json")
        export_everything(service.config.exports)
        with service:
            with service.client(token()) as client:
                service.wait_for(lambda: client.get("/v1/tables").is_success, "The provider's keys")
            yield service


def audit_line(service: Service, request_id: str) -> dict[str, Any]:
    (line,) = [line for line in service.log() if line.get("request_id") == request_id]
    return line


def test_a_providers_token_opens_what_its_roles_and_limits_say(keycloak: Service) -> None:
    with keycloak.client(token()) as client:
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
        assert client.get("/v1/tables/predictions/GA/12/turnout").status_code == 403
        assert {item["state"] for item in client.get("/v1/tables/predictions?limit=500").json()["items"]} == {"NC"}
        assert client.get("/v1/models").status_code == 200
        assert client.get("/metrics").status_code == 403
        line = audit_line(keycloak, client.get("/v1/tables/predictions/NC/12/turnout").headers["x-request-id"])
    assert (line["principal"], line["key_id"], len(line["token_id"])) == ("acme-dashboard", "rsa", 43)


@pytest.mark.parametrize(
    "path", ["/v1/tables/predictions/NC/12/turnout", "/v1/tables/predictions", "/v1/tables/predictions?state=NC"]
)
def test_a_token_that_says_no_limit_sees_nothing_and_is_told_which_one_it_needs(keycloak: Service, path: str) -> None:
    with keycloak.client(token(states=None)) as client:
        answer = client.get(path)
        assert client.get("/v1/models").status_code == 200
    assert answer.status_code == 403
    assert answer.json()["detail"] == "A limit of state is needed, and this principal has none."
    line = audit_line(keycloak, answer.headers["x-request-id"])
    assert (line["decision"], line["reason"], line["limit"]) == ("deny", "no_limit", "state")


@pytest.mark.parametrize("changes", [{"typ": "ID"}, {"typ": "Refresh"}, {"typ": None}, {"typ": []}])
def test_another_kind_of_token_of_the_provider_opens_nothing(keycloak: Service, changes: dict[str, Any]) -> None:
    with keycloak.client(token(**changes)) as client:
        answer = client.get("/openapi.json")
    assert answer.status_code == 401
    assert audit_line(keycloak, answer.headers["x-request-id"])["reason"] == "purpose"


@pytest.mark.parametrize("by_id", [True, False])
def test_a_providers_token_is_revoked_by_itself_or_by_its_id_in_the_log(keycloak: Service, *, by_id: bool) -> None:
    given = token(jti=f"trrtcc:{by_id}")
    with keycloak.client(given) as client:
        answer = client.get("/v1/tables")
        assert answer.status_code == 200
        named = audit_line(keycloak, answer.headers["x-request-id"])["token_id"] if by_id else given
        environment = {
            **os.environ,
            "MLOPS_ASSETS_HOME": str(keycloak.folder),
            "MLOPS_ASSETS_SERVICE__PROVIDER": "keycloak",
            "MLOPS_ASSETS_SERVICE__REVOKED": str(keycloak.config.revoked),
        }
        command = [sys.executable, "-m", "mlops_assets", "token", "revoke", named]
        done = subprocess.run(command, env=environment, cwd=keycloak.folder, capture_output=True, text=True, check=True)
        assert len(done.stdout.strip()) == 43
        keycloak.wait_for(lambda: client.get("/v1/tables").status_code == 401, "The revocation")
    with keycloak.client(token()) as client:
        assert client.get("/v1/tables").status_code == 200


def settings_of(home: Path, **service: Any) -> Settings:  # noqa: ANN401  any setting
    return Settings(home=home, service=ServiceSettings(**service))


KEYCLOAK: Final = {"provider": Provider.KEYCLOAK, "issuer": SHAPE.issuer, "keys_url": "https://login.example/certs"}


@pytest.mark.parametrize(
    ("service", "required"),
    [
        ({}, frozenset()),
        ({"require_limits": True}, True),
        ({"require_limits": ("territory",)}, frozenset({"territory"})),
        (KEYCLOAK, True),
        ({"keys_url": "https://login.example/certs"}, True),
        ({**KEYCLOAK, "require_limits": False}, frozenset()),
        ({**KEYCLOAK, "require_limits": ("territory",)}, frozenset({"territory"})),
    ],
)
def test_limits_are_required_with_a_provider_unless_the_settings_say_otherwise(
    tmp_path: Path, service: dict[str, Any], required: object
) -> None:
    assert ServiceConfig.from_settings(settings_of(tmp_path, **service)).required_limits == required


@pytest.mark.parametrize(
    ("service", "algorithms"),
    [({}, ("EdDSA",)), (KEYCLOAK, ("RS256", "ES256")), ({**KEYCLOAK, "algorithms": ("ES256",)}, ("ES256",))],
)
def test_the_algorithms_are_the_providers_unless_the_settings_name_some(
    tmp_path: Path, service: dict[str, Any], algorithms: tuple[str, ...]
) -> None:
    assert ServiceConfig.from_settings(settings_of(tmp_path, **service)).algorithms == algorithms


@pytest.mark.parametrize(
    ("service", "culprit"),
    [
        ({"provider": Provider.KEYCLOAK, "issuer": SHAPE.issuer}, "nothing says where the keys of keycloak are"),
        ({**KEYCLOAK, "issuer": "https://login.example"}, "is no issuer of keycloak"),
        ({**KEYCLOAK, "provider_file": "missing.toml"}, "cannot be read"),
    ],
)
def test_settings_of_a_provider_that_cannot_be_meant_stop_the_start(
    tmp_path: Path, service: dict[str, Any], culprit: str
) -> None:
    with pytest.raises(SettingsError, match=culprit):
        ServiceConfig.from_settings(settings_of(tmp_path, **service))


@pytest.mark.parametrize(
    ("text_", "required"),
    [("true", True), ("True", True), ("false", False), ('["territory"]', ("territory",)), ("", None)],
)
def test_required_limits_are_set_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text_: str, required: object
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLOPS_ASSETS_SERVICE__REQUIRE_LIMITS", text_)
    assert Settings.load().service.require_limits == required


@pytest.mark.parametrize("text_", ['["Territory"]', "territory", "[1]", "7"])
def test_required_limits_that_name_no_columns_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text_: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLOPS_ASSETS_SERVICE__REQUIRE_LIMITS", text_)
    with pytest.raises(SettingsError, match="SERVICE__REQUIRE_LIMITS: it is neither true nor false"):
        Settings.load()
