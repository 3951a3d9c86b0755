"""The campaign: which kinds of rounds there are, how often each comes, and how one is played by its number.

Put here how rounds are drawn. Keep out what they break, and processes (``chaos/sources.py``).
"""

from __future__ import annotations

import random
import traceback
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from mlops_assets_tests.plumbing.sources.faults import (
    answers,
    databases,
    declared,
    downloads,
    files,
    increments,
    kept,
    lines,
    looks,
    packings,
    parquet,
    places,
    programs,
    resources,
    servers,
    wire,
    workbooks,
)
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench, Case, WrongError, judged
from mlops_assets_tests.plumbing.sources.faults.stories import Story

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

KINDS: Final[dict[str, tuple[int, Callable[[random.Random, Bench], AbstractContextManager[Case | Story]]]]] = {
    "delimited text": (4500, files.delimited),
    "fixed widths": (1700, files.fixed_width),
    "Parquet": (2200, parquet.parquet),
    "JSON Lines": (1000, lines.json_lines),
    "Excel": (800, workbooks.excel),
    "packed": (2400, packings.packed),
    "manifest, checksum, marker": (1600, files.said),
    "names": (900, places.names),
    "changed as it is read": (400, places.changes),
    "full disk": (700, places.full),
    "pages of JSON and CSV": (2000, answers.pages),
    "wire": (900, wire.answers),
    "files over HTTP": (1000, downloads.files),
    "looks at HTTP": (150, looks.looks),
    "no connection, TLS": (200, wire.places),
    "SQLite": (900, databases.sqlite),
    "increments": (250, increments.increments),
    "PostgreSQL": (150, servers.postgresql),
    "MariaDB": (50, servers.mysql),
    "dlt": (500, resources.resources),
    "commands": (300, programs.commands),
    "kept and read again": (500, kept.kept),
    "declarations": (1100, declared.declarations),
}
"""How often each kind comes beside the others, and what plays it."""
NEEDED: Final[dict[str, object]] = {
    **servers.PROGRAMS,
    "dlt": find_spec("dlt"),
    "Excel": find_spec("openpyxl"),
    "kept and read again": find_spec("openpyxl"),
}
"""What kinds need that may not be installed; nothing where it is not."""
WHOLE_RUNS: Final = 0.02
"""Share of the rounds that go through a run of Dagster."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came of a round.

    Attributes:
        number: of the round; with the seed it is the same again.
        kind: of the source.
        fault: what was broken.
        outcome: in a word; ``wrong`` where something must not be.
        wrong: what.
    """

    number: int
    kind: str
    fault: str
    outcome: str
    wrong: str | None = None


def play(seed: int, number: int, bench: Bench, kinds: tuple[str, ...] = ()) -> Played:
    """Play the round of that number."""
    chance = random.Random(f"{seed}:{number}")  # noqa: S311  no secret
    known = [name for name in kinds or KINDS if NEEDED.get(name, "there")]
    [kind] = chance.choices(known, [KINDS[name][0] for name in known])
    whole_run = chance.random() < WHOLE_RUNS
    fault = "as it was made"
    try:
        with KINDS[kind][1](chance, bench) as case:
            fault = case.fault
            outcome = case.played() if isinstance(case, Story) else judged(case, chance, whole_run=whole_run)
    except WrongError as error:
        return Played(number=number, kind=kind, fault=fault, outcome="wrong", wrong=str(error)[:1500])
    except Exception:  # noqa: BLE001  a fault of the campaign's own is told like one of the product
        return Played(number=number, kind=kind, fault=fault, outcome="wrong", wrong=traceback.format_exc()[-1500:])
    return Played(number=number, kind=kind, fault=fault, outcome=outcome)
