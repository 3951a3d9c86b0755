"""Rounds on declarations: options in YAML and Python that are odd, misspelt, of another type or of no sense.

Put here faults of what people declare. Keep out what sources give.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster.components.resolved.errors import ResolutionException
from pydantic import ValidationError

import mlops_assets as ma
from mlops_assets.platform.errors import ContractError, SettingsError
from mlops_assets_tests.plumbing.sources.faults import visits
from mlops_assets_tests.plumbing.sources.faults.reference import typed
from mlops_assets_tests.plumbing.sources.faults.rounds import SECRET, Bench, Case, WrongError
from mlops_assets_tests.plumbing.sources.faults.visits import MONTH, NAMES, VISITS

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

_SECRET: Final = {"file": "token"}
_FORMATS: Final[list[dict[str, Any]]] = [
    {"type": "delimited", "delimiter": ";", "quote": "'", "encoding": "cp1252", "names": list(NAMES)},
    {"type": "fixed_width", "fields": {name: [1 + 10 * at, 10] for at, name in enumerate(NAMES)}},
    {"type": "parquet"},
]
_COMMON: Final[dict[str, Any]] = {
    "columns": {"who": "Customer"}, "formats": {"day": "%d.%m.%Y", "paid": "yes/no"}, "evolve": True,
    "cron": "0 6 1 * *",
    "timezone": "Europe/Berlin", "pool": "shop", "retries": 1, "retry_seconds": 1.5, "at_once": 2,
}  # fmt: skip
_GOOD: Final[dict[str, dict[str, Any]]] = {
    "FileSource": {
        "path": "{room}", "file": "visits-{month}.csv", "format": _FORMATS, "every_seconds": 60,
        "options": {"auto_mkdir": False}, "secrets": {"key": _SECRET},
        "whole": [{"type": "quiet", "seconds": 5}, {"type": "marker", "name": "{file}.done"}, {"type": "checksum",
        "name": "SUMS"},
                  {"type": "manifest", "name": "m.json", "sha256": "sha", "size": "n", "rows": "r", "file": "f"}],
    },
    "RestSource": {
        "url": "http://127.0.0.1:1/visits/{month}", "query": {"month": "{partition}", "from": "{start:%Y%m%d}"},
        "headers": {"X-A": "b"},
        "auth": [{"type": "bearer", "secret": _SECRET}, {"type": "api_key", "secret": _SECRET, "query": "key"},
                 {"type": "basic", "user": "us", "password": _SECRET}, {"type": "client_certificate",
                 "certificate": "a", "key": "b"},
                 {"type": "oauth2", "token_url": "http://127.0.0.1:1/", "client_id": "us", "client_secret": _SECRET}],
        "paginate": [{"type": "page_number", "size_parameter": "n", "size": 5}, {"type": "offset", "limit": 5},
        {"type": "cursor", "path": "a.b"},
                     {"type": "link_header"}, {"type": "next_address", "path": "next", "total": "meta.total"}],
        "rows": "data.items", "format": "json", "rate_per_second": 50, "most_pages": 9,
        "limits": {"connect_seconds": 0.1, "answer_seconds": 0.1, "idle_seconds": 0.1, "attempts": 1,
        "total_seconds": 0.5},
    },
    "SqlSource": {
        "database": [{"type": "sqlite", "path": "{room}/shop.db"}, {"type": "postgres",
        "dsn": "host=127.0.0.1 port=1 dbname=a", "password": _SECRET},
                     {"type": "mysql", "host": "127.0.0.1", "port": 1, "database": "a", "user": "u",
                     "password": _SECRET}],
        "table": "main.visits", "where": "month = :month AND day < :end", "timeout_seconds": 5, "connect_seconds": 1,
    },
    "CommandSource": {
        "command": ["cat", "{month}", "{output}"], "output": "a-{month}.csv", "format": _FORMATS, "cwd": "{room}",
        "environment": {"A": "{{month}}"},
        "secrets": {"TOKEN": _SECRET}, "timeout_seconds": 1, "most_bytes": 1000,
    },
}  # fmt: skip
_ODD: Final[tuple[Any, ...]] = (
    None, "", " ", "x", "\0", "\n", "{", "}", "{}", "{0}", "{month", "{month!r}", "{month.__class__}",
    "{partition:>9}", "{start:%Q}", "{start:%}",
    "{nothing}", "{{ env.NOTHING }}", "{{ nothing }}", "{{", "{% x %}", "{{ 1/0 }}", "../x", "/", "a/../b", "a//b",
    ".", "~", "%s", "%d %", "*", "[",
    "http://[::1", "http://", "ftp://127.0.0.1/", "http://127.0.0.1:99999/", "http://127.0.0.1:x/",
    "http://u:p@127.0.0.1/", "file://", "memory://a",
    "foo://x", "zip://a", "::", "é", "🙂", "\u202e", "\ud7ff", "a" * 5000, 0, -1, 1, 10**30, 1e308, float("nan"),
    float("inf"), 0.5, True, False,
    [], [None], [[]], ["a", "a"], [1, 2], {}, {"type": "x"}, {"type": None}, {"a": {"b": {}}}, {"": ""}, {1: 2},
    {"file": "a", "env": "b"},
    {"env": "NOTHING"}, {"file": "../../etc/hostname"}, {"file": "\0"}, {"nothing": "here"}, "* * * * *",
    "61 * * * *", "@daily", "Mars/Olympus",
    "%Y-%m-%d", "%Y", "%-d.%-m.%Y", "yes", "yes/yes", "/", "a/b/c", ":month", ":nothing", "'", '"', ";", "--", "/*",
    "SELECT 1; SELECT 2",
    "DROP TABLE visits", "SELECT * FROM visits WHERE month = :partition", "a.b.c", "host=", "host='",
)  # fmt: skip
_KNOWN: Final = (ContractError, SettingsError, ValidationError, ResolutionException, dg.DagsterError)


@contextmanager
def declarations(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """A declaration in which something is odd; what can be declared all the same is asked, but for commands."""
    kind = chance.choice(list(_GOOD))
    with bench.room() as room:
        given, fault = _broken(chance, kind, str(room))
        source = _source(chance, kind, given)
        good = visits.rows(chance)
        file = room / f"{MONTH}.json"
        plain = ma.FileSource(contract=VISITS, path=str(room), file="good-{month}.csv", whole=ma.Quiet(seconds=0))

        def heal() -> None:
            lines = [NAMES, *([_quoted(each[name]) for name in NAMES] for each in good)]
            (room / f"good-{MONTH}.csv").write_text("".join(",".join(line) + "\n" for line in lines), encoding="utf-8")

        # What may not be declared has been refused: then the one that is good is all that is left to ask.
        asked = source if source is not None and kind != "CommandSource" else plain
        yield Case(
            fault=f"{kind} {'refused' if source is None else 'declared'}: {fault}",
            source=asked,
            healed=plain,
            accepted=[],
            truth=typed(good),
            heal=heal,
            secrets=(SECRET, "geheim-text"),
            whole_run=False,
        )
        file.unlink(missing_ok=True)


def _quoted(text: str | None) -> str:
    return "" if text is None else '"' + text.replace('"', '""') + '"'


def _broken(chance: random.Random, kind: str, room: str) -> tuple[dict[str, Any], str]:
    options = {
        name: chance.choice(value) if isinstance(value, list) and name != "command" else value
        for name, value in _GOOD[kind].items()
    }
    options |= {name: value for name, value in _COMMON.items() if chance.random() < 0.3}
    options = {
        name: value
        for name, value in options.items()
        if chance.random() < 0.7 or name in {"path", "file", "url", "database", "command", "table"}
    }
    options = json.loads(json.dumps(options).replace("{room}", room))
    told = []
    for _ in range(chance.choice([1, 1, 2])):
        name = chance.choice([*options, *_COMMON, "nothing", "query", "type", "snapshot", "KIND", "contract"])
        if name == "due":
            continue
        place, key = options, name
        value = options.get(name)
        if isinstance(value, dict) and value and chance.random() < 0.7:
            place, key = value, chance.choice([*value, "nothing"])
        if key in {"url", "token_url"}:
            # No other machine is asked.
            place[key] = chance.choice(["http://127.0.0.1:1/", "http://127.0.0.1:1/{month}"]) + str(chance.choice(_ODD))
        elif key in {"dsn", "host"}:
            place[key] = chance.choice(
                [
                    None,
                    "",
                    "\0",
                    5,
                    "host=127.0.0.1 port=1 x",
                    "127.0.0.1",
                    "host=127.0.0.1 port=1 password=geheim-text",
                    [],
                    {},
                ]
            )
        else:
            place[key] = chance.choice(_ODD)
        told.append(f"{name}.{key}" if place is not options else name)
    return options, ", ".join(told)


def _source(chance: random.Random, kind: str, given: dict[str, Any]) -> ma.Source | None:
    """The source, with its asset and sensors, if it may be declared so."""
    cls: Any = getattr(ma, kind)
    try:
        if chance.random() < 0.7:
            written = {"contract": f"{visits.__name__}.{chance.choice(['VISITS', 'PERSONS'])}", **given}
            source = cls.resolve_from_yaml(json.dumps(written))
        else:
            source = cls(**{"contract": VISITS, **given})
        made: ma.Source = source.model_copy(update={"snapshot": True})
        made.asset()
        made.definitions()
        made.code_version()
    except _KNOWN as error:
        if "geheim-text" in str(error):
            raise WrongError(f"a secret is told: {error}") from error
        return None
    except Exception as error:
        raise WrongError(f"declaring it raised {type(error).__name__}: {error}"[:700]) from error
    return made
