"""Tests of what a command is given: its arguments, whatever a key holds, and a clean environment."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

import dagster as dg
import pytest

from mlops_assets.plumbing.sources.command.source import CommandSource
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.sources.commands import GOOD
from mlops_assets_tests.plumbing.sources.shop import SALES, Sale, contract, rows, run

TELLS: Final = """
import json, os, sys
from pathlib import Path
Path(sys.argv[1]).write_text(json.dumps([dict(os.environ), os.getcwd(), sys.stdin.read()]))
print(Path(sys.argv[2]).read_text(), end='')
"""
KEYS: Final = dg.DynamicPartitionsDefinition(name="branches")
BRANCHES: Final = contract("branches", Sale, partitions_def=KEYS, partition_columns={"branches": "month"})


@pytest.fixture
def good(tmp_path: Path) -> str:
    """The path of a good extract."""
    file = tmp_path / "good.csv"
    file.write_text(GOOD)
    return str(file)


class TestWhatItIsGiven:
    def test_its_environment_is_clean(self, tmp_path: Path, good: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")
        secret = tmp_path / "password"
        secret.write_text("their secret\n")
        seen = tmp_path / "seen"
        source = CommandSource(
            contract=SALES,
            command=[
                sys.executable,
                "-I",
                "-c",
                TELLS,
                str(seen),
                good,
            ],
            environment={"REGION": "north"},
            secrets={"PASSWORD": Secret(file=str(secret))},
            retries=0,
        )
        done = run(source)
        assert done.success, done.told
        given, folder, read = json.loads(seen.read_text())
        # Python adds it in the C locale.
        given.pop("LC_CTYPE", None)
        assert given == {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "TMPDIR": folder,
            "LANG": "C.UTF-8",
            "REGION": "north",
            "PASSWORD": "their secret",
            "MLOPS_ASSETS_PARTITION": "2024-01",
        }
        assert read == ""
        assert not Path(folder).exists()

    @pytest.mark.parametrize("key", ["$(touch hacked)", "a b", "'\";&|<>*?\\", "{month}", "ä€\n", "..", "%s"])
    def test_a_key_is_one_argument_whatever_is_in_it(self, key: str) -> None:
        script = (
            "import os, sys; assert sys.argv[1] == sys.argv[2][1:] == os.environ['MLOPS_ASSETS_PARTITION']; "
            "open('hacked') if os.listdir() else None; print('sale,day,amount,note\\n1,2024-01-03,1,')"
        )
        source = CommandSource(
            contract=BRANCHES,
            command=[sys.executable, "-I", "-c", script.replace("{", "{{"), "{partition}", "={partition}"],
            retries=0,
        )
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("branches", [key])
            done = run(source, key, instance=instance)
        assert done.success, done.told
        assert [row[0] for row in rows(BRANCHES)] == [key]

    @pytest.mark.parametrize(
        ("key", "told"), [("-rf", "would begin with -"), ("a\0b", "what no command can be given, such as a NUL")]
    )
    def test_a_key_that_would_be_something_else_is_refused(self, key: str, told: str) -> None:
        source = CommandSource(contract=BRANCHES, command=["cat", "{partition}"], retries=0)
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("branches", [key])
            assert told in run(source, key, instance=instance).told

    def test_a_key_does_not_lead_its_output_out_of_its_folder(self) -> None:
        source = CommandSource(contract=BRANCHES, command=["true"], output="{partition}", retries=0)
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("branches", ["../up"])
            assert "is no name of a file" in run(source, "../up", instance=instance).told
