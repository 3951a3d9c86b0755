"""Tests of the server process as the settings start it, and of the operator's credentials."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import jwt
import pytest

from mlops_assets.demo.live import free_port
from mlops_assets.demo.waiting import wait_for_process
from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.security.revocations import read_revoked
from mlops_assets.platform.security.tokens import MAX_LIFETIME, TokenError
from mlops_assets.platform.settings import Authentication, ServiceSettings, Settings
from mlops_assets.serving.identity.credentials import (
    create_service_keys,
    issue_service_token,
    retire_service_key,
    revoke_service_token,
    rotate_service_keys,
)
from mlops_assets.serving.server import serve
from mlops_assets_tests.serving.sample import READ, export_predictions, trust_models

if TYPE_CHECKING:
    from pathlib import Path

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "service.example", ""])  # noqa: S104  refused
@pytest.mark.parametrize("plain_http", [True, False])
def test_beyond_loopback_the_edge_must_stand_in_front(tmp_path: Path, host: str, *, plain_http: bool) -> None:
    settings = Settings(home=tmp_path, service=ServiceSettings(host=host, plain_http=plain_http))
    with pytest.raises(SettingsError, match="mlops-assets edge-config"):
        serve(settings)


def test_without_a_certificate_nothing_is_served_unless_plain_http_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has no certificate"):
        serve(Settings(home=tmp_path))


def test_a_socket_of_another_service_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "service.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(SettingsError, match="Address already in use"):
            serve(Settings(home=tmp_path, service=ServiceSettings(socket=path)))


@pytest.mark.parametrize("way", [Authentication.CERTIFICATE, Authentication.BOTH])
def test_client_certificates_are_not_demanded_where_none_could_be_verified(tmp_path: Path, way: Authentication) -> None:
    settings = Settings(home=tmp_path, service=ServiceSettings(plain_http=True, authentication=way))
    with pytest.raises(SettingsError, match="CLIENT_CA"):
        serve(settings)


def test_an_unknown_algorithm_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, service=ServiceSettings(plain_http=True, algorithms=("HS256",)))
    with pytest.raises(SettingsError, match="HS256 is not among"):
        serve(settings)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = Settings(home=tmp_path, service=ServiceSettings(plain_http=True, port=other.getsockname()[1]))
        with pytest.raises(SettingsError, match="Address already in use"):
            serve(settings)


def test_the_settings_start_a_service_that_takes_their_tokens_and_stops_when_told(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(home=tmp_path, service=ServiceSettings(port=port))
    first_key_id = create_service_keys(settings)
    trust_models(settings.model_keys)
    token = issue_service_token(settings, principal="dashboard", scopes=[READ], lifetime=HOUR, limits={"state": ["NC"]})
    export_predictions(settings.exports)
    environment = {
        **os.environ,
        "MLOPS_ASSETS_HOME": str(tmp_path),
        "MLOPS_ASSETS_SERVICE__PORT": str(port),
        "MLOPS_ASSETS_SERVICE__PLAIN_HTTP": "true",
    }
    program = (
        "from mlops_assets.platform.settings import Settings;"
        "from mlops_assets.serving.server import serve;"
        "serve(Settings.load())"
    )
    log = tmp_path / "service.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", program], env=environment, cwd=tmp_path, stdout=out)

    def ready() -> bool:
        try:
            return client.get("/health/ready").is_success
        except httpx.TransportError:
            return False

    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_for_process(ready, process, name="The service", log=log)
            client.headers["Authorization"] = f"Bearer {token}"
            assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
            assert client.get("/v1/tables/predictions/GA/12/turnout").status_code == 403
            rotate_service_keys(settings)
            retire_service_key(settings, first_key_id)
            time.sleep(1.1)
            assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 401
    finally:
        process.send_signal(signal.SIGTERM)
        exit_code = process.wait()
    assert exit_code in (0, -signal.SIGTERM)


@pytest.mark.parametrize("exp", [1, -1.5, "1", None, float("nan"), pytest.param(10**400, id="huge")])
@pytest.mark.parametrize("forged_first", [False, True])
def test_a_forged_token_with_a_revoked_ones_id_does_not_bring_it_back(
    tmp_path: Path, exp: object, *, forged_first: bool
) -> None:
    settings = Settings(home=tmp_path)
    create_service_keys(settings)
    token = issue_service_token(settings, principal="dashboard", scopes=[READ], lifetime=HOUR)
    claims = jwt.decode(token, options={"verify_signature": False})
    forged = jwt.encode({**claims, "exp": 1}, "of-somebody-else" * 2, algorithm="HS256")
    header, _, signature = forged.split(".")
    body = base64.urlsafe_b64encode(json.dumps({**claims, "exp": exp}).encode()).rstrip(b"=").decode()
    texts = [token, f"{header}.{body}.{signature}"]
    for each in reversed(texts) if forged_first else texts:
        revoke_service_token(settings, each)
    revoke_service_token(settings, "another-token")
    expires = read_revoked(settings.revoked).tokens[claims["jti"]]
    assert claims["exp"] <= expires <= time.time() + MAX_LIFETIME.total_seconds()


def test_an_id_that_only_a_forged_token_named_stays_revoked_as_long_as_a_token_may_live(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    create_service_keys(settings)
    forged = jwt.encode({"jti": "ab_CD-1234", "exp": 1}, "of-somebody-else" * 2, algorithm="HS256")
    before = time.time()
    assert revoke_service_token(settings, forged) == "ab_CD-1234"
    revoke_service_token(settings, "another-token")
    assert read_revoked(settings.revoked).tokens["ab_CD-1234"] >= before + MAX_LIFETIME.total_seconds()


@pytest.mark.parametrize("column", ["State", "a b", "37", ""])
def test_a_token_limited_by_what_is_no_column_is_not_issued(tmp_path: Path, column: str) -> None:
    settings = Settings(home=tmp_path)
    create_service_keys(settings)
    with pytest.raises(TokenError, match="no columns of tables"):
        issue_service_token(settings, principal="dashboard", scopes=[READ], lifetime=HOUR, limits={column: ["x"]})
