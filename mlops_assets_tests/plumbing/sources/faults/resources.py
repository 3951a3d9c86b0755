"""Rounds on resources of dlt: they raise, end early, and yield what is odd.

Put here the resource, and what it yields. Keep out what a service answers that it asks (``service``).
"""

from __future__ import annotations

import datetime as dt
import enum
import importlib
import json
import uuid
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.platform.errors import SourceUnavailableError
from mlops_assets.plumbing.sources.dlt import DltSource
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.sources.faults import mutations, visits
from mlops_assets_tests.plumbing.sources.faults.dialects import contract
from mlops_assets_tests.plumbing.sources.faults.parquet import retyped, table_of
from mlops_assets_tests.plumbing.sources.faults.reference import RefusedError, Row, typed, value
from mlops_assets_tests.plumbing.sources.faults.rounds import SECRET, Bench, Case, complete
from mlops_assets_tests.plumbing.sources.faults.visits import NAMES, Texts

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from mlops_assets.platform.errors import PlatformError

PLANS: Final[dict[str, list[Any]]] = {}
"""What the resource yields in this process, by name: items, and functions that raise."""


class _Colour(enum.Enum):
    RED = "red"


class _Refused:
    """No value."""


_ODD: Final[tuple[tuple[Any, str | type[_Refused] | None], ...]] = (
    (None, None), ("", ""), (" x ", " x "), (True, "true"), (False, "false"), (0, "0"), (-5, "-5"),
    (10**25, str(10**25)),
    (2**63, str(2**63)), (1.5, "1.5"), (5.0, "5.0"), (-0.0, "-0.0"), (1e300, "1e+300"), (float("nan"), "nan"),
    (float("inf"), "inf"), (Decimal("1.10"), "1.10"), (Decimal("1E+3"), "1000"), (Decimal("NaN"), "NaN"),
    (dt.date(2024, 1, 3), "2024-01-03"), (dt.datetime(2024, 1, 3, 4, 5), "2024-01-03T04:05:00"),  # noqa: DTZ001
    (dt.datetime(2024, 1, 3, 4, 5, tzinfo=dt.UTC), "2024-01-03T04:05:00+00:00"), (dt.time(4, 5), "04:05:00"),
    ([], "[]"), ({}, "{}"), ([1, None, "ü"], '[1,null,"ü"]'), ({"a": {"b": [True]}}, '{"a":{"b":[true]}}'),
    (b"bytes", _Refused), ({1, 2}, _Refused), (object(), _Refused), (lambda: 1, _Refused), (_Refused, _Refused),
    (_Colour.RED, "_Colour.RED"), (1 + 2j, _Refused), (range(3), _Refused), (dt.timedelta(hours=1), "1:00:00"),
    ([b"x"], '["eA=="]'), ([object()], _Refused), ({"a": {1, 2}}, '{"a":[1,2]}'), (bytearray(b"x"), _Refused),
    (uuid.UUID(int=5), str(uuid.UUID(int=5))), (np.int64(7), "7"), (np.float64(1.5), "1.5"), (np.bool_(1), "True"),
    (np.datetime64("2024-01-03"), "2024-01-03"), (np.array([1]), _Refused), ("\ud800", _Refused), ("a\0b", "a\0b"),
    (float("1e-310"), "1e-310"), (Exception("x"), "x"), (NotImplemented, _Refused), (memoryview(b"x"), _Refused),
)  # fmt: skip
"""Values, and the text that each is: a class for those that are none."""
_ITEMS: Final[tuple[Any, ...]] = (
    None, 1, "row", [], {}, [[]], [{}], [None], (), object, b"x", {"visit": 1}, {"more": None}, {1: 2}, {None: 1},
    {"": 1}, {"Visit": 1}, [{"visit": None}, 5], pa.table({}), pa.table({"visit": [1]}), range(2), {"visit": 1}.items(),
)  # fmt: skip


def visits_resource(plan: str, token: str) -> Any:  # noqa: ANN401  dlt's have no types here
    """A resource that yields what its plan says."""
    del token

    def items() -> Iterator[Any]:
        for item in PLANS[plan]:
            yield item() if callable(item) and not isinstance(item, type) else item

    return importlib.import_module("dlt").resource(items, name="visits")


def visits_resources(plan: str, token: str) -> Any:  # noqa: ANN401
    """Two of them."""
    return [visits_resource(plan, token), importlib.import_module("dlt").resource([{"a": 1}], name="other")]


@contextmanager
def resources(chance: random.Random, bench: Bench) -> Iterator[Case]:
    """A resource that raises, ends early, or yields what is odd."""
    del bench
    given = visits.rows(chance)
    name = f"plan-{chance.random()}"
    good = _items(chance, given)
    PLANS[name], whole, fault, due = _broken(chance, given, good)
    several = chance.random() < 0.1
    source = DltSource(
        contract=contract(chance),
        resource=f"{__name__}.visits_resource{'s' if several else ''}",
        take="visits" if several else None,
        arguments={"plan": name},
        secrets={"token": Secret(file="token")},
    )

    def also(error: PlatformError | None) -> str | None:
        kind = SourceUnavailableError if due == "away" else None
        return f"{kind.__name__} was due" if kind and not isinstance(error, kind) else None

    yield Case(
        fault=fault,
        source=source,
        accepted=whole,
        truth=typed(given),
        heal=lambda: PLANS.update({name: good}),
        private=visits.words_of(given),
        also=also,
    )
    del PLANS[name]


def _items(chance: random.Random, given: Sequence[Texts]) -> list[Any]:
    """The rows as a resource yields them."""
    rows = [{name: _value(chance, name, text) for name, text in each.items()} for each in given]
    half = len(rows) // 2
    match chance.randrange(4):
        case 0:
            return [table_of(typed(given))]
        case 1:
            return [rows[:half], rows[half:]]
        case 2:
            return [rows]
        case _:
            return [*rows]


def _value(chance: random.Random, name: str, text: str | None) -> Any:  # noqa: ANN401  of any type
    return text if not text or name == "who" or chance.random() < 0.5 else value(name, text)


def _broken(
    chance: random.Random, given: Sequence[Texts], good: Sequence[Any]
) -> tuple[list[Any], list[list[Row]] | None, str, str]:
    at = chance.randrange(len(good) + 1)
    match chance.choice(["raises", "raises", "ends", "value", "value", "value", "item", "structure", "frame"]):
        case "raises":
            error, due = _error(chance, given)
            return [*good[:at], _raising(error)], [], f"raises {type(error).__name__}", due
        case "ends":
            # Nobody can know that there was more.
            return [*good[:at]], None, "ends early", ""
        case "value":
            return _odd_value(chance, given)
        case "item":
            item = chance.choice(_ITEMS)
            frames = isinstance(good[0], pa.Table)
            return [*good[:at], item, *good[at:]], _with_item(given, item, frames=frames), f"{item!r:.40}", ""
        case "structure":
            _, rows, fault = mutations.structure(chance, NAMES, given)
            return [rows], complete(rows), fault, ""
    content, fault = retyped(chance, table_of(typed(given)))
    table = pq.read_table(pa.BufferReader(content)) if fault != "twice" else table_of(typed(given))
    return [table], [typed(given), []] if fault == "no rows" else None, f"frame: {fault}", ""


def _with_item(given: Sequence[Texts], item: Any, *, frames: bool) -> list[list[Row]]:  # noqa: ANN401
    """What counts as complete where an item is among the rows: nothing may be none, and what a row lacks is NULL."""
    if item is None or (isinstance(item, list | tuple) and item in ([], (), [[]])):
        return [typed(given)]
    if isinstance(item, pa.Table) == frames:
        rows = item.to_pylist() if isinstance(item, pa.Table) else item if isinstance(item, list) else [item]
        if all(isinstance(each, dict) for each in rows):
            texts = [{str(name): text if text is None else str(text) for name, text in each.items()} for each in rows]
            return complete([*given, *texts])
    return []


def _odd_value(chance: random.Random, given: Sequence[Texts]) -> tuple[list[Any], list[list[Row]], str, str]:
    odd, text = chance.choice(_ODD)
    name, at = chance.choice([*NAMES, "who", "who"]), chance.randrange(len(given))
    rows: list[dict[str, Any]] = [dict(each) for each in given]
    rows[at][name] = odd
    whole: list[list[Row]] = []
    if not isinstance(text, type):
        whole = complete([{**each, name: text} if number == at else each for number, each in enumerate(given)])
    return [rows], whole, f"{name}: {odd!r:.40}", ""


def _raising(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:  # noqa: ANN401
        raise error

    return fail


def _error(chance: random.Random, given: Sequence[Texts]) -> tuple[Exception, str]:
    """What is raised, with a row and the secret in its text, and whether it says that the source is away."""
    requests = importlib.import_module("requests")
    told = f"{SECRET} {json.dumps(given[0])}"
    status = chance.choice([400, 401, 404, 408, 429, 500, 503])
    answer = requests.Response()
    answer.status_code = status
    away = "away" if status in {408, 429, 500, 503} else ""
    # Whatever a team's own code may raise, an error for what is not implemented among it.
    return chance.choice([
        (ValueError(told), ""), (KeyError(told), ""), (RuntimeError(told), ""), (StopIteration(told), ""),
        (RecursionError(told), ""), (MemoryError(told), ""),
        (UnicodeDecodeError("utf-8", told.encode(), 0, 1, told), ""),
        (OSError(28, told), ""), (ConnectionResetError(told), "away"), (TimeoutError(told), "away"),
        (requests.exceptions.ConnectionError(told), "away"), (requests.exceptions.ReadTimeout(told), "away"),
        (requests.exceptions.HTTPError(told, response=answer), away), (AssertionError(told), ""),
        (RefusedError(told), ""), (ExceptionGroup(told, [ValueError(told)]), ""), (NotImplementedError(told), ""),
    ])  # fmt: skip
