"""Auditing: what is staged audited while the next partitions are still being made.

Put here when how many are audited together. Keep out what an audit finds (``audit``) and what follows from it
(``making``).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb

from mlops_assets.platform.audit import audit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future

    from mlops_assets.platform.audit.outcomes import Audit
    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.lake.session import LakeSession


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
    asked: list[Future[list[Audit | duckdb.Error]]] = []
    waiting: list[audit.Candidate] = []
    with ThreadPoolExecutor(1) as pool:
        try:
            for number, candidate in enumerate(candidates, start=1):
                waiting.append(candidate)
                if number < most and (not asked or asked[-1].done()):
                    asked.append(pool.submit(_together, session, contract, waiting))
                    waiting = []
            found = [each for future in asked for each in future.result()]
            return found + (_together(session, contract, waiting) if waiting else [])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            with suppress(duckdb.Error):
                session.connection.interrupt()
            raise


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
