"""Health and figures of the service, for those who operate it.

Put here routes about the service itself. Keep out what they tell (``condition``, ``metrics``). Annotations are read at
run time, so they are not postponed.
"""

from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import ServiceUnavailableException
from litestar.types import ControllerRouterHandler

from mlops_assets.serving.exports.condition import CONDITION, Condition, Dependency
from mlops_assets.serving.http.metrics import METRICS, ServiceMetrics
from mlops_assets.serving.http.problems import COMMON, problem_responses
from mlops_assets.serving.identity.scopes import ACCESS, Access, Scope

HealthRequest = Request[Any, Any, State]
_OPEN: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


class Health(msgspec.Struct, frozen=True):
    """The service's own condition."""

    status: str


class DependencyList(msgspec.Struct, frozen=True):
    """What the service depends on, and how each is."""

    ready: bool
    dependencies: list[Dependency]


@get(
    "/health/live",
    summary="Is the process alive?",
    opt={ACCESS: Access.PUBLIC},
    security=[{}],
    responses=problem_responses(*_OPEN),
    sync_to_thread=False,
)
def live() -> Health:
    """The process answers."""
    return Health(status="live")


@get(
    "/health/ready",
    summary="Can the service answer?",
    opt={ACCESS: Access.PUBLIC},
    security=[{}],
    responses=problem_responses(*_OPEN, HTTPStatus.SERVICE_UNAVAILABLE),
    sync_to_thread=False,
)
def ready(request: HealthRequest) -> Health:
    """An export is in use and keys are known. Which of them lacks is told at `/health/dependencies`."""
    demand_ready(request)
    return Health(status="ready")


@get(
    "/health/dependencies",
    summary="How is what the service depends on?",
    opt={ACCESS: Scope.READ_METRICS},
    responses=problem_responses(*COMMON),
    sync_to_thread=False,
)
def dependencies(request: HealthRequest) -> DependencyList:
    """The export, its models, the keys and the certificate, each with its state."""
    condition: Condition = request.app.state[CONDITION]
    return DependencyList(ready=condition.ready, dependencies=condition.dependencies())


@get(
    "/metrics",
    summary="Figures for Prometheus",
    opt={ACCESS: Scope.READ_METRICS},
    responses=problem_responses(*COMMON),
    media_type="text/plain",
    sync_to_thread=False,
)
def metrics(request: HealthRequest) -> Response[bytes]:
    """All figures of all workers, in Prometheus's text format."""
    figures: ServiceMetrics = request.app.state[METRICS]
    condition: Condition = request.app.state[CONDITION]
    return Response(figures.exposition(condition.gauges()), media_type=figures.MEDIA_TYPE)


def demand_ready(request: HealthRequest) -> None:
    """Refuse while the service cannot answer, without saying more than that.

    Raises:
        ServiceUnavailableException: it cannot, or is about to end.
    """
    condition: Condition = request.app.state[CONDITION]
    if not condition.ready:
        raise ServiceUnavailableException(detail="The service is not ready.", headers={"Retry-After": "5"})


HEALTH_ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (live, ready, dependencies, metrics)
