"""Accounts at a source: how one is declared, and what is sent for it.

Put here the ways to sign in that REST services know. Keep out secrets themselves (``secret``) and the transport.
"""

from __future__ import annotations

import base64
import ssl
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self
from urllib.parse import quote_plus

import dagster as dg
import httpx
from pydantic import model_validator

from mlops_assets.platform.errors import ContractError, SettingsError, SourceError
from mlops_assets.plumbing.sources.http.access import Access
from mlops_assets.plumbing.sources.http.faults import RefusedRequestError
from mlops_assets.plumbing.sources.http.fetcher import Fetcher
from mlops_assets.plumbing.sources.secret import Secret, Text, secret_path, text_of
from mlops_assets.plumbing.sources.variants import one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.platform.settings import Settings
    from mlops_assets.plumbing.sources.http.limits import Limits

_EARLY_SECONDS: Final = 30.0
_AUTHORIZATION: Final = "Authorization"


class _Account(dg.Model, dg.Resolvable, ABC):
    """A way to sign in."""

    @abstractmethod
    def access(self, settings: Settings, limits: Limits) -> Access:
        """What is sent, with its secrets read.

        Raises:
            SettingsError: a secret is not there.
        """


class ApiKey(_Account):
    """A key in a header or in the query.

    Attributes:
        secret: the key.
        header: the header's name, such as ``X-Api-Key``.
        query: the parameter's name instead.

    Example:
        >>> import mlops_assets as ma
        >>> auth = ma.ApiKey(secret=ma.Secret(file="orders_token"), header="X-Api-Key")
    """

    type: Literal["api_key"] = "api_key"
    secret: Secret
    header: str | None = None
    query: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.header is None) == (self.query is None):
            raise ContractError(
                source="ApiKey",
                culprit="it names both a header and a parameter of the query, or neither.",
                remedy="Name one: header: X-Api-Key, or query: key.",
            )
        return self

    def access(self, settings: Settings, limits: Limits) -> Access:  # noqa: ARG002  OAuth2 needs them
        """The key."""
        key = self.secret.read(settings)
        access = Access(
            name=self.secret.name,
            fixed={self.header: key} if self.header else {},
            query={self.query: key} if self.query else {},
        )
        access.hidden.add(key, self.secret.name)
        return access


class Basic(_Account):
    """A user's name and password (RFC 7617).

    Attributes:
        user: the name.
        password: the password.

    Example:
        >>> import mlops_assets as ma
        >>> auth = ma.Basic(user="reader", password=ma.Secret(env="ORDERS_PASSWORD"))
    """

    type: Literal["basic"] = "basic"
    user: Text
    password: Secret

    def access(self, settings: Settings, limits: Limits) -> Access:  # noqa: ARG002  OAuth2 needs them
        """Name and password."""
        return _basic(text_of(self.user, "user"), self.password.read(settings), self.password)


class Bearer(_Account):
    """A token in the header ``Authorization`` (RFC 6750).

    Attributes:
        secret: the token.

    Example:
        >>> import mlops_assets as ma
        >>> auth = ma.Bearer(secret=ma.Secret(file="orders_token"))
    """

    type: Literal["bearer"] = "bearer"
    secret: Secret

    def access(self, settings: Settings, limits: Limits) -> Access:  # noqa: ARG002  OAuth2 needs them
        """The token."""
        token = self.secret.read(settings)
        access = Access(name=self.secret.name, fixed={_AUTHORIZATION: f"Bearer {token}"})
        access.hidden.add(token, self.secret.name)
        return access


class OAuth2(_Account):
    """A token that is asked for with a client's secret (RFC 6749 section 4.4), and again when it ends.

    Attributes:
        token_url: where tokens are given.
        client_id: the client's name.
        client_secret: its secret, sent as RFC 6749 section 2.3.1 says.
        scope: what the token should allow.

    Example:
        >>> import mlops_assets as ma
        >>> secret = ma.Secret(file="orders_client")
        >>> auth = ma.OAuth2(token_url="https://id.example.org/token", client_id="mlops", client_secret=secret)
    """

    type: Literal["oauth2"] = "oauth2"
    token_url: Text
    client_id: Text
    client_secret: Secret
    scope: str | None = None

    def access(self, settings: Settings, limits: Limits) -> Access:
        """Tokens, of which the first is asked for with the first question."""
        # The section has both written as forms are, before they become Basic's.
        user = quote_plus(text_of(self.client_id, "client_id"))
        secret = self.client_secret.read(settings)
        client = _basic(user, quote_plus(secret), self.client_secret)
        client.hidden.add(secret, self.client_secret.name)
        return _Tokens(client, limits, text_of(self.token_url, "token_url"), self.scope)


class ClientCertificate(_Account):
    """A certificate of ours that the source asks for as the connection is made (mutual TLS).

    Attributes:
        certificate: file of the certificate (PEM) in the folder of secrets, or an absolute path.
        key: file of its private key, likewise.
        authority: file of the authority that issued the source's own certificate, where the system does not trust it.

    Example:
        >>> import mlops_assets as ma
        >>> auth = ma.ClientCertificate(certificate="shop.crt", key="shop.key")
    """

    type: Literal["client_certificate"] = "client_certificate"
    certificate: str
    key: str
    authority: str | None = None

    def access(self, settings: Settings, limits: Limits) -> Access:  # noqa: ARG002  OAuth2 needs them
        """The certificate, for the connection."""
        certificate, key = secret_path(self.certificate, settings), secret_path(self.key, settings)
        authority = secret_path(self.authority, settings) if self.authority else None
        try:
            context = ssl.create_default_context(cafile=authority) if authority else httpx.create_ssl_context()
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ValueError) as error:
            named = ", ".join(name for name in (self.certificate, self.key, self.authority) if name)
            raise SettingsError(
                source=f"Client certificate {self.certificate}",
                culprit=f"one of {named} cannot be used ({getattr(error, 'reason', None) or type(error).__name__}).",
                remedy="They are PEM, the key without a password and of that certificate.",
            ) from None
        return Access(name=f"certificate {self.certificate}", context=context)


_KINDS = (ApiKey, Basic, Bearer, OAuth2, ClientCertificate)
Auth = Annotated[ApiKey | Basic | Bearer | OAuth2 | ClientCertificate | None, one_of(*_KINDS)]
"""How to sign in; in YAML ``{type: bearer, secret: {file: orders_token}}``."""


class _Tokens(Access):
    """Access by tokens, each used until it ends or is refused."""

    def __init__(self, client: Access, limits: Limits, address: str, scope: str | None) -> None:
        super().__init__(name=f"a token for {client.name}", hidden=client.hidden)
        self._client = client
        self._limits = limits
        self._address = address
        self._form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        self._token: str | None = None
        self._ends = 0.0

    def headers(self) -> Mapping[str, str]:
        """The token."""
        if self._token is None or time.monotonic() > self._ends:
            self._token, self._ends = self._asked()
        return {_AUTHORIZATION: f"Bearer {self._token}"}

    def renew(self) -> bool:
        """Let the token go."""
        self._token = None
        return True

    def _asked(self) -> tuple[str, float]:
        # A refusal's text is not quoted: it comes from a place where secrets are.
        with Fetcher(limits=self._limits, access=self._client, quotes=False) as fetcher:
            try:
                fetched = fetcher.post(self._address, self._form)
            except RefusedRequestError as error:
                raise SourceError(
                    source=error.source,
                    culprit=f"it gives no token for {self._client.name} (it answers {error.status}).",
                    remedy="Check client_id, scope and the secret, and whether the client may ask for tokens.",
                ) from None
            answer = fetched.json()
        token, seconds = (answer.get("access_token"), answer.get("expires_in")) if isinstance(answer, dict) else ("", 0)
        kind = answer.get("token_type") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token or str(kind).lower() != "bearer":
            raise SourceError(
                source=fetched.address,
                culprit="its answer holds no access_token of token_type Bearer.",
                remedy="Is token_url the address of the token endpoint (RFC 6749 section 3.2)?",
            )
        self.hidden.add(token, "token")
        return token, time.monotonic() + _lifetime(seconds)


def _lifetime(seconds: object) -> float:
    """How long a token is used; one that does not say lasts until it is refused."""
    try:
        return max(float(str(seconds)) - _EARLY_SECONDS, 1.0)
    except ValueError:
        return float("inf")


def _basic(user: str, password: str, secret: Secret) -> Access:
    both = base64.b64encode(f"{user}:{password}".encode()).decode()
    access = Access(name=secret.name, fixed={_AUTHORIZATION: f"Basic {both}"})
    access.hidden.add(password, secret.name)
    access.hidden.add(both, secret.name)
    return access
