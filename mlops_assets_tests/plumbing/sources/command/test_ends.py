"""Tests of how commands end: nothing but a good end is taken, and no process outlives its step."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from mlops_assets.platform.assets.ranges import RANGE_END, RANGE_START
from mlops_assets.plumbing.sources.command import process
from mlops_assets.plumbing.sources.command.source import CommandSource
from mlops_assets_tests import processes
from mlops_assets_tests.plumbing.sources.commands import GOOD, ROWS, children_of, is_so, kept, lives, numbers_in, shell
from mlops_assets_tests.plumbing.sources.shop import SALES, rows, run

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what ignores its end costs the tests little."""
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.5)


@pytest.fixture
def good(tmp_path: Path) -> str:
    """The path of a good extract."""
    file = tmp_path / "good.csv"
    file.write_text(GOOD)
    return str(file)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("script", "told"),
        [
            ("exit 3", "Command sh of raw/sales: it ended with exit code 3."),
            ('cat "$1"; exit 1', "it ended with exit code 1."),
            ("kill -SEGV $$", "it was ended by signal 11 (Segmentation fault)"),
            ("true", "is empty"),
            ('head -c 60 "$1"', "its last line has no end"),
            ('gzip -c "$1" | head -c 40', "the gzip file cannot be unpacked"),
            ('cat "$1"; sleep 1000 &', "something that it started still held its standard output"),
        ],
    )
    def test_an_end_that_is_not_good(self, good: str, script: str, told: str) -> None:
        assert run(shell('cat "$1"', good)).success
        began = time.monotonic()
        done = run(shell(script, good))
        assert not done.success
        assert told in done.told
        assert rows() == ROWS
        assert time.monotonic() - began < 15

    @pytest.mark.parametrize(
        "script", ["true", 'mkdir "$1"', 'mkfifo "$1"', 'ln -s /etc/hostname "$1"', "cat good > x"]
    )
    def test_a_file_that_is_not_there(self, script: str) -> None:
        done = run(shell(script.replace("cat good", "echo"), "{output}", output="sales.csv"))
        assert "it ended with exit code 0, and has not written the file sales.csv" in done.told

    def test_nothing_is_left_of_one_that_takes_too_long(self, tmp_path: Path) -> None:
        note = tmp_path / "note"
        stubborn = 'trap "" TERM; (trap "" TERM; sleep 1000) & echo $$ $! > "$1"; while :; do sleep 1000; done'
        began = time.monotonic()
        done = run(shell(stubborn, str(note), timeout_seconds=1))
        assert "it ran for more than 1 s, and was ended" in done.told
        assert time.monotonic() - began < 15
        assert len(numbers_in(note)) == 2
        assert is_so(lambda: not any(lives(each) for each in numbers_in(note)))

    def test_one_that_is_asked_to_end_may_clean_up(self, tmp_path: Path) -> None:
        note = tmp_path / "note"
        script = "trap 'echo cleaned > \"$1\"; echo cleaning up >&2; exit 0' TERM; sleep 1000 & wait"
        done = run(shell(script, str(note), timeout_seconds=1))
        assert "It said last: cleaning up." in done.told
        assert note.read_text() == "cleaned\n"

    @pytest.mark.parametrize("output", [None, "sales.csv"])
    @pytest.mark.parametrize("script", ["yes", "head -c 3000000 /dev/zero"])
    def test_too_much_output(self, output: str | None, script: str) -> None:
        redirected = f'{script} > "$MLOPS_ASSETS_OUTPUT"' if output else script
        done = run(shell(redirected, output=output, most_bytes=1_000_000))
        assert "it wrote more than 1,000,000 bytes, and was ended" in done.told

    def test_endless_messages_do_not_fill_anything(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "MOST_SAID", 10_000)
        done = run(shell("yes 123456789 >&2", timeout_seconds=2))
        assert "it ran for more than 2 s" in done.told
        assert 9_000 < len(kept(done)) < 11_000

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"command": ["mlops-no-such-program"]}, "mlops-no-such-program is not there"),
            ({"command": ["./plain"]}, "./plain may not be executed"),
            ({"command": ["./headless"]}, "./headless cannot be started (Exec format error)"),
            ({"command": ["./lost"]}, "./lost is not there, or the program that its first line names is not"),
            ({"command": ["true"], "cwd": "/no/such/folder"}, "its working folder /no/such/folder is not there"),
            ({"command": ["true"], "cwd": dg.EnvVar("SHOP_NO_FOLDER")}, "Variable SHOP_NO_FOLDER: it is not set"),
        ],
    )
    def test_one_that_cannot_be_started(self, tmp_path: Path, options: dict[str, Any], told: str) -> None:
        for name, text, mode in (
            ("plain", "#!/bin/sh\n", 0o600),
            ("headless", "echo x\n", 0o700),
            ("lost", "#!/no/such/shell\n", 0o700),
        ):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(mode)
        done = run(CommandSource(contract=SALES, retries=0, **{"cwd": str(tmp_path), **options}))
        assert told in done.told
        assert "unexpected" not in done.told

    def test_one_that_says_that_it_may_succeed_later_is_tried_again(self, tmp_path: Path, good: str) -> None:
        note = tmp_path / "note"
        script = 'echo 1 >> "$2"; [ "$(wc -l < "$2")" -ge 3 ] || exit "$3"; cat "$1"'
        assert run(shell(script, good, str(note), "75", retries=2, retry_seconds=0.01)).success
        assert len(numbers_in(note)) == 3
        note.unlink()
        assert not run(shell(script, good, str(note), "74", retries=2, retry_seconds=0.01)).success
        assert len(numbers_in(note)) == 1


def materialize(note: str, at_once: int) -> None:
    """Make two months by commands that do not end."""
    source = shell('sleep 1000 & echo $$ $! >> "$1"; wait', note, at_once=at_once)
    tags = {RANGE_START: "2024-01", RANGE_END: "2024-02"}
    dg.materialize([source.asset()], tags=tags, instance=dg.DagsterInstance.ephemeral())


class TestWhatEndsWithTheStep:
    @pytest.mark.parametrize("at_once", [1, 2])
    @pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda sent: sent.name)
    def test_a_run_that_ends_early_leaves_no_process(self, tmp_path: Path, sent: signal.Signals, at_once: int) -> None:
        note = tmp_path / "note"
        running: ForkServerProcess = processes.started(materialize, str(note), at_once)
        try:
            assert is_so(lambda: len(numbers_in(note)) == 2 * at_once, 60)
            assert all(lives(each) for each in numbers_in(note))
            assert running.pid is not None
            # A thread that is starting a process may take the signal, and the main thread sleeps on: with their guards
            # the commands have been started.
            main = running.pid
            assert is_so(lambda: len(children_of(main)) == 2 * at_once)
            time.sleep(0.3)
            os.kill(main, sent)
            running.join(20)
            assert running.exitcode is not None
            # Where it had no time to do so itself, its guard does.
            seconds = 20 if sent is signal.SIGKILL else 0
            assert is_so(lambda: not any(lives(each) for each in numbers_in(note)), seconds)
            assert len(numbers_in(note)) == 2 * at_once
        finally:
            running.kill()

    def test_no_guard_is_left_of_a_good_run(self, good: str) -> None:
        before = children_of(os.getpid())
        assert run(shell('cat "$1"', good)).success
        assert children_of(os.getpid()) <= before
