"""Tests of the history of exports: it tells which export was current at a time, also after a rollback and a kill."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.platform.errors import ArtifactError
from mlops_assets.platform.exports.export import kept_exports, open_kept_export, write_export
from mlops_assets.platform.exports.history import Move, current_at, pointer_history

if TYPE_CHECKING:
    from pathlib import Path

HISTORY = "history.jsonl"


def write(folder: Path, number: int, *, keep: int = 5) -> str:
    return write_export(folder, {"items": pa.table({"a": [number]})}, {}, keep=keep).export_id


def now() -> datetime:
    time.sleep(0.02)
    moment = datetime.now(UTC)
    time.sleep(0.02)
    return moment


def test_a_rollback_is_told_from_the_time_between(tmp_path: Path) -> None:
    before = now()
    first = write(tmp_path, 1)
    in_first = now()
    second = write(tmp_path, 2)
    in_second = now()
    assert write(tmp_path, 1) == first
    moves = pointer_history(tmp_path)
    assert [current_at(moves, moment) for moment in (before, in_first, in_second, now())] == [
        None,
        first,
        second,
        first,
    ]


def test_writing_the_current_export_again_is_no_move(tmp_path: Path) -> None:
    write(tmp_path, 1)
    old = pointer_history(tmp_path)
    write(tmp_path, 1)
    assert pointer_history(tmp_path) == old


def test_a_move_that_was_not_noted_is_known_from_the_pointer_and_noted_by_the_next_writer(tmp_path: Path) -> None:
    first = write(tmp_path, 1)
    (tmp_path / HISTORY).unlink()
    (move,) = pointer_history(tmp_path)
    assert move.export_id == first
    second = write(tmp_path, 2)
    assert pointer_history(tmp_path)[0] == move
    assert [entry.export_id for entry in pointer_history(tmp_path)] == [first, second]


def test_moves_to_exports_that_are_gone_are_remembered(tmp_path: Path) -> None:
    ids = [write(tmp_path, number, keep=2) for number in range(4)]
    assert [move.export_id for move in pointer_history(tmp_path)] == ids
    assert [manifest.export_id for manifest in kept_exports(tmp_path)] == ids[2:]
    with pytest.raises(FileNotFoundError):
        open_kept_export(tmp_path, ids[0])


@pytest.mark.parametrize("content", ["garbage\n", '{"export_id": "a", "at": "2024-01-01T00:00:00Z"}\n', "[]\n", "\xff"])
def test_a_damaged_history_is_said_to_be_and_does_not_keep_a_new_export_away(tmp_path: Path, content: str) -> None:
    write(tmp_path, 1)
    (tmp_path / HISTORY).write_text(content, encoding="latin-1")
    with pytest.raises(ArtifactError, match=HISTORY):
        pointer_history(tmp_path)
    second = write(tmp_path, 2)
    assert pointer_history(tmp_path)[-1].export_id == second


def test_a_kept_export_is_verified_before_it_is_opened(tmp_path: Path) -> None:
    first = write(tmp_path, 1)
    write(tmp_path, 2)
    with open_kept_export(tmp_path, first) as export:
        assert export.connection.execute("SELECT a FROM items").fetchall() == [(1,)]
    (tmp_path / first / "data.sqlite").write_bytes(b"x")
    with pytest.raises(ArtifactError, match="bytes"):
        open_kept_export(tmp_path, first)


@pytest.mark.parametrize("name", ["../../etc", "", "g" * 32, "current"])
def test_only_ids_of_exports_are_opened(tmp_path: Path, name: str) -> None:
    write(tmp_path, 1)
    with pytest.raises(FileNotFoundError):
        open_kept_export(tmp_path, name)


def test_a_folder_without_exports_has_no_history(tmp_path: Path) -> None:
    assert kept_exports(tmp_path / "absent") == ()
    with pytest.raises(ArtifactError, match="no readable pointer"):
        pointer_history(tmp_path)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=20), st.integers(-5, 2500))
def test_the_export_of_a_time_is_the_last_move_before_it(steps: list[int], second: int) -> None:
    start, moves, seconds = datetime(2024, 1, 1, tzinfo=UTC), [], 0
    for number, step in enumerate(steps):
        seconds += step
        moves.append(Move(export_id=f"{number:032x}", at=start + timedelta(seconds=seconds)))
    found = current_at(moves, start + timedelta(seconds=second))
    earlier = [move.export_id for move in moves if move.at <= start + timedelta(seconds=second)]
    assert found == (earlier[-1] if earlier else None)
