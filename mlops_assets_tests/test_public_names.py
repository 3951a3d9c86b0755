"""The names that other projects use: they are these, cheap to import, and documented by examples that run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
import warnings
from pathlib import Path

import dagster as dg
import pytest

import mlops_assets as ma

NAMES = (
    "ApiKey",
    "Basic",
    "Bearer",
    "Checksum",
    "ClientCertificate",
    "Combined",
    "CommandSource",
    "Compare",
    "Contract",
    "Cursor",
    "Delimited",
    "Delivered",
    "DltSource",
    "Excel",
    "FileLimits",
    "FileSource",
    "FixedWidth",
    "HttpFileSource",
    "In",
    "InferenceLog",
    "JsonLines",
    "Lake",
    "LakeIOManager",
    "Limits",
    "LinkHeader",
    "Manifest",
    "Marker",
    "MySql",
    "NextAddress",
    "OAuth2",
    "Offset",
    "OnlineMonitoring",
    "PageNumber",
    "Parquet",
    "Part",
    "Partition",
    "PlatformError",
    "Postgres",
    "Quarantine",
    "Quiet",
    "Request",
    "RestSource",
    "Secret",
    "Served",
    "ServedModel",
    "Settings",
    "Since",
    "Source",
    "SourceConformance",
    "SqlSource",
    "Sqlite",
    "VersionedFile",
    "Volume",
    "adds_up",
    "asset",
    "build_defs",
    "mapped",
    "on_new_data",
    "pseudonymised",
)


def test_the_public_names_are_these() -> None:
    offered = {name for name in dir(ma) if not name.startswith("_")}
    modules = {name for name in offered if inspect.ismodule(vars(ma).get(name))}
    assert sorted(offered - modules - {"annotations", "TYPE_CHECKING", "Any", "Final"}) == sorted(NAMES)


def test_type_checkers_and_programs_find_each_name_in_the_same_module() -> None:
    tree = ast.parse(Path(str(ma.__file__)).read_text(encoding="utf-8"))
    imported = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None
    }
    assert imported == {name: getattr(ma, name).__module__ for name in NAMES}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'assset'"):
        _ = ma.assset


def test_importing_the_package_imports_none_of_its_dependencies() -> None:
    code = (
        "import sys, mlops_assets; print(sorted({'dagster', 'duckdb', 'ibis', 'pandas', 'pandera'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(str(ma.__file__)).with_name("py.typed").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_name_runs_as_it_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    documented = inspect.getdoc(getattr(ma, name))
    assert documented is not None
    assert "Example:" in documented
    example = doctest.DocTestParser().get_doctest(documented, {}, name, None, None)
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL).run(example, out=told.append)
    assert result.attempted > 0
    assert not result.failed, "".join(told)


def test_the_examples_of_the_page_on_tables_of_ones_own_publish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(str(ma.__file__)).parents[1] / "docs" / "library.md"
    code, of_a_check, of_a_range = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders").mkdir()
    orders = "order_id,email,amount\n1,ann@example.org,9.5\n2,bob@example.org,3\n"
    for month in ("2024-01", "2024-02", "2024-03"):
        (tmp_path / "orders" / f"{month}.csv").write_text(orders, encoding="utf-8")
    (tmp_path / "orders_of_the_page.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    page_of_orders = importlib.import_module("orders_of_the_page")
    done = dg.materialize([page_of_orders.orders], partition_key="2024-01")
    [event] = done.asset_materializations_for_node("raw__orders")
    assert event.metadata["dagster/row_count"].value == 2
    assert page_of_orders.defs.resolve_all_asset_keys() == [page_of_orders.orders.key]
    exec(of_a_check, vars(page_of_orders))  # noqa: S102  the page's own words
    shipments = page_of_orders.Shipments.to_schema()
    assert [check.name for check in shipments.checks] == ["shipped_after_ordered"]
    exec(of_a_range, vars(page_of_orders))  # noqa: S102
    materialized = page_of_orders.done.asset_materializations_for_node("raw__orders")
    assert [event.partition for event in materialized if event.partition] == ["2024-01", "2024-02", "2024-03"]
