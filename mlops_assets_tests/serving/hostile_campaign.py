"""A campaign of hostile requests against a service behind its edge, with good ones in between.

Put here sending, what may be answered, and weighing. Keep out what is sent (``hostile_requests``).
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import random
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from mlops_assets_tests.serving.certificates import Office
from mlops_assets_tests.serving.hostile_requests import INFER, PUBLIC, SCORE, Attacker
from mlops_assets_tests.serving.hostile_values import MARK
from mlops_assets_tests.serving.sample import CUSTOMERS, EVERYTHING, FEATURES, PERSONS, TABLE, export_everything
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from mlops_assets_tests.serving.hostile_requests import Hostile

MOST_GROWTH: Final = 1.2
_GOOD_EVERY: Final = 20
_WARM_UP: Final = 300
"""Good requests of each client before memory is weighed first."""
_NO_ANSWER: Final = 0
_FIRST_SECONDS, _MORE_SECONDS = 0.5, 0.05
"""How long an answer is waited for where the edge may wait for more of the request, and a second one after it."""
_ANSWER: Final = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n")
_REQUEST_ID: Final = re.compile(rb"(?i)^x-request-id: ([A-Za-z0-9_-]{8,64})$", re.MULTILINE)
_ERROR_TYPES: Final = ("application/problem+json", "application/json")
_GOOD: Final = (
    ("GET", f"/v1/tables/{TABLE}/NC/12/turnout", None, '"value":0.5,'),
    ("GET", f"/v1/tables/{CUSTOMERS}/3?month=2024-01", None, '"churn":0.3,'),
    ("POST", SCORE, {"rows": [{"age": 60, "party": "DEM"}, {"age": None, "party": "REP"}]}, '"scores":[29.0,20.0]'),
    (
        "POST",
        INFER,
        {
            "inputs": [
                {"name": "age", "shape": [1], "datatype": "FP64", "data": [60]},
                {"name": "party", "shape": [1], "datatype": "BYTES", "data": ["DEM"]},
            ]
        },
        '"data":[29.0]',
    ),
    ("POST", f"/v1/lookup/{FEATURES}", {"keys": [{"state": "NC", "person_token": PERSONS[0]}]}, '"age":40,'),
)
"""Method, address, body, and what the answer holds."""


@dataclass(frozen=True)
class Answer:
    """One answer, as it came over the wire."""

    status: int
    head: bytes
    body: bytes


@dataclass
class Campaign:
    """How a campaign went.

    Attributes:
        requests: how many hostile requests were sent.
        good: how many good ones in between.
        statuses: answers to hostile requests; 0 where the connection was closed instead.
        broken: how many requests had each part broken.
        wrong: what should not have been, with an example of each.
        growth: how many times what workers and edge held before.
    """

    requests: int = 0
    good: int = 0
    statuses: collections.Counter[int] = field(default_factory=collections.Counter)
    broken: collections.Counter[str] = field(default_factory=collections.Counter)
    wrong: dict[str, tuple[int, str]] = field(default_factory=dict)
    growth: float = 0.0

    def blame(self, text: str, example: str) -> None:
        count, first = self.wrong.get(text, (0, example))
        self.wrong[text] = (count + 1, first)


def shipped(folder: Path, *, workers: int) -> Service:
    """The service with the sample's exports of both domains: workers on a socket, TLS at the edge."""
    office = Office(folder / "tls")
    certificate, key = office.server()
    changes = {
        "tls_certificate": certificate,
        "tls_key": key,
        "workers": workers,
        "rate_per_second": 1e6,
        "burst": 1_000_000,
        "concurrency": 1000,
    }
    service = Service(folder, changes=changes, authority=office.server_authority, edge={})
    service.create_keys()
    export_everything(service.config.exports)
    return service


def run(service: Service, *, cases: int, clients: int, seed: int) -> Campaign:
    """Send that many hostile requests to a running service, and look at answers, logs and memory."""
    campaign, warm = Campaign(), threading.Barrier(clients + 1)
    service.wait_for_log("export served", count=4 * service.config.workers)
    workers = set(service.workers)
    askers = [
        _Client(service, seed=clients * seed + number, cases=cases // clients, warm=warm) for number in range(clients)
    ]
    for asker in askers:
        asker.start()
    warm.wait()
    first = most = service.memory_kib()
    while any(asker.is_alive() for asker in askers):
        time.sleep(1)
        most = max(most, service.memory_kib())
    for asker in askers:
        found = asker.campaign
        campaign.requests += found.requests
        campaign.good += found.good
        campaign.statuses += found.statuses
        campaign.broken += found.broken
        for text, (count, example) in found.wrong.items():
            before, earlier = campaign.wrong.get(text, (0, example))
            campaign.wrong[text] = (before + count, earlier)
        if asker.failure is not None:
            campaign.blame(f"a client failed: {asker.failure!r}", "")
    campaign.growth = round(most / first, 3)
    if campaign.growth > MOST_GROWTH:
        campaign.blame("memory grew", f"{campaign.growth} times")
    if set(service.workers) != workers:
        campaign.blame("a worker died", "")
    _read_logs(service, campaign)
    return campaign


def _read_logs(service: Service, campaign: Campaign) -> None:
    for name in ("service.log", "edge.log"):
        with (service.folder / name).open(encoding="utf-8", errors="replace") as log:
            for line in log:
                if '"level":"error"' in line or "Traceback" in line or "[alert]" in line or "[emerg]" in line:
                    campaign.blame(f"{name} tells of a failure", line[-2000:])


class _Client(threading.Thread):
    """One attacker, on a connection that it keeps while its requests can be told apart, and a good client beside it."""

    def __init__(self, service: Service, *, seed: int, cases: int, warm: threading.Barrier) -> None:
        super().__init__(daemon=True)
        self.campaign = Campaign()
        self.failure: BaseException | None = None
        self._service, self._cases, self._warm = service, cases, warm
        self._attacker = Attacker(service, random.Random(seed))  # noqa: S311  the same again
        trust = service.trust()
        if not isinstance(trust, ssl.SSLContext):
            raise TypeError("the edge speaks TLS")
        self._context = trust
        self._connection: ssl.SSLSocket | None = None

    def run(self) -> None:
        try:
            with self._service.client(self._service.token(scopes=EVERYTHING)) as good:
                ask_well = partial(self._ask_well, good)
                for number in range(_WARM_UP):
                    ask_well(number)
                self._warm.wait()
                for number in range(self._cases):
                    self._attack(self._attacker.drawn())
                    if number % _GOOD_EVERY == 0:
                        ask_well(number // _GOOD_EVERY)
        except BaseException as error:
            self.failure = error
            self._warm.abort()
            raise

    def _ask_well(self, client: httpx.Client, number: int) -> None:
        method, target, body, expected = _GOOD[number % len(_GOOD)]
        answer = client.request(method, target, json=body)
        self.campaign.good += 1
        if answer.status_code != HTTPStatus.OK or expected not in answer.text:
            self.campaign.blame(f"a good request was answered {answer.status_code}", f"{target} {answer.text[:300]}")

    def _attack(self, hostile: Hostile) -> None:
        self.campaign.requests += 1
        self.campaign.broken.update(set(hostile.broken))
        try:
            answers = self._kept(hostile) if hostile.framed else self._alone(hostile)
        except (OSError, http.client.HTTPException):
            # The edge ends what it does not take, now and then before its answer is read.
            self._close()
            answers = []
        self.campaign.statuses.update([answer.status for answer in answers] or [_NO_ANSWER])
        for number, answer in enumerate(answers):
            for wrong in _wrongs(hostile, answer, first=number == 0):
                text = f"{answer.head[:1500]!r} {answer.body[:300]!r}"
                self.campaign.blame(wrong, f"{hostile.broken} {hostile.sent[:1500]!r}\n      -> {text}")

    def _kept(self, hostile: Hostile) -> list[Answer]:
        if self._connection is None:
            self._connection = self._connected()
        # What is not taken to its end may be answered all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            self._connection.sendall(hostile.sent)
        answer = http.client.HTTPResponse(self._connection, method=hostile.method)
        answer.begin()
        body = answer.read()
        head = b"\n".join(f"{name}: {value}".encode("latin-1") for name, value in answer.getheaders())
        if answer.will_close:
            self._close()
        return [Answer(answer.status, head, body)]

    def _alone(self, hostile: Hostile) -> list[Answer]:
        with self._connected() as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                connection.sendall(hostile.sent)
            connection.settimeout(_FIRST_SECONDS)
            came = b""
            with contextlib.suppress(OSError):
                while part := connection.recv(65536):
                    came += part
                    connection.settimeout(_MORE_SECONDS)
        pieces = _ANSWER.split(came)
        parts = [
            (int(status), *rest.partition(b"\r\n\r\n")) for status, rest in zip(pieces[1::2], pieces[2::2], strict=True)
        ]
        return [
            Answer(status, head.replace(b"\r\n", b"\n"), body)
            for status, head, _, body in parts
            if status >= HTTPStatus.OK
        ]

    def _connected(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self._service.port), timeout=60)
        return self._context.wrap_socket(plain, server_hostname="localhost")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _wrongs(hostile: Hostile, answer: Answer, *, first: bool) -> list[str]:
    """What is wrong with an answer; the first one is that of the request itself, others are of what it smuggled."""
    found = []
    status, head = answer.status, _REQUEST_ID.sub(b"", answer.head)
    path = hostile.target.partition("?")[0]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        found.append(f"answered {status}")
    if status < HTTPStatus.BAD_REQUEST and not (first and (hostile.admitted or path in PUBLIC)):
        found.append(f"a stranger was answered {status}")
    if MARK.encode() in head.lower() or b"x-injected" in head.lower():
        found.append("what was sent is in a header")
    # For a request that is broken twice, such as TRACE with a bad chunk, nginx has a page of its own.
    twice = "framing" in hostile.broken and status == HTTPStatus.BAD_REQUEST and b"nosniff" in head
    if status >= HTTPStatus.BAD_REQUEST and hostile.method != "HEAD" and not (twice or _is_problem(answer)):
        found.append(f"{status} is no problem document")
    if (
        hostile.limited
        and first
        and path.startswith((f"/v1/tables/{TABLE}", f"/v1/lookup/{TABLE}", f"/v1/lookup/{FEATURES}"))
        and b'"state":"GA"' in answer.body
    ):
        found.append("a limit was passed")
    return found


def _is_problem(answer: Answer) -> bool:
    kind = next((line[14:] for line in answer.head.lower().split(b"\n") if line.startswith(b"content-type: ")), b"")
    try:
        told = json.loads(answer.body)
    except ValueError:
        return False
    return (
        kind.decode("latin-1").startswith(_ERROR_TYPES)
        and isinstance(told, dict)
        and ("error" in told or told.get("status") == answer.status)
    )
