"""Definitions: what Dagster loads."""

from __future__ import annotations

import mlops_assets as ma
from territories.assets import CUSTOMERS, SERVICE, SHOP, territories

defs = ma.build_defs([CUSTOMERS, SHOP, SERVICE, territories], name="territories")
