"""Definitions: assets put together with the lakes and sensors that they need.

Put here what every code location shares. Keep out any pipeline's own assets, schedules and sensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import dagster as dg
from dagster_shared.record import replace

from mlops_assets.platform.assets.alerts import alert_sensor
from mlops_assets.platform.assets.automation_sensor import AutomationSensor
from mlops_assets.platform.assets.exported import export_of
from mlops_assets.platform.assets.inputs import contract_of, ins_of, resolved, specs_of
from mlops_assets.platform.assets.io_manager import LakeIOManager
from mlops_assets.platform.assets.reconciler import reconciler
from mlops_assets.platform.contracts.contract import made_by_hand
from mlops_assets.platform.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.platform.contracts.lake import Lake

IO_MANAGER: Final = "lake_io_manager"
"""The resource key by which a plain asset reads tables of a lake (``input_manager_key``)."""

# Definitions merge only where what they have under one key is one object.
_READER: Final = LakeIOManager()


@runtime_checkable
class Declaration(Protocol):
    """A declaration of which assets are made, such as that of a source, with what they need beside them."""

    def definitions(self) -> dg.Definitions:
        """The assets, schedules and sensors."""


@runtime_checkable
class Dependent(Declaration, Protocol):
    """A declaration that needs to know another table, such as that of a comparison."""

    def located(self, tables: Mapping[dg.AssetKey, Contract]) -> Declaration:
        """The same with the contract of its table, looked up among those of the other assets."""


def build_defs(
    assets: Iterable[dg.AssetsDefinition | dg.AssetSpec | Declaration | dg.Definitions],
    *,
    name: str = "lakes",
    lakes: Iterable[Lake] = (),
    by_hand: Sequence[Contract] = (),
    schedules: Sequence[dg.ScheduleDefinition] = (),
    sensors: Sequence[dg.SensorDefinition] = (),
    jobs: Sequence[dg.JobDefinition] = (),
    executor: dg.ExecutorDefinition | None = dg.in_process_executor,
) -> dg.Definitions:
    """The definitions of these assets, with all that their tables need: plain Dagster, to merge with others.

    Added are the lakes as resources by their names, ``lake_io_manager`` for plain assets that read a lake, the specs of
    upstream tables that other locations make, and three running sensors: automation of these assets, the reconciler of
    lost events, and alerts.

    Args:
        assets: published assets, and any others; declarations of which assets are made, such as sources; and whole
            definitions, such as those of ``dg.load_from_defs_folder``.
        name: begins the names of the sensors; another one for each call in a code location.
        lakes: lakes that take the place of those that assets declare under the same name.
        by_hand: tables that people add rows to, made by no asset; their publishes are reported.
        schedules: further schedules.
        sensors: further sensors.
        jobs: further jobs.
        executor: of runs; one process for all their steps if not given. ``None`` where what these are merged with names
            one; whole definitions among the assets keep theirs.

    Raises:
        ContractError: what is given are no assets, an input names a table that is not there, or two declarations of a
            lake differ.

    Example:
        >>> import dagster as dg
        >>> import mlops_assets as ma
        >>> defs = dg.Definitions.merge(ma.build_defs([], lakes=[ma.Lake("curated")], name="sales"), dg.Definitions())
        >>> sorted(defs.resources)
        ['curated', 'lake_io_manager']
        >>> sorted(sensor.name for sensor in defs.sensors)
        ['sales_alerts', 'sales_automation', 'sales_reconciler']
    """
    listed, others = _parts(assets, name)
    by_hand = [*by_hand, *(contract for each in listed if (contract := made_by_hand(each)) is not None)]
    made = [each for each in listed if isinstance(each, dg.AssetsDefinition)]
    own = {key for each in made for key in each.keys}
    contracts = [contract for each in made if (contract := contract_of(each)) is not None]
    upstream = _upstream(listed, by_hand)
    tables = {contract.key: contract for contract in upstream}
    for each in made:
        if (export := export_of(each)) is not None:
            export.require_all_fit([tables[read.key] for read in ins_of(each).values()])
    chosen = _lakes([*contracts, *by_hand, *upstream], lakes)
    described = {contract.key: contract.described_spec() for contract in by_hand}
    specs = {each.key: each for each in listed if isinstance(each, dg.AssetSpec)}
    elsewhere = [contract for contract in upstream if contract.key not in {*own, *described}]
    foreign = {contract.key: contract.spec() for contract in elsewhere if contract.key not in specs}
    resources: dict[str, Any] = {**chosen, IO_MANAGER: _READER}
    made_here = dg.Definitions(
        assets=[*made, *{**specs, **foreign, **described}.values()],
        # By default in one process: runs have a few short steps, and a process for each would cost more than it gives.
        executor=None if any(other.executor is not None for other in others) else executor,
        resources=resources,
        schedules=list(schedules),
        jobs=list(jobs),
        sensors=[
            AutomationSensor(f"{name}_automation", made, elsewhere),
            reconciler(f"{name}_reconciler", [*contracts, *by_hand], list(chosen.values())),
            alert_sensor(f"{name}_alerts", [spec for each in made for spec in each.specs]),
            *sensors,
        ],
    )
    return dg.Definitions.merge(made_here, *others)


def _parts(assets: object, name: str) -> tuple[list[dg.AssetsDefinition | dg.AssetSpec], list[dg.Definitions]]:
    """The assets of all that was given, and what came with them.

    Raises:
        ContractError: something else was given.
    """
    found: list[dg.AssetsDefinition | dg.AssetSpec] = []
    beside: list[dg.Definitions] = []
    given = assets if isinstance(assets, Iterable) else [assets]
    # Those that need another table come last.
    for declared in sorted(given, key=lambda one: isinstance(one, Dependent)):
        each: object = declared
        if isinstance(declared, Dependent):
            known = [contract for asset in found if (contract := contract_of(asset)) is not None]
            each = declared.located({contract.key: contract for contract in known})
        whole = each.definitions() if isinstance(each, Declaration) else each
        if isinstance(whole, dg.AssetsDefinition | dg.AssetSpec) and whole is not assets:
            found.append(whole)
        elif isinstance(whole, dg.Definitions):
            inner, _ = _parts(whole.assets or (), name)
            found += inner
            beside.append(replace(whole, assets=None))
        else:
            raise ContractError(
                source=f"Definitions {name}",
                culprit=f"among their assets is {getattr(each, '__name__', type(each).__name__)}, or they are no list.",
                remedy="List what @ma.asset or @dg.asset have made, and sources: build_defs([orders], name=...).",
            )
    return found, beside


def _upstream(assets: Sequence[dg.AssetsDefinition | dg.AssetSpec], by_hand: Sequence[Contract]) -> list[Contract]:
    """The contracts of all tables that are read."""
    known = {spec.key: spec.metadata for each in assets for spec in specs_of(each)}
    known |= {contract.key: contract.spec().metadata for contract in by_hand}
    return [
        read.contract
        for each in assets
        if isinstance(each, dg.AssetsDefinition)
        for read in resolved(ins_of(each), known, f"Asset {specs_of(each)[0].key.to_user_string()}").values()
    ]


def _lakes(contracts: Iterable[Contract], given: Iterable[Lake]) -> dict[str, Lake]:
    """The lakes by name: those given, else those that the contracts declare.

    Raises:
        ContractError: one is declared in two ways, or given for other data than it is declared for.
    """
    declared: dict[str, Lake] = {}
    for contract in contracts:
        other = declared.setdefault(contract.lake.name, contract.lake)
        if other != contract.lake:
            raise ContractError(
                source=f"Lake {other}",
                culprit=f"the table {contract.layer}/{contract.table} declares it otherwise than another table does.",
                remedy="Declare it once, and name that everywhere.",
            )
    places = {lake.name: lake for lake in given}
    for lake in places.values():
        if lake.name in declared and declared[lake.name].personal != lake.personal:
            raise ContractError(
                source=f"Lake {lake}",
                culprit=f"it is given with personal={lake.personal}, and its tables declare the opposite.",
                remedy="Give it as it is declared.",
            )
    return {**declared, **places}
