"""The client of HTTP sources: one question asked once, signed, in bounded time, redirects followed without secrets.

Put here how a question reaches its source and an answer begins. Keep out bodies in memory (``fetcher``) and in files
(``downloads``).
"""

from __future__ import annotations

import random
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self, TypeVar
from urllib.parse import unquote_plus

import httpx

import mlops_assets
from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources.hidden import LEAST, Hidden
from mlops_assets.plumbing.sources.http.access import Access
from mlops_assets.plumbing.sources.http.answers import Question
from mlops_assets.plumbing.sources.http.bodies import ACCEPTED, Kind
from mlops_assets.plumbing.sources.http.faults import TryAgainError, fault_of
from mlops_assets.plumbing.sources.http.limits import Clock, Limits
from mlops_assets.plumbing.sources.trust import is_on_this_machine

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

SECRET_NAMES: Final = re.compile(r"key|token|secret|pass|sig|auth|cred|code|session", re.IGNORECASE)
"""Names of parameters whose values are secrets."""
LEAST_SECRET: Final = 16
"""Characters of the shortest value in an address that may be a secret, by its name: ``code=EU27`` is none."""
_FOR_ANYBODY: Final = frozenset({
    "accept", "accept-encoding", "if-modified-since", "if-none-match", "if-range", "range"
})  # fmt: skip
"""Headers that another host is sent, too: what a declaration adds to them may be a secret."""

T = TypeVar("T")


class Client:
    """Asks HTTP sources. Use it as a context manager, one per extract, in one thread.

    Connection errors, time-outs, bodies that end early and the statuses 408, 429 and 500 to 599 are tried again, with
    full jitter around exponentially growing waits (Brooker, "Exponential Backoff And Jitter", AWS 2015), or after the
    time that the source itself asks for (``Retry-After``, RFC 9110 section 10.2.3).

    Redirects are followed to other hosts, too: from https to https, or on this machine. What signs the questions
    (headers, parameters, certificates, cookies) goes to the host of the first one alone, until that has led elsewhere.

    Args:
        limits: how long and how much.
        access: what signs the questions.
        rate_per_second: how many questions are asked in a second at most.
        quotes: whether messages may quote how a refusal begins; not where it could be a person's data.
        sleep: how to wait some seconds.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        access: Access | None = None,
        rate_per_second: float | None = None,
        quotes: bool = True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limits = limits or Limits()
        self._access = access or Access()
        self._hidden = self._access.hidden
        self._interval = 1 / rate_per_second if rate_per_second else 0.0
        self._next = 0.0
        self._quotes = quotes
        self._sleep = sleep
        self._random = random.SystemRandom()
        self._clock = Clock()
        self._home: httpx.URL | None = None
        self._client = self._opened(self._access.context or True)
        self._elsewhere: httpx.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        if self._elsewhere:
            self._elsewhere.close()

    def _opened(self, verify: ssl.SSLContext | bool) -> httpx.Client:  # noqa: FBT001  the library's
        return httpx.Client(
            verify=verify,
            timeout=httpx.Timeout(self._limits.idle_seconds, connect=self._limits.connect_seconds),
            headers={"User-Agent": f"mlops-assets/{mlops_assets.__version__}", "Accept-Encoding": ACCEPTED},
            follow_redirects=False,
        )

    def _wait(self, fault: TryAgainError, plain: str, attempt: int) -> None:
        """Wait for the next attempt.

        Raises:
            SourceUnavailableError: there is none, or the source asks for too long a wait.
        """
        delay = self._delay(attempt) if fault.wait is None else fault.wait
        if attempt >= self._limits.attempts or delay > self._limits.longest_delay_seconds:
            asked = "" if fault.wait is None else f", and it asks to wait {fault.wait:.0f} s"
            raise SourceUnavailableError(
                source=plain,
                culprit=f"{fault} (attempt {attempt} of {self._limits.attempts}{asked}).",
                remedy="Run it again later; if it stays so, check the address and the source's status.",
            )
        self._sleep(delay)

    def _delay(self, attempt: int) -> float:
        longest = min(self._limits.longest_delay_seconds, self._limits.first_delay_seconds * 2**attempt)
        return self._random.uniform(0.0, longest)

    def _question(
        self,
        method: str,
        address: str,
        kind: Kind,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        part: str = "",
    ) -> Question:
        url = self._url(address, parameters or {})
        if self._access.query and self._is_home(url):
            url = url.copy_merge_params(self._access.query)
        return Question(
            method=method,
            url=url,
            plain=f"{self._hidden.said(str(url))}{part and f' ({part})'}",
            kind=kind,
            headers=headers or {},
            form=form,
            entry=None,
            quotes=self._quotes,
        )

    def _url(self, address: str, parameters: Mapping[str, str]) -> httpx.URL:
        try:
            url = httpx.URL(address)
            # Only then: what is merged is written anew, which a signature would not survive.
            url = url.copy_merge_params(parameters) if parameters else url
        except httpx.InvalidURL:
            url = httpx.URL()
        if url.scheme not in {"http", "https"} or not url.host:
            raise SourceError(
                source=self._hidden.said(address) or "The source's address",
                culprit="this is not an http or https address.",
                remedy="Correct the source's address.",
            )
        if self._access.name and url.scheme == "http" and not is_on_this_machine(url.host):
            raise SourceError(
                source=self._hidden.said(address),
                culprit=f"it is asked with a secret ({self._access.name}) over plain http, where others can read it.",
                remedy="Use its https address.",
            )
        for name, value in url.params.multi_items():
            if SECRET_NAMES.search(name):
                self._hidden.add(value, name)
        if url.password:
            self._hidden.add(url.password, "password")
        self._home = self._home or url
        return url

    def _is_home(self, url: httpx.URL) -> bool:
        """Whether it is of the host that is sent the secrets, which is that of the first question."""
        return self._home is not None and is_same_host(self._home, url)

    def _tried(self, question: Question, judge: Callable[[httpx.Response], T]) -> T:
        """What the first answer comes to that no further attempt would better."""
        attempt = 1
        while True:
            try:
                with self._answered(question, self._limits.total_seconds) as response:
                    return judge(response)
            except TryAgainError as fault:
                self._wait(fault, question.plain, attempt)
                attempt += 1

    @contextmanager
    def _answered(self, question: Question, seconds: float) -> Iterator[httpx.Response]:
        """One try: the final answer, whose body is read within the block.

        Args:
            question: what is asked.
            seconds: how long it may take, redirects and body included.
        """
        with self._faults_of(question.plain), self._clock.within(seconds, f"it did not arrive within {seconds:g} s"):
            response = self._final(question)
            try:
                yield response
            finally:
                response.close()

    def _final(self, question: Question) -> httpx.Response:
        """The head of the answer, which is no redirect."""
        url, renewed, redirects = question.url, False, 0
        signed = not self._access.name or self._is_home(url)
        while redirects <= self._limits.most_redirects:
            response = self._sent(url, question, signed=signed)
            further = response.next_request
            refused = response.status_code == httpx.codes.UNAUTHORIZED and signed
            if further is None and not (refused and not renewed and self._access.renew()):
                return response
            response.close()
            if further is None:
                renewed = True
            else:
                redirects += 1
                signed = signed and is_same_host(url, further.url)
                url = self._redirected(url, further.url, question)
        raise SourceError(
            source=question.plain,
            culprit=f"it redirects more than {self._limits.most_redirects} times.",
            remedy="Give the address at which the data lies.",
        )

    @contextmanager
    def _faults_of(self, plain: str) -> Iterator[None]:
        try:
            yield
        except httpx.RequestError as error:
            raise fault_of(error, plain, self._hidden.said) from None

    def _sent(self, url: httpx.URL, question: Question, *, signed: bool) -> httpx.Response:
        """The head of the answer."""
        if (wait := self._next - time.monotonic()) > 0:
            self._sleep(wait)
        self._next = time.monotonic() + self._interval
        headers = {**question.headers}
        if question.entry:
            headers["If-None-Match"] = question.entry.etag
        if signed:
            client = self._client
            headers |= self._access.headers()
        else:
            client = self._elsewhere = self._elsewhere or self._opened(verify=True)
            headers = {name: text for name, text in headers.items() if name.lower() in _FOR_ANYBODY}
        try:
            request = client.build_request(
                question.method, url, headers=headers, data=question.form, extensions={"trace": self._clock.opened}
            )
        except (UnicodeEncodeError, httpx.InvalidURL):
            raise SourceError(
                source=question.plain,
                culprit="a header or secret for it holds letters that no header may hold.",
                remedy="Headers are ASCII: check them, and the file of the secret.",
            ) from None
        times = request.extensions["timeout"]
        times["read"] = self._limits.answer_seconds
        longest = self._limits.answer_seconds + 2 * self._limits.connect_seconds
        with self._clock.within(longest, f"no answer came within {longest:g} s, connecting included"):
            response = client.send(request, stream=True)
        # Looked up anew when the body is read.
        times["read"] = self._limits.idle_seconds
        for name in ("ETag", "Last-Modified"):
            # It is told, and sent again: one that repeats a secret counts as none.
            if self._hidden.secrets(text := response.headers.get(name, "")) != text:
                del response.headers[name]
        return response

    def _redirected(self, old: httpx.URL, new: httpx.URL, question: Question) -> httpx.URL:
        same, here = is_same_host(old, new), is_on_this_machine(old.host)
        is_safe = here if is_on_this_machine(new.host) else new.scheme == "https" and (here or old.scheme == "https")
        told = f"to another host ({origin_of(new)})"
        if question.form is not None:
            told = "a form"
        elif not is_safe and not same:
            told += ", and not from https to https"
        elif not same and self._is_told_in(new, question):
            told += " with a secret in the address"
        else:
            return new
        raise SourceError(
            source=question.plain,
            culprit=f"it redirects {told}, which is not followed.",
            remedy="If the source has moved, give its new address.",
        )

    def _is_told_in(self, address: httpx.URL, question: Question) -> bool:
        """Whether the address repeats a secret that the question was sent with."""
        own = (*question.url.params.multi_items(), *question.headers.items())
        found = [text for name, text in own if SECRET_NAMES.search(name) and len(text) >= LEAST_SECRET]
        secrets = Hidden()
        for text in (*found, *self._access.query.values(), *self._access.headers().values()):
            # Without the scheme of Authorization.
            if len(secret := text.rpartition(" ")[2]) >= LEAST:
                secrets.add(secret, "secret")
        told = (str(address), unquote_plus(str(address)))
        return any(hidden.secrets(text) != text for hidden in (secrets, self._hidden) for text in told)


def origin_of(url: httpx.URL) -> str:
    """The address of its host."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}{f':{url.port}' if url.port else ''}"


def is_same_host(old: httpx.URL, new: httpx.URL) -> bool:
    """Whether it is the same one, or the same by https."""
    secured = (old.scheme, old.port, new.scheme, new.port) == ("http", None, "https", None)
    return new.host == old.host and (secured or (new.scheme, new.port) == (old.scheme, old.port))
