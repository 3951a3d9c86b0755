"""The commands ``mlops-assets variance ...`` on files, as a person runs them."""

from __future__ import annotations

import csv
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyarrow import parquet

from mlops_assets_tests.variance.panel.panel_world import MEASURES, World, simulate

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


def test_explain_splits_shares_of_a_sample_with_their_errors(tmp_path: Path) -> None:
    before, after, out = tmp_path / "before.csv", tmp_path / "after.csv", tmp_path / "split.csv"
    before.write_text("id,unit,party,people\n1,A,x,10\n2,A,y,20\n3,A,y,10\n", encoding="utf-8")
    after.write_text("id,unit,party,people\n1,A,x,10\n2,A,x,20\n4,A,y,20\n", encoding="utf-8")
    done = _run("explain", str(before), str(after), "--id", "id", "--unit", "unit", "--attributes", "party",
                "--weight", "people", "--measure", "share", "--order", "shapley", "--out", str(out))  # fmt: skip
    assert done.returncode == 0, done.stderr
    row = next(row for row in _rows(out) if row["category"] == "x")
    parts = ("boundary", "renumbering", "movers", "joiners", "leavers", "attributes", "entry", "weighting")
    assert (float(row["before"]), float(row["after"])) == (0.25, 0.6)
    assert 0.25 + sum(float(row[part]) for part in parts) == pytest.approx(0.6, abs=1e-9)
    assert float(row["attributes"]) > float(row["leavers"]) > 0 > float(row["joiners"])
    assert all(float(row[f"{name}_error"]) >= 0 for name in ("before", *parts, "after", "change"))


def test_drift_writes_one_row_per_column_and_one_for_all_together(tmp_path: Path) -> None:
    before, after, out = tmp_path / "before.csv", tmp_path / "after.parquet", tmp_path / "found" / "drift.csv"
    ages = [18 + n % 70 for n in range(400)]
    before.write_text("age,party\n" + "".join(f"{age},UNA\n" for age in ages), encoding="utf-8")
    parquet.write_table(pa.table({"age": ages, "party": ["NPA"] * 400}), after)
    done = _run("drift", str(before), str(after), "--columns", "party, age", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 of 3 rows tell of drift")
    rows = {row["column"]: row for row in _rows(out)}
    assert {name: row["drift"] for name, row in rows.items()} == {
        "party": "strong",
        "age": "none",
        "(all columns)": "strong",
    }
    assert rows["party"]["largest_change"] in {"UNA: 100.00% to 0.00%", "NPA: 0.00% to 100.00%"}
    assert (float(rows["age"]["ks"]), float(rows["(all columns)"]["auc"])) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["detect", "panel.csv", "--unit", "u", "--group", "g", "--time", "t", "--measures", "nope"], "no column nope"),
        (["detect", "gone.csv", "--unit", "u", "--group", "g", "--time", "t", "--measures", "x"], "does not exist"),
        (["changepoints", "panel.csv", "--time", "t", "--value", "nope"], "no column nope"),
        (["explain", "panel.csv", "panel.csv", "--id", "u", "--unit", "g", "--attributes", "nope"], "no column nope"),
        (
            ["explain", "panel.csv", "panel.csv", "--id", "u", "--unit", "g", "--attributes", "t", "--weight", "g"],
            "column g is no number in 1 row, such as a",
        ),
        (["drift", "panel.csv", "panel.csv", "--columns", "nope"], "no column nope"),
        (["drift", "panel.csv", "gone.csv"], "does not exist"),
        (["drift", "panel.csv", "broken.parquet"], "cannot be read as CSV or Parquet"),
    ],
)
def test_a_mistake_ends_in_one_sentence_without_traceback(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "panel.csv").write_text("u,g,t,x\n1,a,1,5\n", encoding="utf-8")
    (tmp_path / "broken.parquet").write_text("no table", encoding="utf-8")
    files = (".csv", ".parquet")
    named = [str(tmp_path / part) if part.endswith(files) else part for part in arguments]
    done = _run(*named, "--out", str(tmp_path / "out.csv"))
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_report_writes_a_page_on_the_history_of_a_file(tmp_path: Path) -> None:
    table, truth = simulate(World(groups=12, times=6, events=0.1), 5)
    panel, out = tmp_path / "panel.parquet", tmp_path / "found" / "history.html"
    parquet.write_table(table, panel)
    done = _run("report", "history", str(panel), "--unit", "unit", "--group", "group", "--time", "time",
                "--measures", ", ".join(MEASURES), "--entity", "name", "--title", "Ours", "--unit-name", "branch",
                "--entity-name", "sales person,sales people", "--out", str(out))  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = out.read_text(encoding="utf-8")
    assert "<h1>Ours</h1>" in page
    assert any(cause in page for cause in set(truth.values()) - {"none"})
    assert "branches redrawn" in page
    assert "sales people are in another branch" in page


def test_report_writes_a_page_on_two_snapshots_with_their_flows(tmp_path: Path) -> None:
    before, after, out = tmp_path / "may.csv", tmp_path / "june.csv", tmp_path / "page.html"
    rows = [(number, "A" if number < 60 else "B", "x", f"s{number}") for number in range(120)]
    for path, units in ((before, {}), (after, dict.fromkeys(range(30), "B"))):
        lines = [f"{number},{units.get(number, unit)},{party},{street}" for number, unit, party, street in rows]
        path.write_text("id,unit,party,street\n" + "\n".join(lines) + "\n", encoding="utf-8")
    done = _run("report", "comparison", str(before), str(after), "--id", "id", "--unit", "unit",
                "--attributes", "party", "--address", "street", "--out", str(out))  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = out.read_text(encoding="utf-8")
    assert "june compared with may" in page
    assert "30 are in another unit, most 30 from A to B" in page


def test_report_refuses_a_file_that_is_not_there_in_one_sentence(tmp_path: Path) -> None:
    done = _run("report", "history", str(tmp_path / "none.csv"), "--unit", "u", "--group", "g", "--time", "t",
                "--measures", "m", "--out", str(tmp_path / "page.html"))  # fmt: skip
    assert done.returncode == 1
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_verdict_on_an_event_that_nobody_knows_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ASSETS_HOME", str(tmp_path))
    done = _run("judge", "0123456789ab", "reject", "--by", "Ann")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "Event 0123456789ab: no comparison has found any event." in said
    assert _run("judge", "0123456789ab", "forget", "--by", "Ann").returncode == 2
    assert _run("events", "--json").stdout == ""
