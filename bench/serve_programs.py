"""The servers that are compared: this service behind its edge or on loopback, and its peers.

Put here how each is started and asked, and the model and rows that they all have. Keep out measuring (``serve_load``).
"""

from __future__ import annotations

import json
import os
import random
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from peer_environments import PEERS
from serve_load import Program, free_port

from mlops_assets.deployment.loopback import loopback_certificate
from mlops_assets.modeling.encoding import Encoding
from mlops_assets.modeling.fitting import fit_probability, model_record
from mlops_assets.modeling.terms import Number
from mlops_assets.platform.exports.export import write_export
from mlops_assets.platform.security.model_keys import signing_key
from mlops_assets.platform.settings import ServiceSettings, Settings
from mlops_assets.scoring.signatures import signed
from mlops_assets.serving.edge import edge_configuration
from mlops_assets.serving.exports import models
from mlops_assets.serving.identity.credentials import create_service_keys, issue_service_token
from mlops_assets_tests.serving.sample import EVERYTHING, FEATURES, FEATURES_SERVED, export_predictions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops_assets.scoring.records import ModelRecord

MODEL = "person_turnout"
INFER = f"/v2/models/{MODEL}/infer"
COLUMNS = ("age", "years_registered", "presidential", "voted_last", "voted_second_last", "voted_third_last", "place")
TRAINING_ROWS, ASKED_ROWS = 20_000, 100
PARTIES = ("DEM", "REP", "UNA")
OURS, FRAMEWORK = "ours, behind the edge", "FastAPI, same edge"
_BATCH_ROWS = 50_000


@dataclass
class Home:
    """A home folder of this package with keys, tokens, a signed model and an export."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.settings = Settings(home=self.folder)
        create_service_keys(self.settings)
        self._key = signing_key(self.settings)
        loopback_certificate(self.settings.service_tls)

    def export(self, version: str, record: ModelRecord, features: pa.RecordBatchReader | None = None) -> str:
        """Make an export current; returns its id.

        Args:
            version: model version that the predictions name.
            record: the model.
            features: persons as :func:`persons` gives them.
        """
        row = {"trained_for": "2024", **signed(record, self._key).row()}
        exports = self.settings.exports
        if features is not None:
            key = ("state", "person_token")
            write_export(
                exports / FEATURES,
                {FEATURES: features},
                {},
                keys={FEATURES: key},
                served={FEATURES: FEATURES_SERVED},
                signing_key=self._key,
            )
        export_predictions(exports, version, key=self._key)
        table = pa.Table.from_pylist([row])
        return write_export(
            exports / MODEL,
            {models.TABLE: table},
            {"model": version},
            keys={models.TABLE: models.KEY},
            signing_key=self._key,
        ).export_id

    def token(self) -> str:
        """A token for everything, for an hour."""
        lifetime = timedelta(hours=1)
        return issue_service_token(self.settings, principal="bench", lifetime=lifetime, scopes=EVERYTHING)


def trained(seed: int) -> ModelRecord:
    """Boosted trees of seven numbers on drawn persons, as the platform trains them."""
    generator = np.random.default_rng(seed)
    matrix = _matrix(generator, TRAINING_ROWS)
    log_odds = 0.03 * (matrix[:, 0] - 50) + 1.5 * matrix[:, 3] + matrix[:, 4] + matrix[:, 2] - 1.5
    happened = (generator.random(TRAINING_ROWS) < 1 / (1 + np.exp(-log_odds))).astype(float)
    rows = pa.table(dict(zip(COLUMNS, matrix.T, strict=True)))
    encoding = Encoding(terms=tuple(Number(column=column, fill=0.0) for column in COLUMNS))
    fitted = fit_probability(encoding, rows, happened, np.ones(TRAINING_ROWS), boosted=True)
    return model_record(MODEL, fitted, rows, {})


def persons(rows: int) -> pa.RecordBatchReader:
    """Features of that many persons of one state, the same as the peer's, in batches sorted by pseudonym."""

    def batch(start: int) -> pa.RecordBatch:
        numbers = np.arange(start, min(start + _BATCH_ROWS, rows))
        columns = {
            "state": pa.array(["NC"]).take(pa.array(np.zeros(len(numbers), dtype=np.int64))),
            "person_token": pa.array([f"{number:032x}" for number in numbers]),
            "age": pa.array(18 + numbers % 77),
            "party": pa.array(PARTIES).take(pa.array(numbers % 3)),
        }
        return pa.record_batch(columns)

    return pa.RecordBatchReader.from_batches(batch(0).schema, map(batch, range(0, rows, _BATCH_ROWS)))


def our_inference(home: Home, *, edge: bool) -> Program:
    """This service, asked for scores."""
    return _ours(home, INFER, protocol_bodies(), _score, edge=edge)


def our_look_up(home: Home, tokens: list[str], *, edge: bool) -> Program:
    """This service, asked for one person's features at a time."""
    bodies = [json.dumps({"keys": [{"state": "NC", "person_token": token}]}) for token in tokens]
    return _ours(home, f"/v1/lookup/{FEATURES}", bodies, lambda answer: float(answer["rows"][0]["age"]), edge=edge)


def _ours(home: Home, path: str, bodies: list[str], value: Callable[[Any], float], *, edge: bool) -> Program:
    """This service as its command starts it: TLS, token, limits, audit trail and figures always.

    Behind its edge, as it is deployed, or alone on loopback. The limits are in force, and so high that they refuse
    nothing.
    """
    port, folder = free_port(), home.folder / ("edge" if edge else "loopback")
    values: dict[str, Any] = {"RATE_PER_SECOND": 1_000_000, "BURST": 1_000_000, "CONCURRENCY": 128, "DRAIN_SECONDS": 0}
    values |= {"SOCKET": folder / "service.sock"} if edge else {"PORT": port}
    environment = {f"MLOPS_ASSETS_SERVICE__{name}": str(value) for name, value in values.items()}
    environment["MLOPS_ASSETS_HOME"] = str(home.folder)
    return Program(
        name=OURS if edge else "ours, on loopback",
        command=[sys.executable, "-m", "mlops_assets", "serve"],
        port=port,
        path=path,
        bodies=bodies,
        value=value,
        headers={"Authorization": f"Bearer {home.token()}"},
        environment=environment,
        folder=folder,
        authority=home.settings.service_tls / "authority.crt",
        edge=_edge(home, folder, port) if edge else None,
    )


def _edge(home: Home, folder: Path, port: int) -> list[str]:
    """The command of the edge that we ship, in front of what listens on ``service.sock`` in that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tls = home.settings.service_tls
    files = {"socket": folder / "service.sock", "tls_certificate": tls / "server.crt", "tls_key": tls / "server.key"}
    file = folder / "nginx.conf"
    file.write_text(edge_configuration(ServiceSettings(port=port, **files), folder=folder), encoding="utf-8")
    # Of another user it could not enter the folder.
    more = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
    return ["nginx", "-e", "stderr", "-c", str(file), "-g", more]


def fastapi(home: Home, python: Path, model: Path, folder: Path) -> Program:
    """A plain application on uvicorn, behind the same edge."""
    port, here = free_port(), folder / "fastapi"
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--app-dir", str(PEERS)]
    return Program(
        name=FRAMEWORK,
        command=[str(python), "-m", "uvicorn", "fastapi_serve:app", "--uds", str(here / "service.sock"), *options],
        port=port,
        path=INFER,
        bodies=protocol_bodies(),
        value=_score,
        environment={"MODEL": str(model)},
        folder=here,
        authority=home.settings.service_tls / "authority.crt",
        edge=_edge(home, here, port),
    )


def bentoml(python: Path, model: Path, folder: Path) -> Program:
    """BentoML with one worker."""
    port = free_port()
    command = [str(python), "-m", "bentoml", "serve", "bentoml_serve:Turnout", "--working-dir", str(PEERS)]
    return Program(
        name="BentoML",
        command=[*command, "--host", "127.0.0.1", "--port", str(port)],
        port=port,
        path="/infer",
        bodies=[json.dumps({"columns": {name: [value] for name, value in row.items()}}) for row in _rows()],
        value=lambda answer: float(answer[0]),
        environment={"MODEL": str(model), "BENTOML_HOME": str(folder / "bento"), "BENTOML_DO_NOT_TRACK": "true"},
        folder=folder / "bentoml",
    )


def mlserver(python: Path, model: Path, folder: Path) -> Program:
    """MLServer without parallel workers and without its endpoint of figures."""
    port, home = free_port(), folder / "mlserver"
    home.mkdir(exist_ok=True)
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "metrics_endpoint": None}
    (home / "settings.json").write_text(json.dumps({**settings, "debug": False, "parallel_workers": 0}))
    (home / "model-settings.json").write_text(
        json.dumps({"name": MODEL, "implementation": "mlserver_serve.Turnout", "parallel_workers": 0})
    )
    return Program(
        name="MLServer",
        command=[str(python.with_name("mlserver")), "start", "."],
        port=port,
        path=INFER,
        bodies=protocol_bodies(),
        value=_score,
        environment={"MODEL": str(model), "PYTHONPATH": str(PEERS)},
        folder=home,
    )


def feast(python: Path, folder: Path, tokens: list[str]) -> Program:
    """Feast's feature server over the store in that folder, with one worker."""
    port = free_port()
    # A worker that starts anew after a thousand requests, the default, would be measured as a stall.
    options = ["--workers", "1", "--no-access-log", "--max-requests", "0"]
    names = ["person_features:age", "person_features:party"]
    return Program(
        name="Feast",
        command=[str(python.with_name("feast")), "serve", "--host", "127.0.0.1", "--port", str(port), *options],
        port=port,
        path="/get-online-features",
        bodies=[json.dumps({"features": names, "entities": {"person_token": [token]}}) for token in tokens],
        value=lambda answer: float(answer["results"][answer["metadata"]["feature_names"].index("age")]["values"][0]),
        environment={"FEAST_USAGE": "False"},
        folder=folder,
    )


def protocol_bodies() -> list[str]:
    """Requests of the Open Inference Protocol, one row each."""
    return [
        json.dumps(
            {"inputs": [{"name": n, "datatype": "FP64", "shape": [1], "data": [value]} for n, value in row.items()]}
        )
        for row in _rows()
    ]


def drawn_tokens(rows: int) -> list[str]:
    """Pseudonyms of persons among them."""
    draw = random.Random(0)  # noqa: S311  a drawn question
    return [f"{draw.randrange(rows):032x}" for _ in range(10_000)]


def _score(answer: Any) -> float:  # noqa: ANN401  JSON
    return float(answer["outputs"][0]["data"][0])


def _rows() -> list[dict[str, float]]:
    drawn = _matrix(np.random.default_rng(0), ASKED_ROWS).round(3).tolist()
    return [dict(zip(COLUMNS, row, strict=True)) for row in drawn]


def _matrix(generator: np.random.Generator, rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    age = generator.integers(18, 95, rows)
    flags = generator.integers(0, 2, (4, rows))
    return np.column_stack([age, generator.integers(0, 60, rows), *flags, generator.random(rows)]).astype(float)
