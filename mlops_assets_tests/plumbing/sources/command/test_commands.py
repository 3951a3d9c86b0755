"""Tests of commands by declaration: what a command gives whole becomes rows, and what is told where it does not."""

from __future__ import annotations

import hashlib
import re
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.platform.errors import ContractError
from mlops_assets.plumbing.sources.command.source import CommandSource
from mlops_assets.plumbing.sources.formats.kinds import Delimited, FixedWidth, Parquet
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.sources.commands import GOOD, ROWS, is_so, kept, lives, numbers_in, shell
from mlops_assets_tests.plumbing.sources.shop import CUSTOMERS, SALES, rows, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def good(tmp_path: Path) -> str:
    """The path of a good extract."""
    file = tmp_path / "good.csv"
    file.write_text(GOOD)
    return str(file)


class TestWhatIsTaken:
    def test_standard_output_becomes_typed_rows(self, good: str) -> None:
        done = run(shell('echo working >&2; cat "$1"', good))
        assert done.success, done.told
        assert rows() == ROWS
        assert done.metadata["command"] == "sh"
        assert done.metadata["output_bytes"] == len(GOOD)
        assert done.metadata["output_sha256"] == hashlib.sha256(GOOD.encode()).hexdigest()
        assert done.metadata["command_seconds"] > 0

    @pytest.mark.parametrize(
        "script",
        ['cp "$1" sales-2024-01.csv', 'cp "$1" "$MLOPS_ASSETS_OUTPUT"', 'cp "$1" "$2"'],
        ids=["in its folder", "by the variable", "by the argument"],
    )
    def test_the_file_that_it_writes_becomes_rows(self, good: str, script: str) -> None:
        done = run(shell(f"echo working; {script}", good, "{output}", output="sales-{month}.csv"))
        assert done.success, done.told
        assert rows() == ROWS

    def test_a_program_of_its_own_is_started_in_the_declared_folder(self, tmp_path: Path, good: str) -> None:
        script = tmp_path / "extract.py"
        script.write_text(
            f"#!{sys.executable}\nimport pathlib, sys\npathlib.Path(sys.argv[2]).write_text(open('{good}').read())\n"
        )
        script.chmod(0o700)
        source = CommandSource(
            contract=SALES,
            command=["./extract.py", "{start:%Y%m%d}", "{output}"],
            cwd=str(tmp_path),
            output="sales.csv",
            retries=0,
        )
        done = run(source)
        assert done.success, done.told
        assert rows() == ROWS

    def test_packed_output_is_told_by_its_bytes(self, good: str) -> None:
        done = run(shell('gzip -c "$1"', good))
        assert done.success, done.told
        assert rows() == ROWS

    def test_packed_output_whose_last_line_has_no_end_is_refused(self) -> None:
        done = run(shell("printf 'sale,day,amount,note\\n1,2024-01-03,1.5,fir' | gzip -c"))
        assert "its last line has no end" in done.told
        assert rows() == []

    def test_formats_are_those_of_files(self, tmp_path: Path) -> None:
        text = tmp_path / "text"
        text.write_text("001 2024-01-03  1.5 first\n002 2024-01-04   20 \n")
        fields = {"sale": (1, 3), "day": (5, 10), "amount": (16, 4), "note": (21, 9)}
        assert run(shell('cat "$1"', str(text), format=FixedWidth(fields=fields))).success
        table = pa.table(
            {"sale": [1, 2], "day": [row[2] for row in ROWS], "amount": [1.5, 20.0], "note": ["first", None]}
        )
        pq.write_table(table, tmp_path / "table")
        done = run(shell('cp "$1" "$2"', str(tmp_path / "table"), "{output}", output="t", format=Parquet()))
        assert done.success, done.told
        assert rows() == ROWS

    def test_an_empty_output_is_no_rows_where_there_is_no_header_line(self) -> None:
        names = ["sale", "day", "amount", "note"]
        assert "is empty" in run(shell("true")).told
        assert run(shell("true", format=Delimited(names=names))).checks == {"contract": False}

    def test_what_runs_beside_it_ends_with_it(self, tmp_path: Path, good: str) -> None:
        note = tmp_path / "note"
        done = run(shell('sleep 1000 >/dev/null 2>&1 & echo $! > "$2"; cat "$1"', good, str(note)))
        assert done.success, done.told
        [beside] = numbers_in(note)
        assert is_so(lambda: not lives(beside))

    def test_what_it_starts_and_waits_for_is_a_part_of_it(self, good: str) -> None:
        late = shell('(sleep 0.2; tail -n +2 "$1") & head -n 1 "$1"', good)
        done = run(late)
        assert done.success, done.told
        assert rows() == ROWS

    def test_an_output_larger_than_a_pipe_holds_is_whole(self) -> None:
        many = "echo sale,day,amount,note; seq 200000 | sed 's/$/,2024-01-03,1,a long remark of nothing/'"
        done = run(shell(f"{many}; seq 200000 >&2"))
        assert done.success, done.told
        assert len(rows()) == 200_000


class TestWhatIsTold:
    def test_its_last_lines_are_told_without_secrets_and_all_of_it_is_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SHOP_TOKEN", "s3cr3t")
        key = tmp_path / "key"
        key.write_text("-- begin --\nfirst line of it\nsecond line of it\n")
        script = 'seq -f "line %g" 6 >&2; printf "no \\033[31mlogin %s\\n%s" "$TOKEN" "$KEY" >&2; exit 1'
        done = run(shell(script, secrets={"TOKEN": Secret(env="SHOP_TOKEN"), "KEY": Secret(file=str(key))}))
        assert (
            "exit code 1. It said last: line 4 | line 5 | line 6 | no  [31mlogin [variable_SHOP_TOKEN] | [secret_file_"
            in done.told
        )
        everything = kept(done)
        assert "line 1\n" in everything
        for text in (done.told, everything):
            assert not any(part in text for part in ("s3cr3t", "first line", "second line"))

    def test_a_single_line_of_a_secret_is_not_told(self, tmp_path: Path) -> None:
        key = tmp_path / "key"
        key.write_text("first line of it\nsecond line of it\n")
        done = run(shell('echo "$KEY" | tail -n 1 >&2; exit 1', secrets={"KEY": Secret(file=str(key))}))
        assert "It said last: [secret_file_" in done.told

    def test_of_a_table_with_persons_nothing_that_it_says_is_told(self) -> None:
        source = CommandSource(contract=CUSTOMERS, command=["sh", "-c", "echo Johanna >&2; exit 1"], retries=0)
        done = run(source)
        assert "it ended with exit code 1." in done.told
        assert "Johanna" not in done.told
        assert "Johanna" in kept(done)

    def test_the_output_that_is_no_extract_is_kept_with_its_errors(self) -> None:
        done = run(shell("echo progress; echo failure >&2; exit 1", output="sales.csv"))
        assert "It said last: progress | failure." in done.told

    def test_a_secret_that_is_not_there(self) -> None:
        done = run(shell("true", secrets={"TOKEN": Secret(env="SHOP_NO_TOKEN")}))
        assert "Variable SHOP_NO_TOKEN: this secret is not set" in done.told


class TestDeclaration:
    def test_yaml_says_the_same_as_python(self, tmp_path: Path) -> None:
        source = CommandSource.resolve_from_yaml(
            f"""
            contract: mlops_assets_tests.plumbing.sources.shop.SALES
            command: [./extract.sh, --month, "{{month}}", "{{output}}"]
            cwd: {tmp_path}
            output: sales.tsv
            format: {{type: delimited, delimiter: "\\t"}}
            environment: {{REGION: north}}
            secrets: {{PGPASSWORD: {{file: orders_password}}}}
            timeout_seconds: 60
            most_bytes: 1000000
            retries: 0
            """
        )
        assert source == CommandSource(
            contract=SALES,
            command=["./extract.sh", "--month", "{month}", "{output}"],
            cwd=str(tmp_path),
            output="sales.tsv",
            format=Delimited(delimiter="\t"),
            environment={"REGION": "north"},
            secrets={"PGPASSWORD": Secret(file="orders_password")},
            timeout_seconds=60,
            most_bytes=1_000_000,
            retries=0,
        )

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"command": ["x", "{year}"]}, "its command names {year}. There is: {end}, {month}, {partition}, {start}"),
            ({"command": ["x", "{output}"]}, "its command names {output}"),
            ({"command": ["x", "{month"]}, "its command cannot be filled in"),
            ({"command": ["sh", "-c", "cat {month}.csv"]}, "names {month} in the text that a shell runs"),
            ({"command": ["env", "bash", "-eo", "pipefail", "-lc", "cat {start:%Y}"]}, "names {start} in the text"),
            ({"command": ["x"], "output": "out/x.csv"}, "is no name of a file"),
            ({"command": ["x"], "output": "{year}.csv"}, "its output names {year}"),
            ({"command": ["x"], "environment": {"A=B": "1"}}, "a variable A=B, which is no name of one"),
            ({"command": ["x"], "environment": {"MLOPS_ASSETS_OUTPUT": "1"}}, "has its meaning already"),
            ({"command": ["x"], "environment": {"A": "1"}, "secrets": {"A": Secret(env="A")}}, "variable A is in env"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_where_it_is_declared(self, options: dict[str, Any], told: str) -> None:
        with pytest.raises(ContractError, match=re.escape(told)):
            CommandSource(contract=SALES, **options)

    @pytest.mark.parametrize("command", [[], "extract.sh {month}", ["x", 1]])
    def test_a_command_is_a_list_of_texts(self, command: Any) -> None:  # noqa: ANN401  what is wrong
        with pytest.raises(ValueError, match="command"):
            CommandSource(contract=SALES, command=command)

    def test_the_text_that_a_shell_runs_is_left_as_it_is(self, good: str) -> None:
        done = run(shell("month=$1; awk -F, '{ print $0 }' \"$2\"; : ${month}", "{month}", good))
        assert done.success, done.told

    def test_another_command_is_another_code_version_and_another_place_is_not(self) -> None:
        version = shell("true").code_version()
        assert shell("true", cwd="/", timeout_seconds=1, environment={"A": "1"}).code_version() == version
        assert shell("false").code_version() != version
        assert shell("true", output="x").code_version() != version
