"""Questions in GraphQL, as they come by HTTP: what can be read as one, and with which status it is answered.

Put here what Dagster's web server would answer with 500 and no reason. Keep out what may be asked (``mutations``).
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graphql import GraphQLError
    from starlette.requests import Request


async def fault_of_question(request: Request) -> str | None:
    """Why a request holds no question; ``None`` if it holds one, or is of a method that Dagster refuses itself."""
    kind = request.headers.get("Content-Type", "")
    given: object = dict(request.query_params)
    if request.method == "POST" and ("application/json" in kind or "application/graphql" in kind):
        try:
            text = (await request.body()).decode()
            given = json.loads(text) if "application/json" in kind else {"query": text}
        except (ValueError, RecursionError):
            return "The question cannot be read: it is no JSON, or no UTF-8."
    if not isinstance(given, dict):
        return "Ask one question at a time, as a JSON object with query, variables and operationName."
    query, variables = given.get("query"), given.get("variables")
    if not isinstance(query, str | None) or not isinstance(given.get("operationName"), str | None):
        return "The query, and the name of its operation, are texts."
    if isinstance(variables, str):
        try:
            variables = json.loads(variables)
        except (ValueError, RecursionError):
            return "The variables are no JSON."
    return None if isinstance(variables, dict | None) else "The variables are no JSON object."


def status_of(errors: Sequence[GraphQLError], captured: Sequence[Exception]) -> HTTPStatus:
    """The status of an answer with these errors: Dagster's pages show a refusal's text with 200 alone.

    Args:
        errors: of the answer. What a field refuses has its place, and no other error behind it.
        captured: those that Dagster put into the answer as data.
    """
    if captured or any(error.original_error is not None for error in errors):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    refused_whole = any(error.path is None for error in errors)
    return HTTPStatus.BAD_REQUEST if refused_whole else HTTPStatus.OK
