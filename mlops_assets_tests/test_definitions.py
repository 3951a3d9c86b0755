"""The definitions as a whole: what the three locations hold, and that the aggregate holds the same.

The snapshot is a JSON file beside this one; ``UPDATE_SNAPSHOTS=1`` writes it anew, and the difference is for review.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.definitions import definitions as aggregate
from mlops_assets.modeling.definitions import definitions as modeling
from mlops_assets.plumbing.definitions import definitions as plumbing
from mlops_assets.wrangling.definitions import definitions as wrangling

SNAPSHOT = Path(__file__).with_name("definitions.snapshot.json")
LOCATIONS = {"plumbing": plumbing, "wrangling": wrangling, "modeling": modeling}


def made(defs: dg.Definitions) -> list[dg.AssetsDefinition]:
    return [asset for asset in defs.assets or () if isinstance(asset, dg.AssetsDefinition)]


def described(defs: dg.Definitions) -> dict[str, Any]:
    """Assets with dependencies, checks and partitions; jobs, schedules and sensors; by name."""
    specs = {spec.key.to_user_string(): (asset, spec) for asset in made(defs) for spec in asset.specs}
    return {
        "assets": {
            key: {
                "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
                "partitions": 0 if spec.partitions_def is None else len(spec.partitions_def.get_partition_keys()),
                "checks": {
                    check.name: "blocks" if check.blocking else "warns"
                    for check in sorted(asset.check_specs, key=lambda check: check.name)
                },
                "owners": list(spec.owners),
                "automated": spec.automation_condition is not None,
            }
            for key, (asset, spec) in sorted(specs.items())
        },
        "jobs": sorted(job.name for job in defs.jobs or ()),
        "schedules": sorted(f"{s.name} {getattr(s, 'cron_schedule', '')}" for s in defs.schedules or ()),
        "sensors": sorted(sensor.name for sensor in defs.sensors or ()),
    }


def test_the_definitions_are_those_of_the_snapshot() -> None:
    now = {name: described(definitions()) for name, definitions in LOCATIONS.items()}
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    assert now == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_the_aggregate_holds_exactly_what_the_locations_hold() -> None:
    parts = [described(definitions()) for definitions in LOCATIONS.values()]
    whole = described(aggregate())
    assert whole["assets"] == {key: asset for part in parts for key, asset in part["assets"].items()}
    for kind in ("jobs", "schedules", "sensors"):
        assert whole[kind] == sorted(name for part in parts for name in part[kind])


@pytest.mark.parametrize("location", LOCATIONS)
def test_a_location_knows_the_partitions_of_every_upstream_table(location: str) -> None:
    graph = LOCATIONS[location]().resolve_asset_graph()
    whole = aggregate().resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        assert graph.get(key).partitions_def == whole.get(key).partitions_def, key


def test_every_asset_has_an_owner_a_description_and_a_group() -> None:
    for asset in made(aggregate()):
        for spec in asset.specs:
            assert spec.owners, spec.key
            assert spec.description, spec.key
            assert spec.group_name, spec.key


def test_every_table_is_guarded_by_blocking_checks() -> None:
    for asset in made(aggregate()):
        # Exports and pages are no tables.
        if asset.key.path[0] not in {"served", "reports"}:
            blocking = {check.name for check in asset.check_specs if check.blocking}
            assert "contract" in blocking, asset.key
