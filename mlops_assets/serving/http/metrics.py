"""Figures of the service in Prometheus's form, summed over its workers.

Put here what is counted and how it is told. Keep out when something is counted, and every label that could grow without
bound or name a person.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Metric
    from prometheus_client.registry import CollectorRegistry


METRICS: Final = "metrics"
"""Name in the application's state."""
ANSWERED: Final = "answered"
SHADOW: Final = "shadow"

_FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_ROUTE: Final = "none"


def share_figures(folder: Path) -> None:
    """Keep figures in files of that folder, so that several workers are told as one.

    The library decides at its import whether it does so; hence in the parent, whose variables its workers have.
    """
    os.environ[_FOLDER_VARIABLE] = str(folder)


def _forget_ended_workers() -> None:
    """Of workers that have ended, what they counted stays, and what was true of them alone goes."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415  see share_figures

    for file in Path(os.environ[_FOLDER_VARIABLE]).glob("gauge_live*_*.db"):
        process_id = int(file.stem.rpartition("_")[2])
        if not Path(f"/proc/{process_id}").exists():
            mark_process_dead(process_id)  # type: ignore[no-untyped-call]  # the library's own gap


class ServiceMetrics:
    """The figures of this process; the exposition sums those of all workers."""

    MEDIA_TYPE: ClassVar[str] = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary  # noqa: PLC0415  see share_figures

        self._own = CollectorRegistry()
        self._requests = Counter(
            "mlops_assets_requests", "Requests answered.", ("route", "method", "status"), registry=self._own
        )
        self._seconds = Histogram(
            "mlops_assets_request_seconds",
            "Time from a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._own,
        )
        self._in_progress = Gauge(
            "mlops_assets_requests_in_progress",
            "Requests being answered.",
            registry=self._own,
            multiprocess_mode="livesum",
        )
        self._denied = Counter("mlops_assets_denied", "Requests denied, by reason.", ("reason",), registry=self._own)
        self._exports_refused = Counter(
            "mlops_assets_exports_refused", "Exports that were looked at and not taken over.", registry=self._own
        )
        self._scores = Summary(
            "mlops_assets_scores",
            "Scores by models, by version and by whether they were answered or made in its shadow.",
            ("model", "version", "way"),
            registry=self._own,
        )
        self._not_logged = Counter(
            "mlops_assets_answers_not_logged",
            "Scores that could not be written to the inference log.",
            registry=self._own,
        )
        self._counted: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def begin(self) -> float:
        """A request begins; returns the time for ``end``."""
        self._in_progress.inc()
        return time.perf_counter()

    def end(self, started: float, *, route: str | None, method: str, status: int, reason: str | None) -> None:
        """The request is answered.

        Args:
            started: what ``begin`` returned.
            route: template of its route; ``None`` when it met none.
            method: its method.
            status: status of the answer.
            reason: why it was denied; ``None`` when it was not.
        """
        template = route or _NO_ROUTE
        self._in_progress.dec()
        counted = self._counted.get((template, method, status))
        if counted is None:
            # Looking a child up by its labels takes as long as counting. There are as many as routes and statuses.
            known = method if method in _METHODS else "OTHER"
            counted = (self._requests.labels(template, known, str(status)), self._seconds.labels(template))
            if known == method:
                self._counted[(template, method, status)] = counted
        requests, seconds = counted
        requests.inc()
        seconds.observe(time.perf_counter() - started)
        if reason is not None:
            self._denied.labels(reason).inc()

    def export_refused(self) -> None:
        """An export was not taken over."""
        self._exports_refused.inc()

    def scored(self, model: str, version: str, way: str, scores: Iterable[float]) -> None:
        """A version of a model has scored rows: ``answered``, or ``shadow``."""
        counted = self._scores.labels(model, version, way)
        for score in scores:
            counted.observe(score)

    def answers_not_logged(self, count: int) -> None:
        """Scores could not be written to the inference log."""
        self._not_logged.inc(count)

    def exposition(self, gauges: Iterable[Metric]) -> bytes:
        """All figures in Prometheus's text format, with those gauges, which are of this worker alone."""
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415  see share_figures
        from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

        collected = self._own
        if _FOLDER_VARIABLE in os.environ:
            _forget_ended_workers()
            collected = CollectorRegistry()
            MultiProcessCollector(collected)  # type: ignore[no-untyped-call]  # the library's own gap
        told = CollectorRegistry()
        told.register(_Told(collected, gauges))
        return generate_latest(told)


@dataclass(frozen=True, eq=False)
class _Told:
    """What is collected of all workers, and the gauges of this one."""

    collected: CollectorRegistry
    gauges: Iterable[Metric]

    def collect(self) -> Iterator[Metric]:
        yield from self.collected.collect()
        yield from self.gauges
