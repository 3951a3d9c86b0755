"""Voter files: the declaration of the landing folder that election offices deliver to, one file for a state and month.

Put here what is theirs alone: the folder, what their manifests must say, which layout a file has, and where each row
stands in it. Keep out how files are noticed, compared, unpacked and parsed (that is every file's way).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import dagster as dg

from mlops_assets.contracts.layouts import LAYOUTS, VOTER_FILE_COLUMNS, layout_in_force
from mlops_assets.contracts.partitions import SNAPSHOT_MONTHS, STATES, TIME_ZONE, snapshot_day
from mlops_assets.contracts.raw import VOTER_FILE
from mlops_assets.platform.errors import SourceError
from mlops_assets.platform.lake.catalog import literal
from mlops_assets.plumbing.sources.files.places import Place
from mlops_assets.plumbing.sources.files.source import FileSource
from mlops_assets.plumbing.sources.files.wholeness import Manifest
from mlops_assets.plumbing.sources.formats.kinds import Delimited

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Mapping

    from mlops_assets.platform.settings import Settings
    from mlops_assets.plumbing.sources.delivered import Delivered, Fact, Request
    from mlops_assets.plumbing.sources.files.wholeness import Promise

_STATE_COLUMN: Final = "state_cd"
# Where columns have slipped, a name stands in that of the state, so what stands there is not told.
_ANOTHER: Final = f"another by {_STATE_COLUMN}"


class VoterFiles(FileSource):
    """The landing folder, which the operator sets."""

    VERSION = f"{FileSource.VERSION}.1"

    def place(self, settings: Settings) -> Place:
        """The landing folder."""
        return Place.at(str(settings.landing), {})

    def promise(self, place: Place, key: str | None) -> Promise:
        """What the manifest says, all of it, of the state and month in whose folder it lies."""
        promise = super().promise(place, key)
        values = self.contract.partition_values(key)
        source = place.name_of(self.path_of(place, key))
        said = {name: promise.said.get(name) for name in (*values, "snapshot_date")}
        agree = all(said[name] == value for name, value in values.items())
        if not agree or not str(said["snapshot_date"]).startswith(f"{values['month']}-"):
            raise SourceError(
                source=source,
                culprit=f"it names {', '.join(f'{name} {value!r:.40}' for name, value in said.items())}.",
                remedy="Move the delivery to the folder of its state and month, or correct the manifest.",
            )
        # An erasure looks into archives of that name, and must find whatever is read.
        if None in {promise.size, promise.sha256, promise.rows} or not str(promise.path).endswith(".zip"):
            raise SourceError(
                source=source,
                culprit="it does not say bytes, sha256, rows and the name of a zip archive (file).",
                remedy="Write the manifest anew.",
            )
        return promise

    def parsed(self, request: Request, source: str, facts: Mapping[str, Fact], *, proven: bool) -> Delivered:
        """The lines of the file, each with its layout and place.

        ``state_cd`` is the state of the residential address: a line that names another state than the file's is
        another state's voter. Lines without one (confidential addresses) pass. A file that holds every line twice
        passes if its manifest says so: mending is not plumbing.
        """
        delivered = super().parsed(request, source, facts, proven=proven)
        if delivered.facts["packed"] != "zip":
            raise SourceError(
                source=delivered.source,
                culprit="it is no zip archive, whatever its name says.",
                remedy="Deliver its text in a zip archive, with a manifest that agrees.",
            )
        columns, values = delivered.rows.columns, request.partition.values
        layout = _layout(columns, snapshot_day(values["month"]))
        state = own = literal(values["state"])
        if _STATE_COLUMN in columns:
            written = f"coalesce(upper(trim({_STATE_COLUMN})), '')"
            state = f"CASE WHEN {written} IN ('', {own}) THEN {own} ELSE {literal(_ANOTHER)} END"
        # Of one that was refused nothing is on record, not even its name.
        file = literal(str(delivered.facts.get("file", source)))
        rows = delivered.rows.project(
            f"{state} AS state, {literal(layout)} AS layout, {file} AS source_file, "
            "row_number() OVER () AS source_row, *"
        )
        return dataclasses.replace(
            delivered,
            rows=rows,
            absent={*VOTER_FILE_COLUMNS} - {*LAYOUTS[layout]},
            facts={**delivered.facts, "layout": layout},
        )


def _layout(columns: Collection[str], day: dt.date) -> str:
    """The layout with these columns, else the one that lacks and adds the fewest."""
    # A layout in force breaks ties; a delayed change of layout must not make every column look wrong.
    return min(LAYOUTS, key=lambda name: (len({*LAYOUTS[name]} ^ {*columns}), name != layout_in_force(day)))


def voter_files_due(moment: dt.datetime) -> list[str]:
    """The voter files expected by then: those of the month, for every state; none outside the known months."""
    month = f"{moment:%Y-%m}"
    if month not in SNAPSHOT_MONTHS:
        return []
    return [str(dg.MultiPartitionKey({"month": month, "state": state})) for state in STATES]


voter_file: Final = VoterFiles(
    contract=VOTER_FILE,
    path="landing",
    file="{state}/{month}/manifest.json",
    whole=Manifest(file="file"),
    format=Delimited(delimiter="\t", encoding="latin-1"),
    every_seconds=5,
    # The day after the snapshot.
    cron="0 6 2 * *",
    timezone=TIME_ZONE,
    due=voter_files_due,
    # What is not there yet is asked for when it arrives.
    retries=0,
)
