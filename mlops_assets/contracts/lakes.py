"""The two lakes of the voters' pipelines.

Put here a lake. Keep out where it is on some machine (``Settings``) and what is in it.
"""

from __future__ import annotations

from typing import Final

from mlops_assets.platform.contracts.lake import Lake

RESTRICTED: Final = Lake("restricted", personal=True)
CURATED: Final = Lake("curated")
