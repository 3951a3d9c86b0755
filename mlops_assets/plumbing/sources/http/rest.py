"""REST sources: services that answer rows of JSON or CSV, page by page.

Put here what a REST source declares and how its pages become one delivery. Keep out where it is and who asks
(``http.source``), how pages follow each other (``pages``, ``reading``) and the transport (``fetcher``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import dagster as dg
from pydantic import model_validator

from mlops_assets.platform.contracts.rules import columns_of
from mlops_assets.platform.errors import ContractError
from mlops_assets.plumbing.sources import arrivals
from mlops_assets.plumbing.sources.delivered import Delivered
from mlops_assets.plumbing.sources.formats.text_files import TextFiles
from mlops_assets.plumbing.sources.http.fetcher import Fetcher
from mlops_assets.plumbing.sources.http.pages import Paginate
from mlops_assets.plumbing.sources.http.reading import Reading
from mlops_assets.plumbing.sources.http.recording import Player, Recorder
from mlops_assets.plumbing.sources.http.source import HttpSource
from mlops_assets.plumbing.sources.increments import Since, require_asked
from mlops_assets.plumbing.sources.variants import Word, above, at_least

if TYPE_CHECKING:
    from mlops_assets.platform.lake.ledger import Delivery
    from mlops_assets.plumbing.sources.delivered import Fact, Request
    from mlops_assets.plumbing.sources.http.recording import Pages
    from mlops_assets.plumbing.sources.http.validators import Validators


class RestSource(HttpSource):
    """A service that answers rows over HTTP.

    Where one answer holds all rows and has a validator (ETag, Last-Modified), ``cron`` asks by it, and starts no run if
    nothing has changed.

    Attributes:
        paginate: how the pages of a long answer are asked for; without, one answer holds all rows.
        since: asks for what has changed alone, by ``{since}`` in url, query or headers.
        rows: dotted path to the list of rows in a JSON answer (``data.items``); without, the answer is the list.
        format: ``json`` or ``csv``.
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

    paginate: Paginate = None
    since: Since | None = None
    rows: Word = None
    format: Literal["json", "csv"] = "json"
    rate_per_second: Annotated[float | None, above(0)] = None
    most_pages: Annotated[int, at_least(1)] = 10_000

    @model_validator(mode="after")
    def _require_paths_into_json_alone(self) -> Self:
        if self.since is not None and not isinstance(self.url, dg.EnvVar):
            require_asked(self.named(self.url), "{since}", self.name)
        if self.format == "csv" and (
            self.rows or (self.paginate is not None and (self.paginate.NEEDS_JSON or self.paginate.total))
        ):
            raise ContractError(
                source=self.name,
                culprit="it is CSV, and names a path into JSON (rows, or one of paginate).",
                remedy="Leave it out, or declare format: json.",
            )
        return self

    def paging(self) -> list[str]:
        """The parameters that ask for pages."""
        return list(self.paginate.parameters) if self.paginate else []

    def watermark(self) -> Since | None:
        """As declared."""
        return self.since

    def version_of(self) -> str:
        """The code version: a declaration that was corrected gives other rows of the same answer."""
        return self.code_version()

    def wanted(self, instance: dg.DagsterInstance, keys: Sequence[str | None]) -> Sequence[str | None]:
        """Of what is due, what is not published as it is there; of several pages or changes no validator tells."""
        return keys if self.paginate or self.since else arrivals.not_published(self, instance, keys)

    def identities(self, known: Mapping[str | None, str | None]) -> dict[str | None, str]:
        """What tells the answers of these partitions from others, of those whose publish had a validator."""
        return self.look({key: identity for key, identity in known.items() if identity}, arrivals.Told())

    def read(self, request: Request) -> Delivered:
        """All pages of a partition."""
        access = self.access(request.settings, self.limits)
        with access.hidden.in_errors():
            address = self.address(request.partition, access, request.since)
            fetcher = Fetcher(
                limits=self.limits,
                access=access,
                rate_per_second=self.rate_per_second,
                quotes=not self.contract.personal,
            )
            with fetcher, Recorder(fetcher, request.raw, access.hidden) as recorder:
                delivered, validators = self._all(request, recorder, address.said, address.url, address.parameters)
            facts = dict(delivered.facts)
            if not (self.paginate or self.since) and (identity := address.asked.identity(validators.told)):
                facts[arrivals.DELIVERY] = identity
            return dataclasses.replace(delivered, facts=facts, hidden=access.hidden)

    def reread(self, request: Request, delivery: Delivery) -> Delivered:
        """All pages as they were kept."""
        with Player(request.raw, delivery.origin) as player:
            again, _ = self._all(request, player, delivery.origin, delivery.origin, {})
        return dataclasses.replace(again, facts=delivery.facts)

    def _all(
        self, request: Request, pages: Pages, source: str, url: str, parameters: Mapping[str, str]
    ) -> tuple[Delivered, Validators]:
        with TextFiles(request.scratch, source) as rows:
            reading = Reading(self, request, pages, rows, source)
            reading.read(url, parameters)
            columns = [self.columns.get(name, name) for name in columns_of(self.contract)]
            facts: dict[str, Fact] = {
                "address": source,
                "pages": reading.pages,
                "body_bytes": reading.bytes,
                "sha256": reading.digest.hexdigest(),
            }
            delivered = Delivered(
                source=source, rows=rows.relation(request.connection, columns), facts=facts, typed=self.format != "csv"
            )
        return delivered, reading.validators
