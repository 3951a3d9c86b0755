"""Voter files as an election office publishes them: the official layout of the day, zipped, with a manifest.

Put here how a snapshot becomes a file, with the mistakes that the office makes in writing it. Keep out what happens to
persons (that is the world's).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING, Final

import numpy as np

from mlops_assets.contracts.layouts import LAYOUTS, layout_in_force
from mlops_assets.simulation import margins, words
from mlops_assets.simulation.configuration import MONTHS, month_index, snapshot_day
from mlops_assets.simulation.lines import Coded, Column, Computed, Constant, header, lines
from mlops_assets.simulation.places import describe_precincts

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.simulation.geography import Codes
    from mlops_assets.simulation.world import Snapshot, World

RECODING: Final = ("GA", "2022-02")
"""From this month on the office writes the second of ``RECODED`` for the party of everybody unaffiliated."""
RECODED: Final = ("UNA", "NPA")
DOUBLING: Final = ("GA", "2022-07")
"""In this month the office loads its file twice: every row is there two times."""

ARCHIVE: Final = "ncvoter.zip"
TEXT_FILE: Final = "ncvoter.txt"
MANIFEST: Final = "manifest.json"
ENCODING: Final = "latin-1"

_FASTEST: Final = 1
_OLDEST: Final = 130
_MOST_DISTRICTS: Final = 20
_NUMBERS_PER_HOUSE: Final = 10
_EMPTY: Final = Constant("")


def party_codes(state: str, month: int) -> tuple[str, ...]:
    """The party codes that the office writes in that month, in the order of ``margins.PARTIES``."""
    if state == RECODING[0] and month >= month_index(RECODING[1]):
        return tuple(RECODED[1] if code == RECODED[0] else code for code in margins.PARTIES)
    return margins.PARTIES


def is_doubled(state: str, month: int) -> bool:
    """Whether the office loads the file of that month twice."""
    return (state, month) == (DOUBLING[0], month_index(DOUBLING[1]))


def id_prefixes(world: World) -> list[str]:
    """How identification numbers begin, by county of first registration: two letters, in Georgia always the state's."""
    counties = range(len(world.geography.counties))
    return [chr(65 + c // 26) + chr(65 + c % 26) if world.geography.state == "NC" else "GA" for c in counties]


class VoterFileWriter:
    """Writes the voter files of one state, any month in any order; safe to use from several threads."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._precincts = describe_precincts(world.geography)

    def write(self, month: int, folder: Path) -> dict[str, object]:
        """Write ``ncvoter.zip`` of that month into the folder and return its manifest.

        The text inside is tab-separated Latin-1 with every field quoted, a header row and CRLF line ends. Rows are in
        the order of registration numbers. The bytes depend on the simulation's configuration alone.
        """
        state, day = self._world.geography.state, snapshot_day(month)
        layout = layout_in_force(day)
        snapshot = self._world.snapshot(month)
        known = self._columns(month)
        columns = [known.get(name, _EMPTY) for name in LAYOUTS[layout]]
        archive = folder / ARCHIVE
        member = zipfile.ZipInfo(TEXT_FILE, (day.year, day.month, day.day, 0, 0, 0))
        member.compress_type = zipfile.ZIP_DEFLATED
        member._compresslevel = _FASTEST  # type: ignore[attr-defined]  # noqa: SLF001 - public from Python 3.13 on
        rows = 0
        with zipfile.ZipFile(archive, "w") as target, target.open(member, "w", force_zip64=True) as text:
            text.write(header(LAYOUTS[layout]).encode(ENCODING))
            for _ in range(2 if is_doubled(state, month) else 1):
                for batch in lines(columns, self._facts(snapshot)):
                    text.write("".join(batch).encode(ENCODING))
                    rows += len(batch)
        with archive.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        return {
            "state": state,
            "month": MONTHS[month],
            "snapshot_date": day.isoformat(),
            "file": ARCHIVE,
            "sha256": digest,
            "bytes": archive.stat().st_size,
            "rows": rows,
            "layout": layout,
        }

    def _facts(self, snapshot: Snapshot) -> dict[str, Codes]:
        """What is known of each registered person, in codes; one element per person, in the order of registration."""
        people, ids = self._world.people, np.flatnonzero(snapshot.present)
        number = self._world.address_number[snapshot.address[ids]].astype(np.int64)
        county = self._world.geography.precinct_county[snapshot.precinct[ids]]
        # House numbers are unique in their street and county, with gaps between them.
        gap = (number * 2_654_435_761 >> 16) % _NUMBERS_PER_HOUSE
        attributes = ("race", "ethnicity", "gender", "status", "surname", "given", "middle", "suffix")
        more = ("birth_state", "licence", "registered", "phone", "county")
        return {
            **{name: getattr(people, name)[ids] for name in attributes + more},
            "person": ids.astype(np.int32) + 1,
            "age": snapshot_day(snapshot.month).year - people.birth_year[ids],
            "party": snapshot.party[ids],
            "precinct": snapshot.precinct[ids],
            "district": snapshot.district[ids],
            "street": ((number + 53 * county) % len(words.STREETS)).astype(np.int32),
            "house": (101 + number // len(words.STREETS) * _NUMBERS_PER_HOUSE + gap).astype(np.int32),
        }

    def _columns(self, month: int) -> dict[str, Column]:
        """The columns that this office fills, by name; the others stay empty."""
        state, year = self._world.geography.state, snapshot_day(month).year
        ages = Coded("age", [str(age) for age in range(_OLDEST)])
        streets = ", ".join(f"'{name}'" for name in words.STREETS)
        # As in North Carolina's files, two blanks stand between house number and street.
        address = Computed(f"house::VARCHAR || '  ' || [{streets}][street + 1]")
        prefixes = ", ".join(f"'{prefix}'" for prefix in id_prefixes(self._world))
        area = margins.MARGINS[state].area_code
        return {
            **{name: Coded("precinct", texts) for name, texts in self._precincts.items()},
            "voter_reg_num": Computed("format('{:012d}', person)"),
            "ncid": Computed(f"[{prefixes}][county + 1] || format('{{:06d}}', person)"),
            "status_cd": Coded("status", ("A", "I")),
            "voter_status_desc": Coded("status", ("ACTIVE", "INACTIVE")),
            "reason_cd": Coded("status", ("AV", "IN")),
            "voter_status_reason_desc": Coded("status", ("VERIFIED", "CONFIRMATION NOT RETURNED")),
            "last_name": Coded("surname", words.SURNAMES),
            "first_name": Coded("given", words.GIVEN_NAMES),
            "middle_name": Coded("middle", words.GIVEN_NAMES),
            "name_suffix_lbl": Coded("suffix", words.SUFFIXES),
            "res_street_address": address,
            "state_cd": Constant(state),
            "mail_addr1": address,
            "mail_state": Constant(state),
            "full_phone_number": Computed(f"CASE WHEN phone = 0 THEN '' ELSE '{area}' || phone::VARCHAR END"),
            "race_code": Coded("race", margins.RACES),
            "ethnic_code": Coded("ethnicity", margins.ETHNICITIES),
            "party_cd": Coded("party", party_codes(state, month)),
            "gender_code": Coded("gender", margins.GENDERS),
            "birth_year": Coded("age", [str(year - age) for age in range(_OLDEST)]),
            "birth_age": ages,
            "age_at_year_end": ages,
            "birth_state": Coded("birth_state", words.BIRTH_STATES),
            "drivers_lic": Coded("licence", ("N", "Y")),
            "registr_dt": Computed("strftime(DATE '1970-01-01' + registered, '%m/%d/%Y')"),
            "cong_dist_abbrv": Coded("district", [str(number) for number in range(_MOST_DISTRICTS)]),
            "confidential_ind": Constant("N"),
        }


def place(manifest: dict[str, object], source: Path, target: Path) -> Path:
    """Put an archive and then its manifest into a landing folder, each by a rename: whoever sees the manifest has both.

    Returns the manifest's path.

    Args:
        manifest: what ``VoterFileWriter.write`` returned.
        source: folder that holds the archive, on the same file system as the target.
        target: folder of that state and month; it exists.
    """
    (source / ARCHIVE).replace(target / ARCHIVE)
    draft = source / MANIFEST
    draft.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return draft.replace(target / MANIFEST)
