"""What is done with scores beside answering them: counted, and logged for models that take outcomes.

Put here what follows a score. Keep out scoring, and how the log is written (``inference_log``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops_assets.serving.http.audit import decision_of
from mlops_assets.serving.http.metrics import METRICS
from mlops_assets.serving.inference_log import INFERENCE_LOG, LoggedAnswer

if TYPE_CHECKING:
    from mlops_assets.serving.exports.models import LoadedModel
    from mlops_assets.serving.exports.scoring import Scores
    from mlops_assets.serving.exports.served import ServedExport
    from mlops_assets.serving.http.answers import ServiceRequest
    from mlops_assets.serving.http.metrics import ServiceMetrics
    from mlops_assets.serving.inference_log import InferenceLog


@dataclass(frozen=True)
class Scored:
    """Where the scores of one request go.

    Attributes:
        metrics: figures by version and way.
        log: the inference log; ``None`` where the model takes no outcomes.
        request_id: names the request, to whoever reports an outcome as well.
        principal: who asked.
    """

    metrics: ServiceMetrics
    log: InferenceLog | None
    request_id: str
    principal: str

    @classmethod
    def of(cls, request: ServiceRequest, export: ServedExport) -> Scored:
        """Of a request that a model of that export answers."""
        state = request.app.state
        log = None if export.models.outcome is None else state[INFERENCE_LOG]
        return cls(state[METRICS], log, decision_of(request.scope).request_id, request.user.name)

    async def keep(self, model: LoadedModel, way: str, scores: Scores) -> None:
        """Count the scores, and log them: ``answered``, or ``shadow``."""
        values = scores.tolist()
        self.metrics.scored(model.name, model.version, way, values)
        if self.log is not None:
            now = datetime.now(UTC)
            answers = [
                LoggedAnswer(self.request_id, row, model.version, way, score, self.principal, now)
                for row, score in enumerate(values)
            ]
            await self.log.answered(model.name, answers)
