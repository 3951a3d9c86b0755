"""Accounts of REST sources: what is sent, and that no message shows it."""

from __future__ import annotations

import base64
import logging
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from mlops_assets.platform.errors import ContractError, PlatformError, SettingsError, SourceError
from mlops_assets.plumbing.sources.http.auth import ApiKey, Basic, Bearer, ClientCertificate, OAuth2
from mlops_assets.plumbing.sources.http.pages import NextAddress, PageNumber
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.sources.api import ApiServer, Asked, Said, server_context
from mlops_assets_tests.plumbing.sources.rest_orders import SECRET, ids, order, personal, read, source
from mlops_assets_tests.serving.certificates import Office

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.plumbing.sources.http.auth import Auth

TOKEN = Secret(file="orders_token")
BASIC = base64.b64encode(f"reader:{SECRET}".encode()).decode()
ACCOUNTS: list[tuple[Auth, str, str]] = [
    (ApiKey(secret=TOKEN, header="X-Api-Key"), "x-api-key", SECRET),
    (Basic(user="reader", password=TOKEN), "authorization", f"Basic {BASIC}"),
    (Bearer(secret=TOKEN), "authorization", f"Bearer {SECRET}"),
]
SPELLINGS = (SECRET, quote(SECRET, safe=""), quote(SECRET), base64.b64encode(SECRET.encode()).decode())


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize(("auth", "header", "value"), ACCOUNTS, ids=lambda each: getattr(each, "type", ""))
def test_the_secret_is_sent_with_every_page(tmp_path: Path, auth: Auth, header: str, value: str) -> None:
    with ApiServer(lambda asked: Said(value=[order(1)] if asked.query["page"] == "1" else [])) as api:
        read(source(api.url, auth=auth, paginate=PageNumber()), tmp_path / "s")

    assert [asked.headers[header] for asked in api.asked] == [value, value]


@pytest.mark.usefixtures("secrets")
def test_a_key_in_the_query_is_sent_with_every_page(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Said:
        return Said(value={"items": [order(len(api.asked))], "next": "/more" if asked.path == "/" else None})

    with ApiServer(answer) as api:
        auth = ApiKey(secret=TOKEN, query="key")
        read(source(api.url, auth=auth, paginate=NextAddress(), rows="items"), tmp_path / "s")

    assert [asked.query["key"] for asked in api.asked] == [SECRET, SECRET]


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("auth", [*(auth for auth, _, _ in ACCOUNTS), ApiKey(secret=TOKEN, query="key")])
def test_a_refused_secret_is_named_and_never_shown(
    tmp_path: Path, auth: Auth, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = Said(status=status, value="no: " + " ".join(SPELLINGS), content_type="text/plain")

    with ApiServer(lambda _: echo) as api, pytest.raises(SourceError) as caught:
        read(source(api.url, auth=auth), tmp_path / "s")

    assert f"answers {status} and does not accept what was sent: secret file orders_token" in str(caught.value)
    assert not [text for text in SPELLINGS if text in str(caught.value) or text in caplog.text]


def test_a_source_that_wants_an_account_says_so(tmp_path: Path) -> None:
    with ApiServer(lambda _: Said(status=401)) as api, pytest.raises(SourceError, match="declare how with auth"):
        read(source(api.url), tmp_path / "s")


@pytest.mark.usefixtures("secrets")
def test_a_refusal_is_not_quoted_where_rows_are_of_persons(tmp_path: Path) -> None:
    with (
        ApiServer(lambda _: Said(status=400, value={"error": "no order of Ada Lovelace"})) as api,
        pytest.raises(SourceError) as caught,
    ):
        read(source(api.url, contract=personal()), tmp_path / "s")

    assert "answers 400." in str(caught.value)
    assert "Lovelace" not in str(caught.value)


def test_the_title_of_a_web_page_is_not_told_where_rows_are_of_persons(tmp_path: Path) -> None:
    page = Said(value=b"<html><title>Orders of Ada Lovelace</title></html>", content_type="text/html")
    with ApiServer(lambda _: page) as api, pytest.raises(SourceError) as caught:
        read(source(api.url, contract=personal()), tmp_path / "s")
    assert "an HTML page where JSON was due" in str(caught.value)
    assert "Lovelace" not in str(caught.value)


def test_a_secret_that_is_not_there_is_an_error_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="orders_token"):
        read(source("http://127.0.0.1:9", auth=Bearer(secret=TOKEN)), tmp_path / "s")


def test_a_secret_that_no_header_may_hold_is_an_error(tmp_path: Path, secrets: Path) -> None:
    for text in ("schlüssel", "a\nb"):
        (secrets / "orders_token").write_text(text, encoding="utf-8")
        with ApiServer(lambda _: Said(value=[])) as api, pytest.raises(PlatformError) as caught:
            read(source(api.url, auth=Bearer(secret=TOKEN)), tmp_path / "s")

        assert text not in str(caught.value)


def test_an_account_in_the_address_is_refused_as_it_is_declared() -> None:
    with pytest.raises(ContractError, match="holds an account") as caught:
        source("http://reader:hunter2@127.0.0.1:9/{month}")

    assert "hunter2" not in str(caught.value)


@pytest.mark.usefixtures("secrets")
def test_a_secret_is_not_sent_over_plain_http_to_another_machine(tmp_path: Path) -> None:
    asked = source("http://shop.example/orders", auth=Bearer(secret=TOKEN))
    with pytest.raises(SourceError, match=r"with a secret \(secret file orders_token\) over plain http"):
        read(asked, tmp_path / "s")


def test_a_secret_header_is_refused_as_it_is_declared() -> None:
    with pytest.raises(ContractError, match="Declare auth"):
        source("http://127.0.0.1:9/", headers={"Authorization": "Bearer x"})


class Tokens:
    """A service of orders that gives tokens itself, each for some questions only."""

    def __init__(self, *, uses: int = 100, expires: object = 3600) -> None:
        self.given = self.left = 0
        self._uses, self._expires = uses, expires

    def __call__(self, asked: Asked) -> Said:
        if asked.path == "/token":
            self.given, self.left = self.given + 1, self._uses
            token = {"access_token": f"tok{self.given}", "token_type": "bearer", "expires_in": self._expires}
            return Said(value=token)
        if asked.headers["authorization"] != f"Bearer tok{self.given}" or not self.left:
            return Said(status=401, value={"error": f"{asked.headers['authorization']} has ended"})
        self.left -= 1
        page = int(asked.query["page"])
        return Said(value=[order(page)] if page < 5 else [])


def oauth2(api: ApiServer) -> OAuth2:
    return OAuth2(token_url=f"{api.url}/token", client_id="shop", client_secret=TOKEN, scope="orders")


@pytest.mark.usefixtures("secrets")
def test_a_token_is_asked_for_once(tmp_path: Path) -> None:
    with ApiServer(Tokens()) as api:
        delivered = read(source(api.url, auth=oauth2(api), paginate=PageNumber()), tmp_path / "s")

    asked = [asked for asked in api.asked if asked.path == "/token"]
    assert ids(delivered) == [1, 2, 3, 4]
    assert [(each.method, each.form) for each in asked] == [
        ("POST", {"grant_type": "client_credentials", "scope": "orders"})
    ]
    client = base64.b64decode(asked[0].headers["authorization"].removeprefix("Basic ")).decode()
    assert client == f"shop:{quote(SECRET, safe='')}"


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("tokens", [Tokens(uses=2), Tokens(expires=-1, uses=2)])
def test_a_token_is_renewed_when_it_is_refused(tmp_path: Path, tokens: Tokens) -> None:
    with ApiServer(tokens) as api:
        delivered = read(source(api.url, auth=oauth2(api), paginate=PageNumber()), tmp_path / "s")

    assert ids(delivered) == [1, 2, 3, 4]
    assert tokens.given == 3


@pytest.mark.usefixtures("secrets")
def test_a_new_token_that_is_refused_too_is_an_error(tmp_path: Path) -> None:
    tokens = Tokens(uses=0)
    with ApiServer(tokens) as api, pytest.raises(SourceError, match="a token for secret file orders_token") as caught:
        read(source(api.url, auth=oauth2(api), paginate=PageNumber()), tmp_path / "s")

    assert tokens.given == 2
    assert "tok2" not in str(caught.value)


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize(
    ("said", "match"),
    [
        (Said(status=401, value={"error": "invalid_client", "hint": SECRET}), "gives no token for secret file"),
        (Said(value={"token_type": "bearer"}), "holds no access_token"),
        (Said(value=[SECRET]), "holds no access_token"),
        (Said(value=b"<html><title>Sign in</title></html>", content_type="text/html"), "HTML page where JSON was due"),
        (Said(status=302, headers={"Location": "/elsewhere"}), "redirects a form"),
        (Said(status=500), "answers 500"),
    ],
)
def test_a_token_that_is_not_given_is_an_error(tmp_path: Path, said: Said, match: str) -> None:
    with ApiServer(lambda _: said) as api, pytest.raises(SourceError, match=match) as caught:
        read(source(api.url, auth=oauth2(api), paginate=PageNumber()), tmp_path / "s")

    assert SECRET not in str(caught.value)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Who issues certificates."""
    return Office(tmp_path_factory.mktemp("office"))


def certified(office: Office) -> ClientCertificate:
    certificate, key = office.client("reader")
    return ClientCertificate(certificate=str(certificate), key=str(key), authority=str(office.server_authority))


def test_a_certificate_of_ours_opens_a_source_that_asks_for_one(tmp_path: Path, office: Office) -> None:
    context = server_context(*office.server(), clients=office.client_authority)
    with ApiServer(lambda _: Said(value=[order(1)]), context) as api:
        assert ids(read(source(api.url, auth=certified(office)), tmp_path / "s")) == [1]


def test_a_source_that_asks_for_a_certificate_in_vain_is_an_error(
    tmp_path: Path, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(office.server_authority))
    context = server_context(*office.server(), clients=office.client_authority)
    with ApiServer(lambda _: Said(value=[order(1)]), context) as api, pytest.raises(SourceError, match="certificate"):
        read(source(api.url), tmp_path / "s")


@pytest.mark.usefixtures("secrets")
def test_a_trusted_source_gets_the_token_over_tls(
    tmp_path: Path, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(office.server_authority))
    with ApiServer(lambda _: Said(value=[order(1)]), server_context(*office.server())) as api:
        read(source(api.url, auth=Bearer(secret=TOKEN)), tmp_path / "s")

    assert api.asked[0].headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.usefixtures("secrets")
def test_a_source_that_nobody_vouches_for_is_told_nothing(tmp_path: Path, office: Office) -> None:
    with (
        ApiServer(lambda _: Said(value=[]), server_context(*office.server())) as api,
        pytest.raises(SourceError, match=r"certificate is not accepted: .*issuer"),
    ):
        read(source(api.url, auth=Bearer(secret=TOKEN)), tmp_path / "s")

    assert not api.asked


def test_a_certificate_that_has_ended_is_named(tmp_path: Path, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(office.server_authority))
    context = server_context(*office.server(lifetime=timedelta(minutes=-1)))
    with ApiServer(lambda _: Said(value=[]), context) as api, pytest.raises(SourceError, match="has expired"):
        read(source(api.url), tmp_path / "s")
