"""The service's condition: what it depends on, and whether it can answer.

Put here what is true of the running service as a whole. Keep out routes (``health``) and figures (``metrics``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from mlops_assets.platform.security.token_keys import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from mlops_assets.platform.security.token_verifier import TokenVerifier
    from mlops_assets.serving.exports.follower import ExportFollower
    from mlops_assets.serving.http.tls import ServerTls

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
        follower: it holds the export in use.
        verifier: it holds keys and revocations.
        tls: the server's certificate; ``None`` on plain HTTP.
        draining: whether the service was told to end, so that no new client should come.
    """

    follower: ExportFollower
    verifier: TokenVerifier
    tls: ServerTls | None = None
    draining: bool = field(default=False, init=False)

    @property
    def ready(self) -> bool:
        """Whether clients should come: an export is in use, keys are known, and the service is not about to end."""
        if self.draining or not self.follower.ready:
            return False
        return self._keys().status is Status.OK

    def dependencies(self) -> list[Dependency]:
        """Each dependency and how it is."""
        return [self._export(), self._models(), self._keys(), self._certificate()]

    def gauges(self) -> Iterator[Metric]:
        """What is true of it, as figures for Prometheus."""
        from prometheus_client.core import GaugeMetricFamily as Gauge  # noqa: PLC0415  see metrics.share_figures

        yield Gauge("mlops_assets_ready", "Whether the service can answer.", value=float(self.ready))
        if self.tls is not None:
            yield Gauge(
                "mlops_assets_certificate_expires_seconds",
                "When the server's certificate ends, seconds since 1970.",
                value=self.tls.expires,
            )
        if not self.follower.ready:
            return
        served = self.follower.served.predictions
        created = datetime.fromisoformat(served.manifest.created).timestamp()
        yield Gauge("mlops_assets_data_age_seconds", "Age of the export in use.", value=time.time() - created)
        export = Gauge("mlops_assets_export", "The export in use.", labels=("export_id",))
        export.add_metric((served.export_id,), 1.0)
        yield export
        models = Gauge("mlops_assets_model", "The models behind it.", labels=("measure", "model", "version"))
        for model in served.models:
            models.add_metric((model.measure, model.model_name, model.model_version), 1.0)
        yield models

    def _export(self) -> Dependency:
        if not self.follower.ready:
            return Dependency("export", Status.FAILED, self.follower.refusal or "none has been taken over yet")
        manifest = self.follower.served.predictions.manifest
        if self.follower.refusal is not None:
            return Dependency(
                "export", Status.FAILED, f"serving {manifest.export_id}; refused: {self.follower.refusal}"
            )
        return Dependency("export", Status.OK, f"{manifest.export_id} of {manifest.created}")

    def _models(self) -> Dependency:
        models = self.follower.served.models.latest if self.follower.ready else ()
        if not models:
            return Dependency("models", Status.ABSENT, "the export carries none")
        return Dependency("models", Status.OK, ", ".join(f"{model.name} {model.version[:12]}" for model in models))

    def _keys(self) -> Dependency:
        try:
            keys = self.verifier.keys.keys()
            revoked = None if self.verifier.revocations is None else self.verifier.revocations.revoked()
        except KeyFileError as error:
            return Dependency("keys", Status.FAILED, str(error))
        count = 0 if revoked is None else len(revoked.tokens) + len(revoked.key_ids)
        return Dependency("keys", Status.OK, f"{len(keys)} keys, {count} revocations")

    def _certificate(self) -> Dependency:
        if self.tls is None:
            return Dependency("certificate", Status.ABSENT, "plain HTTP")
        ends = datetime.fromtimestamp(self.tls.expires, UTC)
        status = Status.OK if ends > datetime.now(UTC) else Status.FAILED
        return Dependency("certificate", status, f"ends {ends:%Y-%m-%d %H:%M} UTC")
