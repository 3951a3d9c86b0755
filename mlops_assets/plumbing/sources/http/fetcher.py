"""The fetch layer: how any HTTP source is asked for what fits into memory, with bounded retries and a cache.

Put here what holds for every such source. Keep out one question (``client``), files of any size
(``downloads``) and what a source's answer means (that is its connector or kind).
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from mlops_assets.plumbing.sources.http.answers import Fetched, Question, judged
from mlops_assets.plumbing.sources.http.bodies import Kind
from mlops_assets.plumbing.sources.http.cache import CacheEntry, HttpCache
from mlops_assets.plumbing.sources.http.client import Client
from mlops_assets.plumbing.sources.http.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from mlops_assets.platform.settings import Settings
    from mlops_assets.plumbing.sources.http.access import Access

_LOG: Final = logging.getLogger(__name__)


class Fetcher(Client):
    """A client that fetches whole bodies. With a cache, a known ETag is sent along (``If-None-Match``).

    Args:
        limits: how long and how much.
        cache: where accepted bodies are kept.
        access: what signs the questions.
        rate_per_second: how many questions are asked in a second at most.
        quotes: whether messages may quote how a refusal begins; not where it could be a person's data.
        sleep: how to wait some seconds.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        cache: HttpCache | None = None,
        access: Access | None = None,
        rate_per_second: float | None = None,
        quotes: bool = True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(limits=limits, access=access, rate_per_second=rate_per_second, quotes=quotes, sleep=sleep)
        self._cache = cache

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """A client with the operator's time-out and attempts, its cache in the home folder."""
        seconds = settings.sources.timeout_seconds
        limits = Limits(
            connect_seconds=seconds,
            answer_seconds=seconds,
            idle_seconds=seconds,
            attempts=settings.sources.attempts,
        )
        return cls(limits=limits, cache=HttpCache(settings.home.absolute() / "cache"))

    def get(
        self,
        address: str,
        kind: Kind,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        part: str = "",
    ) -> Fetched:
        """The whole body at an address.

        Args:
            address: an http or https address.
            kind: what the body should be; a web page is refused.
            parameters: query parameters; their values appear in no message or log.
            headers: further headers.
            part: what is asked for there, for messages ("page 3").

        Raises:
            RefusedRequestError: the source will not serve the request.
            HtmlInsteadError: a web page came where data was due.
            SourceUnavailableError: no whole answer came in any of the attempts.
            SourceError: the address is unusable, the body is too large, or there is none (status 204).
        """
        question = self._question("GET", address, kind, parameters=parameters, headers=headers, part=part)
        entry = self._cache.read(_identity(question.url)) if self._cache else None
        return self._fetched(replace(question, entry=entry))

    def post(self, address: str, form: Mapping[str, str]) -> Fetched:
        """The JSON that answers a form, which may be sent again where no answer came.

        Raises:
            SourceError: as ``get``.
        """
        return self._fetched(self._question("POST", address, Kind.JSON, form=form))

    def _fetched(self, question: Question) -> Fetched:
        return self._tried(
            question,
            lambda response: self._kept(response, judged(response, question, self._access, self._limits), question),
        )

    def _kept(self, response: httpx.Response, fetched: Fetched, question: Question) -> Fetched:
        """The answer, which goes into the cache once it is accepted."""
        etag, cache = response.headers.get("ETag"), self._cache
        if cache is None or not etag or fetched.unchanged or question.method != "GET":
            return fetched

        def keep() -> None:
            try:
                cache.write(_identity(question.url), CacheEntry(etag=etag, body=fetched.body))
            except OSError as error:
                _LOG.warning(
                    "The body of %s could not be cached (%s); it will be fetched whole next time.",
                    question.plain,
                    error.strerror or type(error).__name__,
                )

        return replace(fetched, keep=keep)


def _identity(url: httpx.URL) -> str:
    """An address as the cache knows it: it may hold secrets, and the cache is a folder."""
    return hashlib.sha256(str(url).encode()).hexdigest()
