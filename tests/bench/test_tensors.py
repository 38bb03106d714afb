"""The bench of tensors finds nothing where nothing differs, and what differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from tests.bench import tensors

HOUR_NS = 3600 * 10**9


def test_training_and_device_are_given_the_same_bits(tmp_path: Path) -> None:
    """A bit that differs is found, too."""
    rng = np.random.default_rng(1)
    n = 500
    table = pl.DataFrame(
        {
            "time": np.int64(1_760_000_400_000) + 3_600_000 * np.arange(n, dtype=np.int64),
            "inside": np.round(20 + np.cumsum(rng.normal(0, 0.1, n)), 2),
            "outside": np.round(5 + np.cumsum(rng.normal(0, 0.3, n)), 2),
        }
    ).filter(pl.Series(rng.random(n) >= 0.05))
    learned = tensors.trained(table, HOUR_NS, None, tmp_path)
    fed = tensors.stepped(table, ["inside", "outside"], HOUR_NS)
    found = [tensors.compare(learned[name], x) for name, x in zip(("inside", "outside"), fed, strict=True)]
    assert [one["different"] for one in found] == [0, 0]
    assert all(one["compared"] > 400 and one["missing"] > 10 for one in found)
    fed[0][-30] += np.float32(1e-6)
    assert tensors.compare(learned["inside"], fed[0])["different"] == 1
