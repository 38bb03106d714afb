"""Whether the live switch ever leaves a stream worse than its baseline: with its own bundle, and with a bad one.

    python -m tests.bench.alerts.switch DATA [beginning of a name]

On each data set the test part is forecast by the core with the bundle that was trained on it, and with one that was
trained on another data set. What served is compared with what the baseline would have said, at each calibrated lead.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgeseq.bundle import Bundle
from edgeseq.core.types import CALIBRATED_LEADS
from tests.bench.alerts import bundles, roll
from tests.bench.datasets import DataSet

Row = dict[str, Any]

STRANGER = {"tetouan/": "ett/"}
"""Whose bundle is the bad one; that of Tetouan unless said."""


def run(data: Path, only: str = "") -> tuple[list[Row], dict[str, float]]:
    """Measure all data sets that are there."""
    sets = bundles.find(data)
    rows: list[Row] = []
    for name, d in sets.items():
        if not name.startswith(only):
            continue
        for kind, trained_on in (("own", name), ("stranger's", _stranger(name, list(sets)))):
            bundle = bundles.trained(data, trained_on, sets[trained_on])
            rows.append({"data": name, "bundle": kind, "trained_on": trained_on, **compare(d, bundle)})
    return rows, figures(rows)


def _stranger(name: str, names: list[str]) -> str:
    wanted = next((other for own, other in STRANGER.items() if name.startswith(own)), "tetouan/")
    return next(other for other in names if other.startswith(wanted))


def compare(d: DataSet, bundle: Bundle) -> dict[str, Any]:
    """Compare what served with the baseline over the test part."""
    start = min(roll.HISTORY, d.validation - d.train)
    values = d.targets[d.validation - start : d.test]
    rule = roll.rule_of(d.period_s, d.season, bundles.HORIZON, bundle=True)
    told = roll.tell(rule, roll.stepper_of(bundle), values, start, CALIBRATED_LEADS)
    served, baseline = (np.abs(part - values[:, :, None])[start:] for part in (told.value, told.baseline))
    both = np.isfinite(served) & np.isfinite(baseline)
    served, baseline = (np.where(both, part, np.nan) for part in (served, baseline))
    by_lead = np.nanmean(served, axis=0) / np.nanmean(baseline, axis=0)
    by_stream = np.exp(np.log(by_lead).mean(axis=1))
    return {
        "served_over_baseline": by_stream.round(4).tolist(),
        "worst_stream": float(by_stream.max()), "worst_lead_of_a_stream": float(by_lead.max()),
        "model_serves": float(told.modelled[start:].mean()),
        "switches": int((np.diff(told.modelled[start:].astype(int), axis=0) != 0).sum()),
    }  # fmt: skip


def figures(rows: list[Row]) -> dict[str, float]:
    """Sum up: the worst stream of any data set and bundle."""
    return {
        "switch_worst_stream_over_baseline": max(row["worst_stream"] for row in rows),
        "switch_worst_lead_over_baseline": max(row["worst_lead_of_a_stream"] for row in rows),
    }


if __name__ == "__main__":
    found_rows, found_figures = run(Path(sys.argv[1]), *sys.argv[2:3])
    for row in found_rows:
        print(json.dumps(row))
    print(json.dumps(found_figures, indent=1))
