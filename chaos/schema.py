"""Thousands of requests made from the OpenAPI document, allowed and forbidden ones: does the service keep to it?

Starts a service on the sample exports of both domains and lets Schemathesis run all of its checks, seed after seed: on
all routes once, then on the tables of the domain that was asked less, until each had its half of the requests. Then it
looks whether anything answered with 5xx or was logged as a failure, and whether the process grew. Prints a table and,
last, one JSON line; exits with 1 if anything is wrong.

CASES (20000) and SEED (1) are read from the environment.
"""

from __future__ import annotations

import collections
import json
import os
import sys
import tempfile
import time
from http import HTTPStatus
from pathlib import Path

from mlops_assets_tests.serving import schema_campaign
from mlops_assets_tests.serving.sample import export_everything
from mlops_assets_tests.serving.service_process import Service

EXAMPLES = 100
MOST_GROWTH_MEGABYTES = 50


def resident_megabytes(service: Service) -> float:
    """Memory of the service's process."""
    if service.process is None:
        raise ValueError("the service does not run")
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    """Run campaigns until there were enough requests."""
    wanted, seed = int(os.environ.get("CASES", "20000")), int(os.environ.get("SEED", "1"))
    by_domain, by_route = collections.Counter[str](), collections.Counter[str]()
    domain: str | None = None
    failed, grown, first = 0, 0.0, None
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        service = Service(folder, changes={"rate_per_second": 1e6, "burst": 10**6})
        service.create_keys()
        export_everything(service.config.exports)
        print(f"{'seed':>6} {'domain':>8} {'requests':>10} {'seconds':>8} {'MB':>6}  outcome")
        with service:
            while min(by_domain[name] for name in schema_campaign.DOMAINS) < wanted / len(schema_campaign.DOMAINS):
                campaign = schema_campaign.run(service, folder, examples=EXAMPLES, seed=seed, domain=domain)
                by_domain += campaign.by_domain
                by_route += campaign.by_route
                failed += campaign.failed
                memory = resident_megabytes(service)
                # What the first campaign warms up (caches, the runtime) is no growth.
                first = memory if first is None else first
                grown = memory - first
                seconds = time.monotonic() - started
                outcome = "FAILED" if campaign.failed else "passed"
                told = f"{seed:>6} {domain or 'all':>8} {by_domain.total():>10,}"
                print(f"{told} {seconds:>8.0f} {memory:>6.0f}  {outcome}", flush=True)
                if campaign.failed or not campaign.requests:
                    print(campaign.report)
                    break
                seed += 1
                domain = min(schema_campaign.DOMAINS, key=lambda name: by_domain[name])
        log = service.log()
    errors = [
        line
        for line in log
        if line["message"] == "request failed" or line.get("status", 0) >= HTTPStatus.INTERNAL_SERVER_ERROR
    ]
    wrong = bool(failed or errors or by_domain.total() < wanted or grown > MOST_GROWTH_MEGABYTES)
    print(
        json.dumps(
            {
                "requests": by_domain.total(),
                "by_domain": by_domain,
                "outcomes": by_route["/v1/outcomes/{name}"],
                "failed_campaigns": failed,
                "server_errors": len(errors),
                "grown_megabytes": round(grown, 1),
                "seconds": round(time.monotonic() - started),
                "ok": not wrong,
            }
        )
    )
    sys.exit(int(wrong))


if __name__ == "__main__":
    main()
