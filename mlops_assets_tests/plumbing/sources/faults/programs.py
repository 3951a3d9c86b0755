"""Rounds on commands: exit codes, signals, half outputs, and what is left behind.

Put here faults of a ``CommandSource``. Keep out what is wrong in its output alone (``files``).
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mlops_assets.plumbing.sources.command import process
from mlops_assets.plumbing.sources.command.source import CommandSource
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.sources.faults import mutations
from mlops_assets_tests.plumbing.sources.faults.dialects import Dialect, accepted, contract
from mlops_assets_tests.plumbing.sources.faults.packings import pack
from mlops_assets_tests.plumbing.sources.faults.reference import Row, typed
from mlops_assets_tests.plumbing.sources.faults.rounds import SECRET, Bench, Case
from mlops_assets_tests.plumbing.sources.faults.visits import NAMES

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

_SCRIPTS: Final = {
    "code": 'cat "$1"; exit {number}',
    "signal": 'cat "$1"; kill -{number} $$; sleep 5',
    "half": 'head -c {number} "$1"',
    "half and a code": 'head -c {number} "$1"; exit 3',
    "closed": 'exec 1>&-; cat "$1"; true',
    "child that holds": 'cat "$1"; (sleep 30) & exit 0',
    "child beside": 'cat "$1"; (sleep 0.5 >/dev/null 2>&1) & exit 0',
    "child that adds": 'cat "$1"; (sleep 0.1; tail -n 1 "$1") & exit 0',
    "too long": 'cat "$1"; sleep 30',
    "too much": 'cat "$1"; yes "$(cat "$1")"',
    "says all": 'cat "$1"; cat "$1" >&2; echo "$TOKEN" >&2; env >&2; exit 1',
    "says bytes": "head -c 100000 /dev/urandom >&2; exit 4",
    "secret in rows": 'cat "$1"; echo "$TOKEN,$TOKEN"',
    "no output": 'rm -f "$MLOPS_ASSETS_OUTPUT"; exit 0',
    "folder": 'mkdir "$MLOPS_ASSETS_OUTPUT"',
    "pipe": 'mkfifo "$MLOPS_ASSETS_OUTPUT"',
    "link": 'ln -s /etc/hostname "$MLOPS_ASSETS_OUTPUT"',
    "link to itself": 'ln -s "$MLOPS_ASSETS_OUTPUT" "$MLOPS_ASSETS_OUTPUT"',
    "content": 'cat "$2"',
    "no room": 'ulimit -f 0; cat "$1" > "$MLOPS_ASSETS_OUTPUT"',
}
_WRITE: Final = frozenset({"no output", "folder", "pipe", "link", "link to itself", "no room"})
_MOST_SECONDS: Final = 8.0


@contextmanager
def commands(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """A command that does not end as it should, or gives something else than it should."""
    dialect = Dialect(chance)
    dialect.encoding = "utf-8"
    given = dialect.rows()
    plain = dialect.written(NAMES, given)
    fault = chance.choice(list(_SCRIPTS))
    number = chance.choice([1, 2, 75, 127, 255]) if fault == "code" else chance.choice([1, 2, 9, 11, 13, 15, 31])
    number = chance.randrange(len(plain)) if fault.startswith("half") else number
    broken = mutations.some(chance, pack(chance, plain)[0] if chance.random() < 0.3 else plain)[0]
    writes = fault in _WRITE or (fault in {"code", "signal"} and chance.random() < 0.3)
    known: dict[str, list[list[Row]] | None] = {
        "half": accepted(dialect, plain[:number]),
        "content": None,
        "child beside": [typed(given)],
        "child that adds": None,
        "code": [],
        "closed": [[]],
    }
    whole = known.get(fault, [])
    with bench.room() as room:
        (room / "good").write_bytes(plain)
        (room / "broken").write_bytes(broken)
        script = _SCRIPTS[fault].replace("{number}", str(number))

        def declared(script: str) -> CommandSource:
            return CommandSource(
                contract=contract_,
                command=["sh", "-c", script, "sh", str(room / "good"), str(room / "broken")],
                output="visits-{month}.csv" if writes else None,
                format=dialect.format(),
                secrets={"TOKEN": Secret(file="token")},
                timeout_seconds=0.5,
                most_bytes=1_000_000,
            )

        contract_ = contract(chance)
        good = declared('cat "$1" > "$MLOPS_ASSETS_OUTPUT"' if writes else 'cat "$1"')
        yield Case(
            fault=f"{fault} {signal.strsignal(number) if fault == 'signal' else number}",
            source=declared(script),
            healed=good.model_copy(update={"timeout_seconds": 20.0}),
            accepted=whole,
            truth=typed(dialect.read(plain)),
            heal=lambda: None,
            private=plain + broken,
            secrets=(SECRET,),
            most_seconds=_MOST_SECONDS + process.GRACE_SECONDS,
        )
