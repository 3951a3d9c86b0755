"""Rounds on validators: what is published stands, or is asked for again, whatever has changed meanwhile.

Put here looks at HTTP sources between their runs. Keep out downloads that fail (``downloads``).
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import ibis.expr.datatypes as types

from mlops_assets.platform.contracts.lake import Lake
from mlops_assets.platform.lake.session import LakeSession
from mlops_assets.platform.lake.tables import current_table
from mlops_assets.platform.settings import Settings
from mlops_assets.plumbing.sources.http.file import HttpFileSource
from mlops_assets.plumbing.sources.http.limits import FileLimits, Limits
from mlops_assets.plumbing.sources.http.rest import RestSource
from mlops_assets_tests.plumbing.sources.faults import visits
from mlops_assets_tests.plumbing.sources.faults.reference import typed
from mlops_assets_tests.plumbing.sources.faults.rounds import Bench, WrongError, published, same
from mlops_assets_tests.plumbing.sources.faults.stories import Story, run
from mlops_assets_tests.plumbing.sources.faults.visits import MONTH, NAMES, Texts
from mlops_assets_tests.plumbing.sources.file_server import OLD, FileServer

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from mlops_assets.platform.contracts.contract import Contract

_EVENTS: Final = (
    "nothing",
    "another file",
    "declaration",
    "contract",
    "contract",
    "away",
    "304 for all",
    "gone",
    "no HEAD",
)
_LIMITS: Final[dict[str, Any]] = {"attempts": 2, "first_delay_seconds": 0.002, "longest_delay_seconds": 0.01}


@contextmanager
def looks(chance: random.Random, bench: Bench) -> Iterator[Story]:
    """A file or an answer with a validator, which is published, looked at, and asked for again."""
    del bench
    event, rest = chance.choice(_EVENTS), chance.random() < 0.5
    with FileServer() as server:
        server.manners.etags = chance.choice(["strong", "weak", ""])
        server.manners.modified = chance.choice([None, OLD]) if server.manners.etags else OLD
        server.manners.conditions = chance.random() < 0.8
        story = _Looked(chance, server, event, rest=rest)
        yield Story(fault=f"{'REST' if rest else 'file'}: {event}", played=story.played)


class _Looked:
    """A source, what it holds, and what is published of it."""

    def __init__(self, chance: random.Random, server: FileServer, event: str, *, rest: bool) -> None:
        self._chance, self._server, self._event, self._rest = chance, server, event, rest
        # Contracts that change leave no table to others.
        self._table = f"looked_{chance.randrange(10**12)}" if event == "contract" else "looked"
        self._given = visits.rows(chance)
        self._instance = dg.DagsterInstance.ephemeral()

    def played(self) -> str:
        """Publish, let something happen, look, and publish again."""
        with self._instance:
            first = self._source(visits.contract(self._table, Lake("shop")))
            self._put(self._given)
            self._run(first)
            self._require_wanted(first, wanted=False)
            return self._after(first)

    def _after(self, first: RestSource | HttpFileSource) -> str:
        manners, source = self._server.manners, first
        match self._event:
            case "another file":
                self._given = visits.rows(self._chance)
                self._put(self._given)
                # Of the same time of change it cannot be told from the one before.
                self._require_wanted(source, wanted=bool(manners.etags))
            case "declaration":
                source = first.model_copy(update={"formats": {"paid": "true/false"}})
                self._given = [{**each, "paid": each["paid"] and each["paid"].lower()} for each in self._given]
                self._put(self._given)
                self._require_wanted(source, wanted=True if self._rest else None)
            case "contract":
                source = self._source(visits.contract(self._table, Lake("shop"), further={"more": types.String()}))
            case "no HEAD":
                manners.methods = frozenset({"GET"})
                self._require_wanted(source, wanted=False)
            case "away" | "304 for all" | "gone":
                manners.status = {"away": 503, "304 for all": 304, "gone": 404}[self._event]
                self._require_wanted(source, wanted=None if self._event == "304 for all" else True)
                found, told = run(source, MONTH, instance=self._instance)
                if found is not None:
                    raise WrongError(f"{self._event}: it published {len(found)} rows")
                if not same(published(source, MONTH), typed(self._given)):
                    raise WrongError(f"{self._event}: what was published is another: {told}")
                manners.status = None
        self._run(source)
        if self._event == "contract" and (lacking := self._lacking(source.contract)):
            raise WrongError(f"{lacking} rows lack the column that the contract gained")
        return "complete"

    def _source(self, contract: Contract) -> RestSource | HttpFileSource:
        # The source has a column more than the contract, until that gains it.
        given: dict[str, Any] = {"contract": contract, "url": f"{self._server.url}/{{month}}", "evolve": True}
        if self._rest:
            return RestSource(**given, limits=Limits(**_LIMITS))
        return HttpFileSource(**given, limits=FileLimits(**_LIMITS))

    def _put(self, given: Sequence[Texts]) -> None:
        rows = [{**each, "more": "x"} for each in given]
        if self._rest:
            content = json.dumps(rows)
        else:
            lines = [[*NAMES, "more"], *([_quoted(each[name]) for name in (*NAMES, "more")] for each in rows)]
            content = "".join(",".join(line) + "\n" for line in lines)
        self._server.files[f"/{MONTH}"] = content.encode()

    def _run(self, source: RestSource | HttpFileSource) -> None:
        found, told = run(source, MONTH, instance=self._instance, private=visits.words_of(self._given))
        if found is None:
            raise WrongError(f"{self._event}: it is refused: {told}")
        if not same(found, typed(self._given)):
            raise WrongError(f"{self._event}: {len(found)} rows are published, {len(self._given)} were due")

    def _require_wanted(self, source: RestSource | HttpFileSource, *, wanted: bool | None) -> None:
        found = list(source.wanted(self._instance, [MONTH]))
        if wanted is not None and found != [MONTH] * wanted:
            raise WrongError(f"{self._event}: wanted are {found}; {self._server.manners}")

    def _lacking(self, contract: Contract) -> int:
        with LakeSession(Settings.load()) as session:
            table = current_table(session, contract)
            return int(table.filter(table.more.isnull()).count().to_pyarrow().as_py())


def _quoted(text: str | None) -> str:
    return "" if text is None else '"' + text.replace('"', '""') + '"'
