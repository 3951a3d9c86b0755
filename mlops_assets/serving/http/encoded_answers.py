"""Answers whose body is encoded already: they go to the web server as they are.

Put here how such an answer is sent. Keep out what it says, and what makes it cheap to ask for again (``answers``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from litestar import Response
from litestar.enums import MediaType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar import Request
    from litestar.types import Message, Receive, Scope, Send

Body = TypeVar("Body")


class EncodedAnswer(Response[Body]):
    """An answer with a body of bytes, which stand for a value of the type that the route declares.

    The framework's own way writes the headers into an object that looks for each in all others, which takes about a
    tenth of a short request's time.
    """

    def __init__(self, content: bytes, headers: Mapping[str, str], *, media_type: str = MediaType.JSON.value) -> None:
        """Make an answer.

        Args:
            content: the body.
            headers: headers beside those that say what the body is.
            media_type: what the body is.
        """
        super().__init__(content, headers=headers, media_type=media_type)  # type: ignore[arg-type]  # encoded already
        self._body, self._media_type = content, media_type

    def to_asgi_response(  # type: ignore[override]  # of what the framework gives, the status alone matters
        self,
        app: None,  # noqa: ARG002
        request: Request[Any, Any, Any],  # noqa: ARG002
        *,
        status_code: int,
        **_: object,
    ) -> Any:  # noqa: ANN401  an ASGI application, which is all that the framework expects
        """The answer as an ASGI application."""
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        headers.append((b"content-type", self._media_type.encode("latin-1")))
        headers.append((b"content-length", b"%d" % len(self._body)))
        start: Message = {"type": "http.response.start", "status": status_code, "headers": headers}
        body: Message = {"type": "http.response.body", "body": self._body, "more_body": False}

        async def sent(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send(start)
            await send(body)

        return sent
