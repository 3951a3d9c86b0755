"""Run containers as the engine describes them, in the words in which people are told of their end.

Put here what is read from the engine's JSON. Keep out what is done about it.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

RUN_LABEL: Final = "dagster/run_id"
"""Label that Dagster gives every run container, with the id of the run."""

_SIGNALLED: Final = 128
_ENDED: Final = frozenset({"exited", "dead", "removing"})


@dataclass(frozen=True, kw_only=True)
class RunContainer:
    """A run's container.

    Attributes:
        id: the engine's id.
        run_id: id of the run.
        image: reference of its image.
        status: as the engine says: ``created``, ``running``, ``paused``, ``restarting``, ``exited`` or ``dead``.
        exit_code: of its first process; meaningless while it runs.
        out_of_memory: whether the kernel killed it for want of memory.
        error: why the engine could not start it; empty otherwise.
    """

    id: str
    run_id: str
    image: str
    status: str
    exit_code: int
    out_of_memory: bool
    error: str

    @classmethod
    def of(cls, inspected: Mapping[str, Any]) -> RunContainer:
        """From the engine's JSON of one container."""
        state, config = inspected["State"], inspected["Config"]
        return cls(
            id=inspected["Id"],
            run_id=config["Labels"][RUN_LABEL],
            image=config["Image"],
            status=state["Status"],
            exit_code=state["ExitCode"],
            out_of_memory=state["OOMKilled"],
            error=state.get("Error") or "",
        )

    @property
    def ended(self) -> bool:
        """Whether it ran and runs no more."""
        return self.status in _ENDED

    @property
    def signal(self) -> str | None:
        """Name of the signal that ended it, such as ``SIGKILL``; ``None`` if none did."""
        try:
            return signal.Signals(self.exit_code - _SIGNALLED).name if self.exit_code > _SIGNALLED else None
        except ValueError:
            return None

    def end(self) -> str:
        """How it ended, as a sentence."""
        words = f"Container {self.id[:12]} of image {self.image} ended with exit code {self.exit_code}"
        if self.signal:
            words += f" ({self.signal})"
        if self.out_of_memory:
            words += ": it was out of memory"
        if self.error:
            words += f": {self.error}"
        return words + "."
