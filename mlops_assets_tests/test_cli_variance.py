"""The commands ``mlops-assets variance ...`` on files, as a person runs them."""

from __future__ import annotations

import csv
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyarrow import parquet

from mlops_assets_tests.variance.panel_world import MEASURES, World, simulate

if TYPE_CHECKING:
    from pathlib import Path


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlops_assets", "variance", *arguments], capture_output=True, text=True, check=False
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_detect_names_every_group_and_time_of_a_file(tmp_path: Path, suffix: str) -> None:
    table, truth = simulate(World(groups=12, times=6, events=0.1), 5)
    panel, out = tmp_path / f"panel.{suffix}", tmp_path / "found" / "events.csv"
    if suffix == "csv":
        panel.write_text(table.to_pandas().to_csv(index=False), encoding="utf-8")
    else:
        parquet.write_table(table, panel)
    done = _run("detect", str(panel), "--unit", "unit", "--group", "group", "--time", "time",
                "--measures", ", ".join(MEASURES), "--entity", "name", "--out", str(out))  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = _rows(out)
    assert list(rows[0]) == ["group", "time", "cause", "probability", "magnitude", "units", "evidence"]
    assert len(rows) == 12 * 5
    found = {(row["group"], row["time"]): row["cause"] for row in rows}
    assert sum(found[key] == cause for key, cause in truth.items()) >= 0.8 * len(truth)


def test_changepoints_writes_one_row_per_change(tmp_path: Path) -> None:
    path, out = tmp_path / "series.csv", tmp_path / "points.csv"
    lines = [f"{day},{(day % 3) + (40 if day >= 30 else 0)},{day % 2}" for day in range(60)]
    path.write_text("day,x,y\n" + "\n".join(lines) + "\n", encoding="utf-8")
    done = _run("changepoints", str(path), "--time", "day", "--value", "x", "--value", "y", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert [row["time"] for row in _rows(out)] == ["30"]


def test_explain_splits_every_count_exactly(tmp_path: Path) -> None:
    before, after, out = tmp_path / "before.csv", tmp_path / "after.parquet", tmp_path / "split.csv"
    before.write_text("id,unit,party,street\n1,A,x,s\n2,A,y,s\n3,B,x,t\n3,B,x,t\n", encoding="utf-8")
    parquet.write_table(
        pa.table({"id": ["1", "2", "4"], "unit": ["B", "A", "B"], "party": ["x", "x", "x"], "street": ["u", "s", "t"]}),
        after,
    )
    done = _run("explain", str(before), str(after), "--id", "id", "--unit", "unit", "--attributes", "party",
                "--address", "street", "--out", str(out))  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = _rows(out)
    parts = ("boundary", "renumbering", "movers", "joiners", "leavers", "attributes", "entry")
    assert all(int(row["before"]) + sum(int(row[part]) for part in parts) == int(row["after"]) for row in rows)
    whole = next(row for row in rows if (row["unit"], row["attribute"]) == ("B", "all"))
    assert (whole["movers"], whole["joiners"], whole["leavers"]) == ("1", "1", "-1")


def test_without_an_address_nobody_counts_as_moved(tmp_path: Path) -> None:
    before, after, out = tmp_path / "before.csv", tmp_path / "after.csv", tmp_path / "split.csv"
    before.write_text("id,unit,party\n1,A,x\n2,A,x\n", encoding="utf-8")
    after.write_text("id,unit,party\n1,A,x\n2,B,x\n", encoding="utf-8")
    done = _run("explain", str(before), str(after), "--id", "id", "--unit", "unit", "--attributes", "party",
                "--out", str(out))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(row["movers"] == "0" for row in _rows(out))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["detect", "panel.csv", "--unit", "u", "--group", "g", "--time", "t", "--measures", "nope"], "no column nope"),
        (["detect", "gone.csv", "--unit", "u", "--group", "g", "--time", "t", "--measures", "x"], "does not exist"),
        (["changepoints", "panel.csv", "--time", "t", "--value", "nope"], "no column nope"),
        (["explain", "panel.csv", "panel.csv", "--id", "u", "--unit", "g", "--attributes", "nope"], "no column nope"),
    ],
)
def test_a_mistake_ends_in_one_sentence_without_traceback(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "panel.csv").write_text("u,g,t,x\n1,a,1,5\n", encoding="utf-8")
    named = [str(tmp_path / part) if part.endswith(".csv") else part for part in arguments]
    done = _run(*named, "--out", str(tmp_path / "out.csv"))
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
