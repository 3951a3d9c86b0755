"""Errors of modeling.

Put here what a model owner has to decide about. Keep out errors of artifacts and of inputs (scoring and the platform
have them).
"""

from __future__ import annotations

from mlops_assets.platform.errors import PlatformError


class TrainingError(PlatformError):
    """There is too little to learn from or to test on, or the trained model and its file disagree."""
