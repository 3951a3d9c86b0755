"""Request bodies: read up to a limit, and decoded into the types that a route declares.

Put here reading, decoding and how a body is described in the OpenAPI document. Keep out what a body means.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from litestar.exceptions import ClientException, HTTPException, ValidationException

if TYPE_CHECKING:
    from litestar.connection import Request

BODY: Final = "body"
"""Name of the handler option that lets a route take a body: a :class:`BodyKind`."""
TEXT_END: Final = r"\Z"
"""End of a pattern of text in a body. Python takes a line's end behind ``$``, which the document's dialect does not."""
_JSON: Final = "application/json"
Decoded = TypeVar("Decoded")


@dataclass(frozen=True, kw_only=True)
class BodyKind:
    """The body that a route takes.

    Attributes:
        kind: the type of its JSON.
        limit: most bytes it may have.
        example: a body for the OpenAPI document.
    """

    kind: type
    limit: int
    example: object


async def read_body(request: Request[Any, Any, Any]) -> bytes:
    """The whole body, up to the route's limit.

    Raises:
        HTTPException: 413, at once when the declared length is above the limit, else as soon as more has arrived; 415
            when the body is compressed.
        ClientException: the client went away before its end.
    """
    limit: int = request.route_handler.opt[BODY].limit
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > limit:
        raise _too_large(limit)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        # A few bytes can decompress to gigabytes.
        raise HTTPException(status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail="A compressed body is not taken.")
    parts: list[bytes] = []
    size = 0
    while True:
        event = await request.receive()
        if event["type"] != "http.request":
            raise ClientException(detail="The body ended before its length.")
        size += len(event["body"])
        if size > limit:
            raise _too_large(limit)
        parts.append(event["body"])
        if not event["more_body"]:
            return b"".join(parts)


async def read_json_text(request: Request[Any, Any, Any]) -> bytes:
    """The whole body, said to be JSON; see :func:`decoded`.

    Raises:
        HTTPException: as :func:`read_body`; 415 when it is not said to be JSON.
        ClientException: the client went away before its end.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _JSON:
        raise HTTPException(status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail=f"The body must be {_JSON}.")
    return await read_body(request)


def decoded(body: bytes, kind: type[Decoded]) -> Decoded:
    """A JSON text as a value of that type.

    Raises:
        ValidationException: it is no JSON, nested too deeply, or not of that type; the problem names the place.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except RecursionError:
        raise _refused("The JSON is nested too deeply.") from None
    except msgspec.ValidationError as error:
        # The message quotes names and types, and never a value that was sent.
        message, _, place = str(error).partition(" - at `")
        raise _refused(message, place.removesuffix("`") or "$") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refused(f"The body is no JSON: {str(error).partition(':')[2].strip() or 'it ends too early'}.") from None


def _refused(message: str, place: str = "$") -> ValidationException:
    return ValidationException(extra=[{"key": place[:100], "message": message[:300]}])


def _too_large(limit: int) -> HTTPException:
    return HTTPException(
        status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        detail=f"The body may have up to {limit:,} bytes.",
    )
