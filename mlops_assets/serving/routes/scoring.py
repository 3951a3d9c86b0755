"""The routes of online scoring: models, scores of rows, and features looked up by pseudonym.

Put here what these routes take and answer. Keep out scoring and look-up themselves, and the Open Inference Protocol
(`inference_routes`). Annotations are read at run time, so they are not postponed.
"""

import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException
from litestar.types import ControllerRouterHandler

from mlops_assets.serving.exports.in_use import current_export
from mlops_assets.serving.exports.person_features import Feature
from mlops_assets.serving.exports.scoring import RowsError, Value, score_rows
from mlops_assets.serving.http.answers import NOT_MODIFIED, ServiceRequest, versioned
from mlops_assets.serving.http.bodies import BODY, BodyKind, decoded, read_json_text
from mlops_assets.serving.http.encoded_answers import EncodedAnswer
from mlops_assets.serving.http.metrics import METRICS
from mlops_assets.serving.http.problems import COMMON, problem_responses, unfit
from mlops_assets.serving.identity.access import demand_within
from mlops_assets.serving.identity.scopes import ACCESS, Scope
from mlops_assets.serving.routes.idempotency import KeyReusedError, Remembered
from mlops_assets.serving.routes.parameters import IdempotencyKey, ModelName

if TYPE_CHECKING:
    from mlops_assets.serving.exports.models import LoadedModel, LoadedModels

REMEMBERED: Final = "remembered_answers"
"""Name in the application's state."""
_MOST_ROWS: Final = 1000
_MOST_PERSONS: Final = 100
_INFER: Final = {ACCESS: Scope.INFER}
_NOT_KEPT: Final = {"Cache-Control": "no-store"}
_BODY_PROBLEMS: Final = (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.NOT_FOUND)


class ModelVersionDescription(msgspec.Struct, frozen=True):
    """One version of a model."""

    version: Annotated[str, msgspec.Meta(description="SHA-256 of the model's file.")]
    election: Annotated[str, msgspec.Meta(description="The latest election that it was trained for.")]


class ModelDescription(msgspec.Struct, frozen=True):
    """A model that rows can be scored with."""

    name: str
    versions: Annotated[
        list[ModelVersionDescription], msgspec.Meta(description="By election; the last is the default.")
    ]
    input_columns: Annotated[list[str], msgspec.Meta(description="The columns of a row to score, as /v1 takes it.")]
    feature_names: Annotated[
        list[str], msgspec.Meta(description="The encoded features in order, as /v2 takes them in a matrix.")
    ]


class ModelList(msgspec.Struct, frozen=True):
    """The models of the export in use, by name."""

    export_id: str
    models: list[ModelDescription]


class ScoreRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows to score: for each column of the model its value, null where unknown."""

    rows: Annotated[list[dict[str, Value]], msgspec.Meta(min_length=1, max_length=_MOST_ROWS)]
    model_version: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", max_length=64)] | None = None


class Scores(msgspec.Struct, frozen=True):
    """One score for each row, in their order."""

    export_id: str
    model_name: str
    model_version: str
    scores: list[float]


class FeatureRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The persons whose features are wanted, by pseudonym."""

    state: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$", max_length=2)]
    person_tokens: Annotated[
        list[Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$", max_length=32)]],
        msgspec.Meta(min_length=1, max_length=_MOST_PERSONS),
    ]


class Features(msgspec.Struct, frozen=True):
    """For each pseudonym the person's features by name; null where the state has nobody of that pseudonym."""

    export_id: str
    features: list[dict[str, Feature] | None]


@get(
    "/v1/models",
    summary="List models",
    opt=_INFER,
    description="The models that rows can be scored with: those behind the predictions of the export in use.",
    responses={**NOT_MODIFIED, **problem_responses(*COMMON)},
)
async def list_models(request: ServiceRequest) -> Response[ModelList]:
    """The models of the export in use."""
    export = current_export(request)
    export_id = export.predictions.export_id
    models = [_description(export.models, model) for model in export.models.latest]
    return versioned(request, ModelList(export_id=export_id, models=models), version=export_id)


@get(
    "/v1/models/{name:str}",
    summary="Describe one model",
    opt=_INFER,
    description="A model of the export in use: its versions, and the columns of a row to score.",
    responses={**NOT_MODIFIED, **problem_responses(*COMMON, HTTPStatus.NOT_FOUND)},
)
async def describe_model(request: ServiceRequest, name: ModelName) -> Response[ModelDescription]:
    """One model of the export in use."""
    export = current_export(request)
    model = _model(export.models, name)
    return versioned(request, _description(export.models, model), version=export.predictions.export_id)


@post(
    "/v1/models/{name:str}/score",
    status_code=HTTPStatus.OK,
    summary="Score rows",
    opt={
        **_INFER,
        BODY: BodyKind(
            kind=ScoreRequest,
            limit=1_048_576,
            example={
                "rows": [
                    {"state_votes_last": 5_500_000.0, "votes_last": 412_000.0, "votes_second_last": None},
                ]
            },
        ),
    },
    description=(
        "One score for each row, by the model's latest version unless another is named. Columns and their encoding are "
        "the model's own (`/v1/models/{name}`). Nothing is stored. With an `Idempotency-Key`, a repetition within ten "
        "minutes gets the same answer, also after a new model was promoted; another request with that key is refused."
    ),
    responses=problem_responses(*COMMON, *_BODY_PROBLEMS),
)
async def score(request: ServiceRequest, name: ModelName, idempotency_key: IdempotencyKey = None) -> Response[Scores]:
    """Scores of rows."""
    body = await read_json_text(request)
    asked = decoded(body, ScoreRequest)
    # Before what is remembered, which may be of a model that is not trusted any more.
    export = current_export(request)
    fingerprint = request.url.path.encode() + b"\n" + body
    remembered: Remembered = request.app.state[REMEMBERED]
    if idempotency_key is not None:
        with _keys_not_reused():
            known = remembered.find(request.user.name, idempotency_key, fingerprint)
        if known is not None:
            return _scores(known, {"Idempotency-Replayed": "true"})
    export_id = export.predictions.export_id
    model = _model(export.models, name, asked.model_version)
    try:
        scores = await score_rows(model, asked.rows)
    except RowsError as error:
        raise unfit("rows", str(error)) from None
    request.app.state[METRICS].scored(model.name, model.version, scores.tolist())
    content = msgspec.json.encode(
        Scores(export_id=export_id, model_name=model.name, model_version=model.version, scores=scores.tolist())
    )
    if idempotency_key is not None:
        # A repetition may have overtaken this request while it was scored.
        with _keys_not_reused():
            content = remembered.keep(request.user.name, idempotency_key, fingerprint, content)
    return _scores(content, {})


@post(
    "/v1/features/lookup",
    status_code=HTTPStatus.OK,
    summary="Look features of persons up",
    opt={
        ACCESS: Scope.READ_FEATURES,
        BODY: BodyKind(
            kind=FeatureRequest,
            limit=16_384,
            example={"state": "NC", "person_tokens": ["0123456789abcdef0123456789abcdef"]},
        ),
    },
    description=(
        "The features of persons of one state, by pseudonym: what the model of a person's turnout reads, and nothing "
        "else. Pseudonyms are personal data still, so they travel in the body, and answers must not be kept. Only "
        "where the operator lets exports carry them."
    ),
    responses=problem_responses(*COMMON, *_BODY_PROBLEMS),
)
async def look_up_features(request: ServiceRequest) -> Response[Features]:
    """Features by pseudonym."""
    asked = decoded(await read_json_text(request), FeatureRequest)
    demand_within(request, "state", asked.state)
    export = current_export(request)
    if export.features is None:
        raise NotFoundException(detail="The export carries no features of persons.")
    found = Features(
        export_id=export.predictions.export_id, features=export.features.of(asked.state, asked.person_tokens)
    )
    return EncodedAnswer(msgspec.json.encode(found), _NOT_KEPT)


SCORING_ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (list_models, describe_model, score, look_up_features)


@contextlib.contextmanager
def _keys_not_reused() -> Iterator[None]:
    try:
        yield
    except KeyReusedError:
        raise unfit("Idempotency-Key", "it came with another request") from None


def _model(models: "LoadedModels", name: str, version: str | None = None) -> "LoadedModel":
    found = models.find(name, version)
    if found is None:
        raise NotFoundException(detail="There is no model of that name and version.")
    return found


def _description(models: "LoadedModels", model: "LoadedModel") -> ModelDescription:
    return ModelDescription(
        name=model.name,
        versions=[
            ModelVersionDescription(version=version.version, election=version.election)
            for version in models.versions(model.name)
        ],
        input_columns=list(model.scorer.input_columns),
        feature_names=list(model.scorer.record.feature_names),
    )


def _scores(content: bytes, headers: dict[str, str]) -> Response[Scores]:
    return EncodedAnswer(content, {**_NOT_KEPT, **headers})
