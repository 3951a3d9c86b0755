"""Errors as clients see them: RFC 9457 problem documents, without a trace and without what the client sent.

Put here how an exception becomes an answer. Keep out the decision that something is an error.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Response
from litestar.enums import MediaType
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import ResponseSpec
from litestar.params import ParameterKwarg

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.security.token_keys import KeyFileError
from mlops_assets.serving.http.audit import decision_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.connection import Request
    from litestar.types import ExceptionHandlersMap

MEDIA_TYPE: Final = "application/problem+json"
_INFERENCE: Final = "/v2"
_LOGGER: Final = logging.getLogger(__name__)
_RETRY: Final = {"Retry-After": "5"}


class ParameterProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter that is not valid, and why."""

    parameter: str
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error, after RFC 9457; ``about:blank`` means that the status says what kind of error it is."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[ParameterProblem] = []


class InferenceError(msgspec.Struct, frozen=True):
    """An error in the form of the Open Inference Protocol."""

    error: str


COMMON: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
"""Errors that every route which is not public may answer with."""


def problem_responses(*statuses: HTTPStatus) -> dict[int, ResponseSpec]:
    """How a route's errors appear in the OpenAPI document."""
    return {
        status.value: ResponseSpec(
            data_container=Problem, description=status.phrase, media_type=MEDIA_TYPE, generate_examples=False
        )
        for status in statuses
    }


def inference_errors(*statuses: HTTPStatus) -> dict[int, ResponseSpec]:
    """The same for a route of the Open Inference Protocol."""
    return {
        status.value: ResponseSpec(data_container=InferenceError, description=status.phrase, generate_examples=False)
        for status in statuses
    }


def error_body(path: str, problem: Problem) -> tuple[bytes, str]:
    """An error in the form of the path's protocol, and its media type."""
    if path == _INFERENCE or path.startswith(f"{_INFERENCE}/"):
        details = "; ".join(f"{error.parameter}: {error.message}" for error in problem.errors)
        text = f"{problem.detail} {details}".strip()
        return msgspec.json.encode(InferenceError(error=text)), MediaType.JSON
    return msgspec.json.encode(problem), MEDIA_TYPE


def exception_handlers() -> ExceptionHandlersMap:
    """The application's handlers: every exception has an answer here."""
    return {
        HTTPException: _http_problem,
        KeyFileError: _no_keys,
        ArtifactError: _no_rows,
        Exception: _unexpected,
    }


def unfit(name: str, message: str) -> HTTPException:
    """422: what was sent has the form that the OpenAPI document asks for, and does not fit the data or the model."""
    return HTTPException(
        status_code=HTTPStatus.UNPROCESSABLE_ENTITY,
        detail="The request does not fit.",
        extra=[{"key": name, "message": message}],
    )


def _http_problem(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    detail = error.detail
    errors: list[ParameterProblem] = []
    if isinstance(error.extra, list):
        if isinstance(error, ValidationException):
            # The framework's own text repeats the whole address.
            detail = "The request is not valid."
        errors = [
            ParameterProblem(parameter=_name_of(request, entry), message=str(entry.get("message", "")))
            for entry in error.extra
        ]
    return _answer(request, error.status_code, detail, headers=error.headers, errors=errors)


def _name_of(request: Request[Any, Any, Any], entry: Mapping[str, Any]) -> str:
    """What the client calls a parameter: in the code some parameters of the query and headers have other names."""
    name = str(entry.get("key", ""))
    argument = request.route_handler.parsed_fn_signature.parameters.get(name)
    declared = argument and argument.kwarg_definition
    return declared.name or name if isinstance(declared, ParameterKwarg) else name


def _no_keys(request: Request[Any, Any, Any], error: KeyFileError) -> Response[bytes]:
    decision = decision_of(request.scope)
    decision.reason = "no_keys"
    _LOGGER.error("tokens cannot be verified", extra={"fields": {"error": str(error)}})
    return _answer(request, HTTPStatus.SERVICE_UNAVAILABLE, "Tokens cannot be verified at the moment.", headers=_RETRY)


def _no_rows(request: Request[Any, Any, Any], error: ArtifactError) -> Response[bytes]:
    fields = {"request_id": decision_of(request.scope).request_id, "error": str(error)}
    _LOGGER.error("export cannot be read", extra={"fields": fields})
    return _answer(request, HTTPStatus.SERVICE_UNAVAILABLE, "The rows cannot be read at the moment.", headers=_RETRY)


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    request_id = decision_of(request.scope).request_id
    _LOGGER.error("request failed", exc_info=error, extra={"fields": {"request_id": request_id}})
    return _answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed. Tell its operator the request's id.")


def _answer(
    request: Request[Any, Any, Any],
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[ParameterProblem] | None = None,
) -> Response[bytes]:
    decision = decision_of(request.scope)
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id=decision.request_id,
        errors=errors or [],
    )
    content, media_type = error_body(request.scope["path"], problem)
    return Response(content, status_code=status, media_type=media_type, headers=dict(headers or {}))
