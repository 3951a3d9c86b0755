"""Processes: calling a function in a process of its own, which is forked where all of the platform is imported already.

Put here how tests start such a process. Keep out what it does, and programs that must be started as a user starts them.

To start Python and import Dagster, Ibis and pandera takes two seconds of processor time, more than most of what is
tested in a process of its own.
"""

from __future__ import annotations

import os
from multiprocessing import get_context
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.context import ForkServerProcess

_FORKED: Final = get_context("forkserver")
_IMPORTED: Final = ["mlops_assets_tests.platform.assets.mill", "mlops_assets_tests.platform.lake.killed_erasure"]


def started(function: Callable[..., object], *arguments: object) -> ForkServerProcess:
    """A process that calls the function, with this one's environment, working directory and paths.

    It exits with 1 when the function raises; ``exitcode`` is minus the signal's number when that ended it.

    Args:
        function: one of a module, so that the process finds it by its name.
        arguments: what it is given, pickled.
    """
    _FORKED.set_forkserver_preload(_IMPORTED)
    process = _FORKED.Process(target=_call, args=({**os.environ}, function, arguments))
    process.start()
    return process


def ended(function: Callable[..., object], *arguments: object) -> int | None:
    """The exit code of such a process."""
    process = started(function, *arguments)
    process.join()
    return process.exitcode


def _call(environment: Mapping[str, str], function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    function(*arguments)
