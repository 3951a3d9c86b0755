"""Looks at HTTP sources: which version is there, told by validators, without its body.

Put here how a version is asked for. Keep out what validators are (``validators``) and fetching a body (``fetcher``,
``downloads``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from mlops_assets.plumbing.sources.http.answers import Question, is_page, page_instead, require_data
from mlops_assets.plumbing.sources.http.bodies import AS_IT_IS, Kind
from mlops_assets.plumbing.sources.http.fetcher import Fetcher
from mlops_assets.plumbing.sources.http.validators import Validators, condition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.plumbing.sources.http.limits import Limits

_NO_HEAD: Final = frozenset({
    httpx.codes.FORBIDDEN, httpx.codes.METHOD_NOT_ALLOWED, httpx.codes.NOT_IMPLEMENTED
})  # fmt: skip
_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 10.0
_MOST_BYTES: Final = 2**16


def short(limits: Limits) -> Limits:
    """Limits of a look, which a sensor's tick has to wait for: one short attempt, and nothing large."""
    return limits.model_copy(
        update={
            "connect_seconds": min(limits.connect_seconds, _CONNECT_SECONDS),
            "answer_seconds": min(limits.answer_seconds, _ANSWER_SECONDS),
            "idle_seconds": min(limits.idle_seconds, _ANSWER_SECONDS),
            "total_seconds": min(limits.total_seconds, 2 * _ANSWER_SECONDS),
            "attempts": 1,
            "largest_body_bytes": min(limits.largest_body_bytes, _MOST_BYTES),
        }
    )


class Looker(Fetcher):
    """A client that asks for versions."""

    def version(
        self,
        address: str,
        kind: Kind,
        *,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        known: str = "",
    ) -> str:
        """What tells the version that is there (``Validators.told``); empty where the source sends no validators.

        A file is asked for by HEAD, or where that is not allowed by GET, whose body is not read: of a signed address
        the signature may be for that alone. Anything else is asked for by GET, since few services heed HEAD.

        Args:
            address: an http or https address.
            kind: what is there.
            parameters: query parameters.
            headers: those with which it is fetched, too: a version may depend on them.
            known: the version that is known; where it still stands the source need not answer more than that.

        Raises:
            SourceUnavailableError: it is away.
            SourceError: it has nothing there, or will not say.
        """
        # Each is at an address of the declaration, which may be of another host.
        self._home = None
        asked = {**headers, **condition(known)}
        if kind is Kind.FILE:
            asked |= AS_IT_IS
            head = self._question("HEAD", address, kind, parameters=parameters, headers=asked)
            found = self._tried(
                head, lambda answer: None if answer.status_code in _NO_HEAD else self._told(answer, head, known)
            )
            if found is not None:
                return found
        get = self._question("GET", address, kind, parameters=parameters, headers=asked)
        return self._tried(get, lambda answer: self._told(answer, get, known))

    def _told(self, answer: httpx.Response, question: Question, known: str) -> str:
        if answer.status_code == httpx.codes.NOT_MODIFIED and known:
            return known
        require_data(answer, question, self._access, self._limits)
        if is_page(answer, b""):
            raise page_instead(b"", question, self._access)
        return Validators.of(answer).told
