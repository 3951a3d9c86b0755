"""What can go wrong with a request, as exceptions.

Put here the exceptions and how an answer becomes one. Keep out the decision to try again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import httpx

_MOST_CHARACTERS = 300


class ParameterProblem(msgspec.Struct, frozen=True):
    """A parameter or a place in the body that is not valid, and why."""

    parameter: str
    message: str


class ServiceError(Exception):
    """The service could not be asked, or did not answer as hoped."""


class ServiceUnreachableError(ServiceError):
    """No answer came, also after the retries; the cause is the last failure."""


class UnexpectedAnswerError(ServiceError):
    """What came is no answer of this service: a proxy's page, or another version's."""


class ProblemError(ServiceError):
    """The service refused the request, or failed.

    Attributes:
        status: the HTTP status.
        detail: what went wrong, in a sentence.
        request_id: the id under which the service's log tells more; empty when there is none.
        errors: which parameters are not valid.
    """

    def __init__(self, *, status: int, detail: str, request_id: str, errors: tuple[ParameterProblem, ...]) -> None:
        places = "".join(f" {error.parameter}: {error.message}." for error in errors)
        super().__init__(f"{status}: {detail}{places} (request {request_id or 'without id'})")
        self.status = status
        self.detail = detail
        self.request_id = request_id
        self.errors = errors


class InvalidRequestError(ProblemError):
    """400, 413, 415 or 422: the request is not valid, or does not fit the data or the model."""


class UnauthenticatedError(ProblemError):
    """401: there is no valid token or certificate."""


class ForbiddenError(ProblemError):
    """403: the scope or the state is not covered."""


class NotFoundError(ProblemError):
    """404 or 410: there is no such object, or not any more."""


class OverloadedError(ProblemError):
    """429 or 503, also after the retries: the limit is reached, or the service cannot answer at the moment."""


_BY_STATUS: dict[int, type[ProblemError]] = {
    **dict.fromkeys((400, 413, 415, 422), InvalidRequestError),
    401: UnauthenticatedError,
    403: ForbiddenError,
    **dict.fromkeys((404, 410), NotFoundError),
    **dict.fromkeys((429, 503), OverloadedError),
}


class _Document(msgspec.Struct, frozen=True):
    detail: str = ""
    title: str = ""
    request_id: str = ""
    errors: tuple[ParameterProblem, ...] = ()


def problem_of(response: httpx.Response) -> ProblemError:
    """The exception for an answer with an error's status; also for one that holds no problem document."""
    try:
        document = msgspec.json.decode(response.content, type=_Document)
    except (msgspec.DecodeError, RecursionError):
        document = _Document(detail=response.reason_phrase)
    kind = _BY_STATUS.get(response.status_code, ProblemError)
    return kind(
        status=response.status_code,
        detail=(document.detail or document.title or response.reason_phrase)[:_MOST_CHARACTERS],
        request_id=document.request_id or response.headers.get("x-request-id", ""),
        errors=document.errors,
    )
