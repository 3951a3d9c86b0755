"""Tests of the service against its own OpenAPI document; ``make chaos NAME=schema`` does the same at length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets_tests.serving import schema_campaign
from mlops_assets_tests.serving.sample import export_everything
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from pathlib import Path


def test_the_service_does_what_its_document_says_and_nothing_else(tmp_path: Path) -> None:
    service = Service(tmp_path, changes={"rate_per_second": 1e6, "burst": 10**6})
    service.create_keys()
    export_everything(service.config.exports)
    with service:
        campaign = schema_campaign.run(service, tmp_path, examples=3)
    assert not campaign.failed, campaign.report
    assert campaign.requests > 500
    assert all(campaign.by_domain[domain] for domain in schema_campaign.DOMAINS)
    assert campaign.by_route["/v1/outcomes/{name}"] > 0
    assert not [line for line in service.log() if line["message"] == "request failed" or line.get("status", 0) >= 500]
