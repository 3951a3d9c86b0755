"""Errors as clients see them: RFC 9457 problem documents, without a trace and without what the client sent.

Put here how an exception becomes an answer. Keep out the decision that something is an error.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import ResponseSpec

from mlops_assets.platform.token_keys import KeyFileError
from mlops_assets.serving.audit import decision_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.connection import Request
    from litestar.types import ExceptionHandlersMap

MEDIA_TYPE: Final = "application/problem+json"
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


def problem_responses(*statuses: HTTPStatus) -> dict[int, ResponseSpec]:
    """How a route's errors appear in the OpenAPI document."""
    return {
        status.value: ResponseSpec(
            data_container=Problem, description=status.phrase, media_type=MEDIA_TYPE, generate_examples=False
        )
        for status in statuses
    }


def exception_handlers() -> ExceptionHandlersMap:
    """The application's handlers: every exception has an answer here."""
    return {HTTPException: _http_problem, KeyFileError: _no_keys, Exception: _unexpected}


def _http_problem(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    detail = error.detail
    errors: list[ParameterProblem] = []
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        # The framework's own text repeats the whole address.
        detail = "The parameters are not valid."
        errors = [
            ParameterProblem(parameter=_name_of(entry), message=str(entry.get("message", ""))) for entry in error.extra
        ]
    return _answer(request, error.status_code, detail, headers=error.headers, errors=errors)


def _name_of(entry: Mapping[str, Any]) -> str:
    """What the client calls a parameter; in the code the query's ``state`` has another name."""
    name = str(entry.get("key", ""))
    return "state" if name == "state_code" and entry.get("source") == "query" else name


def _no_keys(request: Request[Any, Any, Any], error: KeyFileError) -> Response[Problem]:
    decision = decision_of(request.scope)
    decision.reason = "no_keys"
    _LOGGER.error("tokens cannot be verified", extra={"fields": {"error": str(error)}})
    return _answer(request, HTTPStatus.SERVICE_UNAVAILABLE, "Tokens cannot be verified at the moment.", headers=_RETRY)


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
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
) -> Response[Problem]:
    decision = decision_of(request.scope)
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id=decision.request_id,
        errors=errors or [],
    )
    return Response(problem, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))
