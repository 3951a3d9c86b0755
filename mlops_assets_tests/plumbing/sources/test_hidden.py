"""What messages show of what a source repeats: no secret, and of persons nothing but the contract's names."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import ibis.expr.datatypes as dt
import pandera.ibis as pa
import pytest

from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.errors import ContractError, SettingsError
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.command import process
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Quiet
from mlops_assets.plumbing.sources.http.auth import ApiKey, Bearer
from mlops_assets.plumbing.sources.http.pages import NextAddress
from mlops_assets.plumbing.sources.http.rest import RestSource
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.sources.api import ApiServer, Said
from mlops_assets_tests.plumbing.sources.commands import kept, shell
from mlops_assets_tests.plumbing.sources.rest_orders import SECRET
from mlops_assets_tests.plumbing.sources.shop import CUSTOMERS, SALES, contract, rows, run

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.plumbing.sources.http.auth import Auth

TOKEN = Secret(file="orders_token")
SALE = {"sale": 1, "day": "2024-01-03", "amount": 1.5, "note": "x"}
REPEATS: dict[str, dict[str, object]] = {
    "as a name": {**SALE, SECRET: 1},
    "as a value": {**SALE, "sale": SECRET},
    "behind other text": {**SALE, "sale": "x" * 25 + SECRET},
    "as the partition": {**SALE, "month": SECRET},
}


def rest(address: str, **options: Any) -> RestSource:  # noqa: ANN401  a declaration's
    return RestSource(**{"contract": SALES, "url": address, "retries": 0, "snapshot": True, **options})


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("auth", [Bearer(secret=TOKEN), ApiKey(secret=TOKEN, query="key")])
@pytest.mark.parametrize("row", REPEATS.values(), ids=REPEATS)
def test_a_secret_that_a_service_repeats_is_not_told(row: dict[str, object], auth: Auth) -> None:
    with ApiServer(lambda _: Said(value=[row])) as api:
        done = run(rest(api.url, auth=auth))

    assert not done.success
    assert SECRET[:10] not in done.told
    assert any(part in done.told for part in ("[secret_file_orders_token]", "[key]", "'xxxx"))


def test_a_value_of_the_address_that_a_service_repeats_is_not_told() -> None:
    with ApiServer(lambda _: Said(value=[{**SALE, "123-45-6789": 1}])) as api:
        told = run(rest(f"{api.url}/o?ssn=123-45-6789")).told

    assert "unexpected: [ssn]" in told


def test_a_secret_as_the_host_of_a_next_page_is_not_told(secrets: Path) -> None:
    (secrets / "token").write_text("s3cr3tTOKEN")
    answer = {"items": [SALE], "next": "http://s3cr3tTOKEN/more"}
    with ApiServer(lambda _: Said(value=answer)) as api:
        auth = Bearer(secret=Secret(file="token"))
        told = run(rest(api.url, auth=auth, paginate=NextAddress(), rows="items")).told

    assert "a next page elsewhere" in told
    assert "s3cr3ttoken" not in told.lower()


@pytest.mark.usefixtures("secrets")
def test_the_check_of_the_layout_tells_no_secret() -> None:
    with ApiServer(lambda _: Said(value=[{**SALE, SECRET: 1}])) as api:
        source = rest(api.url, auth=Bearer(secret=TOKEN), evolve=True)
        done = run(source)

    assert done.success, done.told
    assert done.checks["layout"] is False
    assert not any(SECRET in said for said in done.descriptions)


@pytest.mark.parametrize(
    "script", ['echo sale,day,amount,note; echo "$TOK,2024-01-03,1,"', 'echo "sale,day,amount,note,$TOK"; echo 1,,,,1']
)
def test_a_secret_in_what_a_command_writes_is_not_told(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cr3t")
    done = run(shell(script, secrets={"TOK": Secret(env="SHOP_TOKEN")}))
    assert "[variable_SHOP_TOKEN]" in done.told
    assert "s3cr3t" not in done.told


def test_a_secret_that_a_command_tells_in_other_spellings_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = 'a"ß&/secret'  # noqa: S105  a made one
    monkeypatch.setenv("SHOP_TOKEN", secret)
    spelt = [base64.b64encode(secret.encode()).decode(), quote(secret), quote(secret, safe=""), json.dumps(secret)]
    (tmp_path / "said").write_text("\n".join(spelt))
    script = 'cat "$1" >&2; exit 1'
    done = run(shell(script, str(tmp_path / "said"), secrets={"TOK": Secret(env="SHOP_TOKEN")}))
    for text in (done.told, kept(done)):
        assert not any(each.strip('"') in text for each in spelt)


def test_of_a_secret_that_the_bound_of_messages_cuts_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_SAID", 1_000)
    monkeypatch.setenv("SHOP_TOKEN", "x" * 500 + "tail")
    script = 'printf "%s%s" "$TOK" "$(head -c 990 /dev/zero | tr "\\0" -)" >&2; exit 1'
    done = run(shell(script, secrets={"TOK": Secret(env="SHOP_TOKEN")}))
    assert "exit code 1" in done.told
    assert "tail" not in done.told


def test_a_variable_whose_bytes_are_no_text_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_URL", "http://127.0.0.1:9/\udcff")
    source = RestSource(contract=SALES, url="{{ env.SHOP_URL }}", query={"month": "{month}"}, retries=0)
    assert "Variable SHOP_URL: it is no text in UTF-8." in run(source).told


def test_a_secret_too_short_to_be_hidden_is_refused(secrets: Path) -> None:
    (secrets / "short").write_text("abc\n")
    with pytest.raises(SettingsError, match="fewer than 4 characters"):
        Secret(file="short").read(Settings.load())


def test_a_file_of_a_secret_with_a_nul_is_refused_as_it_is_declared() -> None:
    with pytest.raises(ContractError, match="NUL"):
        Secret(file="a\0b")


class Visitor(pa.DataFrameModel):
    """One row for each visitor, whose columns may be empty."""

    month: dt.String
    name: dt.String = pa.Field(nullable=True, metadata={"personal": True})
    street: dt.String = pa.Field(nullable=True)


VISITORS = contract("visitors", Visitor, lake=Lake("people", personal=True))


def file(folder: Path, content: str, **options: Any) -> FileSource:  # noqa: ANN401  a declaration's
    (folder / "2024-01.csv").write_text(content)
    given = {"contract": VISITORS, "file": "{month}.csv", "whole": Quiet(seconds=0), "retries": 0, **options}
    return FileSource(path=str(folder), **given)


class TestPersons:
    @pytest.mark.parametrize("evolve", [False, True])
    def test_a_first_line_that_is_no_header_is_refused_and_not_told(self, tmp_path: Path, *, evolve: bool) -> None:
        done = run(file(tmp_path, "MUELLER,Hans\nMEIER,Fritz\n", evolve=evolve))
        assert (
            "2 of the 2 columns of raw/visitors are not among its columns: its first line may be no header" in done.told
        )
        assert not any(name in done.told for name in ("MUELLER", "Hans"))

    def test_names_that_are_not_the_contract_s_are_counted(self, tmp_path: Path) -> None:
        told = run(file(tmp_path, "name,MUELLER\n1,x\n")).told
        assert "(missing: street; unexpected: 1 in all)" in told
        assert "MUELLER" not in told

    def test_new_columns_are_counted_in_the_check(self, tmp_path: Path) -> None:
        done = run(file(tmp_path, "name,MUELLER\n1,x\n", evolve=True))
        assert done.success, done.told
        assert any("New columns, left out: 1." in said for said in done.descriptions)
        assert not any("MUELLER" in said for said in done.descriptions)

    def test_a_value_in_the_column_of_the_partition_is_not_told(self, tmp_path: Path) -> None:
        told = run(file(tmp_path, "month,name,street\nMUELLER,1,x\n")).told
        assert "month: 1 of 1 rows" in told
        assert "MUELLER" not in told

    def test_names_that_differ_by_their_case_are_not_told(self) -> None:
        with ApiServer(lambda _: Said(value=[{"MUELLER": 1, "Mueller": 2}])) as api:
            told = run(rest(api.url, contract=CUSTOMERS)).told
        assert "differ by their case" in told
        assert "mueller" not in told.lower()


def test_a_table_that_may_evolve_needs_half_of_its_columns(tmp_path: Path) -> None:
    class Loose(pa.DataFrameModel):
        """Everything may be empty."""

        month: dt.String
        a: dt.String = pa.Field(nullable=True)
        b: dt.String = pa.Field(nullable=True)
        c: dt.String = pa.Field(nullable=True)

    loose = contract("loose", Loose)
    assert "2 of the 3 columns" in run(file(tmp_path, "a,x\n1,2\n", contract=loose, evolve=True)).told
    assert run(file(tmp_path, "a,b\n1,2\n", contract=loose, evolve=True)).success
    assert rows(loose) == [("2024-01", "1", "2", None)]
