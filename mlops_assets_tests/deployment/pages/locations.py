"""Three small code locations, each with one of everything that people operate.

Put here what the web server of the tests shows. Keep out assertions.
"""

from __future__ import annotations

import dagster as dg

KEYS = dg.DynamicPartitionsDefinition(name="keys")
"""One set of partitions that all locations use, as Dagster knows such sets by their names alone."""


def _location(name: str) -> dg.Definitions:
    @dg.asset(key=[name, "table"], partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
    def table() -> None: ...

    @dg.asset(key=[name, "plain"])
    def plain() -> None: ...

    @dg.asset_check(asset=[name, "plain"])
    def whole() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    @dg.asset(key=[name, "keyed"], partitions_def=KEYS)
    def keyed() -> None: ...

    job = dg.define_asset_job(f"{name}_job", [plain])

    @dg.schedule(job=job, cron_schedule="0 0 1 1 *", name=f"{name}_schedule")
    def schedule() -> dg.SkipReason:
        return dg.SkipReason("never")

    @dg.sensor(job=job, name=f"{name}_sensor")
    def sensor() -> dg.SkipReason:
        return dg.SkipReason("never")

    def observed(other: str) -> dg.SourceAsset:
        @dg.observable_source_asset(key=[other, "plain"])
        def of_another() -> dg.DataVersion:
            return dg.DataVersion("1")

        return of_another

    # Another's asset that this location looks at.
    foreign = [observed(other) for other in ("plumbing", "wrangling", "modeling") if other != name]
    return dg.Definitions(
        [table, plain, keyed, *foreign], asset_checks=[whole], jobs=[job], schedules=[schedule], sensors=[sensor]
    )


plumbing = _location("plumbing")
wrangling = _location("wrangling")
modeling = _location("modeling")
