"""The routes of predictions: a list, one district, its history, and the exports that they come from.

Put here what these routes take and answer. Keep out queries, and access rules that hold for all routes. Annotations are
read at run time, so they are not postponed.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from mlops_assets.serving.exports.in_use import past_exports, predictions_as_of
from mlops_assets.serving.exports.predictions import CursorError, PredictingModel, Prediction
from mlops_assets.serving.http.answers import NOT_MODIFIED, ServiceRequest, versioned
from mlops_assets.serving.http.problems import COMMON, problem_responses, unfit
from mlops_assets.serving.identity.access import demand_within, limit_of
from mlops_assets.serving.identity.scopes import ACCESS, Scope
from mlops_assets.serving.routes.parameters import (
    AsOf,
    Cursor,
    DistrictFilter,
    DistrictPath,
    ElectionFilter,
    MeasureFilter,
    StateFilter,
    StatePath,
)

_DEFAULT_LIMIT: Final = 100
_MAX_LIMIT: Final = 500
_READ: Final = {ACCESS: Scope.READ_PREDICTIONS}
_VERSIONED: Final = {
    **NOT_MODIFIED,
    **problem_responses(*COMMON, HTTPStatus.NOT_FOUND, HTTPStatus.GONE),
}

Limit = Annotated[
    int, QueryParameter(ge=1, le=_MAX_LIMIT, description="Most rows of one page.", examples=[Example(value=100)])
]


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


class DistrictHistory(msgspec.Struct, frozen=True):
    """The predictions of one district at every election, sorted by election and measure."""

    export_id: str
    state: str
    district: str
    predictions: list[Prediction]


class ExportDescription(msgspec.Struct, frozen=True):
    """The export that answers come from: its provenance and its models."""

    export_id: str
    created: str
    latest_election: str
    rows: dict[str, int]
    models: list[PredictingModel]
    provenance: dict[str, Any]


class KeptExport(msgspec.Struct, frozen=True):
    """An export that can be asked for by its id."""

    export_id: str
    created: str
    current_since: Annotated[
        list[datetime], msgspec.Meta(description="Each time at which it became current, oldest first.")
    ]


class KeptExports(msgspec.Struct, frozen=True):
    """The exports that can be asked for, oldest first."""

    current: str
    exports: list[KeptExport]


@get(
    "/v1/predictions",
    summary="List predictions",
    opt=_READ,
    description=(
        "Predictions that fit all given filters, page by page. A token that is limited to some states sees only those; "
        "naming another state is refused. A cursor stays valid when a new export is taken over; give the first page's "
        "`export_id` as `as_of` where all pages must be of one export."
    ),
    responses=_VERSIONED,
)
async def list_predictions(
    request: ServiceRequest,
    election: ElectionFilter = None,
    state_code: StateFilter = None,
    district: DistrictFilter = None,
    measure: MeasureFilter = None,
    limit: Limit = _DEFAULT_LIMIT,
    cursor: Cursor = None,
    as_of: AsOf = None,
) -> Response[PredictionPage]:
    """One page of the predictions that the token may see."""
    if state_code is not None:
        demand_within(request, "state", state_code)
    table = await predictions_as_of(request, as_of)
    filters = {"election": election, "state": state_code, "district": district, "measure": measure}
    try:
        items, next_cursor = table.page(filters=filters, states=limit_of(request, "state"), limit=limit, cursor=cursor)
    except CursorError as error:
        raise unfit("cursor", str(error)) from error
    page = PredictionPage(export_id=table.export_id, items=items, next_cursor=next_cursor)
    return versioned(request, page, version=table.export_id)


@get(
    "/v1/predictions/{state_code:str}/{district:str}",
    summary="Predictions of one district",
    opt=_READ,
    description="All measures of one district, at the latest election with predictions unless another is asked for.",
    responses=_VERSIONED,
)
async def district_forecast(
    request: ServiceRequest,
    state_code: StatePath,
    district: DistrictPath,
    election: ElectionFilter = None,
    as_of: AsOf = None,
) -> Response[DistrictForecast]:
    """The predictions of one district."""
    demand_within(request, "state", state_code)
    table = await predictions_as_of(request, as_of)
    asked = election or table.latest_election
    predictions = table.of_district(election=asked, state=state_code, district=district)
    if not predictions:
        raise _none(f"{state_code}-{district} at the election of {asked}")
    forecast = DistrictForecast(
        export_id=table.export_id, election=asked, state=state_code, district=district, predictions=predictions
    )
    return versioned(request, forecast, version=table.export_id)


@get(
    "/v1/predictions/{state_code:str}/{district:str}/history",
    summary="Predictions of one district at every election",
    opt=_READ,
    description=(
        "What is predicted for each election, by the models of one export. What was predicted earlier, by the models "
        "of that time, is asked for with `as_of`. Districts are compared by number; a redrawn map is not undone."
    ),
    responses=_VERSIONED,
)
async def district_history(
    request: ServiceRequest,
    state_code: StatePath,
    district: DistrictPath,
    measure: MeasureFilter = None,
    as_of: AsOf = None,
) -> Response[DistrictHistory]:
    """The predictions of one district over elections."""
    demand_within(request, "state", state_code)
    table = await predictions_as_of(request, as_of)
    predictions = table.history(state=state_code, district=district, measure=measure)
    if not predictions:
        raise _none(f"{state_code}-{district}")
    history = DistrictHistory(export_id=table.export_id, state=state_code, district=district, predictions=predictions)
    return versioned(request, history, version=table.export_id)


@get(
    "/v1/export",
    summary="Where the predictions come from",
    opt=_READ,
    description="The export in use, or a past one: the content hashes it was made of, and the models behind it.",
    responses=_VERSIONED,
)
async def export_description(request: ServiceRequest, as_of: AsOf = None) -> Response[ExportDescription]:
    """The provenance of an export."""
    table = await predictions_as_of(request, as_of)
    manifest = table.manifest
    description = ExportDescription(
        export_id=manifest.export_id,
        created=manifest.created,
        latest_election=table.latest_election,
        rows={name: record.rows for name, record in manifest.tables.items()},
        models=table.models,
        provenance=dict(manifest.provenance),
    )
    return versioned(request, description, version=table.export_id)


@get(
    "/v1/exports",
    summary="Which past versions can be asked for",
    opt=_READ,
    description="The exports that are kept, and when each was current. Give an id or a time as `as_of` elsewhere.",
    responses={**NOT_MODIFIED, **problem_responses(*COMMON)},
)
async def kept_exports(request: ServiceRequest) -> Response[KeptExports]:
    """The exports that are kept."""
    past = past_exports(request)
    manifests, moves = await past.kept(), await past.moves()
    current = (await predictions_as_of(request, None)).export_id
    exports = [
        KeptExport(
            export_id=manifest.export_id,
            created=manifest.created,
            current_since=[move.at for move in moves if move.export_id == manifest.export_id],
        )
        for manifest in manifests
    ]
    version = "\n".join([current, *(f"{export.export_id} {len(export.current_since)}" for export in exports)])
    return versioned(request, KeptExports(current=current, exports=exports), version=version)


PREDICTION_ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (
    list_predictions,
    district_forecast,
    district_history,
    export_description,
    kept_exports,
)


def _none(what: str) -> NotFoundException:
    return NotFoundException(detail=f"There is no prediction for {what}.")
