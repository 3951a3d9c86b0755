"""Downloads: a file of any size from an HTTP source to scratch, resumed where it broke off, of one version or none.

Put here how a file is fetched and how it is known that all of it came. Keep out the transport (``client``) and
what is in the file.

Source: RFC 9110 sections 13.1.5 (If-Range), 14.2 (Range) and 15.3.7 (206), RFC 9112 section 6.3 (length of a message).
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

import httpx

from mlops_assets.platform.errors import SourceError, SourceUnavailableError
from mlops_assets.plumbing.sources.http.answers import Question, is_page, page_instead, require_data
from mlops_assets.plumbing.sources.http.bodies import AS_IT_IS, Kind, chunks, is_framed, is_packed
from mlops_assets.plumbing.sources.http.client import is_same_host, origin_of
from mlops_assets.plumbing.sources.http.faults import TryAgainError
from mlops_assets.plumbing.sources.http.fetcher import Fetcher
from mlops_assets.plumbing.sources.http.validators import Span, Validators

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(kw_only=True)
class Download:
    """What is there of a file, in the end all of it.

    Attributes:
        source: how messages name it.
        file: where it is written to.
        size: how many bytes there are.
        digest: their SHA-256.
        validators: of the version that they are of.
        total: how many there will be; ``None`` where the source does not say.
        packed: whether they are packed by gzip for the way, though it was not asked for.
        framed: whether the transport tells their end from a connection that broke off.
        attempts: how often the source was asked.
        led_to: the address, without query, of another host that it was redirected to; empty where it was not.
    """

    source: str
    file: IO[bytes]
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    validators: Validators = field(default_factory=Validators)
    total: int | None = None
    packed: bool = False
    framed: bool = False
    attempts: int = 0
    led_to: str = ""
    _resumes: bool = True

    @property
    def kept(self) -> int:
        """How many bytes need not be sent again."""
        return self.size if self._resumes and self.validators.strong else 0

    def asked(self) -> Mapping[str, str]:
        """The headers that ask for what is missing."""
        return {"Range": f"bytes={self.size}-", "If-Range": self.validators.strong} if self.kept else {}

    def begin(self, response: httpx.Response) -> None:
        """Begin with the first byte of the version that an answer holds."""
        found = Validators.of(response)
        if self.kept and found.strong == self.validators.strong:
            # It could have gone on, and does not: what it sends is no progress until it is whole.
            self._resumes = False
        self._drop()
        self.validators = found
        self.packed = is_packed(response, self.source)
        self.framed = is_framed(response)
        length = response.headers.get("Content-Length", "")
        self.total = int(length) if length.isdecimal() else None

    def resume(self, response: httpx.Response) -> Span:
        """Go on with the part that an answer holds.

        Raises:
            TryAgainError: it is no part of this version, or not what was asked for; all is to be begun anew.
        """
        if self.validators.contradicted_by(Validators.of(response)):
            # One that has two versions at once would begin anew for ever.
            self._resumes = False
            raise self._begun_anew("it was changed while it was read")
        span = Span.of(response.headers.get("Content-Range", ""))
        if (
            span is None
            or span.start != self.size
            or span.total is None
            or self.total not in {None, span.total}
            or self.packed != is_packed(response, self.source)
        ):
            self._resumes = False
            raise self._begun_anew("it sends another part than the one that was asked for")
        self.total = span.total
        self.framed = True
        return span

    def refuse_rest(self) -> TryAgainError:
        """The error where the source says that there is nothing behind what is there."""
        self._resumes = False
        return self._begun_anew(f"it says that it has nothing behind the first {self.size:,} bytes")

    def add(self, block: bytes) -> None:
        """Write what came.

        Raises:
            OSError: there is no room for it.
        """
        self.file.write(block)
        self.digest.update(block)
        self.size += len(block)

    def end(self, span: Span | None) -> None:
        """Require that all came.

        Raises:
            TryAgainError: it did not.
        """
        if span is not None and self.size != span.end:
            self._resumes = False
            raise self._begun_anew("the part that it sends is not as long as it says")
        if self.total is not None and self.size != self.total:
            raise TryAgainError(f"it sent {self.size:,} of {self.total:,} bytes")

    def _begun_anew(self, why: str) -> TryAgainError:
        self._drop()
        return TryAgainError(why)

    def _drop(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.size, self.digest, self.total = 0, hashlib.sha256(), None
        self.validators = Validators()


def too_large(source: str, most: int) -> SourceError:
    """The error for a file of more bytes than that."""
    return SourceError(
        source=source,
        culprit=f"the file is larger than {most:,} bytes.",
        remedy="Check that the address is the right one, or raise largest_body_bytes.",
    )


class Downloader(Fetcher):
    """A client that fetches files. Of its limits, those of time and attempts are for a whole file (``FileLimits``)."""

    def download(
        self, address: str, target: Path, *, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> Download:
        """Write the file at an address to the target.

        What has come is kept when a connection breaks off, if a strong validator tells its version; the rest is asked
        for by ``Range`` and ``If-Range``. An attempt that brought some of it is not counted.

        Raises:
            RefusedRequestError: the source will not serve the request.
            HtmlInsteadError: a web page came where a file was due.
            SourceUnavailableError: it did not come whole within the limits.
            OSError: there is no room for it.
            SourceError: the address is unusable, or the file is too large.
        """
        question = self._question("GET", address, Kind.FILE, parameters=parameters, headers={**headers, **AS_IT_IS})
        until = time.monotonic() + self._limits.total_seconds
        fruitless = 0
        with target.open("wb") as file:
            download = Download(source=question.plain, file=file)
            while True:
                before = download.kept
                try:
                    self._attempt(download, question, until)
                except TryAgainError as fault:
                    fruitless = 0 if download.kept > before else fruitless + 1
                    left = until - time.monotonic()
                    if left <= 0:
                        raise self._too_slow(download) from None
                    self._wait(fault, question.plain, fruitless)
                else:
                    return download

    def _attempt(self, download: Download, question: Question, until: float) -> None:
        asked = download.asked()
        download.attempts += 1
        left = max(until - time.monotonic(), 0.0)
        span = None
        with self._answered(replace(question, headers={**question.headers, **asked}), left) as response:
            if asked and response.status_code == httpx.codes.PARTIAL_CONTENT:
                span = download.resume(response)
            elif asked and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise download.refuse_rest()
            else:
                require_data(response, question, self._access, self._limits)
                download.begin(response)
                url = response.url
                download.led_to = "" if is_same_host(question.url, url) else f"{origin_of(url)}{url.path}"
                if is_page(response, b""):
                    raise page_instead(next(chunks(response, self._limits), b""), question, self._access)
            self._require_size(download, download.total or 0)
            for chunk in chunks(response, self._limits):
                if not download.size and is_page(response, chunk):
                    raise page_instead(chunk, question, self._access)
                self._require_size(download, download.size + len(chunk))
                download.add(chunk)
        download.end(span)

    def _require_size(self, download: Download, size: int) -> None:
        if size > self._limits.largest_body_bytes:
            raise too_large(download.source, self._limits.largest_body_bytes)

    def _too_slow(self, download: Download) -> SourceUnavailableError:
        total = "" if download.total is None else f" of {download.total:,}"
        return SourceUnavailableError(
            source=download.source,
            culprit=f"{download.size:,}{total} bytes came within {self._limits.total_seconds:g} s "
            f"(attempt {download.attempts}).",
            remedy="Run it again at a better time, or give it more total_seconds.",
        )
