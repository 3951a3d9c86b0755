"""Words that names of persons, streets and towns are put together from.

Put here word lists. Keep out real lists of persons: surnames are joined from two halves, so that no row is anybody.
"""

from __future__ import annotations

from itertools import product
from typing import Final

_SURNAME_STARTS: Final = (
    "ASH", "BAR", "BECK", "BRAD", "BRAN", "BURN", "CAL", "CARL", "CHAD", "CLAY", "COL", "CRAW", "DAL", "DUN", "EAST",
    "ELL", "FAIR", "FEN", "GAR", "GLEN", "GRAN", "HALL", "HAR", "HOL", "KEN", "LANG", "LIN", "MAR", "NOR", "OAK",
    "PEN", "RAD", "ROCK", "SHEL", "STAN", "THORN", "WAL", "WES", "WHIT", "WIN",
)  # fmt: skip
_SURNAME_ENDS: Final = (
    "BERRY", "BRIDGE", "BROOK", "BURY", "BY", "COMBE", "DALE", "FIELD", "FORD", "GATE", "HAM", "LAND", "LEY", "MAN",
    "MORE", "NESS", "RIDGE", "SON", "STEAD", "STOCK", "TON", "WELL", "WICK", "WOOD", "WORTH",
)  # fmt: skip
HISPANIC_SURNAMES: Final = (
    "ACUÑA", "BELTRÁN", "CASTAÑEDA", "DÁVILA", "FARÍAS", "GALVÁN", "IBÁÑEZ", "LEÓN", "MUÑOZ", "NÚÑEZ", "ORDÓÑEZ",
    "PEÑA", "QUIÑONES", "RINCÓN", "SALDAÑA", "TREVIÑO", "URIBE", "VALDÉS", "YÁÑEZ", "ZÚÑIGA",
)  # fmt: skip
SURNAMES: Final = tuple(start + end for start, end in product(_SURNAME_STARTS, _SURNAME_ENDS)) + HISPANIC_SURNAMES
"""All surnames; the last ones are ``HISPANIC_SURNAMES``. Every letter is in Latin-1."""

WOMEN: Final = (
    "ADA", "ALMA", "AMELIA", "ANNIE", "BEATRICE", "BRENDA", "CARLA", "CELIA", "CHLOË", "CLARA", "CORA", "DAISY",
    "DELIA", "DORA", "EDITH", "ELENA", "ELSIE", "EMMA", "EVA", "FAITH", "FLORA", "FRANCES", "GRACE", "HAZEL", "HELEN",
    "IDA", "INÉS", "IRIS", "IVY", "JANE", "JOAN", "JUNE", "KATE", "LAURA", "LENA", "LUCÍA", "LYDIA", "MABEL", "MARTHA",
    "MAY", "NELL", "NINA", "OLIVE", "PEARL", "RENÉE", "ROSE", "RUTH", "SADIE", "STELLA", "VERA",
)  # fmt: skip
MEN: Final = (
    "ABEL", "ADAM", "ALAN", "AMOS", "ANDRÉ", "ARTHUR", "BASIL", "BEN", "CALVIN", "CARL", "CECIL", "CLYDE", "DALE",
    "DEAN", "EARL", "EDGAR", "ELI", "ERIC", "EUGENE", "FELIX", "FLOYD", "FRANK", "GLENN", "GUY", "HARVEY", "HENRY",
    "HUGH", "IRA", "IVAN", "JESÚS", "JOEL", "JOSÉ", "JUDE", "KARL", "LEO", "LEWIS", "LUKE", "MARK", "MILES", "NEIL",
    "NOAH", "OSCAR", "PAUL", "RALPH", "ROY", "SAUL", "SIMON", "TED", "VICTOR", "WADE",
)  # fmt: skip
GIVEN_NAMES: Final = WOMEN + MEN
SUFFIXES: Final = ("", "JR", "SR", "II", "III")

_STREET_NAMES: Final = (
    "ACORN", "ALDER", "BIRCH", "BLUFF", "BROOKSIDE", "CEDAR", "CHERRY", "CHURCH", "COVE", "CREEKVIEW", "DOGWOOD",
    "ELM", "FERN", "FOREST", "GARDEN", "GLADE", "HARBOR", "HICKORY", "HILLTOP", "HOLLY", "IRON BRIDGE", "JUNIPER",
    "LAKE", "LAUREL", "LINDEN", "MAGNOLIA", "MAPLE", "MEADOW", "MILL", "MOSS", "OLD FERRY", "ORCHARD", "PARK",
    "PEACHTREE", "PINE", "POND", "QUARRY", "RAILROAD", "RIVER", "SCHOOL", "SPRING", "STONE", "SYCAMORE", "TIMBER",
    "VALLEY", "VIEW", "WALNUT", "WILLOW",
)  # fmt: skip
_STREET_KINDS: Final = ("ST", "RD", "DR", "LN", "CT", "AVE")
STREETS: Final = tuple(f"{name} {kind}" for name, kind in product(_STREET_NAMES, _STREET_KINDS))

_TOWN_STARTS: Final = (
    "ASHE", "BETHEL", "CEDAR", "CLEAR", "EAGLE", "FAIR", "GREEN", "HOPE", "KINGS", "LAKE", "LIBERTY", "MAPLE", "MILL",
    "NEW", "OAK", "PLEASANT", "RED", "ROSE", "SALEM", "SILVER", "SPRING", "STONE", "SUMMER", "WHITE", "WINTER",
)  # fmt: skip
_TOWN_ENDS: Final = (
    "BORO", "BRIDGE", "CREEK", "CROSSING", "DALE", "FIELD", "FORD", "GAP", "GROVE", "HAVEN", "HILL", "MOUNT", "PORT",
    "RIDGE", "SPRINGS", "TON", "VIEW", "VILLE", "WATER", "WOOD",
)  # fmt: skip
TOWNS: Final = tuple(f"{start} {end}" for start, end in product(_TOWN_STARTS, _TOWN_ENDS))

BIRTH_STATES: Final = ("NC", "GA", "SC", "VA", "FL", "NY", "PA", "OH", "TN", "TX", "")
"""Where a person says to be born; empty for the many who leave it out."""
