"""Tests of clients that sign in by certificate, and by a token that is bound to one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from mlops_assets.deployment.certificates import Authority
from mlops_assets.platform.security.token_keys import KeyFileError
from mlops_assets.platform.security.tokens import issue_token
from mlops_assets.serving.identity.client_certificates import CertificateFileError, read_principals, thumbprint_of
from mlops_assets_tests.serving.certificates import Office
from mlops_assets_tests.serving.sample import export_predictions
from mlops_assets_tests.serving.service_process import AUDIENCE, HOUR, ISSUER, Service, require_nginx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRINCIPALS = """
[[principal]]
name = "dashboard"
san = "DNS:dashboard"
scopes = ["predictions:read"]
limits = {state = ["NC"]}

[[principal]]
name = "prometheus"
subject = "CN=prometheus"
scopes = ["metrics:read"]

[[principal]]
name = "twice"
san = "DNS:twice"
scopes = ["predictions:read"]

[[principal]]
name = "twice-again"
subject = "CN=twice"
scopes = ["predictions:read"]
"""


@pytest.fixture(name="office", scope="module")
def _office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("tls"))


def started(folder: Path, office: Office, **changes: object) -> Service:
    require_nginx()
    certificate, key = office.server()
    given = {"tls_certificate": certificate, "tls_key": key, "client_ca": office.client_authority, **changes}
    service = Service(folder, changes=given, authority=office.server_authority, edge={})
    service.create_keys()
    export_predictions(service.config.exports)
    return service


@pytest.fixture(name="by_certificate", scope="module")
def _by_certificate(tmp_path_factory: pytest.TempPathFactory, office: Office) -> Iterator[Service]:
    """A service that believes client certificates alone."""
    principals = office.write("principals.toml", PRINCIPALS.encode())
    folder = tmp_path_factory.mktemp("by-certificate")
    with started(folder, office, authentication="certificate", certificate_principals=principals) as service:
        yield service


@pytest.fixture(name="by_both", scope="module")
def _by_both(tmp_path_factory: pytest.TempPathFactory, office: Office) -> Iterator[Service]:
    """A service that wants a certificate and a token bound to it."""
    with started(tmp_path_factory.mktemp("by-both"), office, authentication="both") as service:
        yield service


def bound(service: Service, certificate: Path | None) -> str:
    return issue_token(
        "dashboard",
        scopes=["predictions:read"],
        lifetime=HOUR,
        signing_key=service.signing_key,
        issuer=ISSUER,
        audience=AUDIENCE,
        certificate=None if certificate is None else thumbprint_of(certificate),
    )


def test_a_certificate_stands_for_the_declared_principal_with_its_scopes_and_states(
    by_certificate: Service, office: Office
) -> None:
    with by_certificate.client(identity=office.client("dashboard")) as client:
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
        assert client.get("/v1/tables/predictions/GA/12/turnout").status_code == 403
        answer = client.get("/metrics")
        assert (answer.status_code, answer.json()["detail"]) == (403, "The scope metrics:read is needed.")
        assert "www-authenticate" not in answer.headers
    with by_certificate.client(identity=office.client("prometheus")) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/v1/tables/predictions").status_code == 403
    lines = [line for line in by_certificate.log() if line.get("route") == "/metrics"]
    assert [line["principal"] for line in lines] == ["dashboard", "prometheus"]
    assert all(len(line["certificate"]) == 43 for line in lines)


@pytest.mark.parametrize("name", ["stranger", "twice"])
def test_a_certificate_that_stands_for_nobody_or_for_two_is_refused(
    by_certificate: Service, office: Office, name: str
) -> None:
    certificate, key = office.client(name)
    with by_certificate.client(identity=(certificate, key)) as client:
        answer = client.get("/v1/tables")
    assert answer.status_code == 401
    (line,) = [line for line in by_certificate.log() if line.get("request_id") == answer.headers["x-request-id"]]
    assert (line["reason"], line["certificate"]) == ("unknown_certificate", thumbprint_of(certificate))


def test_neither_no_certificate_nor_a_token_instead_of_one_is_enough(by_certificate: Service) -> None:
    with by_certificate.client(by_certificate.token()) as client:
        assert client.get("/health/ready").status_code == 200
        answer = client.get("/v1/tables")
    assert (answer.status_code, answer.json()["detail"]) == (401, "A client certificate is needed.")
    assert answer.headers["www-authenticate"] == 'Certificate realm="mlops-assets"'


def test_a_certificate_of_another_authority_gets_no_further_than_the_edge(
    by_certificate: Service, office: Office
) -> None:
    identity = office.client("dashboard", authority=Authority.create("test clients"))
    with by_certificate.client(identity=identity) as client:
        assert client.get("/health/live").status_code == 400


def test_a_servers_certificate_does_not_sign_in(by_certificate: Service, office: Office) -> None:
    with by_certificate.client(identity=office.server()) as client:
        assert client.get("/health/live").status_code == 400


def test_a_withdrawn_declaration_holds_within_a_second_on_open_connections(
    by_certificate: Service, office: Office
) -> None:
    with by_certificate.client(identity=office.client("dashboard")) as client:
        assert client.get("/v1/tables").status_code == 200
        office.write("principals.toml", PRINCIPALS.replace("DNS:dashboard", "DNS:successor").encode())
        time.sleep(1)
        assert client.get("/v1/tables").status_code == 401
        office.write("principals.toml", b"[[principal]")
        time.sleep(1)
        assert client.get("/v1/tables").status_code == 503
        office.write("principals.toml", PRINCIPALS.encode())
        time.sleep(0.6)
        assert client.get("/v1/tables").status_code == 200


def test_of_two_certificates_of_one_name_the_stolen_one_is_shut_out_by_declaring_the_others_thumbprint(
    by_certificate: Service, office: Office
) -> None:
    stolen, renewed = (tuple(part.read_bytes() for part in office.client("dashboard")) for _ in range(2))
    identities = [
        (office.write(f"{name}.crt", pair[0]), office.write(f"{name}.key", pair[1]))
        for name, pair in (("stolen", stolen), ("renewed", renewed))
    ]
    asked = [by_certificate.client(identity=identity) for identity in identities]
    assert [client.get("/v1/tables").status_code for client in asked] == [200, 200]
    declared = f'san = "DNS:dashboard"\nthumbprint = "{thumbprint_of(identities[1][0])}"'
    office.write("principals.toml", PRINCIPALS.replace('san = "DNS:dashboard"', declared).encode())
    time.sleep(1)
    assert [client.get("/v1/tables").status_code for client in asked] == [401, 200]
    office.write("principals.toml", PRINCIPALS.encode())
    for client in asked:
        client.close()


def test_a_certificate_without_a_limit_sees_nothing_where_limits_are_required(tmp_path: Path, office: Office) -> None:
    declared = PRINCIPALS + '[[principal]]\nname = "auditor"\nsan = "DNS:auditor"\nscopes = ["predictions:read"]\n'
    principals = office.write("limited.toml", declared.encode())
    required = {"authentication": "certificate", "certificate_principals": principals, "require_limits": ("state",)}
    with started(tmp_path, office, **required) as service:
        with service.client(identity=office.client("auditor")) as client:
            answers = [client.get(path) for path in ("/v1/tables/predictions", "/v1/tables/predictions/NC/12/turnout")]
            assert client.get("/v1/tables").status_code == 200
        with service.client(identity=office.client("dashboard")) as client:
            assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
            assert client.get("/v1/tables/predictions").json()["items"]
    assert {answer.status_code for answer in answers} == {403}
    assert {answer.json()["detail"] for answer in answers} == {
        "A limit of state is needed, and this principal has none."
    }


def test_a_bound_token_opens_with_its_certificate_only(by_both: Service, office: Office) -> None:
    identity, other = office.client("dashboard"), office.client("other")
    token = bound(by_both, identity[0])
    with by_both.client(token, identity=identity) as client:
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
    with by_both.client(token, identity=other) as client:
        answer = client.get("/v1/tables")
        assert answer.status_code == 401
    (line,) = [line for line in by_both.log() if line.get("request_id") == answer.headers["x-request-id"]]
    assert line["reason"] == "binding"
    with by_both.client(token) as client:
        assert client.get("/v1/tables").status_code == 401
    with by_both.client(identity=identity) as client:
        assert client.get("/v1/tables").status_code == 401
    with by_both.client(bound(by_both, None), identity=identity) as client:
        assert client.get("/v1/tables").status_code == 401


def test_a_bound_token_is_worth_nothing_where_no_certificate_is_asked_for(service: Service, office: Office) -> None:
    with service.client(bound(service, office.client("dashboard")[0])) as client:
        assert client.get("/v1/tables").status_code == 401


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("[[principal]", "cannot be read"),
        ("principals = []", "cannot be read"),
        ('[[principal]]\nname = "a-b"\nscopes = ["everything"]\nsan = "DNS:a"', "scopes\\[0\\]"),
        ('[[principal]]\nname = "a-b"\nscopes = ["metrics:read"]', "nothing says which certificate"),
        ('[[principal]]\nname = "Jane Doe"\nscopes = []\nsan = "DNS:a"', "no application's name"),
        ('[[principal]]\nname = "a-b"\nscopes = []\nsan = "DNS:a"\nlimits = {State = ["nc"]}', "no columns"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, culprit: str) -> None:
    file = tmp_path / "principals.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(KeyFileError, match=culprit):
        read_principals(file)


def test_a_thumbprint_is_taken_of_certificates_only(tmp_path: Path) -> None:
    with pytest.raises(CertificateFileError, match="cannot be read"):
        thumbprint_of(tmp_path / "missing.crt")
