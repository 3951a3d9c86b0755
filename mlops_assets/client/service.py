"""The client itself: one method for each question.

Put here how a question is asked. Keep out the shape of answers, and when to try again.
"""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from mlops_assets.client import answers
from mlops_assets.client.problems import ServiceUnreachableError, UnexpectedAnswerError, problem_of
from mlops_assets.client.retries import Retries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

Answer = TypeVar("Answer")
AsOf = str | datetime | None
"""A past version: the id of an export, or a time with its zone; ``None`` for the current one."""
Value = str | int | float | bool | None
_MOST_REMEMBERED: Final = 256
_UNAUTHENTICATED: Final = 401
_DEFAULT_RETRIES: Final = Retries()


@dataclass(frozen=True, kw_only=True)
class ClientCertificate:
    """A client certificate for mutual TLS: PEM files of the chain and of the private key."""

    chain: Path
    key: Path


class PredictionService:
    """A connection to the service; close it, or use it as a context. One for each thread.

    Answers are remembered with their ETags, so that asking again for something unchanged costs no transfer.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: Callable[[], str] | None = None,
        authority: Path | None = None,
        certificate: ClientCertificate | None = None,
        timeout_seconds: float = 10.0,
        retries: Retries = _DEFAULT_RETRIES,
    ) -> None:
        """Prepare a connection; nothing is sent yet.

        Args:
            base_url: where the service is, such as ``https://predictions.example``; ``http`` on loopback only.
            token: gives the bearer token for the next request, so that it can be renewed; ``None`` where a client
                certificate suffices. After a 401 it is asked once more, and the request sent again if the token is new.
            authority: PEM file of the authority that signed the service's certificate; the system's when not given.
            certificate: the client's own certificate, for mutual TLS.
            timeout_seconds: of each attempt, for connecting and for each wait.
            retries: when a request is tried again.

        Raises:
            ValueError: the address would send tokens unencrypted to another machine.
        """
        if not _is_confidential(base_url):
            raise ValueError("base_url must be https; plain http reaches this machine only, as tokens could be read")
        context = ssl.create_default_context(cafile=authority)
        if certificate is not None:
            context.load_cert_chain(certificate.chain, certificate.key)
        self._token = token
        self._retries = retries
        self._remembered: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        self._http = httpx.Client(
            base_url=base_url,
            verify=context,
            timeout=timeout_seconds,
            # A redirect would carry the token to wherever it points.
            follow_redirects=False,
            # A proxy named by the environment would see the requests.
            trust_env=False,
            headers={"Accept-Encoding": "gzip"},
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def predictions(
        self,
        *,
        election: str | None = None,
        state: str | None = None,
        district: str | None = None,
        measure: str | None = None,
        as_of: AsOf = None,
        page_size: int = 500,
    ) -> Iterator[answers.Prediction]:
        """Every prediction that fits, sorted by election, state, district and measure; pages are asked for as needed.

        All pages are of the export that the first one was of, also when another becomes current in between.

        Raises:
            ServiceError: see :mod:`mlops_assets.client.problems`; ``NotFoundError`` when the first page's export is
                not kept any more.
        """
        filters = {"election": election, "state": state, "district": district, "measure": measure}
        version, cursor = _version(as_of), None
        while True:
            query = {**filters, "limit": str(page_size), "cursor": cursor, "as_of": version}
            page = self._get("/v1/predictions", answers.PredictionPage, query)
            yield from page.items
            if page.next_cursor is None:
                return
            version, cursor = page.export_id, page.next_cursor

    def district(
        self, state: str, district: str, *, election: str | None = None, as_of: AsOf = None
    ) -> answers.DistrictForecast:
        """All measures of one district, at the latest election unless another is asked for.

        Raises:
            ServiceError: see :mod:`mlops_assets.client.problems`.
        """
        query = {"election": election, "as_of": _version(as_of)}
        return self._get(f"/v1/predictions/{_part(state)}/{_part(district)}", answers.DistrictForecast, query)

    def history(
        self, state: str, district: str, *, measure: str | None = None, as_of: AsOf = None
    ) -> answers.DistrictHistory:
        """The predictions of one district at every election.

        Raises:
            ServiceError: see :mod:`mlops_assets.client.problems`.
        """
        query = {"measure": measure, "as_of": _version(as_of)}
        return self._get(f"/v1/predictions/{_part(state)}/{_part(district)}/history", answers.DistrictHistory, query)

    def export(self, *, as_of: AsOf = None) -> answers.ExportDescription:
        """Where predictions come from.

        Raises:
            ServiceError: see :mod:`mlops_assets.client.problems`.
        """
        return self._get("/v1/export", answers.ExportDescription, {"as_of": _version(as_of)})

    def exports(self) -> answers.KeptExports:
        """The versions that can be asked for.

        Raises:
            ServiceError: see :mod:`mlops_assets.client.problems`.
        """
        return self._get("/v1/exports", answers.KeptExports, {})

    def models(self) -> answers.ModelList:
        """The models that rows can be scored with.

        Raises:
            ServiceError: see :mod:`mlops_assets.client.problems`.
        """
        return self._get("/v1/models", answers.ModelList, {})

    def score(
        self, model: str, rows: Sequence[Mapping[str, Value]], *, model_version: str | None = None
    ) -> answers.Scores:
        """One score for each row of the columns that :meth:`models` lists, ``None`` where a value is unknown.

        Raises:
            ServiceError: see :mod:`mlops_assets.client.problems`.
        """
        body: dict[str, Any] = {"rows": list(rows)}
        if model_version is not None:
            body["model_version"] = model_version
        return self._post(f"/v1/models/{_part(model)}/score", answers.Scores, body)

    def features(self, state: str, person_tokens: Sequence[str]) -> answers.Features:
        """Features of persons by pseudonym.

        Raises:
            ServiceError: see :mod:`mlops_assets.client.problems`.
        """
        return self._post(
            "/v1/features/lookup", answers.Features, {"state": state, "person_tokens": list(person_tokens)}
        )

    def _get(self, path: str, kind: type[Answer], query: Mapping[str, str | None]) -> Answer:
        parameters = {name: value for name, value in query.items() if value is not None}
        request = self._http.build_request("GET", path, params=parameters)
        remembered = self._remembered.get(str(request.url))
        if remembered is not None:
            request.headers["If-None-Match"] = remembered[0]
        response = self._sent(request)
        if response.status_code == httpx.codes.NOT_MODIFIED and remembered is not None:
            return _decoded(remembered[1], kind)
        content = _content(response)
        if "etag" in response.headers:
            self._remembered[str(request.url)] = (response.headers["etag"], content)
            self._remembered.move_to_end(str(request.url))
            if len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return _decoded(content, kind)

    def _post(self, path: str, kind: type[Answer], body: Mapping[str, Any]) -> Answer:
        request = self._http.build_request(
            "POST",
            path,
            content=msgspec.json.encode(body),
            headers={"Content-Type": "application/json"},
        )
        return _decoded(_content(self._sent(request)), kind)

    def _sent(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request, after as many attempts as it takes or is worth."""
        attempt, renewed = 0, False
        while True:
            attempt += 1
            token = self._authorised(request)
            failure: httpx.TransportError | None = None
            response: httpx.Response | None = None
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                failure = error
            if response is not None and response.status_code == _UNAUTHENTICATED and not renewed:
                renewed = True
                if self._authorised(request) != token:
                    continue
            wait = self._retries.wait(attempt, response)
            if wait is not None:
                time.sleep(wait)
            elif response is not None:
                return response
            else:
                raise ServiceUnreachableError(
                    f"No answer from {request.url.host} after {attempt} attempts: {failure!r}"
                ) from failure

    def _authorised(self, request: httpx.Request) -> str | None:
        if self._token is None:
            return None
        token = self._token()
        request.headers["Authorization"] = f"Bearer {token}"
        return token


def _is_confidential(base_url: str) -> bool:
    """Whether nobody between here and that address reads what is sent."""
    parts = urlsplit(base_url)
    if parts.scheme == "http":
        try:
            return ipaddress.ip_address(parts.hostname or "").is_loopback
        except ValueError:
            return parts.hostname == "localhost"
    return parts.scheme == "https"


def _part(text: str) -> str:
    """Text as one part of a path: a slash or two dots must not lead elsewhere."""
    return quote(text, safe="").replace(".", "%2E")


def _version(as_of: AsOf) -> str | None:
    if isinstance(as_of, datetime):
        if as_of.tzinfo is None:
            raise ValueError("as_of needs a time zone; local times differ between machines")
        return as_of.isoformat()
    return as_of


def _content(response: httpx.Response) -> bytes:
    if not response.is_success:
        raise problem_of(response)
    return response.content


def _decoded(content: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnexpectedAnswerError(f"The answer is no {kind.__name__}: {error}") from error
