"""Traces: one span for each request, sent to where the settings say (OpenTelemetry, W3C Trace Context).

Put here how a span begins, what it says and where it goes. Keep out everything that would name a person, an object or a
query value. Nothing of OpenTelemetry is imported unless traces are wanted.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.platform.errors import SettingsError

if TYPE_CHECKING:
    from litestar.types import Scope

_SERVICE: Final = "mlops-assets-service"
_SERVER_ERROR: Final = 500


def demand_tracing_installed() -> None:
    """Refuse to trace without the libraries.

    Raises:
        SettingsError: the extra ``tracing`` is not installed.
    """
    if importlib.util.find_spec("opentelemetry") is None or importlib.util.find_spec("opentelemetry.sdk") is None:
        raise SettingsError(
            source="MLOPS_ASSETS_SERVICE__TRACES_URL",
            culprit="traces are wanted, and OpenTelemetry is not installed.",
            remedy="Install the extra: pip install 'mlops-assets[tracing]'; or remove the setting.",
        )


class Tracer:
    """Makes spans and sends them in the background; made in the worker, since its thread does not survive a fork."""

    def __init__(self, url: str) -> None:
        """Send to that address (OTLP over HTTP), such as ``http://127.0.0.1:4318/v1/traces``."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._provider = TracerProvider(resource=Resource.create({"service.name": _SERVICE}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        self._tracer = self._provider.get_tracer(__name__)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, scope: Scope) -> Any:  # noqa: ANN401  a span; its type is not imported without need
        """Begin the request's span, as a child of the caller's when it says which (``traceparent``)."""
        from opentelemetry.trace import SpanKind  # noqa: PLC0415

        given = (b"traceparent", b"tracestate")
        carrier = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in given}
        return self._tracer.start_span("request", context=self._propagator.extract(carrier), kind=SpanKind.SERVER)

    def end(self, span: Any, *, route: str | None, method: str, status: int, request_id: str) -> None:  # noqa: ANN401
        """End the span, with what the request turned out to be."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        span.update_name(f"{method} {route or 'no route'}")
        span.set_attribute("http.request.method", method)
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("mlops_assets.request_id", request_id)
        if route is not None:
            span.set_attribute("http.route", route)
        if status >= _SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def trace_id_of(span: Any) -> str:  # noqa: ANN401  see begin
    """The trace's id as logs and trace viewers write it."""
    return f"{span.get_span_context().trace_id:032x}"
