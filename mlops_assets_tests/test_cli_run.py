"""The command that materializes a table with tags: what it publishes, what it prints, and how it exits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from mlops_assets import cli

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

PROJECT = """
import dagster as dg, ibis.expr.datatypes as dt, pandera.ibis as pa
import mlops_assets as ma

class Sale(pa.DataFrameModel):
    month: dt.String
    sale: dt.Int64
    amount: dt.Float64 = pa.Field(ge=0)

    class Config:
        unique = ("month", "sale")

SALES = ma.Contract(
    layer="raw", table="sales", model=Sale, lake=ma.Lake("curated"), description="Sales.", owners=["team:shop"],
    partitions_def=dg.MonthlyPartitionsDefinition("2024-01", fmt="%Y-%m"), partition_columns={"month": "month"},
)
sales = ma.FileSource(contract=SALES, path="in", file="sales-{month}.csv", retries=0, whole=ma.Quiet(seconds=0))
defs = ma.build_defs([sales], name="shop")
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one delivered month."""
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.delenv("MLOPS_ASSETS_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop_run.py").write_text(PROJECT)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "sales-2024-01.csv").write_text("sale,amount\n1,2\n")
    return tmp_path


def run(*arguments: str, module: str = "shop_run.py") -> Result:
    return CliRunner().invoke(cli._app, [*arguments, "-m", module])


def test_a_partition_is_published() -> None:
    done = run("run", "raw/sales", "--partition", "2024-01")
    assert (done.exit_code, done.stdout) == (0, "Published raw/sales 2024-01: 1 rows.\n")


def test_a_failure_is_told_in_one_line_with_exit_code_1(project: Path) -> None:
    (project / "in" / "sales-2024-02.csv").write_text("sale;amount\n1;2\n")
    done = run("run", "raw/sales", "--partition", "2024-02")
    assert done.exit_code == 1
    assert "is the delimiter right" in done.output
    assert "Traceback" not in done.output


def test_rules_that_are_broken_are_told(project: Path) -> None:
    (project / "in" / "sales-2024-01.csv").write_text("sale,amount\n1,-2\n")
    done = run("run", "raw/sales", "--partition", "2024-01")
    assert done.exit_code == 1
    assert "contract: " in done.output


def test_a_tag_lets_it_read_what_was_kept(project: Path) -> None:
    assert run("run", "raw/sales", "--partition", "2024-01").exit_code == 0
    (project / "in" / "sales-2024-01.csv").unlink()
    assert run("run", "raw/sales", "--partition", "2024-01").exit_code == 1
    assert run("run", "raw/sales", "--partition", "2024-01", "--tag", "mlops_assets/raw=kept").exit_code == 0


def test_a_delivery_that_was_refused_is_listed_with_its_partition_and_read_again_by_the_beginning_of_its_hash(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (project / "in" / "sales-2024-02.csv").write_text("sale,amount\n1,much\n")
    assert run("run", "raw/sales", "--partition", "2024-02").exit_code == 1
    [row] = [line for line in run("lake", "deliveries", "raw/sales").output.splitlines() if "2024-02" in line]
    assert " no " in row
    sha256 = row.split("│")[-2].strip()
    (project / "shop_mended.py").write_text(PROJECT.replace("dt.Float64 = pa.Field(ge=0)", "dt.String"))
    (project / "in" / "sales-2024-02.csv").unlink()
    tag = f"mlops_assets/raw={sha256[:8]}"
    done = run("run", "raw/sales", "--partition", "2024-02", "--tag", tag, module="shop_mended.py")
    assert done.exit_code == 0, done.output


def test_a_table_with_partitions_needs_one() -> None:
    done = run("run", "raw/sales")
    assert done.exit_code == 2
    assert "has partitions" in done.output


@pytest.mark.parametrize("tag", ["x", "=1", "x=", "mlops_assets/row=kept"])
def test_a_tag_that_says_nothing_is_a_wrong_call(tag: str) -> None:
    assert run("run", "raw/sales", "--tag", tag).exit_code == 2


def test_the_home_folder_in_a_project_is_no_part_of_what_git_follows(project: Path) -> None:
    assert run("run", "raw/sales", "--partition", "2024-01").exit_code == 0
    run("lake", "deliveries", "raw/sales")
    assert (project / ".mlops_assets" / ".gitignore").read_text() == "*\n"
