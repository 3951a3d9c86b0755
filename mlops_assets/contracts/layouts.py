"""Official file layouts: the columns of North Carolina's voter file, before and after February 2022.

Put here layouts as an authority publishes them, with the days they were in force. Keep out how a file is read.

Source: North Carolina State Board of Elections, layout_ncvoter.txt (updated 02/11/2022). Fields are separated by tabs
and quoted; the text is Latin-1. The new layout moved the NCID to the front and the birth year into the middle, renamed
``birth_age`` to ``age_at_year_end`` and dropped four unused columns (two of them ``dist_2_*``).
"""

from __future__ import annotations

import datetime as dt
from typing import Final

LAYOUT_CHANGE_DAY: Final = dt.date(2022, 2, 12)
"""First day of the layout now in force."""

# fmt: off
COLUMNS_UNTIL_2022_02_05: Final = (
    "county_id", "county_desc", "voter_reg_num", "status_cd", "voter_status_desc", "reason_cd",
    "voter_status_reason_desc", "absent_ind", "name_prefx_cd", "last_name", "first_name", "middle_name",
    "name_suffix_lbl", "res_street_address", "res_city_desc", "state_cd", "zip_code", "mail_addr1", "mail_addr2",
    "mail_addr3", "mail_addr4", "mail_city", "mail_state", "mail_zipcode", "full_phone_number", "race_code",
    "ethnic_code", "party_cd", "gender_code", "birth_age", "birth_state", "drivers_lic", "registr_dt",
    "precinct_abbrv", "precinct_desc", "municipality_abbrv", "municipality_desc", "ward_abbrv", "ward_desc",
    "cong_dist_abbrv", "super_court_abbrv", "judic_dist_abbrv", "nc_senate_abbrv", "nc_house_abbrv",
    "county_commiss_abbrv", "county_commiss_desc", "township_abbrv", "township_desc", "school_dist_abbrv",
    "school_dist_desc", "fire_dist_abbrv", "fire_dist_desc", "water_dist_abbrv", "water_dist_desc",
    "sewer_dist_abbrv", "sewer_dist_desc", "sanit_dist_abbrv", "sanit_dist_desc", "rescue_dist_abbrv",
    "rescue_dist_desc", "munic_dist_abbrv", "munic_dist_desc", "dist_1_abbrv", "dist_1_desc", "dist_2_abbrv",
    "dist_2_desc", "confidential_ind", "birth_year", "ncid", "vtd_abbrv", "vtd_desc",
)
COLUMNS_FROM_2022_02_12: Final = (
    "county_id", "county_desc", "voter_reg_num", "ncid", "last_name", "first_name", "middle_name", "name_suffix_lbl",
    "status_cd", "voter_status_desc", "reason_cd", "voter_status_reason_desc", "res_street_address", "res_city_desc",
    "state_cd", "zip_code", "mail_addr1", "mail_addr2", "mail_addr3", "mail_addr4", "mail_city", "mail_state",
    "mail_zipcode", "full_phone_number", "confidential_ind", "registr_dt", "race_code", "ethnic_code", "party_cd",
    "gender_code", "birth_year", "age_at_year_end", "birth_state", "drivers_lic", "precinct_abbrv", "precinct_desc",
    "municipality_abbrv", "municipality_desc", "ward_abbrv", "ward_desc", "cong_dist_abbrv", "super_court_abbrv",
    "judic_dist_abbrv", "nc_senate_abbrv", "nc_house_abbrv", "county_commiss_abbrv", "county_commiss_desc",
    "township_abbrv", "township_desc", "school_dist_abbrv", "school_dist_desc", "fire_dist_abbrv", "fire_dist_desc",
    "water_dist_abbrv", "water_dist_desc", "sewer_dist_abbrv", "sewer_dist_desc", "sanit_dist_abbrv",
    "sanit_dist_desc", "rescue_dist_abbrv", "rescue_dist_desc", "munic_dist_abbrv", "munic_dist_desc",
    "dist_1_abbrv", "dist_1_desc", "vtd_abbrv", "vtd_desc",
)
# fmt: on

VOTER_FILE_COLUMNS: Final = COLUMNS_FROM_2022_02_12 + tuple(
    column for column in COLUMNS_UNTIL_2022_02_05 if column not in COLUMNS_FROM_2022_02_12
)
"""Every column of either layout, in the order of the one now in force."""

LAYOUTS: Final = {
    "until-2022-02-05": COLUMNS_UNTIL_2022_02_05,
    "from-2022-02-12": COLUMNS_FROM_2022_02_12,
}
"""Layouts by name."""


def layout_in_force(day: dt.date) -> str:
    """The name of the layout that a file of that day has."""
    return "from-2022-02-12" if day >= LAYOUT_CHANGE_DAY else "until-2022-02-05"
