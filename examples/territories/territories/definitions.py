"""Definitions: what Dagster loads."""

from __future__ import annotations

import mlops_assets as ma
from territories.assets import customer_export, territories

defs = ma.build_defs([customer_export, territories], name="territories")
