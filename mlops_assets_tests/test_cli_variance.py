"""The commands ``mlops-assets variance ...`` on files, as a person runs them."""

from __future__ import annotations

import csv
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
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


_PEOPLE = [(number, "AB"[number % 2], "xyz"[number % 3], f"{number} Street") for number in range(100)]


def _snapshots(folder: Path, after: list[tuple[object, ...]]) -> tuple[str, ...]:
    """Files of a hundred people and of those given, and the options to compare them."""
    for name, rows in (("before", _PEOPLE), ("after", after)):
        lines = [",".join(map(str, row)) for row in rows]
        (folder / f"{name}.csv").write_text("id,shop,party,street\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return (str(folder / "before.csv"), str(folder / "after.csv"), "--id", "id", "--unit", "shop",
            "--attributes", "party", "--address", "street")  # fmt: skip


@pytest.mark.parametrize("command", [("explain",), ("report", "comparison")], ids=["explain", "report"])
@pytest.mark.parametrize(
    ("after", "words"),
    [
        ([row for row in _PEOPLE if row[1] == "A"], "partial load: 50 of 50 entities of shop B are not in after.csv"),
        ([(f"n{row[0]}", *row[1:]) for row in _PEOPLE], "re-keyed: 0 of 100 entities of before.csv are among the 100"),
        ([(*row[:3], row[3].upper()) for row in _PEOPLE], "readdressed: 100 of 100 entities in every shop that are"),
    ],
    ids=["partial", "rekeyed", "readdressed"],
)
def test_files_that_cannot_be_compared_are_refused_by_name(
    tmp_path: Path, command: tuple[str, ...], after: list[tuple[object, ...]], words: str
) -> None:
    out = tmp_path / "out"
    done = _run(*command, *_snapshots(tmp_path, after), "--out", str(out))
    assert done.returncode == 1
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_explain_goes_on_despite_what_was_named_and_warns(tmp_path: Path) -> None:
    given = _snapshots(tmp_path, [row for row in _PEOPLE if row[1] == "A"])
    out = tmp_path / "split.csv"
    done = _run("explain", *given, "--despite", "partial load", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "Warning: partial load: 50 of 50 entities of shop B" in " ".join(done.stderr.split())
    assert next(row for row in _rows(out) if (row["unit"], row["attribute"]) == ("B", "all"))["leavers"] == "-50"
    wrong = _run("explain", *given, "--despite", "cut", "--out", str(out))
    assert (wrong.returncode, "Name some of re-keyed" in wrong.stderr) == (1, True)


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
    assert (rows["party"]["gone"], rows["party"]["appeared"]) == ("UNA (400 rows)", "NPA (400 rows)")
    assert (float(rows["age"]["ks"]), float(rows["(all columns)"]["auc"])) == (0, 1)


def test_drift_of_the_same_entities_is_paired_by_their_identifier(tmp_path: Path) -> None:
    before, after, out = tmp_path / "before.csv", tmp_path / "after.csv", tmp_path / "drift.csv"
    parties = ["UNA" if n % 2 else "DEM" for n in range(1000)]
    before.write_text("id,party\n" + "".join(f"{n},{p}\n" for n, p in enumerate(parties)), encoding="utf-8")
    switched = ["DEM" if n < 60 else party for n, party in enumerate(parties)]
    after.write_text("id,party\n" + "".join(f"{n},{p}\n" for n, p in enumerate(switched)), encoding="utf-8")
    verdicts = []
    for options in ((), ("--id", "id")):
        done = _run("drift", str(before), str(after), "--columns", "party", *options, "--out", str(out))
        assert done.returncode == 0, done.stderr
        verdicts.append(_rows(out)[0])
    assert [row["drift"] for row in verdicts] == ["none", "small"]
    assert verdicts[1]["note"] == "Paired: 1,000 are in both, 30 of them changed."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["detect", "panel.csv", "--unit", "u", "--group", "g", "--time", "t", "--measures", "nope"], "no column nope"),
        (["detect", "gone.csv", "--unit", "u", "--group", "g", "--time", "t", "--measures", "x"], "does not exist"),
        (["changepoints", "panel.csv", "--time", "t", "--value", "nope"], "no column nope"),
        (["explain", "panel.csv", "panel.csv", "--id", "u", "--unit", "g", "--attributes", "nope"], "no column nope"),
        (
            ["explain", "panel.csv", "panel.csv", "--id", "u", "--unit", "g", "--attributes", "t", "--weight", "g"],
            "panel.csv: column g: 'a' in row 1 is no number",
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


_DETECT = ("--unit", "u", "--group", "g", "--time", "t", "--measures", "v")
_EXPLAIN = ("--id", "u", "--unit", "g", "--attributes", "t")
_WHOLE = "u;g;t;v\n" + "".join(f"{unit};a;{time};{10 * unit + time}\n" for unit in (1, 2, 3) for time in (1, 2))


def _refused(folder: Path, text: str | bytes, command: str, *options: str) -> str:
    """What a command on a file says, which is no file of ours."""
    path = folder / "bad.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    good = folder / "good.csv"
    good.write_text(_WHOLE, encoding="utf-8")
    files = [str(good), str(path)] if command in {"explain", "drift"} else [str(path)]
    done = _run(command, *files, *options, "--out", str(folder / "out.csv"))
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert "good.csv" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("u;g;t;v\n1;a;1;5\n2;a;1;6;7\n", "bad.csv: line 3 has 5 fields where the header has 4. Look at that line"),
        (b"u;g;t;v\n1;C\xf3rdoba;1;5\n", "bad.csv: line 2, column g: the text is not UTF-8. Say its encoding with"),
        ("u;g;t;v\n", "bad.csv: it has columns and no rows. Give a file with rows."),
        ("u;g;t;t\n1;a;1;5\n", "bad.csv: columns 3 and 4 are both named t in the header. Let the first line name"),
    ],
)
@pytest.mark.parametrize("command", ["detect", "explain", "drift"])
def test_the_file_at_fault_is_named_with_the_place_and_a_remedy(
    tmp_path: Path, text: str | bytes, words: str, command: str
) -> None:
    options = {"detect": _DETECT, "explain": _EXPLAIN, "drift": ()}[command]
    assert words in _refused(tmp_path, text, command, *options)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        (
            "v",
            ("1,291", "950"),
            "column v: '1,291' in row 1 can be read in two ways, with a comma between thousands or",
        ),
        ("v", ("$5", "6"), "column v: '$5' in row 1 bears $, unlike others. Write all values of the column alike."),
        ("v", ("5", "n.d."), "column v: 'n.d.' in row 2 is no number. Mend these values"),
        (
            "t",
            ("05/01/17", "06/01/17"),
            "column t: '05/01/17' in row 1 can be read in two ways, day first or month first",
        ),
        ("t", ("2019", "2019-Q4"), "column t: '2019' in row 1 is a number, '2019-Q4' in row 2 is a quarter"),
        ("t", ("early", "late"), "column t: 'early' in row 1 is no time that is known. Write times as 2020, 2020-Q1"),
        ("t", ("2019", "2019"), "all rows are of one time, t 2019: there is nothing to compare it with"),
    ],
)
def test_a_column_that_cannot_be_read_is_named_with_a_value_its_row_and_a_remedy(
    tmp_path: Path, column: str, values: tuple[str, str], words: str
) -> None:
    given = [{"u": "x", "g": "a", "t": str(row), "v": str(row), column: value} for row, value in enumerate(values)]
    text = "u;g;t;v\n" + "".join(";".join(row.values()) + "\n" for row in given)
    assert words in _refused(tmp_path, text, "detect", *_DETECT)


def test_what_a_file_does_not_say_itself_may_be_said(tmp_path: Path) -> None:
    path, out = tmp_path / "panel.csv", tmp_path / "out.csv"
    lines = [f"{unit};C\u00f3rdoba;0{day}/01/2020;1,{unit}0{day}" for unit in (1, 2, 3) for day in (1, 2, 3)]
    path.write_bytes(("u;g;t;v\n" + "\n".join(lines) + "\n").encode("latin-1"))
    said = ("--encoding", "latin-1", "--decimal", "point", "--dates", "day-first")
    done = _run("detect", str(path), *_DETECT, *said, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert [(row["group"], row["time"]) for row in _rows(out)] == [
        ("C\u00f3rdoba", f"0{day}/01/2020") for day in (2, 3)
    ]


def test_rows_put_together_or_left_out_are_told_behind_the_first_line(tmp_path: Path) -> None:
    path, out = tmp_path / "panel.csv", tmp_path / "out.csv"
    path.write_text(_WHOLE + "1;a;1;11\n;a;1;5\n", encoding="utf-8")
    done = _run("detect", str(path), *_DETECT, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "1 row without u, g or t left out.",
        "1 pair of u and t came in more than one row (2 rows); the mean of their measures was taken.",
    ]


def test_repeated_and_missing_identifiers_are_told_of_their_file(tmp_path: Path) -> None:
    before, after, out = tmp_path / "before.csv", tmp_path / "after.csv", tmp_path / "out.csv"
    before.write_text(_WHOLE, encoding="utf-8")
    after.write_text("u;g;t;v\n1;a;1;1\n;a;1;1\n", encoding="utf-8")
    done = _run("explain", str(before), str(after), *_EXPLAIN, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        f"File {before}: 3 rows repeated an identifier; it counts once.",
        f"File {after}: 1 row without u, linked to none.",
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("12345678901234567801", "12345678901234567802", "12345678901234567803"), None),
        (("5", "5.00", "1E5"), ("100000", "5.0", "0x5")),
    ],
)
def test_identifiers_are_linked_as_texts(
    tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...] | None
) -> None:
    paths = [tmp_path / "before.csv", tmp_path / "after.csv"]
    for path, people in zip(paths, (before, after or before), strict=True):
        path.write_text("u;g;t\n" + "".join(f"{person};A;x\n" for person in people), encoding="utf-8")
    out = tmp_path / "out.csv"
    done = _run("explain", *map(str, paths), *_EXPLAIN, "--out", str(out))
    assert done.returncode == 0, done.stderr
    whole = next(row for row in _rows(out) if row["attribute"] == "all")
    assert (whole["before"], whole["joiners"], whole["after"]) == ("3", "3" if after else "0", "3")


def test_columns_whose_names_hold_commas_are_named_in_quotation_marks(tmp_path: Path) -> None:
    path, out = tmp_path / "one.csv", tmp_path / "out.csv"
    path.write_text('"a, b";c\n1;2\n2;2\n', encoding="utf-8")
    done = _run("drift", str(path), str(path), "--columns", '"a, b",c', "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert [row["column"] for row in _rows(out)][:2] == ["a, b", "c"]


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


def test_a_report_of_two_files_that_cannot_be_compared_is_refused_by_name_and_made_despite_it(tmp_path: Path) -> None:
    before, after, out = tmp_path / "may.csv", tmp_path / "june.csv", tmp_path / "page.html"
    rows = [f"c{number},s{number % 2},p{number},plan" for number in range(200)]
    for file, kept in ((before, rows), (after, [row for row in rows if ",s0," in row])):
        file.write_text("id,shop,street,plan\n" + "\n".join(kept), encoding="utf-8")
    asked = [str(before), str(after), "--id", "id", "--unit", "shop", "--attributes", "plan", "--address", "street"]
    asked += ["--out", str(out)]
    refused = _run("report", "comparison", *asked)
    assert refused.returncode == 1
    assert "partial load" in refused.stdout + refused.stderr
    assert not out.exists()
    made = _run("report", "comparison", *asked, "--despite", "partial load")
    assert made.returncode == 0
    assert "partial load: 100 of 100" in out.read_text(encoding="utf-8")


def test_what_was_said_as_known_is_not_changed_by_later_times(tmp_path: Path) -> None:
    table, _ = simulate(World(groups=12, times=6, events=0.1), 3)
    kept = sorted(set(table.column("time").to_pylist()))[:4]
    said = []
    for name, rows in (("whole", table), ("until", table.filter(pc.is_in(table["time"], value_set=pa.array(kept))))):
        parquet.write_table(rows, tmp_path / f"{name}.parquet")
        columns = ("--unit", "unit", "--group", "group", "--time", "time", "--measures", ",".join(MEASURES))
        done = _run(
            "detect", str(tmp_path / f"{name}.parquet"), *columns, "--as-known", "--out", str(tmp_path / "out.csv")
        )
        assert done.returncode == 0, done.stderr
        found = _rows(tmp_path / "out.csv")
        said.append([(row["group"], row["time"], row["cause"]) for row in found if row["time"] in map(str, kept)])
    assert said[0] == said[1]
