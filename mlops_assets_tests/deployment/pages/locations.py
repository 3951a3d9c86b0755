"""Three small code locations, each with one of everything that people operate.

Put here what the web server of the tests shows. Keep out assertions.
"""

from __future__ import annotations

import dagster as dg

KEYS = dg.DynamicPartitionsDefinition(name="keys")
"""One set of partitions that all locations use, as Dagster knows such sets by their names alone."""


@dg.observable_source_asset(key=["plumbing", "plain"])
def of_plumbing() -> dg.DataVersion:
    """An asset of plumbing, which modeling looks at."""
    return dg.DataVersion("1")


def _location(name: str, *observed: dg.SourceAsset) -> dg.Definitions:
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

    return dg.Definitions(
        [table, plain, keyed, *observed], asset_checks=[whole], jobs=[job], schedules=[schedule], sensors=[sensor]
    )


plumbing = _location("plumbing")
wrangling = _location("wrangling")
modeling = _location("modeling", of_plumbing)
