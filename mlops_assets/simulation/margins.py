"""What the registered voters of each simulated state look like on average: race, ethnicity, gender, party, age, place.

Put here published or assumed shares with their source. Keep out how persons are drawn from them.

Source of race, gender, age and the largest counties: statistics of real state files in the repository of ``zrp``
(ZestAI, Apache-2.0), ``zrp_state_file_statistics.txt``: North Carolina (8,082,149 persons) and Georgia (7,517,881
persons). Its Georgia file counts HISPANIC as a race; here those persons are OTHER and WHITE by race and HL by
ethnicity. It has no Georgian ages (North Carolina's are used) and no parties: those are assumed, near North Carolina's
registration of late 2021 and, for Georgia, which registers no parties in truth, near its primary electorates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

RACES: Final = ("W", "B", "U", "O", "A", "I", "M", "P")
ETHNICITIES: Final = ("NL", "UN", "HL")
GENDERS: Final = ("F", "M", "U")
PARTIES: Final = ("DEM", "REP", "UNA", "LIB", "GRE")

HISPANIC: Final = ETHNICITIES.index("HL")
UNAFFILIATED: Final = PARTIES.index("UNA")


@dataclass(frozen=True, kw_only=True)
class StateMargins:
    """Averages of one state, and the numbers by which authorities know it.

    Attributes:
        name: name in upper case.
        fips: Federal Information Processing Standard 5-2 number, two digits.
        census_code: number in the Census Bureau's own state list, as MEDSL's ``state_cen``.
        icpsr_code: number in the ICPSR state list, as MEDSL's ``state_ic``.
        race: share of each of ``RACES``.
        ethnicity: by race, share of each of ``ETHNICITIES``.
        gender_unknown: share of gender U among persons of race U, and among all others.
        female: share of F among persons of known gender.
        party: share of each of ``PARTIES``.
        largest_counties: share of the state's voters by county.
        first_zip: lowest postal code handed out.
        area_code: telephone area code handed out.
    """

    name: str
    fips: str
    census_code: int
    icpsr_code: int
    race: tuple[float, ...]
    ethnicity: Mapping[str, tuple[float, float, float]]
    gender_unknown: tuple[float, float]
    female: float
    party: tuple[float, ...]
    largest_counties: Mapping[str, float]
    first_zip: int
    area_code: int


AGE_EDGES: Final = (18.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 101.0)
"""Ages in years between which ``AGE_SHARES`` lie."""
AGE_SHARES: Final = (0.04, 0.17, 0.16, 0.15, 0.16, 0.15, 0.10, 0.05, 0.02)

# Chosen so that the state's shares come out at NL 0.74, UN 0.23, HL 0.03.
_NC_ETHNICITY: Final = {
    "W": (0.80, 0.185, 0.015), "B": (0.81, 0.185, 0.005), "U": (0.10, 0.85, 0.05), "O": (0.28, 0.32, 0.40),
    "A": (0.70, 0.28, 0.02), "I": (0.70, 0.27, 0.03), "M": (0.70, 0.22, 0.08), "P": (0.70, 0.26, 0.04),
}  # fmt: skip
_GA_ETHNICITY: Final = _NC_ETHNICITY | {"W": (0.78, 0.19, 0.03), "O": (0.22, 0.30, 0.48)}

MARGINS: Final = {
    "GA": StateMargins(
        name="GEORGIA",
        fips="13",
        census_code=58,
        icpsr_code=44,
        race=(0.535, 0.30, 0.09, 0.035, 0.025, 0.003, 0.009, 0.003),
        ethnicity=_GA_ETHNICITY,
        gender_unknown=(0.02, 0.002),
        female=0.53,
        party=(0.37, 0.36, 0.26, 0.008, 0.002),
        largest_counties={"FULTON": 0.11, "GWINNETT": 0.08, "DEKALB": 0.07, "COBB": 0.07, "CHATHAM": 0.03},
        first_zip=30004,
        area_code=404,
    ),
    "NC": StateMargins(
        name="NORTH CAROLINA",
        fips="37",
        census_code=56,
        icpsr_code=47,
        race=(0.66, 0.21, 0.07, 0.03, 0.0115, 0.008, 0.0085, 0.002),
        ethnicity=_NC_ETHNICITY,
        gender_unknown=(0.60, 0.02),
        female=0.545,
        party=(0.348, 0.302, 0.341, 0.007, 0.002),
        largest_counties={"WAKE": 0.11, "MECKLENBURG": 0.11, "GUILFORD": 0.05, "FORSYTH": 0.04, "DURHAM": 0.03},
        first_zip=27006,
        area_code=919,
    ),
}
"""By state, the shares that the simulated persons follow."""
