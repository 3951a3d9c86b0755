"""The limits of a fetch, and the clock that keeps them: it cuts a connection whose time is up, whatever drips there.

Put here how long and how much a fetch may take. Keep out what is done after one that failed (``fetcher``).
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import dagster as dg
import httpx

from mlops_assets.platform.errors import SourceError
from mlops_assets.plumbing.sources.http.faults import TryAgainError
from mlops_assets.plumbing.sources.variants import above, at_least

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OPENED: Final = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})

_Seconds = Annotated[float, above(0)]


class Limits(dg.Model, dg.Resolvable):
    """Bounds of one fetch.

    Attributes:
        connect_seconds: how long each of connecting and the TLS handshake may take.
        answer_seconds: how long the source may think: until the head of its answer is there, whole.
        idle_seconds: how long it may be silent amid the body.
        total_seconds: how long one attempt may take, redirects and body included.
        slowest_bytes_per_second: mean rate below which a body is given up, once ``idle_seconds`` have passed.
        attempts: how often a request is tried.
        first_delay_seconds: mean wait after the first failed attempt; it doubles with each further one.
        longest_delay_seconds: longest wait between two attempts; a source that asks for more is given up at once.
        largest_body_bytes: largest body accepted, unpacked.
        most_redirects: how many redirects are followed.

    Example:
        >>> import mlops_assets as ma
        >>> limits = ma.Limits(attempts=2, total_seconds=600)
    """

    connect_seconds: _Seconds = 10.0
    answer_seconds: _Seconds = 60.0
    idle_seconds: _Seconds = 30.0
    total_seconds: _Seconds = 3600.0
    slowest_bytes_per_second: Annotated[float, at_least(0)] = 100.0
    attempts: Annotated[int, at_least(1)] = 4
    first_delay_seconds: _Seconds = 0.5
    longest_delay_seconds: _Seconds = 60.0
    largest_body_bytes: Annotated[int, above(0)] = 256 * 1024 * 1024
    most_redirects: Annotated[int, at_least(0)] = 5


class FileLimits(Limits):
    """Bounds of the download of one file, however often it breaks off.

    Attributes:
        total_seconds: how long all of it may take, further attempts included.
        attempts: how often in a row an attempt may bring nothing more; those that bring a part are not counted.
        largest_body_bytes: largest file accepted, as it comes over the network.

    Example:
        >>> import mlops_assets as ma
        >>> limits = ma.FileLimits(total_seconds=12 * 3600)
    """

    total_seconds: _Seconds = 6 * 3600.0
    largest_body_bytes: Annotated[int, above(0)] = 64 * 2**30


class Clock:
    """Ends what takes too long on the connections of one client.

    A time-out of the library counts anew with every byte, so that a head of one byte a second would never end. The
    clock shuts the sockets down, which ends a read that waits for them.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._running: list[threading.Event] = []

    def opened(self, event: str, info: Mapping[str, Any]) -> None:
        """The library's ``trace`` extension, which tells of each connection that it opens."""
        if event not in _OPENED:
            return
        opened = info["return_value"].get_extra_info("socket")
        self._sockets = [each for each in self._sockets if each.fileno() != -1]
        self._sockets.append(opened)
        if any(passed.is_set() for passed in self._running):
            _cut(opened)

    @contextmanager
    def within(self, seconds: float, fault: str) -> Iterator[None]:
        """Cut the connections when the block has not ended by then.

        Args:
            seconds: how long it may take.
            fault: what is wrong when it has not.

        Raises:
            TryAgainError: it has not.
        """
        passed = threading.Event()

        def end() -> None:
            passed.set()
            for each in tuple(self._sockets):
                _cut(each)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        self._running.append(passed)
        timer.start()
        try:
            yield
        except (httpx.RequestError, SourceError, TryAgainError):
            # Whatever is wrong with what came until then, this is why.
            if passed.is_set():
                raise TryAgainError(fault) from None
            raise
        finally:
            timer.cancel()
            self._running.remove(passed)
        # A body that ends with its connection has seemingly ended well.
        if passed.is_set():
            raise TryAgainError(fault)


def _cut(opened: socket.socket) -> None:
    with suppress(OSError):
        # That of TLS would first forget its state, which a reading thread still uses.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)
