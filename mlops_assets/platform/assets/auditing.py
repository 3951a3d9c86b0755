"""Auditing: what is staged audited while the next partitions are still being made.

Put here when how many are audited together. Keep out what an audit finds (``audit``) and what follows from it
(``making``).
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Final

import duckdb

from mlops_assets.platform.audit import audit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future

    from mlops_assets.platform.audit.outcomes import Audit
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession

_PAUSE_SECONDS: Final = 0.1


def audited(
    session: LakeSession, contract: Contract, candidates: Iterable[audit.Candidate], *, most: int
) -> list[Audit | duckdb.Error]:
    """Audit them as they come, in a thread beside that in which they are made: all that have come since together.

    Parsing and compiling leave cores idle, which the audits use; and they need the memory of one file at a time.

    Args:
        session: used by that thread, and by nobody else until this returns.
        contract: the contract to check against.
        candidates: staged files, made as they are asked for.
        most: how many there are, or fewer. The last is audited in this thread: none is made meanwhile.

    Returns:
        For each candidate, in their order, what was found, or the error that its rows made a rule raise.
    """
    given: list[audit.Candidate] = []
    asked: list[Future[list[Audit | duckdb.Error]]] = []
    waiting: list[audit.Candidate] = []
    ended = threading.Event()

    def ask(batch: Sequence[audit.Candidate]) -> list[Audit | duckdb.Error]:
        return [] if ended.is_set() else _together(session, contract, batch)

    with ThreadPoolExecutor(1) as pool:
        try:
            for candidate in candidates:
                given.append(candidate)
                waiting.append(candidate)
                if len(given) < most and (not asked or asked[-1].done()):
                    # A rule may ask for what Dagster keeps for the step.
                    asked.append(pool.submit(copy_context().run, ask, waiting))
                    waiting = []
            found = [each for future in asked for each in future.result()]
            found += _together(session, contract, waiting) if waiting else []
        except BaseException:
            ended.set()
            pool.shutdown(wait=False, cancel_futures=True)
            # An engine forgets an interrupt that comes between two queries.
            while wait(asked, timeout=_PAUSE_SECONDS).not_done:
                with suppress(duckdb.Error):
                    session.connection.interrupt()
            raise
    # What had too little memory beside the making is audited once more, alone.
    return [
        _together(session, contract, [candidate])[0] if isinstance(each, duckdb.OutOfMemoryException) else each
        for candidate, each in zip(given, found, strict=True)
    ]


def _together(
    session: LakeSession, contract: Contract, candidates: Sequence[audit.Candidate]
) -> list[Audit | duckdb.Error]:
    """Audit them together; one by one, where a rule raises on some value, so that one alone is the culprit."""
    try:
        return [*audit.audit(session, contract, candidates)]
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        if len(candidates) == 1:
            return [error]
        return [found for each in candidates for found in _together(session, contract, [each])]
