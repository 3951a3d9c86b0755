"""Definitions: what Dagster loads."""

from __future__ import annotations

import mlops_assets as ma
from territories.assets import (
    COMPARED,
    CUSTOMERS,
    SERVED_CUSTOMERS,
    SERVED_TERRITORIES,
    SERVICE,
    SHOP,
    customers,
    territories,
)

defs = ma.build_defs(
    [CUSTOMERS, SHOP, SERVICE, customers, COMPARED, territories, SERVED_CUSTOMERS, SERVED_TERRITORIES],
    name="territories",
)
