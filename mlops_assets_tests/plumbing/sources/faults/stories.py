"""Stories: rounds of several runs of Dagster, after each of which what is published must be what it has to be.

Put here how a run of a story is made and listened to. Keep out what happens in it (one module for each kind).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets_tests.plumbing.sources.faults.rounds import SECRET, Case, WrongError, by_a_run, leak, listened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import dagster as dg

    from mlops_assets.plumbing.sources.source import Source
    from mlops_assets_tests.plumbing.sources.faults.reference import Row


@dataclass(frozen=True, kw_only=True)
class Story:
    """What happens, and what came of it.

    Attributes:
        fault: in a few words.
        played: plays it; the outcome in a word.
    """

    fault: str
    played: Callable[[], str]


def run(
    source: Source,
    key: str,
    *,
    tags: Mapping[str, str] | None = None,
    private: bytes = b"",
    secrets: Sequence[str] = (SECRET,),
    instance: dg.DagsterInstance | None = None,
) -> tuple[list[Row] | None, str]:
    """The rows that a run published, or ``None`` and all that was told.

    Raises:
        WrongError: it told what nobody may read, or failed without telling why.
    """
    with listened() as heard:
        found, _, told = by_a_run(source, key, tags, instance)
    case = Case(
        fault="",
        source=source,
        accepted=None,
        truth=(),
        heal=lambda: None,
        private=private,
        secrets=secrets,
    )
    if problem := leak(told, heard, case):
        raise WrongError(problem)
    return found, " ".join(told)[:1000]
