"""The service under load while it is damaged: is any answer wrong, given to a stranger, or missing?

Starts the service as it is shipped (several workers on a socket, nginx with TLS in front), asks it from many
connections, and meanwhile kills workers, replaces the export, points to one that is not there, withdraws the model,
rotates and retires keys, revokes tokens and renews the edge's certificate. Strangers are there all the time: one sends
questions without end and reads nothing, 400 never finish their handshake. Every answer is compared with what its export
holds. A request may fail only around the time when a worker was killed, or as its connection was closed by a renewal; a
worker and the edge may grow by a fifth. Prints a table and, last, one JSON line; exits with 1 if anything is wrong.

SECONDS (120), CLIENTS (8), WORKERS (3) and SEED (1) are read from the environment.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import http.client
import json
import os
import random
import signal
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mlops_assets.demo.waiting import wait_until
from mlops_assets.platform.exports.export import pointer_path
from mlops_assets.platform.security.revocations import revoke_token
from mlops_assets.platform.security.token_keys import key_id_of, read_keys, retire_key, rotate_keys
from mlops_assets.scoring.signatures import signed
from mlops_assets.serving.identity.scopes import Scope
from mlops_assets_tests.serving.certificates import Office
from mlops_assets_tests.serving.sample import (
    MODEL,
    MODEL_KEY,
    READ,
    TABLE,
    export_models,
    export_predictions,
    turnout_model,
)
from mlops_assets_tests.serving.service_process import AUDIENCE, ISSUER, Service, pss_kib

if TYPE_CHECKING:
    from mlops_assets.scoring.records import ModelRecord

KEPT = 1000
SHARE_OF_SCORES, SHARE_OF_LEAVES = 0.3, 0.01
INTRUDERS = 4
"""One client of so many has no right to be there."""
SILENT, FLOOD_BYTES = 400, 13_000_000
QUESTION = b"GET /v1/tables/predictions HTTP/1.1\r\nHost: a\r\n\r\n"
KILL_SECONDS = 0.5
"""How long after a worker was killed a request may still meet what it has left."""
MOST_GROWTH = 1.2
SETTLED = 10.0
"""Seconds after which a worker holds what it needs."""
RENEWED = 3.0
"""Seconds within which the edge has taken a certificate over."""
FOLLOWED = 1.0
"""Seconds within which every worker refuses what was revoked or retired."""
SCOPES = [READ, Scope.INFER]
SCORED = json.dumps({"rows": [{"age": None, "party": "REP"}]})


@dataclass
class Truth:
    """What may be answered: shared by those who ask and the one who damages."""

    versions: dict[str, tuple[str, float | None]] = field(default_factory=dict)
    """For each export its model version and, if it carries a model, the score of the row that is asked for."""
    token: str = ""
    dead: list[str] = field(default_factory=list)
    """Tokens that nobody may be let in with any more."""
    kills: list[float] = field(default_factory=list)
    """When workers were killed, and when the edge was told of a renewed certificate."""
    without_model: list[tuple[float, float]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class Asker(threading.Thread):
    """A client on one connection, which it opens anew every now and then and after a failure."""

    def __init__(self, service: Service, truth: Truth, seed: int, *, intruder: bool) -> None:
        super().__init__(daemon=True)
        self._service, self._truth, self._intruder = service, truth, intruder
        self._random = random.Random(seed)
        self._context: Any = service.trust()
        self._connection: http.client.HTTPSConnection | None = None
        self._opened = 0.0
        self.statuses: collections.Counter[int] = collections.Counter()
        self.cut = 0
        self.late = 0
        self._used: str | None = None
        self.wrong: list[str] = []
        self.seconds: list[float] = []
        self._stranger = Ed25519PrivateKey.generate()

    def run(self) -> None:
        """Ask until told that it is over."""
        while not self._truth.over.is_set():
            score = self._random.random() < SHARE_OF_SCORES
            begun = time.monotonic()
            try:
                status, body = self._ask(score=score)
            except (OSError, http.client.HTTPException, ssl.SSLError) as error:
                self._close()
                if any(kill >= self._opened for kill in self._truth.kills):
                    self.cut += 1
                else:
                    self.wrong.append(f"failed without a kill: {error!r}")
                continue
            self.seconds.append(time.monotonic() - begun)
            self.statuses[status] += 1
            self._judge(status, body, score=score, begun=begun)
            if self._random.random() < SHARE_OF_LEAVES:
                self._close()

    def _ask(self, *, score: bool) -> tuple[int, bytes]:
        if self._connection is None:
            self._opened = time.monotonic()
            self._connection = http.client.HTTPSConnection(
                "127.0.0.1", self._service.port, context=self._context, timeout=60
            )
        headers = self._headers()
        if score:
            headers["Content-Type"] = "application/json"
            self._connection.request("POST", f"/v1/models/{MODEL}/score", SCORED, headers)
        else:
            self._connection.request("GET", "/v1/tables/predictions/NC/12/turnout", headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.will_close:
            self._close()
        return answer.status, body

    def _headers(self) -> dict[str, str]:
        if not self._intruder:
            self._used = self._truth.token
            return {"Authorization": f"Bearer {self._used}"}
        forged = self._forged()
        tried = self._random.choice([None, "", forged, *self._truth.dead[-20:]])
        return {} if tried is None else {"Authorization": f"Bearer {tried}"}

    def _forged(self) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "test-client", "scope": " ".join(SCOPES), "jti": "0" * 32}
        key_id = self._random.choice([key_id_of(self._stranger.public_key()), *read_keys(self._service.config.keys)])
        return jwt.encode(
            {**claims, "iat": now, "nbf": now, "exp": now + 60},
            self._stranger,
            algorithm="EdDSA",
            headers={"kid": key_id, "typ": "at+jwt"},
        )

    def _judge(self, status: int, body: bytes, *, score: bool, begun: float) -> None:
        if self._intruder:
            if status != http.HTTPStatus.UNAUTHORIZED:
                self.wrong.append(f"a stranger was answered {status}")
            return
        if status == http.HTTPStatus.NOT_FOUND and score:
            now = time.monotonic()
            if not any(start <= now and begun <= end for start, end in self._truth.without_model):
                self.wrong.append("the model was missing though it was not withdrawn")
            return
        if status == http.HTTPStatus.SERVICE_UNAVAILABLE and any(
            begun - KILL_SECONDS <= kill <= time.monotonic() for kill in self._truth.kills
        ):
            # The edge asked a worker that was just killed, twice.
            self.cut += 1
            return
        if status == http.HTTPStatus.UNAUTHORIZED and self._used != self._truth.token:
            # The token was withdrawn while the request waited, as behind a worker that was being replaced.
            self.late += 1
            return
        if status != http.HTTPStatus.OK:
            self.wrong.append(f"answered {status}: {body[:200]!r}")
            return
        answer = json.loads(body)
        version, expected = self._truth.versions[answer["export_id"]]
        if score and answer["scores"] != [expected]:
            self.wrong.append(f"scored {answer['scores']} instead of {expected}")
        if not score and answer["row"]["model_version"] != version:
            self.wrong.append(f"predictions of {answer['export_id']} are not of {version}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Stranger(threading.Thread):
    """Sends questions without end and reads no answer, or holds handshakes that it never finishes; over and over."""

    def __init__(self, service: Service, truth: Truth, *, silent: bool) -> None:
        super().__init__(daemon=True)
        self._service, self._truth, self._silent = service, truth, silent
        self.rounds = 0

    def run(self) -> None:
        """Go on until told that it is over."""
        while not self._truth.over.is_set():
            with contextlib.suppress(OSError):
                self._hold_handshakes() if self._silent else self._flood()
            self.rounds += 1

    def _hold_handshakes(self) -> None:
        with contextlib.ExitStack() as stack:
            for number in range(SILENT):
                held = stack.enter_context(socket.create_connection(("127.0.0.1", self._service.port), timeout=10))
                if number % 2:
                    held.sendall(b"\x16\x03\x01\x02")
            self._truth.over.wait(5)

    def _flood(self) -> None:
        context: Any = self._service.trust()
        with (
            socket.create_connection(("127.0.0.1", self._service.port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            for _ in range(FLOOD_BYTES // (1000 * len(QUESTION))):
                connection.sendall(1000 * QUESTION)
            self._truth.over.wait(5)


class Scales(threading.Thread):
    """Weighs the edge and the heaviest worker together: a worker that replaces another begins anew."""

    def __init__(self, service: Service, truth: Truth) -> None:
        super().__init__(daemon=True)
        self._service, self._truth = service, truth
        self.first, self.most = 0, 0
        """KiB."""

    def run(self) -> None:
        """Weigh once a second until told that it is over."""
        if self._truth.over.wait(SETTLED - 1):
            return
        while not self._truth.over.wait(1):
            with contextlib.suppress(OSError, StopIteration):
                found = max(map(pss_kib, self._service.workers)) + sum(map(pss_kib, self._service.edge_workers))
                self.first = self.first or found
                self.most = max(self.most, found)

    @property
    def growth(self) -> float:
        """How many times what was there before strangers came."""
        return self.most / max(self.first, 1)


class Log:
    """The service's log without its audit trail, read on as it grows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = 0
        self._lines: list[dict[str, Any]] = []

    def lines(self, message: str) -> list[dict[str, Any]]:
        """All lines of that message so far."""
        with self._file.open("rb") as file:
            file.seek(self._offset)
            *whole, rest = file.read().split(b"\n")
            self._offset = file.tell() - len(rest)
        self._lines += [json.loads(line) for line in whole if line.startswith(b"{") and b'"access"' not in line]
        return [line for line in self._lines if line["message"] == message]


class Vandal(threading.Thread):
    """Damages something every second or so."""

    def __init__(self, service: Service, truth: Truth, office: Office, seed: int) -> None:
        super().__init__(daemon=True)
        self._service, self._truth, self._office = service, truth, office
        self._random = random.Random(seed)
        self._number = 0
        self._log = Log(service.folder / "service.log")
        self.done: collections.Counter[str] = collections.Counter()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Damage until told that it is over."""
        deeds = [self._kill, self._kill, self.replace_export, self.replace_export, self._lose_export]
        deeds += [self._withdraw_model, self._rotate_key, self._revoke_token, self._renew_certificate]
        try:
            while not self._truth.over.wait(self._random.uniform(0.3, 1.5)):
                deed = self._random.choice(deeds)
                deed()
                self.done[deed.__name__.strip("_").replace("_", " ")] += 1
        except BaseException as error:
            self.failure = error
            raise

    def replace_export(self) -> None:
        """Other exports: predictions of another version, and another model."""
        self._number += 1
        version, fill = f"v{self._number}", 40.0 + self._number
        self._export_model(turnout_model(fill), 0.5 * fill)
        # Known before it is written: it may be answered from at once.
        made = export_predictions(self._elsewhere, version, keep=KEPT).export_id
        self._truth.versions[made] = (version, None)
        export_predictions(self._service.config.exports, version, keep=KEPT)
        self._wait_until_served(made)

    def _withdraw_model(self) -> None:
        """The model is gone: its export holds one of another name."""
        self._number += 1
        begun = time.monotonic()
        self._truth.without_model.append((begun, float("inf")))
        another = dataclasses.replace(turnout_model(40.0 + self._number), name="another")
        self._export_model(signed(another, MODEL_KEY), None)
        self.replace_export()
        self._truth.without_model[-1] = (begun, time.monotonic())

    def _export_model(self, record: ModelRecord, score: float | None) -> None:
        made = export_models(self._elsewhere, record, keep=KEPT).export_id
        self._truth.versions[made] = (record.version, score)
        export_models(self._service.config.exports, record, keep=KEPT)
        self._wait_until_served(made)

    @property
    def _elsewhere(self) -> Path:
        return self._service.folder / "elsewhere"

    def _wait_until_served(self, export_id: str) -> None:
        """A worker that has not seen it before the next damage would rightly stay with the one before."""
        if self._service.process is not None:
            wait_until(
                lambda served: (
                    len([line for line in served if line["export_id"] == export_id]) >= self._service.config.workers
                ),
                lambda: self._log.lines("export served"),
                what=f"Every worker with {export_id}",
                remedy="Look at the service's log.",
                pause=0.1,
            )

    def _lose_export(self) -> None:
        staged = self._service.config.exports / TABLE / "pointer.new"
        staged.write_text(f"{'0' * 32}\n", encoding="ascii")
        staged.replace(pointer_path(self._service.config.exports / TABLE))

    def _kill(self) -> None:
        # Of one that is killed as it starts, its parent waits for a sign of life much longer.
        wait_until(
            lambda ready: ready,
            self._all_started,
            what="Every worker",
            remedy="Look at the service's log.",
            pause=0.1,
        )
        self._truth.kills.append(time.monotonic())
        os.kill(self._random.choice(self._service.workers), signal.SIGKILL)
        # What breaks a moment later breaks for the same reason.
        self._truth.kills.append(time.monotonic() + 0.05)

    def _all_started(self) -> bool:
        kills = self.done["kill"]
        return len(self._log.lines("Application startup complete.")) >= self._service.config.workers + kills

    def _renew_certificate(self) -> None:
        self._office.server()
        # Connections that are being opened, and those on which nobody is being answered, are closed meanwhile.
        self._truth.kills.append(time.monotonic() + RENEWED)
        if self._service.nginx is not None:
            self._service.nginx.send_signal(signal.SIGHUP)
        time.sleep(RENEWED)

    def _rotate_key(self) -> None:
        keys = self._service.config.keys
        old_token, old_keys = self._truth.token, set(read_keys(keys))
        rotate_keys(self._service.signing_key, keys)
        self._truth.token = self._service.token(scopes=SCOPES)
        time.sleep(0.5)
        for key_id in old_keys:
            retire_key(keys, key_id)
        time.sleep(FOLLOWED)
        self._truth.dead.append(old_token)

    def _revoke_token(self) -> None:
        old = self._truth.token
        self._truth.token = self._service.token(scopes=SCOPES)
        time.sleep(0.5)
        claims = jwt.decode(old, options={"verify_signature": False})
        revoke_token(self._service.folder / "revoked.json", claims["jti"], expires=claims["exp"])
        time.sleep(FOLLOWED)
        self._truth.dead.append(old)


def main() -> None:
    """Start, ask, damage, judge."""
    seconds, clients = float(os.environ.get("SECONDS", "120")), int(os.environ.get("CLIENTS", "8"))
    workers, seed = int(os.environ.get("WORKERS", "3")), int(os.environ.get("SEED", "1"))
    truth = Truth()
    with tempfile.TemporaryDirectory() as folder:
        office = Office(Path(folder) / "tls")
        certificate, key = office.server()
        changes = {
            "tls_certificate": certificate,
            "tls_key": key,
            "workers": workers,
            "revoked": Path(folder) / "revoked.json",
            "rate_per_second": 1e6,
            "burst": 1_000_000,
            "concurrency": 1000,
        }
        service = Service(Path(folder), changes=changes, authority=office.server_authority, edge={})
        service.create_keys()
        truth.token = service.token(scopes=SCOPES)
        vandal = Vandal(service, truth, office, seed)
        vandal.replace_export()
        with service:
            askers = [
                Asker(service, truth, seed + number, intruder=number % INTRUDERS == INTRUDERS - 1)
                for number in range(clients)
            ]
            strangers = [Stranger(service, truth, silent=silent) for silent in (False, True)]
            scales = Scales(service, truth)
            begun = time.monotonic()
            for thread in (*askers, vandal, scales):
                thread.start()
            # What all hold once each has been asked is weighed before strangers come.
            time.sleep(SETTLED)
            for stranger in strangers:
                stranger.start()
            truth.over.wait(seconds)
            truth.over.set()
            for thread in (*askers, vandal, scales, *strangers):
                thread.join()
            lasted = time.monotonic() - begun
        errors = [line for line in service.log() if line["message"] in ("request failed", "worker failed")]
    if vandal.failure is not None:
        sys.exit(f"the damage itself failed: {vandal.failure!r}")
    statuses = sum((asker.statuses for asker in askers), collections.Counter())
    wrong = collections.Counter(text for asker in askers for text in asker.wrong)
    wrong.update(str(line)[:300] for line in errors)
    growth = round(scales.growth, 2)
    if not 0 < growth <= MOST_GROWTH:
        wrong[f"memory grew {growth} times"] += 1
    times = sorted(second for asker in askers for second in asker.seconds)
    cut, late = sum(asker.cut for asker in askers), sum(asker.late for asker in askers)
    percentiles = statistics.quantiles(times, n=1000)
    print(f"{sum(statuses.values()):,} requests in {lasted:.0f} s by {clients} clients, {workers} workers, at the edge")
    print(
        f"strangers' floods: {strangers[0].rounds}, silent handshakes: {SILENT * strangers[1].rounds}, growth: {growth}"
    )
    print("answered:", dict(statuses), "  done:", dict(vandal.done))
    print(
        f"cut with a killed worker: {cut}   p50 {percentiles[499] * 1e3:.1f} ms   p99 {percentiles[989] * 1e3:.1f} ms"
    )
    for text, count in wrong.most_common(20):
        print(f"  WRONG {count} x {text}")
    figures = {
        "seconds": round(lasted),
        "requests": sum(statuses.values()),
        "statuses": statuses,
        "done": vandal.done,
        "exports": len(truth.versions),
        "strangers": {"floods": strangers[0].rounds, "handshakes": SILENT * strangers[1].rounds},
        "growth": growth,
        "cut": cut,
        "late": late,
        "wrong": sum(wrong.values()),
        "ok": not wrong,
    }
    print(json.dumps(figures))
    sys.exit(0 if not wrong else 1)


if __name__ == "__main__":
    main()
