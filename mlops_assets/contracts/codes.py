"""Codes of the domain: official voter-file codes, known synonyms, state and FIPS numbers.

Put here code lists with their official source. Keep out the mending of rows (that is wrangling).
"""

from __future__ import annotations

from typing import Final

UNRECOGNISED: Final = "UNRECOGNISED"
"""The class that a code gets which neither the official layout nor the known synonyms explain."""

# North Carolina State Board of Elections, layout_ncvoter.txt (02/11/2022).
RACE: Final = {
    "A": "ASIAN",
    "B": "BLACK",
    "I": "AMERICAN_INDIAN",
    "M": "MULTIRACIAL",
    "O": "OTHER",
    "P": "PACIFIC_ISLANDER",
    "U": "UNDESIGNATED",
    "W": "WHITE",
}
ETHNICITY: Final = {"HL": "HISPANIC", "NL": "NOT_HISPANIC", "UN": "UNDESIGNATED"}
GENDER: Final = {"F": "FEMALE", "M": "MALE", "U": "UNDESIGNATED"}
PARTY: Final = {"DEM": "DEMOCRATIC", "REP": "REPUBLICAN", "UNA": "UNAFFILIATED", "LIB": "LIBERTARIAN", "GRE": "GREEN"}
STATUS: Final = {"A": "ACTIVE", "D": "DENIED", "I": "INACTIVE", "R": "REMOVED", "S": "TEMPORARY"}

# Codes used for the same classes elsewhere: NPA is Florida's "no party affiliation", BL Alabama's older race code.
SYNONYMS: Final = {
    "race": {"BL": "B", "WH": "W", "AS": "A", "UN": "U"},
    "ethnicity": {"H": "HL", "N": "NL", "U": "UN"},
    "gender": {"FEMALE": "F", "MALE": "M", "X": "U"},
    "party": {"NPA": "UNA", "IND": "UNA", "UNAFF": "UNA", "D": "DEM", "R": "REP"},
}

# Federal Information Processing Standard 5-2 numbers of the states (and DC).
FIPS_BY_STATE: Final = {
    "AL": "01", "AK": "02", "AZ": "04", "AR": "05", "CA": "06", "CO": "08", "CT": "09", "DE": "10", "DC": "11",
    "FL": "12", "GA": "13", "HI": "15", "ID": "16", "IL": "17", "IN": "18", "IA": "19", "KS": "20", "KY": "21",
    "LA": "22", "ME": "23", "MD": "24", "MA": "25", "MI": "26", "MN": "27", "MS": "28", "MO": "29", "MT": "30",
    "NE": "31", "NV": "32", "NH": "33", "NJ": "34", "NM": "35", "NY": "36", "NC": "37", "ND": "38", "OH": "39",
    "OK": "40", "OR": "41", "PA": "42", "RI": "44", "SC": "45", "SD": "46", "TN": "47", "TX": "48", "UT": "49",
    "VT": "50", "VA": "51", "WA": "53", "WV": "54", "WI": "55", "WY": "56",
}  # fmt: skip
STATE_BY_FIPS: Final = {fips: state for state, fips in FIPS_BY_STATE.items()}

# US Census Bureau, Census Regions and Divisions of the United States.
_STATES_BY_REGION: Final = {
    "NORTHEAST": "CT ME MA NH NJ NY PA RI VT",
    "MIDWEST": "IL IN IA KS MI MN MO NE ND OH SD WI",
    "SOUTH": "AL AR DE DC FL GA KY LA MD MS NC OK SC TN TX VA WV",
    "WEST": "AK AZ CA CO HI ID MT NV NM OR UT WA WY",
}
REGION_BY_STATE: Final = {state: region for region, states in _STATES_BY_REGION.items() for state in states.split()}

DEMOCRATIC_PRESIDENT_AT: Final = frozenset(
    str(year)
    for first, last in ((1978, 1980), (1994, 2000), (2010, 2016), (2022, 2024))
    for year in range(first, last + 1, 2)
)
"""The general elections since 1976 on whose day the president in office was a Democrat; a Republican at the others."""
