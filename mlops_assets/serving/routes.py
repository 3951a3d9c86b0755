"""The routes: predictions, the export they come from, and health.

Put here what a route takes and answers. Keep out queries, access rules that hold for all routes, and the documents
about the routes. Annotations are read at run time, so they are not postponed.
"""

import hashlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException, ServiceUnavailableException, ValidationException
from litestar.openapi import ResponseSpec
from litestar.params import PathParameter, QueryParameter
from litestar.types import ControllerRouterHandler

from mlops_assets.platform.tokens import Principal
from mlops_assets.serving.access import ACCESS, Access, demand_state, visible_states
from mlops_assets.serving.predictions import CursorError, Prediction, PredictionTable, ServedModel
from mlops_assets.serving.problems import problem_responses

if TYPE_CHECKING:
    from mlops_assets.serving.follower import ExportFollower

FOLLOWER: Final = "follower"
"""Name in the application's state."""
_DEFAULT_LIMIT: Final = 100
_MAX_LIMIT: Final = 500

Measure = Literal["turnout", "total_votes"]
ElectionFilter = Annotated[str | None, QueryParameter(pattern=r"^[0-9]{4}$", description="Year of a general election.")]
# The framework keeps the name ``state`` of an argument for itself, hence ``state_code``.
StateFilter = Annotated[
    str | None, QueryParameter(name="state", pattern=r"^[A-Z]{2}$", description="Postal code of a state.")
]
DistrictFilter = Annotated[str | None, QueryParameter(pattern=r"^[0-9]{2}$", description="District, two digits.")]
MeasureFilter = Annotated[Measure | None, QueryParameter(description="What is predicted.")]
Limit = Annotated[int, QueryParameter(ge=1, le=_MAX_LIMIT, description="Most rows of one page.")]
Cursor = Annotated[
    str | None, QueryParameter(pattern=r"^[A-Za-z0-9_-]{1,200}$", description="The last page's `next_cursor`.")
]
StatePath = Annotated[str, PathParameter(pattern=r"^[A-Z]{2}$", description="Postal code of the state.")]
DistrictPath = Annotated[str, PathParameter(pattern=r"^[0-9]{2}$", description="District number, two digits.")]
ServiceRequest = Request[Principal, None, State]

_ANY: Final = "*"
Body = TypeVar("Body")
_NOT_MODIFIED: Final = {304: ResponseSpec(data_container=None, description="The client's copy is still right.")}
_COMMON: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


class PredictionPage(msgspec.Struct, frozen=True):
    """One page of predictions, sorted by election, state, district and measure."""

    export_id: str
    items: list[Prediction]
    next_cursor: str | None


class DistrictForecast(msgspec.Struct, frozen=True):
    """All measures of one district at one election."""

    export_id: str
    election: str
    state: str
    district: str
    predictions: list[Prediction]


class ExportDescription(msgspec.Struct, frozen=True):
    """The export that answers come from: its provenance and its models."""

    export_id: str
    created: str
    latest_election: str
    rows: dict[str, int]
    models: list[ServedModel]
    provenance: dict[str, Any]


class Health(msgspec.Struct, frozen=True):
    """The service's own condition."""

    status: str


@get(
    "/v1/predictions",
    summary="List predictions",
    description=(
        "Predictions that fit all given filters, page by page. A token that is limited to some states sees only those; "
        "naming another state is refused. A cursor stays valid when a new export is taken over; compare `export_id` "
        "of the pages if they must be of one export."
    ),
    responses={**_NOT_MODIFIED, **problem_responses(*_COMMON)},
    sync_to_thread=False,
)
def list_predictions(
    request: ServiceRequest,
    election: ElectionFilter = None,
    state_code: StateFilter = None,
    district: DistrictFilter = None,
    measure: MeasureFilter = None,
    limit: Limit = _DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response[PredictionPage]:
    """One page of the predictions that the token may see."""
    if state_code is not None:
        demand_state(request, state_code)
    table = _table(request)
    filters = {"election": election, "state": state_code, "district": district, "measure": measure}
    try:
        items, next_cursor = table.page(filters=filters, states=visible_states(request), limit=limit, cursor=cursor)
    except CursorError as error:
        raise ValidationException(extra=[{"key": "cursor", "message": str(error)}]) from error
    return _answer(request, table, PredictionPage(export_id=table.export_id, items=items, next_cursor=next_cursor))


@get(
    "/v1/predictions/{state_code:str}/{district:str}",
    summary="Predictions of one district",
    description="All measures of one district, at the latest election with predictions unless another is asked for.",
    responses={**_NOT_MODIFIED, **problem_responses(*_COMMON, HTTPStatus.NOT_FOUND)},
    sync_to_thread=False,
)
def district_forecast(
    request: ServiceRequest, state_code: StatePath, district: DistrictPath, election: ElectionFilter = None
) -> Response[DistrictForecast]:
    """The predictions of one district."""
    demand_state(request, state_code)
    table = _table(request)
    asked = election or table.latest_election
    predictions = table.of_district(election=asked, state=state_code, district=district)
    if not predictions:
        raise NotFoundException(
            detail=f"There is no prediction for {state_code}-{district} at the election of {asked}."
        )
    return _answer(
        request,
        table,
        DistrictForecast(
            export_id=table.export_id, election=asked, state=state_code, district=district, predictions=predictions
        ),
    )


@get(
    "/v1/export",
    summary="Where the predictions come from",
    description="The export in use: the content hashes it was made of, and the models behind it.",
    responses={**_NOT_MODIFIED, **problem_responses(*_COMMON)},
    sync_to_thread=False,
)
def export_description(request: ServiceRequest) -> Response[ExportDescription]:
    """The provenance of the export in use."""
    table = _table(request)
    manifest = table.manifest
    return _answer(
        request,
        table,
        ExportDescription(
            export_id=manifest.export_id,
            created=manifest.created,
            latest_election=table.latest_election,
            rows={name: record.rows for name, record in manifest.tables.items()},
            models=table.models,
            provenance=dict(manifest.provenance),
        ),
    )


@get(
    "/health/live",
    summary="Is the process alive?",
    opt={ACCESS: Access.PUBLIC},
    security=[{}],
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
    responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE),
    sync_to_thread=False,
)
def ready(state: State) -> Health:
    """An export is loaded."""
    follower: ExportFollower = state[FOLLOWER]
    if not follower.ready:
        raise ServiceUnavailableException(detail="No export is loaded yet.", headers={"Retry-After": "5"})
    return Health(status="ready")


API_ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (
    list_predictions,
    district_forecast,
    export_description,
    live,
    ready,
)


def _table(request: ServiceRequest) -> PredictionTable:
    follower: ExportFollower = request.app.state[FOLLOWER]
    return follower.table


def _answer(request: ServiceRequest, table: PredictionTable, body: Body) -> Response[Body]:
    """The body with its version, or 304 when the client has that version."""
    etag = _etag(request, table)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if _is_known(request, etag):
        return Response(None, status_code=HTTPStatus.NOT_MODIFIED, headers=headers)  # type: ignore[arg-type]  # no body
    return Response(body, headers=headers)


def _etag(request: ServiceRequest, table: PredictionTable) -> str:
    """The version of an answer: an export never changes, so export, question and visible states determine it."""
    states = visible_states(request)
    seen = _ANY if states is None else ",".join(sorted(states))
    query = "&".join(f"{name}={value}" for name, value in sorted(request.query_params.multi_items()))
    question = f"{table.export_id}\n{request.url.path}\n{query}\n{seen}"
    return f'"{hashlib.sha256(question.encode()).hexdigest()[:32]}"'


def _is_known(request: ServiceRequest, etag: str) -> bool:
    """Whether the client has that version already (RFC 9110, weak comparison)."""
    known = request.headers.get("if-none-match")
    if known is None:
        return False
    return any(candidate.strip().removeprefix("W/") in (etag, _ANY) for candidate in known.split(","))
