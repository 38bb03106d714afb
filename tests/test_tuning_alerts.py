"""The search for a sensitivity finds the budget, and labels have the last word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgeseq.cli import edgeseq
from edgeseq.core.instants import format_instant
from edgeseq.errors import ConfigError, InputError
from edgeseq.tuning import Label, Trial, choose

T0 = 1_760_000_000 * 10**9
CONFIG = """
[node]
clock = "readings"
[[streams]]
name = "lab"
topic = "lab/+"
every = "10m"
season = "none"
{more}
"""
STEPS = 1900


def record(path: Path) -> None:
    """Write two weeks of noise on four streams, with a heavy tail, so that more sensitive alerts find more."""
    rng = np.random.default_rng(5)
    noise = rng.standard_t(3, (STEPS, 4))
    rows = (
        f"{format_instant(T0 + 600 * 10**9 * k)}," + ",".join(f"{v:.4f}" for v in noise[k])
        for k in range(STEPS)
    )
    path.write_text("time,a,b,c,d\n" + "\n".join(rows) + "\n", encoding="utf-8")


def run(folder: Path, *options: str, more: str = "alerts_per_week = 12") -> dict[str, Any]:
    """Tune, and give what was tried."""
    (folder / "edgeseq.toml").write_text(CONFIG.format(more=more), encoding="utf-8")
    record(folder / "r.csv")
    columns = [part for name in "abcd" for part in ("--column", f"{name}=lab/{name}")]
    arguments = ["tune", "alerts", str(folder / "r.csv"), "--config", str(folder / "edgeseq.toml"), "--json"]
    done = CliRunner().invoke(edgeseq, [*arguments, *columns, *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (table,) = json.loads(done.stdout)
    found: dict[str, Any] = table
    return found


def test_tune_alerts_finds_the_budget_and_writes_the_lines(tmp_path: Path) -> None:
    """Within a factor of 1.5 on what it was tuned on, or one alert; the lines name the table."""
    lines = tmp_path / "lines.toml"
    table = run(tmp_path, "-o", str(lines))
    chosen = next(t for t in table["trials"] if t["sensitivity"] == table["sensitivity"])
    off = abs(chosen["alerts_per_week"] - 12)
    assert off <= 4 or off * table["weeks"] <= 1, table
    rates = [trial["alerts_per_week"] for trial in table["trials"]]
    assert rates[0] <= rates[-1], "more sensitive finds more"
    text = lines.read_text(encoding="utf-8")
    assert 'name = "lab"' in text
    shown = float(f"{table['sensitivity']:.4g}")
    assert f"sensitivity = {shown}" in text


def test_tune_alerts_without_a_budget_is_refused(tmp_path: Path) -> None:
    """It says where one can be given."""
    with pytest.raises(ConfigError, match="budget"):
        run(tmp_path, more="")


def test_tune_alerts_with_labels_that_are_none_is_refused(tmp_path: Path) -> None:
    """The line is named."""
    (tmp_path / "l.jsonl").write_text('{"alert": 3}\n', encoding="utf-8")
    with pytest.raises(InputError, match="labelled"):
        run(tmp_path, "--labels", str(tmp_path / "l.jsonl"))


def tried(*found: tuple[float, float, set[int]]) -> list[Trial]:
    """Make trials."""
    return [Trial(sensitivity, rate, frozenset(labels)) for sensitivity, rate, labels in found]


REAL, FALSE = Label("s", 0, is_real=True), Label("s", 0, is_real=False)


@pytest.mark.parametrize(
    ("trials", "labels", "expected"),
    [
        (tried((0.5, 1, set()), (1, 2, set()), (2, 8, set())), [], (1, "budget")),
        (tried((0.5, 1, set()), (1, 2, set()), (2, 8, {0})), [REAL], (2, "real events are found")),
        (tried((0.5, 1, set()), (1, 2, {0}), (2, 8, {0})), [FALSE], (0.5, "false alarms are silent")),
        (tried((0.5, 1, {0}), (1, 2, {0})), [FALSE], (0.5, "false alarms cannot be silenced")),
        (tried((0.5, 1, set()), (1, 2, {0, 1}), (2, 8, {0, 1})), [REAL, FALSE], (1, "real events are found")),
    ],
)
def test_labels_have_the_last_word(
    trials: list[Trial], labels: list[Label], expected: tuple[float, str]
) -> None:
    """A real event must be found, whatever it costs; else a false alarm must not be told; else the budget decides."""
    assert choose(trials, 2.0, labels) == expected
