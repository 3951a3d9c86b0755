"""Demographics: registered voters of each district counted by class, small cells suppressed.

Put here counts of one snapshot by district. Keep out changes between snapshots and anything about single persons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import ibis

from mlops_assets.contracts.features import SMALLEST_CELL
from mlops_assets.wrangling.small_cells import suppressed
from mlops_assets.wrangling.voters import COHORT_YEARS

if TYPE_CHECKING:
    import ibis.expr.types as ir

ALL: Final = "all"
UNKNOWN_AGE: Final = "UNKNOWN"
AGE_GROUPS: Final = {"18-24": 25, "25-34": 35, "35-44": 45, "45-54": 55, "55-64": 65, "65-74": 75}
"""Age group by the age at which it ends; from the last on it is ``75+``."""

_CLASSED: Final = ("race", "ethnicity", "gender", "party", "age_group", "status")


def district_demographics(voters: ir.Table) -> ir.Table:
    """Count registered voters by district and class.

    Args:
        voters: rows of ``wrangled/voters``, one or more snapshots.

    Returns:
        Rows of ``features/district_demographics``, keyed by state, month, district, attribute and category. Classes
        that nobody has are absent.
    """
    keys = ("state", "month", "district")
    aged = voters.mutate(age_group=age_group(voters.birth_cohort, voters.month))
    # One pass over the persons; the attributes are then counted from the far fewer combinations.
    combined = aged.group_by(*keys, *_CLASSED).aggregate(voters=aged.count())
    parts = [combined.select(*keys, attribute=ibis.literal(ALL), category=ibis.literal(ALL), voters="voters")]
    parts += [
        combined.select(*keys, attribute=ibis.literal(column), category=column, voters="voters") for column in _CLASSED
    ]
    cells = ibis.union(*parts).group_by(*keys, "attribute", "category")
    counted = cells.aggregate(voters=ibis._.voters.sum())
    return suppressed(counted, (*keys, "attribute"), "category", "voters", SMALLEST_CELL)


def age_group(birth_cohort: ir.IntegerValue, month: ir.StringValue) -> ir.StringValue:
    """The age group in the snapshot's year of somebody born in the middle of the cohort.

    Pre-registered persons, who are not yet 18, count in the youngest group; no birth cohort gives ``UNKNOWN``.
    """
    return group_of_age(month.left(4).cast("int64") - birth_cohort - COHORT_YEARS // 2)


def group_of_age(age: ir.IntegerValue) -> ir.StringValue:
    """The age group of somebody that old; NULL gives ``UNKNOWN``."""
    bounds = ((age < end, group) for group, end in AGE_GROUPS.items())
    return ibis.cases((age.isnull(), UNKNOWN_AGE), *bounds, else_="75+")
