"""Labelled alerts with the readings around them, as Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl


def write_parquet(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> int:
    """Write rows, one a reading, with these columns; `value` is a number, `steps_from_onset` whole, the rest text."""
    types: dict[str, pl.DataType] = {
        "value": pl.Float64(),
        "steps_from_onset": pl.Int64(),
    }
    schema = {name: types.get(name, pl.String()) for name in columns}
    pl.DataFrame(list(rows), schema=schema).write_parquet(path)
    return len(rows)
