"""The route of outcomes: what happened to rows that were scored, reported once it is known.

Put here what the route takes and answers. Keep out the files that outcomes are kept in (``inference_log``), and what is
made of them (a pipeline's). Annotations are read at run time, so they are not postponed.
"""

import logging
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from litestar import Response, post
from litestar.exceptions import NotFoundException, ServiceUnavailableException
from litestar.types import ControllerRouterHandler

from mlops_assets.platform.exports.manifest import LARGEST_OUTCOME, OutcomeKind
from mlops_assets.serving.exports.catalog import catalog_of
from mlops_assets.serving.exports.values import INSTANT
from mlops_assets.serving.http.answers import ServiceRequest
from mlops_assets.serving.http.bodies import BODY, TEXT_END, BodyKind, decoded, read_json_text
from mlops_assets.serving.http.encoded_answers import EncodedAnswer
from mlops_assets.serving.http.problems import COMMON, problem_responses, unfit
from mlops_assets.serving.identity.scopes import ACCESS, Scope
from mlops_assets.serving.inference_log import INFERENCE_LOG, LoggedOutcome
from mlops_assets.serving.routes.parameters import ModelName

if TYPE_CHECKING:
    from mlops_assets.serving.inference_log import InferenceLog

_LOGGER: Final = logging.getLogger(__name__)
_MOST_OUTCOMES: Final = 1000
_MOST_ROWS: Final = 1_000_000
_CLOCKS: Final = timedelta(minutes=1)
"""By how much a client's clock may be ahead."""
_PROBLEMS: Final = (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.NOT_FOUND)


class ReportedOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happened to one scored row."""

    request_id: Annotated[
        str,
        msgspec.Meta(
            pattern=f"^[A-Za-z0-9_-]{{8,64}}{TEXT_END}",
            max_length=64,
            description="`X-Request-ID` of the answer that scored it.",
        ),
    ]
    outcome: Annotated[
        bool | Annotated[float, msgspec.Meta(ge=-LARGEST_OUTCOME, le=LARGEST_OUTCOME)],
        msgspec.Meta(description="Of the kind that the model declares."),
    ]
    observed: Annotated[
        str,
        msgspec.Meta(
            pattern=f"^{INSTANT}{TEXT_END}",
            max_length=40,
            description="Since when that is known, with its zone; of two outcomes of a row the later one counts.",
        ),
    ]
    row: Annotated[
        # In JSON Schema 3.0 is a whole number too.
        float, msgspec.Meta(ge=0, lt=_MOST_ROWS, multiple_of=1, description="Place of the row in the request, from 0.")
    ] = 0


class OutcomeReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Outcomes of rows that a model has scored."""

    outcomes: Annotated[list[ReportedOutcome], msgspec.Meta(min_length=1, max_length=_MOST_OUTCOMES)]


class OutcomesTaken(msgspec.Struct, frozen=True):
    """How many outcomes were taken down."""

    model_name: str
    taken: int


@post(
    "/v1/outcomes/{name:str}",
    status_code=HTTPStatus.ACCEPTED,
    summary="Report outcomes",
    opt={
        ACCESS: Scope.WRITE_OUTCOMES,
        BODY: BodyKind(
            kind=OutcomeReport,
            limit=262_144,
            example={
                "outcomes": [
                    {"request_id": "order-20241105-17", "row": 0, "outcome": True, "observed": "2024-12-01T00:00:00Z"}
                ]
            },
        ),
    },
    description=(
        "Take down what happened to rows that the model has scored. All of it is on the disk when the answer comes, or "
        "none is (503). It is joined later to what was answered to the same principal, or to those for which this one "
        "is declared to report; an outcome of no such answer is counted then. Reported again it changes nothing; a "
        "later `observed` corrects an earlier one."
    ),
    responses=problem_responses(*COMMON, *_PROBLEMS),
)
async def report_outcomes(request: ServiceRequest, name: ModelName) -> Response[OutcomesTaken]:
    """Outcomes of scored rows."""
    body = await read_json_text(request)
    export, model = catalog_of(request).model(name)
    kind = export.models.outcome
    if kind is None:
        raise NotFoundException(detail="The model takes no outcomes: its declaration names no kind of them.")
    asked = decoded(body, OutcomeReport)
    now = datetime.now(UTC)
    lines = [_line(number, each, kind, request.user.name, now) for number, each in enumerate(asked.outcomes)]
    log: InferenceLog = request.app.state[INFERENCE_LOG]
    try:
        await log.take(model.name, lines)
    except OSError as error:
        _LOGGER.error("outcomes not taken", extra={"fields": {"model": model.name, "error": str(error)}})  # noqa: TRY400
        raise ServiceUnavailableException(
            detail="The outcomes could not be written down.", headers={"Retry-After": "30"}
        ) from None
    content = msgspec.json.encode(OutcomesTaken(model_name=model.name, taken=len(lines)))
    return EncodedAnswer(content, {"Cache-Control": "no-store"})


OUTCOME_ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (report_outcomes,)


def _line(number: int, given: ReportedOutcome, kind: OutcomeKind, principal: str, now: datetime) -> LoggedOutcome:
    if isinstance(given.outcome, bool) != (kind is OutcomeKind.BOOLEAN):
        wanted = "true or false" if kind is OutcomeKind.BOOLEAN else "a number"
        raise unfit(f"$.outcomes[{number}].outcome", f"it is not {wanted}")
    try:
        observed = datetime.fromisoformat(given.observed).astimezone(UTC)
    except (ValueError, OverflowError):
        raise unfit(f"$.outcomes[{number}].observed", "there is no such time") from None
    if observed > now + _CLOCKS:
        raise unfit(f"$.outcomes[{number}].observed", "it has not come yet")
    return LoggedOutcome(
        request_id=given.request_id,
        row=int(given.row),
        outcome=float(given.outcome),
        observed=observed,
        principal=principal,
        reported=now,
    )
