"""Arrays of numbers, codes and flags, as methods of comparison pass them to each other.

Put here names of NumPy types that more than one room uses. Keep out functions.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
