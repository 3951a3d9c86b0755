"""A few thousand requests of the campaign ``make chaos NAME=hostile``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets_tests.serving import hostile_campaign
from mlops_assets_tests.serving.service_process import require_nginx

if TYPE_CHECKING:
    from pathlib import Path


def test_hostile_requests_are_refused_and_good_ones_between_them_answered(tmp_path: Path) -> None:
    require_nginx()
    with hostile_campaign.shipped(tmp_path, workers=2) as service:
        campaign = hostile_campaign.run(service, cases=2000, clients=4, seed=1)
    assert campaign.wrong == {}
    assert campaign.requests == 2000
    assert {200, 400, 401, 404, 422} <= campaign.statuses.keys()
