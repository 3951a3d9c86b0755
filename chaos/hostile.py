"""Hostile requests by the hundred thousand: does anything fail, leak, grow, or let a stranger in?

Starts the service as it is shipped (workers on a socket, nginx with TLS in front) on the sample exports of both domains
and sends it requests of every route that are broken somewhere: method, address, query, headers, credentials, body, or
where it ends. Good ones come in between. Nothing may be answered with 5xx, logged as a failure, answered without a good
token, or repeated in a header; every refusal is a problem document; good requests are answered rightly, and workers and
edge grow by a fifth at most. Prints what was answered and, last, one JSON line; exits with 1 if anything is wrong.

``make chaos NAME=hostile``; CASES (100000), CLIENTS (8), WORKERS (2) and SEED (1) are read from the environment.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from mlops_assets_tests.serving import hostile_campaign


def main() -> None:
    """Start, attack, judge."""
    cases, seed = int(os.environ.get("CASES", "100000")), int(os.environ.get("SEED", "1"))
    clients, workers = int(os.environ.get("CLIENTS", "8")), int(os.environ.get("WORKERS", "2"))
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, hostile_campaign.shipped(Path(folder), workers=workers) as service:
        campaign = hostile_campaign.run(service, cases=cases, clients=clients, seed=seed)
    for text, (count, example) in sorted(campaign.wrong.items()):
        print(f"  WRONG {count} x {text}\n    {example}")
    figures = {
        "requests": campaign.requests,
        "good": campaign.good,
        "statuses": dict(sorted(campaign.statuses.items())),
        "broken": dict(campaign.broken.most_common()),
        "growth": campaign.growth,
        "seconds": round(time.monotonic() - begun),
        "wrong": sum(count for count, _ in campaign.wrong.values()),
        "ok": not campaign.wrong,
    }
    print(json.dumps(figures))
    sys.exit(int(bool(campaign.wrong)))


if __name__ == "__main__":
    main()
