"""The routes of online scoring: models, and scores of rows.

Put here what these routes take and answer. Keep out scoring itself, and the Open Inference Protocol (`inference`).
Annotations are read at run time, so they are not postponed.
"""

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from litestar import Response, get, post
from litestar.types import ControllerRouterHandler

from mlops_assets.serving.exports.catalog import catalog_of
from mlops_assets.serving.exports.scoring import RowsError, Value, score_rows
from mlops_assets.serving.exports.shadows import SHADOWS, draw_of
from mlops_assets.serving.http.answers import NOT_MODIFIED, ServiceRequest, versioned
from mlops_assets.serving.http.audit import decision_of
from mlops_assets.serving.http.bodies import BODY, TEXT_END, BodyKind, decoded, read_json_text
from mlops_assets.serving.http.encoded_answers import EncodedAnswer
from mlops_assets.serving.http.metrics import ANSWERED, SHADOW
from mlops_assets.serving.http.problems import COMMON, problem_responses, unfit
from mlops_assets.serving.identity.scopes import ACCESS, Scope
from mlops_assets.serving.routes.parameters import ModelName
from mlops_assets.serving.routes.scored import Scored

if TYPE_CHECKING:
    from mlops_assets.serving.exports.models import LoadedModel
    from mlops_assets.serving.exports.served import ServedExport

_MOST_ROWS: Final = 1000
_INFER: Final = {ACCESS: Scope.INFER}
_NOT_KEPT: Final = {"Cache-Control": "no-store"}
_BODY_PROBLEMS: Final = (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.NOT_FOUND)


class ModelVersionDescription(msgspec.Struct, frozen=True):
    """One version of a model."""

    version: Annotated[str, msgspec.Meta(description="SHA-256 of the model's file.")]
    trained_for: Annotated[str, msgspec.Meta(description="The latest of what it was trained for, such as a month.")]


class ModelInput(msgspec.Struct, frozen=True):
    """A column of a row to score."""

    name: str
    type: Annotated[
        Literal["text", "double", "float", "int64", "int32", "bool"],
        msgspec.Meta(
            description="Numbers, whole or not, are given for `double` and `float`; never one type for another."
        ),
    ]
    nullable: Annotated[bool, msgspec.Meta(description="Whether null may be given where the value is unknown.")]


class ModelDescription(msgspec.Struct, frozen=True):
    """A model that rows can be scored with."""

    name: str
    versions: Annotated[
        list[ModelVersionDescription],
        msgspec.Meta(description="In the order of what they were trained for; the last is the default."),
    ]
    inputs: Annotated[list[ModelInput], msgspec.Meta(description="The columns of a row, those of the last version.")]
    example: Annotated[dict[str, str | float | bool], msgspec.Meta(description="A row that can be scored, of nobody.")]
    outcome: Annotated[
        Literal["boolean", "number"] | None,
        msgspec.Meta(description="What is reported of a scored row once it is known; null where nothing is taken."),
    ]


class ModelList(msgspec.Struct, frozen=True):
    """The models of the exports in use, by name."""

    models: list[ModelDescription]


class ScoreRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows to score: for each column of the model its value, null where unknown."""

    rows: Annotated[list[dict[str, Value]], msgspec.Meta(min_length=1, max_length=_MOST_ROWS)]
    model_version: Annotated[str, msgspec.Meta(pattern=f"^[0-9a-f]{{64}}{TEXT_END}", max_length=64)] | None = None


class ScoredRows(msgspec.Struct, frozen=True):
    """One score for each row, in their order."""

    export_id: str
    model_name: str
    model_version: str
    scores: list[float]


@get(
    "/v1/models",
    summary="List models",
    opt=_INFER,
    description="The models that rows can be scored with.",
    responses={**NOT_MODIFIED, **problem_responses(*COMMON)},
)
async def served_models(request: ServiceRequest) -> Response[ModelList]:
    """The models of the export in use."""
    found = list(catalog_of(request).models())
    models = [_description(export, model) for export, model in found]
    return versioned(request, ModelList(models=models), version="\n".join(export.export_id for export, _ in found))


@get(
    "/v1/models/{name:str}",
    summary="Describe one model",
    opt=_INFER,
    description="A model of the export in use: its versions, the columns of a row to score and an example.",
    responses={**NOT_MODIFIED, **problem_responses(*COMMON, HTTPStatus.NOT_FOUND)},
)
async def describe_model(request: ServiceRequest, name: ModelName) -> Response[ModelDescription]:
    """One model of the export in use."""
    export, _ = catalog_of(request).model(name)
    latest = export.models.versions(name)[-1]
    return versioned(request, _description(export, latest), version=export.export_id)


@post(
    "/v1/models/{name:str}/score",
    status_code=HTTPStatus.OK,
    summary="Score rows",
    opt={
        **_INFER,
        BODY: BodyKind(
            kind=ScoreRequest,
            limit=1_048_576,
            example={"rows": [{"a_column_of_the_model": 1.5, "another": "text", "a_third": None}]},
        ),
    },
    description=(
        "One score for each row of raw columns, by the model's latest version unless another is named. The columns are "
        "the model's own: `/v1/models/{name}` lists them, with an example. No row is stored; scores are, without rows, "
        "where the model takes outcomes, by the `X-Request-ID` of the answer and the row's place from 0."
    ),
    responses=problem_responses(*COMMON, *_BODY_PROBLEMS),
)
async def score(request: ServiceRequest, name: ModelName) -> Response[ScoredRows]:
    """Scores of rows."""
    body = await read_json_text(request)
    asked = decoded(body, ScoreRequest)
    draw = draw_of(decision_of(request.scope).request_id)
    export, model = catalog_of(request).model(name, asked.model_version, draw=draw)
    try:
        scores = await score_rows(model, asked.rows)
    except RowsError as error:
        raise unfit("rows", str(error)) from None
    scored = Scored.of(request, export)
    await scored.keep(model, ANSWERED, scores)
    if asked.model_version is None:

        async def shadow(other: "LoadedModel") -> None:
            await scored.keep(other, SHADOW, await score_rows(other, asked.rows))

        request.app.state[SHADOWS].follow(export.models.shadows(name, model), shadow)
    content = msgspec.json.encode(
        ScoredRows(
            export_id=export.export_id, model_name=model.name, model_version=model.version, scores=scores.tolist()
        )
    )
    return EncodedAnswer(content, _NOT_KEPT)


SCORING_ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (served_models, describe_model, score)


def _description(export: "ServedExport", model: "LoadedModel") -> ModelDescription:
    return ModelDescription(
        name=model.name,
        versions=[
            ModelVersionDescription(version=version.version, trained_for=version.trained_for)
            for version in export.models.versions(model.name)
        ],
        inputs=[
            ModelInput(name=column.name, type=column.kind.value, nullable=column.null != "refused")
            for column in model.scorer.record.inputs
        ],
        example=model.scorer.example,
        outcome=None if export.models.outcome is None else export.models.outcome.value,
    )
