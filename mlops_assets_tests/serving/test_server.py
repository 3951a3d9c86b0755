"""Tests of the server process as the settings start it, and of the operator's credentials."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from mlops_assets.platform.errors import SettingsError
from mlops_assets.platform.settings import ServiceSettings, Settings
from mlops_assets.platform.tokens import TokenError
from mlops_assets.serving.credentials import (
    create_service_keys,
    issue_service_token,
    retire_service_key,
    rotate_service_keys,
)
from mlops_assets.serving.server import demand_safe_host, serve
from mlops_assets_tests.serving.sample import export_predictions
from mlops_assets_tests.serving.service_process import free_port

if TYPE_CHECKING:
    from pathlib import Path

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_is_safe(host: str) -> None:
    demand_safe_host(host, allow_plain_http=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "service.example", ""])  # noqa: S104  refused
def test_plain_http_beyond_loopback_is_refused_unless_allowed(tmp_path: Path, host: str) -> None:
    settings = Settings(home=tmp_path, service=ServiceSettings(host=host))
    with pytest.raises(SettingsError, match="ALLOW_PLAIN_HTTP=true"):
        serve(settings)
    demand_safe_host(host, allow_plain_http=True)


def test_the_settings_start_a_service_that_takes_their_tokens_and_stops_when_told(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(home=tmp_path, service=ServiceSettings(port=port))
    first_key_id = create_service_keys(settings)
    token = issue_service_token(settings, principal="dashboard", lifetime=HOUR, states=["NC"])
    export_predictions(settings.exports)
    environment = {
        **os.environ,
        "MLOPS_ASSETS_HOME": str(tmp_path),
        "MLOPS_ASSETS_SERVICE__PORT": str(port),
    }
    program = (
        "from mlops_assets.platform.settings import Settings;"
        "from mlops_assets.serving.server import serve;"
        "serve(Settings.load())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            for _ in range(600):
                try:
                    client.get("/health/ready").raise_for_status()
                    break
                except httpx.HTTPError:
                    assert process.poll() is None
                    time.sleep(0.1)
            client.headers["Authorization"] = f"Bearer {token}"
            assert client.get("/v1/predictions/NC/12").status_code == 200
            assert client.get("/v1/predictions/GA/12").status_code == 403
            rotate_service_keys(settings)
            retire_service_key(settings, first_key_id)
            time.sleep(1.1)
            assert client.get("/v1/predictions/NC/12").status_code == 401
    finally:
        process.send_signal(signal.SIGTERM)
        exit_code = process.wait(timeout=20)
    assert exit_code in (0, -signal.SIGTERM)


@pytest.mark.parametrize("state", ["nc", "North Carolina", "37", ""])
def test_a_token_for_what_is_no_state_is_not_issued(tmp_path: Path, state: str) -> None:
    settings = Settings(home=tmp_path)
    create_service_keys(settings)
    with pytest.raises(TokenError, match="no state's postal code"):
        issue_service_token(settings, principal="dashboard", lifetime=HOUR, states=[state])
