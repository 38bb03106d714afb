"""A backtest as tables of the terminal."""

from __future__ import annotations

import math

from rich.table import Table

from edgeseq_train.backtest import words
from edgeseq_train.backtest.results import Line, Results

MEASURES = {
    "mase": "MASE", "mae": "MAE (z)", "mse": "MSE (z)", "pinball": "pinball", "winkler_80": "Winkler\n80 %",
    "winkler_90": "Winkler\n90 %", "coverage_80": "within\n80 %", "coverage_90": "within\n90 %",
}  # fmt: skip
COST_FORMS = {
    "parameters": ("{:,.0f}", 1), "state_bytes": ("{:,.0f}", 1), "us_per_reading": ("{:.1f}", 1),
    "peak_bytes": ("{:.0f}", 10**6), "train_cpu_s": ("{:.1f}", 1),
}  # fmt: skip
"""Cost → how it is written, and in which unit."""
PER_CENT = ("coverage_80", "coverage_90")


def error_table(results: Results, h: int) -> Table:
    """Lay out all measures at one horizon."""
    v = results.verdicts[h]
    note = words.MARK if v.winner != v.lowest else None
    table = Table(title=f"{words.span(h)}: {words.standing(v)}", title_justify="left", caption=note)
    table.add_column("forecaster", no_wrap=True)
    for name in MEASURES.values():
        table.add_column(name, justify="right")
    for line in results.lines:
        style = "bold" if line.name == v.lowest else None
        cells = (cell(line, h, measure) for measure in MEASURES)
        table.add_row(words.marked(line.name, v), *cells, style=style)
    return table


def cell(line: Line, h: int, measure: str) -> str:
    """Write a measure; the spread of several seeds beside their mean MASE."""
    value = line.mean(h, measure)
    if math.isnan(value):
        return ""
    if measure in PER_CENT:
        return f"{100 * value:.1f} %"
    spread = f" ±{line.spread(h) / 2:.4f}" if measure == "mase" and len(line.seeds) > 1 else ""
    return f"{value:.4f}{spread}"


def cost_table(results: Results) -> Table:
    """Lay out what each forecaster costs."""
    table = Table(title="Cost", title_justify="left")
    table.add_column("forecaster", no_wrap=True)
    for name in (
        "parameters",
        "bytes of state\nper stream",
        "µs per\nreading",
        "peak\nMB",
        "training\nCPU s",
    ):
        table.add_column(name, justify="right")
    for line in results.lines:
        table.add_row(line.name, *costs(line))
    return table


def costs(line: Line) -> list[str]:
    """Write the costs of a forecaster."""
    values = {name: line.cost(name) for name in COST_FORMS}
    return [
        "" if value is None else form.format(value / unit)
        for value, (form, unit) in zip(values.values(), COST_FORMS.values(), strict=True)
    ]
