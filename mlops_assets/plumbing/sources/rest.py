"""REST sources: services that answer rows of JSON or CSV, page by page.

Put here what a REST source declares and how its pages become one delivery. Keep out how
pages follow each other (``pages``, ``reading``), accounts (``auth``) and the transport (``http``).
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self
from urllib.parse import parse_qsl, quote, urlsplit

import dagster as dg
import httpx
from pydantic import model_validator

from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import ContractError
from mlops_assets.plumbing.sources.access import Access
from mlops_assets.plumbing.sources.auth import ApiKey, Auth
from mlops_assets.plumbing.sources.delivered import Delivered
from mlops_assets.plumbing.sources.http import Fetcher
from mlops_assets.plumbing.sources.http_limits import Limits
from mlops_assets.plumbing.sources.increments import Since, require_asked
from mlops_assets.plumbing.sources.pages import Paginate
from mlops_assets.plumbing.sources.reading import Reading
from mlops_assets.plumbing.sources.recording import Player, Recorder
from mlops_assets.plumbing.sources.secret import Text, text_of
from mlops_assets.plumbing.sources.source import Source
from mlops_assets.plumbing.sources.templates import END, SINCE, START, fields_of, filled, require_known
from mlops_assets.plumbing.sources.text_files import TextFiles
from mlops_assets.plumbing.sources.variants import Texts, Word, above, at_least

if TYPE_CHECKING:
    from mlops_assets.platform.lake.ledger import Delivery
    from mlops_assets.plumbing.sources.delivered import Request
    from mlops_assets.plumbing.sources.recording import Pages

_LEAST: Final = 6
"""Characters of the shortest value in an address that is hidden elsewhere: ``json`` would be missed in messages."""
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})
_TRANSPORT_HEADERS: Final = frozenset({
    "accept-encoding", "connection", "content-length", "host", "if-none-match", "range", "te", "transfer-encoding"
})  # fmt: skip


class RestSource(Source):
    """A service that answers rows over HTTP.

    Attributes:
        url: its address, or ``dg.EnvVar`` of a variable that holds it. It may name the partition as file names do
            (``https://shop/orders/{month}``); what is filled in is written as addresses need it.
        query: parameters of the query, whose values may name the partition.
        headers: further headers, whose values may.
        auth: how to sign in.
        paginate: how the pages of a long answer are asked for; without, one answer holds all rows.
        since: asks for what has changed alone, by ``{since}`` in url, query or headers.
        rows: dotted path to the list of rows in a JSON answer (``data.items``); without, the answer is the list.
        format: ``json`` or ``csv``.
        limits: how long and how much.
        rate_per_second: how many questions are asked in a second at most.
        most_pages: how many pages there can be; more are an error.

    Example:
        >>> import dagster as dg, ibis.expr.datatypes as dt, pandera.ibis as pa
        >>> import mlops_assets as ma
        >>> class Order(pa.DataFrameModel):
        ...     month: dt.String
        ...     order_id: dt.String
        >>> ORDERS = ma.Contract(
        ...     layer="raw",
        ...     table="orders",
        ...     model=Order,
        ...     lake=ma.Lake("curated"),
        ...     description="What was ordered.",
        ...     owners=["team:sales"],
        ...     partitions_def=dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m"),
        ...     partition_columns={"month": "month"},
        ... )
        >>> orders = ma.RestSource(
        ...     contract=ORDERS,
        ...     url="https://shop.example/api/orders",
        ...     query={"month": "{month}"},
        ...     auth=ma.Bearer(secret=ma.Secret(file="orders_token")),
        ...     paginate=ma.PageNumber(size_parameter="per_page", size=500, total="meta.total"),
        ...     rows="data",
        ...     cron="0 6 1 * *",
        ... )
    """

    KIND: ClassVar[str] = "rest"
    VERSION: ClassVar[str] = "1"
    PLACES: ClassVar[frozenset[str]] = frozenset({"url", "auth", "limits", "rate_per_second", "most_pages"})

    EXAMPLE: ClassVar[Mapping[str, Any]] = {
        "url": "{{ env.ORDERS_URL }}",
        "query": {"month": "{partition}"},
        "auth": {"type": "bearer", "secret": {"file": "orders_token"}},
        "paginate": {"type": "page_number"},
        "rows": "items",
        "cron": "0 6 1 * *",
    }

    url: Text
    query: Texts = {}  # noqa: RUF012  pydantic copies it
    headers: Texts = {}  # noqa: RUF012  pydantic copies it
    auth: Auth = None
    paginate: Paginate = None
    since: Since | None = None
    rows: Word = None
    format: Literal["json", "csv"] = "json"
    limits: Limits = Limits()
    rate_per_second: Annotated[float | None, above(0)] = None
    most_pages: Annotated[int, at_least(1)] = 10_000

    @model_validator(mode="after")
    def _require_askable(self) -> Self:
        if not isinstance(self.url, dg.EnvVar):
            require_known(self.name, "url", self.url, self.contract, since=self.since is not None)
            _require_no_account(self.url, self.name)
        paged = self.paginate.parameters if self.paginate else []
        key = [self.auth.query] if isinstance(self.auth, ApiKey) and self.auth.query else []
        named = [*self.query, *paged, *key]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ContractError(
                source=self.name,
                culprit=f"two of its query, paginate and auth set the parameter {twice[0]}.",
                remedy="Name each parameter once.",
            )
        for option, texts in (("query", self.query), ("headers", self.headers)):
            for text in texts.values():
                require_known(self.name, option, text, self.contract, since=self.since is not None)
        for header in self.headers:
            if header.lower() in _SECRET_HEADERS | _TRANSPORT_HEADERS:
                secret = header.lower() in _SECRET_HEADERS
                raise ContractError(
                    source=self.name,
                    culprit=f"its headers name {header}.",
                    remedy="Declare auth: secrets are in no declaration." if secret else "Leave it to the transport.",
                )
        if self.since is not None and not isinstance(self.url, dg.EnvVar):
            require_asked(self._named(), "{since}", self.name)
        if self.format == "csv" and (
            self.rows or (self.paginate is not None and (self.paginate.NEEDS_JSON or self.paginate.total))
        ):
            raise ContractError(
                source=self.name,
                culprit="it is CSV, and names a path into JSON (rows, or one of paginate).",
                remedy="Leave it out, or declare format: json.",
            )
        return self

    def names_partition(self) -> bool:
        """Whether address, query or headers do."""
        return isinstance(self.url, dg.EnvVar) or bool(self._named() - {SINCE})

    def watermark(self) -> Since | None:
        """As declared."""
        return self.since

    def _named(self) -> set[str]:
        texts = [*self.query.values(), *self.headers.values(), *([] if isinstance(self.url, dg.EnvVar) else [self.url])]
        return {name for text in texts for name in fields_of(text)}

    def read(self, request: Request) -> Delivered:
        """All pages of a partition."""
        access = self.auth.access(request.settings, self.limits) if self.auth else Access()
        with access.hidden.in_errors():
            return self._read(request, access)

    def _read(self, request: Request, access: Access) -> Delivered:
        address = self._address(request, access)
        source = access.hidden.said(address)
        fetcher = Fetcher(
            limits=self.limits,
            access=access,
            rate_per_second=self.rate_per_second,
            quotes=not self.contract.personal,
        )
        with fetcher, Recorder(fetcher, request.raw, access.hidden) as recorder:
            return dataclasses.replace(self._all(request, recorder, address, source), hidden=access.hidden)

    def reread(self, request: Request, delivery: Delivery) -> Delivered:
        """All pages as they were kept."""
        with Player(request.raw, delivery.origin) as player:
            return self._all(request, player, delivery.origin, delivery.origin)

    def _all(self, request: Request, pages: Pages, address: str, source: str) -> Delivered:
        parameters = {
            name: filled(text, self.contract, request.partition, request.since) for name, text in self.query.items()
        }
        with TextFiles(request.scratch, source) as rows:
            reading = Reading(self, request, pages, rows, source)
            reading.read(address, parameters)
            columns = [self.columns.get(name, name) for name in columns_of(self.contract)]
            return Delivered(
                source=source,
                rows=rows.relation(request.connection, columns),
                facts={
                    "address": source,
                    "pages": reading.pages,
                    "bytes": reading.bytes,
                    "sha256": reading.digest.hexdigest(),
                },
            )

    def _address(self, request: Request, access: Access) -> str:
        text = text_of(self.url, "url")
        require_known(self.name, "url", text, self.contract, since=self.since is not None)
        parts = []
        for literal, name, spec, _ in string.Formatter().parse(text):
            parts.append(literal)
            if name is not None:
                field = f"{{{name}:{spec}}}" if spec else f"{{{name}}}"
                value = filled(field, self.contract, request.partition, request.since)
                parts.append(quote(value, safe="/" if name in {START, END} else ""))
        address = "".join(parts)
        _require_no_account(address, access.hidden.said(address))
        for name, value in parse_qsl(urlsplit(text).query):
            # What stands in the address itself is shown nowhere, so it is not when the source repeats it either.
            if len(value) >= _LEAST and "{" not in value:
                access.hidden.add(value, name)
        return address


def _require_no_account(address: str, source: str) -> None:
    try:
        has_account = bool(httpx.URL(address).userinfo)
    except httpx.InvalidURL:
        has_account = False
    if has_account:
        raise ContractError(
            source=source,
            culprit="its address holds an account.",
            remedy="Declare auth: {type: basic, ...}; secrets are in no address.",
        )
