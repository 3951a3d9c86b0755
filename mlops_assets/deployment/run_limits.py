"""Limits of run containers: what a run may ask for by its tags, and the ceiling that no run exceeds.

Put here how such tags are read and checked. Keep out the launching of containers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMORY_TAG: Final = "mlops_assets/memory"
"""Run tag with the memory of the run's container, such as ``512m`` or ``2g``."""

CPUS_TAG: Final = "mlops_assets/cpus"
"""Run tag with the number of processors of the run's container, such as ``1.5``."""

PIDS_TAG: Final = "mlops_assets/pids"
"""Run tag with the most processes and threads of the run's container."""

_MEMORY: Final = re.compile(r"(\d+)([kmg]?)b?", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_NANO: Final = 10**9
_LEAST_MEMORY: Final = 2**26
_LEAST_PIDS: Final = 16


class RunLimitError(PlatformError):
    """A run asks for a limit that cannot be read or is beyond the ceiling."""


@dataclass(frozen=True, kw_only=True)
class RunLimits:
    """What one container may use.

    Attributes:
        memory: bytes; swap is not added to it.
        cpus: processors.
        pids: processes and threads.
    """

    memory: int
    cpus: float
    pids: int

    @classmethod
    def parse(cls, config: Mapping[str, Any], source: str) -> RunLimits:
        """Limits from a mapping of ``memory`` (with unit), ``cpus`` and ``pids``.

        Raises:
            RunLimitError: one of them cannot be read.
        """
        return cls(
            memory=_memory(str(config["memory"]), source),
            cpus=_cpus(str(config["cpus"]), source),
            pids=_pids(str(config["pids"]), source),
        )

    def container_kwargs(self) -> dict[str, Any]:
        """The limits as keyword arguments of Docker's client."""
        return {
            "mem_limit": self.memory,
            "memswap_limit": self.memory,
            "nano_cpus": round(self.cpus * _NANO),
            "pids_limit": self.pids,
        }


def limits_of_run(tags: Mapping[str, str], usual: RunLimits, ceiling: RunLimits) -> RunLimits:
    """The limits that a run's tags ask for, the usual ones where they ask for none.

    Args:
        tags: tags of the run.
        usual: limits of a run without tags.
        ceiling: what no run may exceed.

    Raises:
        RunLimitError: a tag cannot be read, or is beyond the ceiling; the message names both.
    """
    asked = RunLimits(
        memory=_memory(tags[MEMORY_TAG], f"Run tag {MEMORY_TAG}") if MEMORY_TAG in tags else usual.memory,
        cpus=_cpus(tags[CPUS_TAG], f"Run tag {CPUS_TAG}") if CPUS_TAG in tags else usual.cpus,
        pids=_pids(tags[PIDS_TAG], f"Run tag {PIDS_TAG}") if PIDS_TAG in tags else usual.pids,
    )
    for tag, wanted, most in (
        (MEMORY_TAG, asked.memory, ceiling.memory),
        (CPUS_TAG, asked.cpus, ceiling.cpus),
        (PIDS_TAG, asked.pids, ceiling.pids),
    ):
        if wanted > most:
            raise RunLimitError(
                source=f"Run tag {tag}",
                culprit=f"it asks for {wanted:,}, and no run may have more than {most:,}.",
                remedy="Ask for less, or raise the ceiling of the run launcher in dagster.yaml.",
            )
    return asked


def _memory(text: str, source: str) -> int:
    found = _MEMORY.fullmatch(text.strip())
    size = int(found[1]) * _UNITS[found[2].lower()] if found else 0
    if size < _LEAST_MEMORY:
        raise _unreadable(text, source, "at least 64m, such as 512m or 2g")
    return size


def _cpus(text: str, source: str) -> float:
    try:
        cpus = float(text)
    except ValueError:
        cpus = 0.0
    # Also false for not-a-number.
    if not 0.01 <= cpus <= 1024:  # noqa: PLR2004  Docker's least share, and more than any machine has
        raise _unreadable(text, source, "a number of processors, such as 1.5")
    return cpus


def _pids(text: str, source: str) -> int:
    pids = int(text) if text.isascii() and text.isdigit() else 0
    if pids < _LEAST_PIDS:
        raise _unreadable(text, source, f"a whole number of at least {_LEAST_PIDS}")
    return pids


def _unreadable(text: str, source: str, wanted: str) -> RunLimitError:
    return RunLimitError(source=source, culprit=f"its value {text[:40]!r} cannot be used.", remedy=f"Give {wanted}.")
