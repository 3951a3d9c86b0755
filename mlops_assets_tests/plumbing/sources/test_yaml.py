"""Declarations in YAML, by Dagster's own command: what is said in a project is what is meant."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dagster.components.resolved.errors import ResolutionException
from pydantic import ValidationError

import mlops_assets as ma
from mlops_assets.platform.errors import ContractError, SettingsError
from mlops_assets.plumbing.sources.secret import text_of
from mlops_assets_tests.plumbing.sources.shop import SALES

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = (ma.FileSource, ma.HttpFileSource, ma.RestSource, ma.SqlSource, ma.CommandSource)
CONTRACT = "contract: mlops_assets_tests.plumbing.sources.shop.SALES\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project as Dagster lays one out, without any definitions."""
    (tmp_path / "shop" / "defs").mkdir(parents=True)
    for package in ("shop", "shop/defs"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "shop"\nversion = "0"\n[tool.dg]\ndirectory_type = "project"\n'
        '[tool.dg.project]\nroot_module = "shop"\n'
    )
    (tmp_path / "shop" / "definitions.py").write_text(
        "from pathlib import Path\nimport dagster as dg\nimport mlops_assets as ma\n\n\n@dg.definitions\ndef defs():\n"
        "    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)\n"
        '    return ma.build_defs([loaded], name="shop")\n'
    )
    return tmp_path


def dg(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Dagster's command in that project."""
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": f"{project}{os.pathsep}{root}", "COLUMNS": "300"}
    command: Sequence[str | Path] = [Path(sys.executable).with_name("dg"), *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_each_kind_is_listed_scaffolded_and_loaded_without_its_variables(project: Path) -> None:
    listed = dg(project, "list", "components")
    assert listed.returncode == 0, listed.stderr
    for kind in KINDS:
        assert f"mlops_assets.{kind.__name__}" in listed.stdout
        made = dg(project, "scaffold", "defs", f"mlops_assets.{kind.__name__}", f"some_{kind.KIND}")
        assert made.returncode == 0, made.stderr
    assert dg(project, "check", "yaml").returncode == 0
    found = dg(project, "list", "defs")
    assert found.returncode == 0, found.stderr
    for kind in KINDS:
        assert f"raw/some_{kind.KIND}" in found.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_of_a_kind_can_be_written(kind: type[ma.Source]) -> None:
    model = kind.get_model_cls()
    assert model is not None
    assert model.model_json_schema()["properties"]["contract"]


def test_texts_that_look_like_numbers_stay_texts() -> None:
    source = ma.RestSource.resolve_from_yaml(
        f'{CONTRACT}url: http://127.0.0.1/x\nquery: {{limit: "100", deep: 1, name: "a,b"}}\nrows: "0"\n'
        'columns: {sale: "2023"}\n'
    )
    assert source.query == {"limit": "100", "deep": "1", "name": "a,b"}
    assert source.rows == "0"
    assert source.columns == {"sale": "2023"}
    command = ma.CommandSource.resolve_from_yaml(f'{CONTRACT}command: [sleep, "5", 0.5]\n')
    assert command.command == ["sleep", "5", "0.5"]


def test_a_variable_in_a_text_is_read_when_the_source_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ma.RestSource.resolve_from_yaml(f'{CONTRACT}url: "{{{{ env.SHOP_URL }}}}/orders/{{month}}"\n')
    with pytest.raises(SettingsError, match="Variable SHOP_URL: it is not set"):
        text_of(source.url, "url")
    monkeypatch.setenv("SHOP_URL", "https://shop")
    assert text_of(source.url, "url") == "https://shop/orders/{month}"


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("auth: {type: bearer, secret: s3cr3t}", "Write {file: orders_token} or {env: ORDERS_TOKEN}"),
        ("auth: {type: bearer, secrt: s3cr3t}", "secrt: Extra inputs are not permitted"),
        ("auth: bearer", "Write its type"),
        ("paginate: {type: curser}", "Did you mean cursor?"),
    ],
)
def test_a_part_that_is_wrong_is_named_and_its_text_is_not_repeated(option: str, told: str) -> None:
    with pytest.raises(ResolutionException) as caught:
        ma.RestSource.resolve_from_yaml(f"{CONTRACT}url: http://127.0.0.1/x\n{option}\n")
    assert told in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_number_may_be_a_template_and_what_is_none_is_refused_by_name() -> None:
    rest = f"{CONTRACT}url: http://127.0.0.1/x\n"
    assert ma.RestSource.resolve_from_yaml(f'{rest}retries: "{{{{ 2 + 3 }}}}"\n').retries == 5
    for option in ("retries: many", "at_once: 0", "most_pages: -1", "rate_per_second: .nan", "retry_seconds: 0"):
        with pytest.raises((ValidationError, ResolutionException), match=option.partition(":")[0]):
            ma.RestSource.resolve_from_yaml(f"{rest}{option}\n")
    with pytest.raises(ResolutionException, match="attempts"):
        ma.RestSource.resolve_from_yaml(f"{rest}limits: {{attempts: some}}\n")


@pytest.mark.parametrize(
    "source",
    [
        ma.RestSource(contract=SALES, url="http://127.0.0.1/sales"),
        ma.SqlSource(contract=SALES, database=ma.Sqlite(path="shop.sqlite"), table="sales"),
        ma.SqlSource(
            contract=SALES, database=ma.Sqlite(path="shop.sqlite"), query="SELECT ':month' AS note FROM sales"
        ),
    ],
    ids=["rest", "table", "query"],
)
def test_a_source_that_gives_every_partition_the_same_rows_says_so(source: ma.Source) -> None:
    with pytest.raises(ContractError, match="each would get the same rows"):
        source.asset()
    assert source.model_copy(update={"snapshot": True}).asset().key == SALES.key
