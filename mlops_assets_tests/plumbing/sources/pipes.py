"""Pipes: functions of dlt that the tests of ``DltSource`` name.

Put here what a team would write with dlt. Keep out assertions, and any import of dlt at the top: it is an extra.
"""

from __future__ import annotations

import datetime as dt
import importlib
import os
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator


def _dlt() -> Any:  # noqa: ANN401  it has no types where it is not installed
    return importlib.import_module("dlt")


def sales(url: str, month: str, token: str | None = None) -> Any:  # noqa: ANN401
    """Asks a service page by page, with dlt's own client."""
    requests = importlib.import_module("dlt.sources.helpers.requests")
    client = requests.Client(request_timeout=5, request_max_attempts=1)

    @_dlt().resource(name="sales")  # type: ignore[untyped-decorator]
    def pages() -> Iterator[Any]:
        for page in range(1, 100):
            asked = {"page": page, "month": month}
            headers = {"Authorization": f"Bearer {token}"}
            answer = client.get(url, params=asked, headers=headers)
            if not (rows := answer.json()):
                return
            yield rows

    return pages


def row(number: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A sale as Python's own values."""
    return {"sale": number, "day": dt.date(2024, 1, 3), "amount": 1.5, "note": None, **more}


def typed() -> Any:  # noqa: ANN401
    """Python's own values, of many types."""
    return _dlt().resource(
        [row(1, amount=Decimal("0.1")), [row(2, note={"a": [1, True]}), row(3, note=True)]], name="typed"
    )


def frames() -> Any:  # noqa: ANN401
    """Frames of Arrow, whose types are not the same."""
    whole = pa.table({"sale": [1], "day": [dt.date(2024, 1, 3)], "amount": [1.5], "note": ["x"]})
    narrow = pa.RecordBatch.from_pylist([{"sale": 2, "day": dt.date(2024, 1, 3), "amount": 2}])
    return _dlt().resource([whole, whole.set_column(0, "sale", pa.array([3])), narrow], name="frames")


def widened() -> Any:  # noqa: ANN401
    """Frames of pandas, whose whole numbers become floating-point ones where one is missing."""
    exact = pa.table({"sale": [9007199254740991], "day": [dt.date(2024, 1, 3)], "amount": [1.5], "note": ["x"]})
    return _dlt().resource([exact, exact.set_column(0, "sale", pa.array([9007199254740992.0]))], name="widened")


def leaving() -> Any:  # noqa: ANN401
    """Ends the process."""

    @_dlt().resource(name="leaving")  # type: ignore[untyped-decorator]
    def rows() -> Iterator[Any]:
        yield row(1)
        sys.exit(3)

    return rows


def strange() -> Any:  # noqa: ANN401
    """A value that is none."""
    return _dlt().resource([row(1, note={1, 2})], name="strange")


def mixed() -> Any:  # noqa: ANN401
    """Mappings and frames."""
    return _dlt().resource([row(1), pa.table({"sale": [2]})], name="mixed")


def two() -> Any:  # noqa: ANN401
    """A source of two resources."""
    dlt = _dlt()

    @dlt.source(name="two")  # type: ignore[untyped-decorator]
    def both() -> Any:  # noqa: ANN401
        return dlt.resource([row(1)], name="one"), dlt.resource([row(2)], name="other")

    return both()


def growing() -> Any:  # noqa: ANN401
    """A resource that remembers how far it came."""
    dlt = _dlt()

    @dlt.resource(name="growing")  # type: ignore[untyped-decorator]
    def rows(after: Any = dlt.sources.incremental("sale")) -> Iterator[Any]:  # noqa: ANN401, B008
        yield [row(number) for number in range(1, 4) if after.last_value is None]

    return rows


def numbers() -> list[int]:
    """No resource at all."""
    return [1]


def telling(token: str) -> Any:  # noqa: ANN401
    """Fails, and quotes its secret and a row."""
    dlt = _dlt()

    @dlt.resource(name="telling")  # type: ignore[untyped-decorator]
    def rows() -> Iterator[Any]:
        yield row(1)
        raise ValueError(f"{token} of Ann Ames in {os.getpid()}")

    return rows


def many() -> Any:  # noqa: ANN401
    """More rows than a small disk holds."""

    @_dlt().resource(name="many")  # type: ignore[untyped-decorator]
    def rows() -> Iterator[Any]:
        for number in range(200_000):
            yield {"visit": str(number), "who": f"{number * 7_919 % 1_000_003} somebody"}

    return rows
