"""Commands of these tests: the good extract, a shell's script as a source, and what can be seen of processes.

Put here what several tests of commands share. Keep out assertions about sources.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.command.source import CommandSource
from mlops_assets_tests.plumbing.sources.shop import SALES

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_assets_tests.plumbing.sources.shop import Ran

GOOD: Final = "sale,day,amount,note\n1,2024-01-03,1.5,first\n2,2024-01-04,20,\n"
ROWS: Final = [
    ("2024-01", 1, dt.date(2024, 1, 3), 1.5, "first"),
    ("2024-01", 2, dt.date(2024, 1, 4), 20.0, None),
]


def shell(script: str, *arguments: str, **options: Any) -> CommandSource:  # noqa: ANN401  a declaration's
    """The shop's sales by a shell's script, tried once."""
    return CommandSource(contract=SALES, command=["sh", "-c", script, "sh", *arguments], **{"retries": 0, **options})


def kept(done: Ran) -> str:
    """What the owner alone can read of it."""
    [error_id] = re.findall(r"mlops-assets error ([0-9a-f]{12})", done.told)
    file = Settings.load().errors / f"{error_id}.txt"
    assert file.stat().st_mode & 0o077 == 0
    return file.read_text()


def lives(process_id: int) -> bool:
    """Whether it runs; what has ended and whose parent does not ask for it does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_so(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether it becomes so within that time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def numbers_in(file: Path) -> list[int]:
    return [int(word) for word in file.read_text().split()] if file.exists() else []


def children_of(process_id: int) -> set[int]:
    """The processes that it has started and not yet asked for."""
    files = Path(f"/proc/{process_id}/task").glob("*/children")
    return {int(word) for file in files for word in file.read_text().split()}
