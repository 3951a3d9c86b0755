"""Sources over HTTP: where one is, who asks, and which version it has.

Put here what every kind that is asked over HTTP declares. Keep out what its answers become (``rest``, ``file``).
"""

from __future__ import annotations

import string
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import dagster as dg
import httpx
from pydantic import model_validator

from mlops_assets.platform.assets.step import Partition
from mlops_assets.platform.errors import ContractError, PlatformError
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.http.access import Access
from mlops_assets.plumbing.sources.http.auth import ApiKey, Auth
from mlops_assets.plumbing.sources.http.bodies import Kind
from mlops_assets.plumbing.sources.http.client import LEAST_SECRET, SECRET_NAMES
from mlops_assets.plumbing.sources.http.limits import Limits
from mlops_assets.plumbing.sources.http.looks import Looker, short
from mlops_assets.plumbing.sources.http.validators import Asked
from mlops_assets.plumbing.sources.secret import Text, text_of
from mlops_assets.plumbing.sources.source import Source
from mlops_assets.plumbing.sources.templates import END, SINCE, START, fields_of, filled, require_known
from mlops_assets.plumbing.sources.variants import Texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.plumbing.sources.arrivals import Told
    from mlops_assets.plumbing.sources.templates import Watermark

_LEAST: Final = 6
"""Characters of the shortest value in an address that is hidden elsewhere: ``json`` would be missed in messages."""
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})
_TRANSPORT_HEADERS: Final = frozenset({
    "accept-encoding", "connection", "content-length", "host", "if-match", "if-modified-since", "if-none-match",
    "if-range", "if-unmodified-since", "range", "te", "transfer-encoding"
})  # fmt: skip
_LOOK_SECONDS: Final = 30.0
"""How long one look at all its partitions may take: Dagster ends a tick after a minute."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a partition is.

    Attributes:
        url: its address. It may hold secrets: for no message.
        parameters: of the query, without those of the account.
        headers: likewise.
        said: the address as messages show it.
        asked: what its versions are versions of.
    """

    url: str = field(repr=False)
    parameters: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    said: str
    asked: Asked


class HttpSource(Source):
    """What every kind of source over HTTP declares.

    Attributes:
        url: its address, or ``dg.EnvVar`` of a variable that holds it. It may name the partition as file names do
            (``https://shop/orders/{month}``); what is filled in is written as addresses need it.
        query: parameters of the query, whose values may name the partition.
        headers: further headers, whose values may.
        auth: how to sign in.
        limits: how long and how much.
    """

    url: Text
    query: Texts = {}  # noqa: RUF012  pydantic copies it
    headers: Texts = {}  # noqa: RUF012  pydantic copies it
    auth: Auth = None
    limits: Limits = Limits()

    ASKED_FOR: ClassVar[Kind] = Kind.JSON
    """What is at its address, when its version is asked for."""

    @model_validator(mode="after")
    def _require_askable(self) -> Self:
        if not isinstance(self.url, dg.EnvVar):
            self._require_url(self.url)
            _require_no_account(self.url, self.name)
        key = [self.auth.query] if isinstance(self.auth, ApiKey) and self.auth.query else []
        named = [*self.query, *self.paging(), *key]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ContractError(
                source=self.name,
                culprit=f"two of its query, paginate and auth set the parameter {twice[0]}.",
                remedy="Name each parameter once.",
            )
        for option, texts in (("query", self.query), ("headers", self.headers)):
            for text in texts.values():
                self._require_filled(option, text)
        for header in self.headers:
            if header.lower() in _SECRET_HEADERS | _TRANSPORT_HEADERS:
                secret = header.lower() in _SECRET_HEADERS
                raise ContractError(
                    source=self.name,
                    culprit=f"its headers name {header}.",
                    remedy="Declare auth: secrets are in no declaration." if secret else "Leave it to the transport.",
                )
        return self

    def _require_url(self, text: str) -> None:
        self._require_filled("url", text)

    def _require_filled(self, option: str, text: str) -> None:
        """Refuse a text that could not be filled in."""
        since = self.watermark()
        formatted = {START, END, *([SINCE] if since is not None and since.is_moment(self.contract) else [])}
        require_known(self.name, option, text, self.contract, since=since is not None, formatted=formatted)

    def paging(self) -> list[str]:
        """The parameters of the query that ask for pages; none for most kinds."""
        return []

    def texts(self, url: str) -> list[str]:
        """All that may name the partition.

        Args:
            url: the text of the address.
        """
        return [url, *self.query.values(), *self.headers.values()]

    def names_partition(self) -> bool:
        """Whether address, query or headers do; an address that a variable holds may."""
        return isinstance(self.url, dg.EnvVar) or self.is_named(self.url)

    def is_named(self, url: str) -> bool:
        """Whether the partition is named where the address is that text."""
        return bool(self.named(url) - {SINCE})

    def named(self, url: str) -> set[str]:
        """All that is named there."""
        return {name for text in self.texts(url) for name in fields_of(text)}

    def origin(self) -> str:
        """The address as declared, without secrets."""
        return _public(text_of(self.url, "url"))

    def access(self, settings: Settings, limits: Limits) -> Access:
        """What signs the questions.

        Raises:
            SettingsError: a secret is not there.
        """
        return self.auth.access(settings, limits) if self.auth else Access()

    def address(self, partition: Partition, access: Access, since: Watermark | None = None) -> Address:
        """Where a partition is.

        Args:
            partition: which one.
            access: hides what the address itself holds.
            since: the watermark, where it is asked for changes.

        Raises:
            SettingsError: a variable is not set.
            ContractError: what it holds is no such address.
        """
        text = text_of(self.url, "url")
        self._require_url(text)
        parts = []
        for literal, name, spec, _ in string.Formatter().parse(text):
            parts.append(literal)
            if name is not None:
                value = filled(f"{{{name}:{spec}}}" if spec else f"{{{name}}}", self.contract, partition, since)
                parts.append(quote(value, safe="/" if name in {START, END} else ""))
                if name == SINCE and self.contract.personal:
                    # It is a value of a row.
                    access.hidden.add(value, SINCE)
        url = "".join(parts)
        _require_no_account(url, access.hidden.said(url))
        for name, value in parse_qsl(urlsplit(text).query):
            # What stands in the address itself is shown nowhere, so it is not when the source repeats it either.
            if len(value) >= _LEAST and "{" not in value:
                access.hidden.add(value, name)
        said = access.hidden.said(url)
        parameters = {name: filled(text, self.contract, partition, since) for name, text in self.query.items()}
        headers = {name: filled(text, self.contract, partition, since) for name, text in self.headers.items()}
        asked = Asked.of(_public(url), sorted(parameters.items()), sorted(headers.items()), self.version_of())
        return Address(url=url, parameters=parameters, headers=headers, said=said, asked=asked)

    def version_of(self) -> str:
        """Of what a delivery is known beside its address: another text makes every delivery another one."""
        return ""

    def look(self, known: Mapping[str | None, str | None], told: Told) -> dict[str | None, str]:
        """The identities of the deliveries that are there, by partition, found without reading them.

        Args:
            known: of each partition that is asked about, the identity that is published.
            told: gains what cannot be used, and what is not there.
        """
        found: dict[str | None, str] = {}
        until = time.monotonic() + _LOOK_SECONDS
        limits = short(self.limits)
        try:
            access = self.access(Settings.load(), limits)
            shared = known and not self.is_named(text_of(self.url, "url"))
        except PlatformError as error:
            told.add(error)
            return {}
        identities = {*known.values()}
        asked = {None: identities.pop() if len(identities) == 1 else None} if shared else known
        with Looker(limits=limits, access=access, quotes=not self.contract.personal) as looker:
            for key, identity in asked.items():
                if time.monotonic() > until:
                    told.problems.append(
                        f"{self.name} answers so slowly that after {_LOOK_SECONDS:.0f} s not all partitions were asked "
                        "about; the latest were."
                    )
                    break
                try:
                    with access.hidden.in_errors():
                        address = self.address(self._partition(key), access)
                        if identity := self.identity(looker, address, identity):
                            found[key] = identity
                except PlatformError as error:
                    told.add(error)
        return dict.fromkeys(known, found[None]) if shared and found else found

    def _partition(self, key: str | None) -> Partition:
        return Partition(key, {} if key is None else self.contract.partition_values(key))

    def identity(self, looker: Looker, address: Address, known: str | None) -> str:
        """What tells the delivery at an address from others; empty where nothing does.

        Args:
            looker: whom to ask with.
            address: where it is.
            known: the identity that is published.

        Raises:
            SourceError: there is none.
        """
        version = looker.version(
            address.url,
            self.ASKED_FOR,
            parameters=address.parameters,
            headers=address.headers,
            known=address.asked.told(known),
        )
        return address.asked.identity(version)


def _public(url: str) -> str:
    """The address without values that may be secrets by their names: of all others each is of something else."""
    split = urlsplit(url)
    query = [
        (name, "" if SECRET_NAMES.search(name) and len(value) >= LEAST_SECRET else value)
        for name, value in parse_qsl(split.query, keep_blank_values=True)
    ]
    return split._replace(query=urlencode(query)).geturl()


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
