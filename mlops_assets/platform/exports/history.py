"""The history of an exports folder: which export was current from when on.

Put here what is remembered of the pointer's moves. Keep out the exports themselves; the service's request path imports
this module.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from mlops_assets.platform.durable_files import replace_durably
from mlops_assets.platform.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EXPORT_ID: Final = re.compile(r"[0-9a-f]{32}")
POINTER: Final = "current"
WITHDRAWN: Final = "withdrawn"
"""What the pointer says where nothing is to be served."""
_HISTORY: Final = "history.jsonl"
_MOST_MOVES: Final = 10_000
"""Older moves are forgotten: the exports they name are long gone, and the file is written whole each time."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """The pointer's move to an export.

    Attributes:
        export_id: the export that became current.
        at: when, UTC.
    """

    export_id: str
    at: datetime


def pointer_history(folder: Path) -> tuple[Move, ...]:
    """Every remembered move, oldest first; the last one is where the pointer stands now.

    A writer that was killed after the move and before its note leaves the note to the next writer; until then the
    pointer itself says where it stands and since when.

    Raises:
        ArtifactError: there is no pointer, or the history cannot be read.
    """
    moves, current = _noted(folder), _standing(folder)
    if current is None:
        raise ArtifactError(
            source=str(folder), culprit="it has no readable pointer to a current export.", remedy="Write an export."
        )
    return moves if moves and moves[-1].export_id == current.export_id else (*moves, current)


def current_at(moves: Sequence[Move], time: datetime) -> str | None:
    """The export that was current at that time; ``None`` before the first remembered move."""
    return next((move.export_id for move in reversed(moves) if move.at <= time), None)


def note_move(folder: Path) -> None:
    """Note where the pointer stands, if it is not noted yet. Only the writers' lock holder may call this.

    A history that cannot be read is begun anew: it must not keep new data from being served.
    """
    current = _standing(folder)
    if current is None:
        return
    try:
        moves = _noted(folder)
    except ArtifactError:
        moves = ()
    if moves and moves[-1].export_id == current.export_id:
        return
    lines = [
        json.dumps({"export_id": move.export_id, "at": move.at.isoformat(timespec="microseconds")})
        for move in (*moves, current)[-_MOST_MOVES:]
    ]
    replace_durably(folder / _HISTORY, "".join(f"{line}\n" for line in lines).encode("ascii"))


def _standing(folder: Path) -> Move | None:
    pointer = folder / POINTER
    try:
        text = pointer.read_text(encoding="ascii").strip()
        moved = pointer.stat().st_mtime
    except (OSError, UnicodeDecodeError):
        return None
    return Move(export_id=text, at=datetime.fromtimestamp(moved, UTC)) if EXPORT_ID.fullmatch(text) else None


def _noted(folder: Path) -> tuple[Move, ...]:
    path = folder / _HISTORY
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, type(error).__name__) from error
    try:
        return tuple(_move(json.loads(line)) for line in lines)
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, f"a line is no move ({type(error).__name__})") from error


def _move(fields: dict[str, str]) -> Move:
    at = datetime.fromisoformat(fields["at"])
    if at.tzinfo is None or not EXPORT_ID.fullmatch(fields["export_id"]):
        raise ValueError("a move needs an id and a time with its zone")
    return Move(export_id=fields["export_id"], at=at)


def _unreadable(path: Path, reason: str) -> ArtifactError:
    return ArtifactError(
        source=str(path), culprit=f"it cannot be read: {reason}.", remedy="Remove it; the next export begins it anew."
    )
