"""The routes: all of them put together.

Put here the list of routes. Keep out the routes themselves: each subject has a module of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlops_assets.serving.routes.exports import EXPORT_ROUTES
from mlops_assets.serving.routes.health import HEALTH_ROUTES
from mlops_assets.serving.routes.inference import INFERENCE_ROUTES
from mlops_assets.serving.routes.outcomes import OUTCOME_ROUTES
from mlops_assets.serving.routes.scoring import SCORING_ROUTES
from mlops_assets.serving.routes.tables import TABLE_ROUTES

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

API_ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (
    *TABLE_ROUTES,
    *EXPORT_ROUTES,
    *SCORING_ROUTES,
    *OUTCOME_ROUTES,
    *INFERENCE_ROUTES,
    *HEALTH_ROUTES,
)
