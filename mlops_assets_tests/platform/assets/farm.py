"""The farm: a small automated pipeline that only says who is asked for and when, without lakes.

Every asset gives as its rows what the scale holds. Put here the assets and ways to run them, and keep out what a test
expects.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from mlops_assets.platform.assets.automation import on_new_data
from mlops_assets.platform.assets.automation_sensor import TICK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WEEKS: Final = ("w1", "w2", "w3")
NOON: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
NIGHT: Final = datetime(2026, 5, 2, 3, 0, 1, tzinfo=UTC)
"""Just after the next tick of the accounts' cron expression."""
ROTTEN: Final = "rotten"

_WEEKLY: Final = dg.StaticPartitionsDefinition(list(WEEKS))
_OWN: Final = dg.IdentityPartitionMapping()
_OWN_AND_LAST: Final = dg.StaticPartitionMapping({"w1": ["w1", "w2"], "w2": ["w2", "w3"], "w3": ["w3"]})
_ALL: Final = dg.AllPartitionMapping()
_MOST_TICKS: Final = 9


# Never made.
@dg.asset(name="recipe", check_specs=[dg.AssetCheckSpec("tasty", asset="recipe", blocking=True)])
def _recipe():  # type: ignore[no-untyped-def]  # noqa: ANN202  Dagster reads the annotation
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


class Farm:
    """The assets on one instance, and the sensor's memory of its last tick.

    Attributes:
        scale: the rows of each week that are there to be read.
        broken: names of assets whose step fails.
        meanwhile: happens while a consumer is made, after it has read its inputs.
        clock: time of the next tick.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.scale: dict[str, str] = {}
        self.broken: set[str] = set()
        self.meanwhile: Callable[[], object] = lambda: None
        self.clock = NOON
        self._instance = instance
        self._cursor: dg.AutomationConditionCursor | None = None
        self._assets = {
            "harvest": self._harvest(),
            "recipe": _recipe,
            "yields": self._consumer("yields", {"harvest": _OWN}, on_new_data()),
            "cider": self._consumer("cider", {"yields": _OWN, "recipe": None}, on_new_data()),
            "season": self._consumer("season", {"yields": _ALL}, on_new_data(), weekly=False),
            "changes": self._consumer(
                "changes", {"harvest": _OWN_AND_LAST}, on_new_data(needs=[dg.AssetKey("harvest")])
            ),
            "accounts": self._consumer("accounts", {"harvest": _OWN}, on_new_data(at_most="0 3 * * *")),
            "bonus": self._consumer(
                "bonus",
                {"harvest": _ALL, "yields": _ALL, "accounts": _ALL},
                on_new_data(after=[dg.AssetKey("yields")]),
                weekly=False,
            ),
        }
        self._defs = dg.Definitions(assets=list(self._assets.values()), executor=dg.in_process_executor)
        self._tick()

    def tick(self, asset: str) -> set[str | None]:
        """The partitions of that asset that the next tick asks for."""
        return self._tick().get(asset, set())

    def follow(self) -> list[tuple[str, str | None]]:
        """Run what each tick asks for until one asks for nothing; returns what was asked for, in order.

        Raises:
            AssertionError: the automation does not come to rest.
        """
        history: list[tuple[str, str | None]] = []
        for _ in range(_MOST_TICKS):
            asked = self._tick()
            if not asked:
                return history
            for week in sorted({week for weeks in asked.values() for week in weeks}, key=str):
                names = [name for name, weeks in asked.items() if week in weeks]
                history += [(name, week) for name in names]
                self.run(week, *names)
        raise AssertionError(f"The automation does not come to rest: {history}")

    def arrives(self, week: str, rows: str) -> None:
        """The scale writes these rows, and the harvest of that week is made, unless it is rotten."""
        self.scale[week] = rows
        self.run(week, "harvest")

    def run(self, week: str | None, *names: str) -> None:
        """One run of these assets, recorded as the user interface and the daemon launch it.

        Raises:
            AssertionError: it failed although nothing in it is broken or rotten, or the other way round.
        """
        bad = self.broken | ({"harvest"} if week is not None and self.scale[week] == ROTTEN else set())
        chosen = {dg.AssetKey(name) for name in names}
        job = self._defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=chosen)
        tags = {} if week is None else {"dagster/partition": week}
        run = self._instance.create_run_for_job(job, asset_selection=frozenset(chosen), tags=tags)
        if execute_run(InMemoryJob(job), run, self._instance, raise_on_error=False).success == bool(bad & {*names}):
            raise AssertionError(f"The run of {names} for {week} ended unexpectedly.")

    def _tick(self) -> dict[str, set[str | None]]:
        result = dg.evaluate_automation_conditions(
            defs=self._defs, instance=self._instance, cursor=self._cursor, evaluation_time=self.clock
        )
        self._cursor = result.cursor
        self.clock += timedelta(seconds=TICK_SECONDS)
        asked = {name: set(result.get_requested_partitions(dg.AssetKey(name))) for name in self._assets}
        return {name: weeks for name, weeks in asked.items() if weeks}

    def _read(self) -> str:
        context = dg.AssetExecutionContext.get()
        return self.scale[context.partition_key] if context.has_partition_key else str(sorted(self.scale.items()))

    def _harvest(self) -> dg.AssetsDefinition:
        checks = [
            dg.AssetCheckSpec("sound", asset="harvest", blocking=True, partitions_def=_WEEKLY),
            dg.AssetCheckSpec("early", asset="harvest", partitions_def=_WEEKLY),
        ]

        # As published assets do: where a blocking check fails there are results of checks and no rows.
        @dg.asset(partitions_def=_WEEKLY, check_specs=checks, output_required=False)
        def harvest():  # type: ignore[no-untyped-def]  # noqa: ANN202  Dagster reads the annotation of a generator
            rows = self._read()
            results = [
                dg.AssetCheckResult(passed=rows != ROTTEN, check_name="sound"),
                dg.AssetCheckResult(passed=False, check_name="early", severity=dg.AssetCheckSeverity.WARN),
            ]
            if rows == ROTTEN:
                yield from results
            else:
                yield dg.MaterializeResult(data_version=dg.DataVersion(rows), check_results=results)

        return harvest

    def _consumer(
        self,
        name: str,
        reads: Mapping[str, dg.PartitionMapping | None],
        condition: dg.AutomationCondition[dg.AssetKey],
        *,
        weekly: bool = True,
    ) -> dg.AssetsDefinition:
        deps = [dg.AssetDep(read, partition_mapping=mapping) for read, mapping in reads.items()]

        @dg.asset(name=name, deps=deps, partitions_def=_WEEKLY if weekly else None, automation_condition=condition)
        def consumer() -> dg.MaterializeResult[None]:
            read = self._read()
            self.meanwhile()
            if name in self.broken:
                raise ValueError("It hails.")
            return dg.MaterializeResult(data_version=dg.DataVersion(read))

        return consumer
