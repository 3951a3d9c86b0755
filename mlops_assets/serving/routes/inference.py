"""The routes of the Open Inference Protocol v2, so that clients of other model servers work unchanged.

Put here the protocol's addresses. Keep out its messages (`inference_protocol`) and our own way of scoring
(`scoring`). Annotations are read at run time, so they are not postponed.
"""

from functools import partial
from http import HTTPStatus
from typing import Annotated, Final

from litestar import Response, get, post
from litestar.enums import MediaType
from litestar.exceptions import HTTPException, ValidationException
from litestar.params import HeaderParameter
from litestar.types import ControllerRouterHandler

from mlops_assets import __version__
from mlops_assets.serving.exports.catalog import catalog_of
from mlops_assets.serving.exports.scoring import RowsError, score_tensors
from mlops_assets.serving.exports.shadows import draw_of
from mlops_assets.serving.http.answers import ServiceRequest
from mlops_assets.serving.http.audit import decision_of
from mlops_assets.serving.http.bodies import BODY, BodyKind, decoded, read_body
from mlops_assets.serving.http.encoded_answers import EncodedAnswer
from mlops_assets.serving.http.metrics import ANSWERED
from mlops_assets.serving.http.problems import COMMON, inference_errors
from mlops_assets.serving.identity.scopes import ACCESS, Access, Scope
from mlops_assets.serving.routes.health import HealthRequest, demand_ready
from mlops_assets.serving.routes.inference_protocol import (
    BINARY_HEADER,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorError,
    model_metadata,
    response_body,
    split_body,
)
from mlops_assets.serving.routes.inference_tensors import input_tensors, rows_of
from mlops_assets.serving.routes.parameters import ModelName, ModelVersion
from mlops_assets.serving.routes.scored import Scored

_INFER: Final = {ACCESS: Scope.INFER}
_PUBLIC: Final = {ACCESS: Access.PUBLIC}
_OCTETS: Final = "application/octet-stream"
_OF_MODEL: Final = inference_errors(*COMMON, HTTPStatus.NOT_FOUND, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_MODEL: Final = "/v2/models/{name:str}"
_VERSION: Final = f"{_MODEL}/versions/{{version:str}}"

HeaderLength = Annotated[
    str | None,
    HeaderParameter(
        name=BINARY_HEADER,
        pattern="^[0-9]{1,9}$",
        description="Bytes of the JSON at the beginning of the body, when binary tensors follow it.",
    ),
]


@get(
    "/v2",
    summary="Describe the server",
    opt={ACCESS: Access.ANY_PRINCIPAL},
    responses=inference_errors(*COMMON),
    sync_to_thread=False,
)
def server_metadata() -> ServerMetadata:
    """Name, version and extensions."""
    return ServerMetadata(name="mlops-assets", version=__version__, extensions=["binary_tensor_data"])


@get("/v2/health/live", summary="Is the process alive?", opt=_PUBLIC, security=[{}], sync_to_thread=False)
def server_live() -> ServerLive:
    """The process answers."""
    return ServerLive(live=True)


@get(
    "/v2/health/ready",
    summary="Can the service answer?",
    opt=_PUBLIC,
    security=[{}],
    responses=inference_errors(HTTPStatus.SERVICE_UNAVAILABLE),
    sync_to_thread=False,
)
def server_ready(request: HealthRequest) -> ServerReady:
    """The same as `/health/ready`."""
    demand_ready(request)
    return ServerReady(ready=True)


@get(
    [_MODEL, _VERSION],
    summary="Describe a model",
    opt=_INFER,
    description="Versions, inputs and output of a model of the export in use.",
    responses=_OF_MODEL,
)
async def metadata(request: ServiceRequest, name: ModelName, version: ModelVersion = None) -> ModelMetadata:
    """Metadata of a model."""
    export, model = catalog_of(request).model(name, version)
    return model_metadata((model,) if version else export.models.versions(name))


@get(
    [f"{_MODEL}/ready", f"{_VERSION}/ready"],
    summary="Can a model be scored with?",
    opt=_INFER,
    description="A model of the export in use is loaded, so it is ready; any other is not found.",
    responses=_OF_MODEL,
)
async def model_ready(request: ServiceRequest, name: ModelName, version: ModelVersion = None) -> ModelReady:
    """Readiness of a model."""
    return ModelReady(name=catalog_of(request).model(name, version)[1].name, ready=True)


@post(
    [f"{_MODEL}/infer", f"{_VERSION}/infer"],
    status_code=HTTPStatus.OK,
    summary="Score rows",
    opt={
        **_INFER,
        BODY: BodyKind(
            kind=InferenceRequest,
            limit=1_048_576,
            example={
                "inputs": [
                    {"name": "a_column_of_the_model", "shape": [2], "datatype": "FP64", "data": [0.5, 1.0]},
                    {"name": "another", "shape": [2], "datatype": "BYTES", "data": ["text", ""]},
                ]
            },
        ),
    },
    description=(
        "One score for each row, the same as that of `/v1/models/{name}/score`. Each raw column of the model is an "
        "input of shape `[-1]` or `[-1, 1]`; the model's metadata lists them. Tensors are JSON or, as the extension "
        "for binary tensors says, bytes behind the JSON."
    ),
    responses=_OF_MODEL,
)
async def infer(
    request: ServiceRequest, name: ModelName, version: ModelVersion = None, header_length: HeaderLength = None
) -> Response[InferenceResponse]:
    """Scores of rows."""
    body = await read_body(request)
    draw = draw_of(decision_of(request.scope).request_id)
    export, model = catalog_of(request).model(name, version, draw=draw)
    try:
        head, binary = split_body(body, header_length)
        asked = _decoded(head, with_length=header_length is not None)
        read = partial(input_tensors, asked, binary, model.scorer.tensors)
        scores = await score_tensors(model, rows_of(asked), read)
        content, json_length = response_body(model, asked, scores)
    except (TensorError, RowsError) as error:
        raise HTTPException(status_code=HTTPStatus.UNPROCESSABLE_ENTITY, detail=str(error)) from None
    await Scored.of(request, export).keep(model, ANSWERED, scores)
    headers = {} if json_length is None else {BINARY_HEADER: str(json_length)}
    return EncodedAnswer(content, headers, media_type=MediaType.JSON.value if json_length is None else _OCTETS)


INFERENCE_ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (
    server_metadata,
    server_live,
    server_ready,
    metadata,
    model_ready,
    infer,
)


def _decoded(head: bytes, *, with_length: bool) -> InferenceRequest:
    """The JSON part; when a header says where it ends, what is wrong with it may be that header alone: 422."""
    try:
        return decoded(head, InferenceRequest)
    except ValidationException as error:
        if not with_length:
            raise
        raise HTTPException(
            status_code=HTTPStatus.UNPROCESSABLE_ENTITY,
            detail=f"The part that {BINARY_HEADER} measures is no request.",
            extra=error.extra,
        ) from None
