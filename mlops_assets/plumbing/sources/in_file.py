"""What is in the file of all partitions: noted by whoever reads it, so that the sensor asks for no others.

Put here what is known of it without reading it. Keep out how its rows are told apart (``own_rows``), and when a run is
asked for (``arrivals``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import dagster as dg

    from mlops_assets.platform.contracts.contract import Contract
    from mlops_assets.plumbing.sources.arrivals import Told


class _Noted(BaseModel):
    """Which partitions are in the version of a file that was read last; none where it cannot be read."""

    delivery: str
    keys: list[str]


def note(contract: Contract, instance: dg.DagsterInstance, delivery: str, keys: Sequence[str]) -> None:
    """Let the sensor know which partitions are in that version of the file."""
    noted = _Noted(delivery=delivery, keys=list(keys))
    instance.daemon_cursor_storage.set_cursor_values({_name(contract): noted.model_dump_json()})


def to_ask_for(
    contract: Contract,
    instance: dg.DagsterInstance,
    arrived: Mapping[str | None, str],
    told: Told,
    look: Callable[[], list[str] | None] = lambda: None,
) -> dict[str | None, str]:
    """Of the partitions of a table whose one file has arrived, those that are in it.

    A version that nobody has read is looked into, or else read by a run of one partition that was in the last one; the
    others wait for that. Of a table without any publish, nothing tells more than the runs of all of them.

    Args:
        contract: the table. Where its partitions may be empty, all are asked for.
        instance: knows what was in the last version that was read.
        arrived: by partition the identity of the file.
        told: gains what is not asked for.
        look: gives the partitions that are in it, none where it cannot be read; ``None`` where that takes too long.
    """
    if not arrived or contract.partitions_def is None or contract.volume.allow_empty:
        return dict(arrived)
    known, identity = _noted(instance, contract), next(iter(arrived.values()))
    keys = known.keys if known is not None and known.delivery == identity else look()
    if keys is None:
        before = [key for key in arrived if known is not None and key in known.keys]
        if before:
            told.held_back.append(f"Other partitions wait until that of {before[-1]} has been read from the new file.")
            return {before[-1]: identity}
    elif known is None or known.delivery != identity:
        note(contract, instance, identity, keys)
    if not keys:
        # A run tells what is wrong with it.
        return dict(arrived)
    if absent := [key for key in arrived if key not in {*keys}]:
        shown = f"{absent[0]}{f' and {len(absent) - 1:,} more' if absent[1:] else ''}"
        told.held_back.append(f"The file has no rows of {shown}, which is not asked for.")
    return {key: each for key, each in arrived.items() if key in {*keys}}


def _noted(instance: dg.DagsterInstance, contract: Contract) -> _Noted | None:
    name = _name(contract)
    try:
        return _Noted.model_validate_json(instance.daemon_cursor_storage.get_cursor_values({name}).get(name, ""))
    except ValidationError:
        return None


def _name(contract: Contract) -> str:
    return f"mlops_assets/in_file/{contract.key.to_user_string()}"
