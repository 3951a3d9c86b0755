"""The service's condition: what it depends on, and whether it can answer.

Put here what is true of the running service as a whole. Keep out routes (``health``) and figures (``metrics``).
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from mlops_assets.platform.security.token_keys import KeyFileError
from mlops_assets.serving.http.tls import TlsError, end_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prometheus_client import Metric

    from mlops_assets.platform.security.token_verifier import TokenVerifier
    from mlops_assets.serving.exports.catalog import Catalog
    from mlops_assets.serving.exports.follower import ExportFollower
    from mlops_assets.serving.inference_log import InferenceLog

CONDITION: Final = "condition"
"""Name in the application's state."""


class Status(StrEnum):
    """How a dependency is."""

    OK = "ok"
    FAILED = "failed"
    ABSENT = "absent"


class Dependency(msgspec.Struct, frozen=True):
    """Something that the service needs in order to answer."""

    name: str
    status: Status
    detail: str


@dataclass(eq=False)
class Condition:
    """The condition of one worker.

    Attributes:
        catalog: it holds the exports in use.
        verifier: it holds keys and revocations.
        log: it keeps what models answered.
        certificate: file of the server's certificate, if it is known here; ``None`` on plain HTTP.
        draining: whether the service was told to end, so that no new client should come.
    """

    catalog: Catalog
    verifier: TokenVerifier
    log: InferenceLog
    certificate: Path | None = None
    draining: bool = field(default=False, init=False)

    @property
    def ready(self) -> bool:
        """Whether clients should come: exports are in use, keys are known, and the service is not about to end."""
        if self.draining or not self.catalog.ready:
            return False
        return self._keys().status is Status.OK

    def dependencies(self) -> list[Dependency]:
        """Each dependency and how it is."""
        return [*self._exports(), self._keys(), self._certificate(), self._log()]

    def gauges(self) -> Iterator[Metric]:
        """What is true of it, as figures for Prometheus."""
        from prometheus_client.core import GaugeMetricFamily as Gauge  # noqa: PLC0415  see metrics.share_figures

        yield Gauge("mlops_assets_ready", "Whether the service can answer.", value=float(self.ready))
        if self.certificate is not None:
            with contextlib.suppress(TlsError):
                yield Gauge(
                    "mlops_assets_certificate_expires_seconds",
                    "When the server's certificate ends, seconds since 1970.",
                    value=end_of(self.certificate).timestamp(),
                )
        age = Gauge("mlops_assets_data_age_seconds", "Age of the export in use.", labels=("name",))
        exports = Gauge("mlops_assets_export", "The exports in use.", labels=("name", "export_id"))
        models = Gauge("mlops_assets_model", "The models in use.", labels=("model", "version"))
        for served in self.catalog.served():
            created = datetime.fromisoformat(served.manifest.created).timestamp()
            age.add_metric((served.name,), time.time() - created)
            exports.add_metric((served.name, served.export_id), 1.0)
            for model in served.models.latest:
                models.add_metric((model.name, model.version), 1.0)
        yield from (age, exports, models)

    def _exports(self) -> list[Dependency]:
        found = [self._export(follower) for follower in self.catalog.followers]
        return found or [Dependency("exports", Status.FAILED, "there is none")]

    def _export(self, follower: ExportFollower) -> Dependency:
        name = f"export {follower.name}"
        if not follower.ready:
            return Dependency(name, Status.FAILED, follower.refusal or "none has been taken over yet")
        served = follower.served
        if follower.refusal is not None:
            return Dependency(name, Status.FAILED, f"serving {served.export_id}; refused: {follower.refusal}")
        models = "".join(f"; model {model.name} {model.version[:12]}" for model in served.models.latest)
        return Dependency(name, Status.OK, f"{served.export_id} of {served.manifest.created}{models}")

    def _keys(self) -> Dependency:
        try:
            keys = self.verifier.keys.keys()
            revoked = None if self.verifier.revocations is None else self.verifier.revocations.revoked()
        except KeyFileError as error:
            return Dependency("keys", Status.FAILED, str(error))
        count = 0 if revoked is None else len(revoked.tokens) + len(revoked.key_ids)
        return Dependency("keys", Status.OK, f"{len(keys)} keys, {count} revocations")

    def _log(self) -> Dependency:
        if self.log.failure is not None:
            return Dependency("inference log", Status.FAILED, self.log.failure)
        if all(served.models.outcome is None for served in self.catalog.served()):
            return Dependency("inference log", Status.ABSENT, "no model takes outcomes")
        return Dependency("inference log", Status.OK, "written")

    def _certificate(self) -> Dependency:
        if self.certificate is None:
            return Dependency("certificate", Status.ABSENT, "plain HTTP, or the edge's")
        try:
            ends = end_of(self.certificate)
        except TlsError as error:
            return Dependency("certificate", Status.FAILED, str(error))
        status = Status.OK if ends > datetime.now(UTC) else Status.FAILED
        return Dependency("certificate", status, f"ends {ends:%Y-%m-%d %H:%M} UTC")
