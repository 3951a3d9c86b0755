"""Tests of the inference log: no line is lost or torn, whatever ends a worker; a file is closed once, with its hash."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from mlops_assets.serving import inference_files, inference_log
from mlops_assets.serving.http.metrics import ServiceMetrics
from mlops_assets.serving.inference_log import InferenceLog, LoggedAnswer, LoggedOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = datetime(2024, 11, 5, 12, tzinfo=UTC)


class Clock(datetime):
    """A clock that a test sets."""

    at = NOW

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # asked for in UTC alone
        assert tz is UTC
        return cls.at


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    monkeypatch.setattr(inference_log, "datetime", Clock)
    monkeypatch.setattr(Clock, "at", NOW)
    return Clock


def log_in(folder: Path, keep_days: int = 90) -> InferenceLog:
    return InferenceLog(folder, keep_days=keep_days, metrics=ServiceMetrics())


def answers(count: int, name: str = "order-1234") -> list[LoggedAnswer]:
    return [LoggedAnswer(name, row, "a" * 64, "answered", 0.5, "shop", NOW) for row in range(count)]


def outcome(name: str = "order-1234") -> LoggedOutcome:
    return LoggedOutcome(name, 0, 1.0, NOW, "shop", NOW)


def closed(folder: Path, kind: str = "answers", day: str = "2024-11-05") -> list[dict[str, object]]:
    """The lines of a closed file, whose checksum is proven."""
    file = folder / "churn" / kind / f"{day}.jsonl"
    said = file.with_name(f"{file.name}.sha256").read_text(encoding="ascii")
    assert said == f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
    return [msgspec.json.decode(line) for line in file.read_bytes().splitlines()]


def next_day(clock: type[Clock], seconds: float = 3600) -> None:
    clock.at = datetime(2024, 11, 6, tzinfo=UTC) + timedelta(seconds=seconds)


def test_a_day_is_closed_after_it_with_its_lines_and_their_checksum(tmp_path: Path, clock: type[Clock]) -> None:
    log = log_in(tmp_path)
    asyncio.run(log.answered("churn", answers(3)))
    asyncio.run(log.take("churn", [outcome()]))
    log.close_days()
    assert not list(tmp_path.rglob("*.jsonl"))
    next_day(clock)
    log.close_days()
    assert [line["row"] for line in closed(tmp_path)] == [0, 1, 2]
    [line] = closed(tmp_path, "outcomes")
    assert line == {
        "request_id": "order-1234",
        "row": 0,
        "outcome": 1.0,
        "observed": "2024-11-05T12:00:00Z",
        "principal": "shop",
        "reported": "2024-11-05T12:00:00Z",
        "date": "2024-11-05",
    }
    assert not list(tmp_path.rglob("*.open"))


def test_lines_begun_before_midnight_are_in_the_closed_day(tmp_path: Path, clock: type[Clock]) -> None:
    log = log_in(tmp_path)
    asyncio.run(log.answered("churn", answers(1)))
    next_day(clock, seconds=30)
    log.close_days()
    assert list(tmp_path.rglob("*.open"))


def test_a_torn_line_is_left_out_and_spoils_no_other(
    tmp_path: Path, clock: type[Clock], caplog: pytest.LogCaptureFixture
) -> None:
    log = log_in(tmp_path)
    asyncio.run(log.answered("churn", answers(2)))
    with (tmp_path / "churn/answers/2024-11-05.jsonl.open").open("ab") as file:
        file.write(b'{"request_id": "half of')
    after = log_in(tmp_path)
    asyncio.run(after.answered("churn", answers(1, "order-after")))
    with (tmp_path / "churn/answers/2024-11-05.jsonl.open").open("ab") as file:
        file.write(bytes(4096))
    next_day(clock)
    after.close_days()
    assert [line["request_id"] for line in closed(tmp_path)] == ["order-1234", "order-1234", "order-after"]
    assert "torn" in caplog.text


def test_several_workers_write_and_close_one_file_and_nothing_is_lost_or_doubled(
    tmp_path: Path, clock: type[Clock]
) -> None:
    logs = [log_in(tmp_path) for _ in range(4)]

    def write(number: int) -> None:
        for each in range(200):
            asyncio.run(logs[number].answered("churn", answers(2, f"order-{number}-{each:03}")))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    next_day(clock)
    closing = [threading.Thread(target=log.close_days) for log in logs]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()
    logs[0].close_days()
    names = [(line["request_id"], line["row"]) for line in closed(tmp_path)]
    assert len(names) == len(set(names)) == 4 * 200 * 2


def test_lines_for_a_closed_day_are_added_to_it(tmp_path: Path, clock: type[Clock]) -> None:
    log = log_in(tmp_path)
    asyncio.run(log.answered("churn", answers(1)))
    next_day(clock)
    log.close_days()
    clock.at = NOW
    asyncio.run(log.answered("churn", answers(1, "order-late")))
    next_day(clock)
    log.close_days()
    assert [line["request_id"] for line in closed(tmp_path)] == ["order-1234", "order-late"]


@pytest.mark.parametrize("step", ["sync_file", "sync_folder"])
def test_a_worker_that_dies_while_it_closes_a_day_leaves_no_line_twice_and_no_file_that_is_taken(
    tmp_path: Path, clock: type[Clock], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    log = log_in(tmp_path)
    asyncio.run(log.answered("churn", answers(3)))
    next_day(clock)
    with monkeypatch.context() as dying:
        dying.setattr(inference_files, step, _die)
        with pytest.raises(KeyboardInterrupt):
            log.close_days()
    log_in(tmp_path).close_days()
    assert [line["row"] for line in closed(tmp_path)] == [0, 1, 2]
    assert not list(tmp_path.rglob("*.open"))


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_removed_file_is_begun_anew(tmp_path: Path, clock: type[Clock]) -> None:
    log = log_in(tmp_path)
    asyncio.run(log.answered("churn", answers(1)))
    (tmp_path / "churn/answers/2024-11-05.jsonl.open").unlink()
    asyncio.run(log.answered("churn", answers(1, "order-after")))
    next_day(clock)
    log.close_days()
    assert [line["request_id"] for line in closed(tmp_path)] == ["order-after"]


def logged_on(clock: type[Clock], log: InferenceLog, *after: int) -> None:
    """Answers on each of these days after the first, closed on the next; files have the times of that clock."""
    for days in after:
        clock.at = NOW + timedelta(days=days)
        asyncio.run(log.answered("churn", answers(1)))
        clock.at += timedelta(days=1)
        log.close_days()
        day = f"{NOW + timedelta(days=days):%Y-%m-%d}"
        for path in (log_folder(log) / "churn/answers").glob(f"{day}*"):
            os.utime(path, (clock.at.timestamp(), clock.at.timestamp()))


def log_folder(log: InferenceLog) -> Path:
    return log._folder


def days_in(folder: Path) -> list[str]:
    return sorted(path.name[:10] for path in folder.rglob("*.jsonl"))


def test_closed_days_are_let_go_of_after_their_time_with_their_checksums(tmp_path: Path, clock: type[Clock]) -> None:
    log = log_in(tmp_path, keep_days=7)
    logged_on(clock, log, 0, 6, 7)
    assert days_in(tmp_path) == ["2024-11-05", "2024-11-11", "2024-11-12"]
    logged_on(clock, log, 8, 9)
    log.close_days()
    assert days_in(tmp_path) == ["2024-11-11", "2024-11-12", "2024-11-13", "2024-11-14"]
    assert len(list(tmp_path.rglob("*.sha256"))) == 4


def test_a_clock_that_jumps_ahead_lets_nothing_go_until_it_has_been_ahead_over_two_midnights(
    tmp_path: Path, clock: type[Clock]
) -> None:
    log = log_in(tmp_path, keep_days=7)
    logged_on(clock, log, 0, 1)
    clock.at = NOW + timedelta(days=100)
    log.close_days()
    logged_on(clock, log, 100)
    log.close_days()
    assert days_in(tmp_path) == ["2024-11-05", "2024-11-06", "2025-02-13"]
    logged_on(clock, log, 101)
    log.close_days()
    assert days_in(tmp_path) == ["2025-02-13", "2025-02-14"]


def test_what_was_written_lately_stays_whatever_day_the_clock_said(tmp_path: Path, clock: type[Clock]) -> None:
    log = log_in(tmp_path, keep_days=7)
    logged_on(clock, log, -1, 0)
    clock.at = NOW - timedelta(days=120)
    asyncio.run(log.take("churn", [outcome("order-then")]))
    clock.at = NOW + timedelta(days=1)
    for _ in range(2):
        log.close_days()
    assert [line["request_id"] for line in closed(tmp_path, "outcomes", "2024-07-08")] == ["order-then"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Nobody in this process writes beyond that size of a file, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_of_a_report_all_lines_are_written_or_none(tmp_path: Path, clock: type[Clock]) -> None:
    log = log_in(tmp_path)
    asyncio.run(log.take("churn", [outcome("order-before")]))
    with files_of_at_most(50_000), pytest.raises(OSError, match="large"):
        asyncio.run(log.take("churn", [outcome(f"order-{number:05}") for number in range(1000)]))
    asyncio.run(log.take("churn", [outcome("order-after")]))
    next_day(clock)
    log.close_days()
    assert [line["request_id"] for line in closed(tmp_path, "outcomes")] == ["order-before", "order-after"]


def test_a_file_that_cannot_be_closed_keeps_no_other_and_is_told_until_it_is(
    tmp_path: Path, clock: type[Clock]
) -> None:
    log = log_in(tmp_path, keep_days=7)
    logged_on(clock, log, -20, -3, -2)
    clock.at = NOW
    asyncio.run(log.answered("churn", answers(400)))
    asyncio.run(log.take("churn", [outcome()]))
    next_day(clock)
    with (
        files_of_at_most(50_000),
        pytest.raises(OSError, match=r"^churn/answers/2024-11-05.jsonl.open: File too large$"),
    ):
        log.close_days()
    assert len(closed(tmp_path, "outcomes")) == 1
    assert days_in(tmp_path / "churn/answers") == ["2024-11-02", "2024-11-03"]
    asyncio.run(log.take("churn", [outcome()]))
    asyncio.run(log.answered("churn", answers(1)))
    assert str(log.failure) == "days: churn/answers/2024-11-05.jsonl.open: File too large"
    assert not list(tmp_path.rglob(".staged-*"))
    log.close_days()
    assert log.failure is None
    assert len(closed(tmp_path)) == 400


def test_a_failure_of_one_kind_is_told_until_that_kind_is_written(tmp_path: Path, clock: type[Clock]) -> None:
    log = log_in(tmp_path)
    (tmp_path / "churn").mkdir()
    (tmp_path / "churn/answers").write_text("no folder", encoding="ascii")
    asyncio.run(log.answered("churn", answers(1)))
    asyncio.run(log.take("churn", [outcome()]))
    asyncio.run(log.answered("other", answers(1)))
    assert str(log.failure).startswith("answers of churn: ")
    (tmp_path / "churn/answers").unlink()
    asyncio.run(log.answered("churn", answers(1)))
    assert log.failure is None
    assert clock.at == NOW


def test_what_a_worker_leaves_that_is_killed_while_it_closes_a_day_goes_with_the_next_look(tmp_path: Path) -> None:
    day = tmp_path / "churn/answers"
    day.mkdir(parents=True)
    line = msgspec.json.encode(answers(1)[0]) + b"\n"
    (day / "2024-11-05.jsonl.open").write_bytes(line * 300_000)
    program = (
        "import sys; from pathlib import Path; from mlops_assets_tests.serving import test_inference_log as t\n"
        "t.log_in(Path(sys.argv[1])).close_days()\n"
    )
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) as process:
            while process.poll() is None and not any(each.stat().st_size for each in day.glob(".staged-*")):
                time.sleep(0.005)
            process.kill()
    assert list(day.glob(".staged-*"))
    log_in(tmp_path).close_days()
    assert sorted(path.name for path in day.iterdir()) == ["2024-11-05.jsonl", "2024-11-05.jsonl.sha256"]
    assert len(closed(tmp_path)) == 300_000


def test_the_names_of_all_folders_that_it_makes_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[Path] = set()
    sync = os.fsync

    def noted(descriptor: int) -> None:
        synced.add(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    folder = tmp_path / "home/inference_log"
    asyncio.run(log_in(folder).take("churn", [outcome()]))
    assert {tmp_path, tmp_path / "home", folder, folder / "churn", folder / "churn/outcomes"} <= synced


def test_answers_that_cannot_be_written_are_counted_and_outcomes_are_not_taken(
    tmp_path: Path, clock: type[Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = ServiceMetrics()
    log = InferenceLog(tmp_path, keep_days=90, metrics=metrics)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        asyncio.run(log.answered("churn", answers(3)))
        assert b"mlops_assets_answers_not_logged_total 3.0" in metrics.exposition([])
        with pytest.raises(OSError, match="No space left"):
            asyncio.run(log.take("churn", [outcome()]))
        assert str(log.failure).count("No space left") == 2
    asyncio.run(log.take("churn", [outcome()]))
    asyncio.run(log.answered("churn", answers(1)))
    assert log.failure is None
    next_day(clock)
    log.close_days()
    assert len(closed(tmp_path, "outcomes")) == 1


def test_what_a_killed_process_has_taken_stays(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, signal, sys; from pathlib import Path\n"
        "from mlops_assets_tests.serving import test_inference_log as t\n"
        "log = t.log_in(Path(sys.argv[1]))\n"
        "asyncio.run(log.answered('churn', t.answers(5))); asyncio.run(log.take('churn', [t.outcome()]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert ended.returncode == -9
    counts = {path.parent.name: len(path.read_bytes().split()) for path in tmp_path.rglob("*.open")}
    assert counts == {"answers": 5, "outcomes": 1}


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(b"\xff\xfe{"), lambda path: path.write_bytes(b"[" * 200_000 + b"\n")]
)
def test_any_bytes_in_an_open_file_are_left_out(
    tmp_path: Path, clock: type[Clock], damage: Callable[[Path], object]
) -> None:
    log = log_in(tmp_path)
    asyncio.run(log.answered("churn", answers(1)))
    log.close()
    damage(tmp_path / "churn/answers/2024-11-05.jsonl.open")
    next_day(clock)
    log.close_days()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
