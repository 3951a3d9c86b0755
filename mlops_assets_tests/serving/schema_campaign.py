"""A campaign of requests made from the OpenAPI document: everything that it allows, and everything that it forbids.

Put here how Schemathesis is run against a service, and what counts as an error. Keep out starting the service, and how
many requests there are.
"""

from __future__ import annotations

import collections
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mlops_assets_tests.serving.sample import (
    CUSTOMERS,
    ELECTIONS,
    EVERYTHING,
    FEATURES,
    MODEL,
    PERSONS,
    TABLE,
    turnout_model,
)

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets_tests.serving.service_process import Service

_CONFIGURATION: Final = """
[checks.positive_data_acceptance]
# 304: a client may send `If-None-Match: *`. 410, 422: in the form that the document asks for, and not fit for data or
# the model, which it cannot know.
expected-statuses = ["2xx", 304, 401, 403, 404, 410, 422]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 410, 413, 415, 422, 431]
"""


_EXAMPLES: Final[dict[str, object]] = {
    "name": MODEL,
    "version": turnout_model().version,
    "election": ELECTIONS[0],
    "state": "NC",
    "district": "01",
    "measure": "turnout",
    "month": "2024-01",
    "customer": 3,
    "territory": "north",
}
_BODIES: Final[dict[str, object]] = {
    "score": {"rows": [{"age": 40, "party": "DEM"}, {"age": None, "party": "REP"}]},
    "infer": {
        "inputs": [
            {"name": "age", "shape": [1], "datatype": "FP64", "data": [40]},
            {"name": "party", "shape": [1], "datatype": "BYTES", "data": ["DEM"]},
        ]
    },
    "predictions": {"keys": [{"state": "NC", "district": "01", "measure": "turnout"}]},
    "customers": {"keys": [{"customer": 3}, {"customer": 4, "month": "2024-01"}]},
    "person_features": {"keys": [{"state": "NC", "person_token": person} for person in PERSONS]},
    "outcomes": {
        "outcomes": [
            {"request_id": "order-20241105-17", "row": row, "outcome": bool(row), "observed": "2024-12-01T00:00:00Z"}
            for row in range(2)
        ]
    },
}
"""Bodies that the sample's exports can answer, by the last part of the address that is no parameter."""
DOMAINS: Final = {"voters": (TABLE, FEATURES), "company": (CUSTOMERS,)}
"""The tables of each domain; all other routes are shared."""
SHARED: Final = "shared"


@dataclass(frozen=True)
class Campaign:
    """How a campaign went.

    Attributes:
        by_domain: how many requests the service has logged, by domain of their table.
        by_route: the same by route.
        failed: whether any check failed.
        report: what Schemathesis printed.
    """

    by_domain: collections.Counter[str]
    by_route: collections.Counter[str]
    failed: bool
    report: str

    @property
    def requests(self) -> int:
        """All of them."""
        return self.by_domain.total()


def run(service: Service, folder: Path, *, examples: int, seed: int = 1, domain: str | None = None) -> Campaign:
    """Run every check of Schemathesis on every route of a running service: examples, boundary values, random requests.

    Args:
        service: the service, with the sample export; the campaign's token may do everything.
        folder: scratch space.
        examples: how many random requests each route gets.
        seed: makes the random requests the same again.
        domain: whose tables alone are asked for; ``None`` for all routes.
    """
    configuration = folder / "schemathesis.toml"
    configuration.write_text(_CONFIGURATION, encoding="utf-8")
    token = service.token(scopes=EVERYTHING)
    document = folder / "openapi.json"
    with service.client(token) as client:
        document.write_text(json.dumps(_fitting(client.get("/openapi.json").json())), encoding="utf-8")
    before = len(service.log())
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "--no-color"),
            *("run", str(document), "--url", service.url, "--header", f"Authorization: Bearer {token}"),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing", "--max-examples", str(examples)),
            *("--seed", str(seed), "--generation-database", ":memory:", "--suppress-health-check", "all"),
            *("--request-timeout", "60"),
            *(
                []
                if domain is None
                else ["--include-path-regex", f"^/v1/(tables|lookup)/({'|'.join(DOMAINS[domain])})(/|$)"]
            ),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    asked = [line for line in service.log()[before:] if "status" in line]
    domains = {table: name for name, tables in DOMAINS.items() for table in tables}
    return Campaign(
        by_domain=collections.Counter(domains.get(line.get("table", ""), domain or SHARED) for line in asked),
        by_route=collections.Counter(line.get("route") or "none" for line in asked),
        failed=done.returncode != 0,
        report=done.stdout + done.stderr,
    )


def _fitting(document: dict[str, Any]) -> dict[str, Any]:
    """The document with examples that the sample export can answer, so that requests get behind the first check."""
    operations = [(path, operation) for path, methods in document["paths"].items() for operation in methods.values()]
    for path, operation in operations:
        for parameter in operation.get("parameters", []):
            if parameter["name"] in _EXAMPLES:
                parameter.pop("example", None)
                parameter["examples"] = {"fitting": {"value": _EXAMPLES[parameter["name"]]}}
        for content in operation.get("requestBody", {}).get("content", {}).values():
            *_, name = (part for part in path.split("/") if not part.startswith("{"))
            if name in _BODIES:
                content["example"] = _BODIES[name]
    return document
