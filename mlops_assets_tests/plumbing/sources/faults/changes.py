"""A service that answers what has changed since a moment, page by page, in which one fault is.

Put here what is answered. Keep out what must be published then (``increments``).
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any, Final

import mlops_assets as ma
from mlops_assets.plumbing.sources.secret import Secret
from mlops_assets_tests.plumbing.sources.api import ApiServer, Asked, Said
from mlops_assets_tests.plumbing.sources.faults.answers import QUICK

if TYPE_CHECKING:
    import random

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets_tests.plumbing.sources.faults.increments import Table
    from mlops_assets_tests.plumbing.sources.faults.visits import Texts


class ChangingService(ApiServer):
    """It, over HTTP."""

    FAULTS: Final = (
        "none", "none", "again", "status", "cut", "page of HTML", "page lost", "odd value", "twice", "future",
        "empty", "too many", "wrong total",
    )  # fmt: skip

    def __init__(self, chance: random.Random, table: Table) -> None:
        super().__init__(self._answer)
        self._chance, self._table, self._fault = chance, table, "none"
        self._size = chance.choice([1, 2, 50])
        self._failures = 0
        self._paged = chance.random() < 0.7

    def source(self, contract: Contract, since: ma.Since) -> ma.RestSource:
        """Its declaration."""
        return ma.RestSource(
            contract=contract,
            url=f"{self.url}/changes",
            query={"since": "{since}", "month": "{month}"},
            auth=ma.Bearer(secret=Secret(file="token")),
            paginate=ma.PageNumber(total="total") if self._paged else None,
            rows="data",
            since=since,
            limits=QUICK,
        )

    def put(self, fault: str) -> None:
        """From now on answer so."""
        # A total is asked for where there are pages.
        fault = "status" if fault == "wrong total" and not self._paged else fault
        self._fault, self._failures = fault, 1 if fault == "again" else 99

    def _answer(self, asked: Asked) -> Said:
        since, page = asked.query["since"], int(asked.query.get("page", "1")) - 1
        rows = [dict(each) for each in self._table.rows.values()]
        if self._fault != "too many":
            rows = [each for each in rows if self._order(each[self._table.column]) >= self._order(since)]
        rows.sort(key=lambda each: (self._order(each[self._table.column]), str(each["visit"])))
        total = len(rows)
        if self._fault == "odd value":
            rows.append({**self._table.rows[next(iter(self._table.rows))], "paid": "maybe", "visit": "7"})
        if self._fault == "twice":
            rows.append({**next(iter(self._table.rows.values()))})
            rows.append(rows[-1])
        if self._fault == "future":
            late = "2999-01-01" if self._table.column == "day" else "2999-01-01T00:00:00Z"
            rows.append(
                {
                    **next(iter(self._table.rows.values())),
                    self._table.column: late[: 20 if self._table.column != "at" else 19],
                }
            )
        if self._fault == "empty":
            rows, total = [], 0
        if self._fault in {"odd value", "twice", "future"}:
            total = len(rows)
        if self._fault == "wrong total" and self._paged:
            total += 1
        return self._said(rows, total, page)

    def _said(self, rows: list[Texts], total: int, page: int) -> Said:
        shown = rows[page * self._size : (page + 1) * self._size] if self._paged else rows
        last = not self._paged or (page + 1) * self._size >= len(rows)
        body = json.dumps({"data": shown, "total": total}).encode()
        if last and self._failures > 0:
            self._failures -= 1
            match self._fault:
                case "status" | "again":
                    return Said(value=body, status=self._chance.choice([500, 503, 429]), headers={"Retry-After": "0"})
                case "cut":
                    return Said(value=body[: self._chance.randrange(len(body))])
                case "page of HTML":
                    return Said(value=b"<html>" + body, content_type="text/html")
                case "page lost":
                    return Said(value=body, status=404)
        return Said(value=body)

    def _order(self, text: str | None) -> Any:  # noqa: ANN401  of the column's type
        assert text is not None
        match self._table.column:
            case "small":
                return int(text)
            case "at" | "seen":
                found = dt.datetime.fromisoformat(text)
                return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
        return text
