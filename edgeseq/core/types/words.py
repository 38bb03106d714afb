"""Arrays by dtype, words with few meanings, and figures that many must agree on."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Index = NDArray[np.intp]
"""What places things in arrays. Where it has 32 bits NumPy's `take`, `put` and `repeat` refuse 64-bit integers."""
I32 = NDArray[np.int32]
I16 = NDArray[np.int16]
U64 = NDArray[np.uint64]
Bool = NDArray[np.bool_]

Aggregate = Literal["last", "mean", "sum", "min", "max"]
OnGap = Literal["missing", "hold"]
Kind = Literal["gauge", "counter"]
Source = Literal["model", "baseline"]
Quality = Literal["ok", "degraded", "missing"]
Severity = Literal["info", "warning", "critical"]

COVERAGE = 0.9
"""Nominal coverage of published intervals, unless a rule wants another."""

CALIBRATED_LEADS = (1, 2, 4, 8, 16, 24, 48, 96)
"""Leads at which intervals are calibrated; between them offsets are interpolated."""
