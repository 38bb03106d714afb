"""Each picture draws what it says: the data of matplotlib's artists is what was given."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from edgeseq.core.types import F64
from edgeseq_train.pictures import (
    by_lead,
    canvas,
    coverage,
    fan,
    gates,
    gradient,
    loss,
    quantization,
    series,
    state_map,
)
from edgeseq_train.pictures.times import Clock
from tests.support.pages import ys
from tests.train.conftest import HOUR_NS

CLOCK = Clock(HOUR_NS)


def test_series_keeps_peaks_and_marks_the_parts() -> None:
    """A long series is drawn as ranges that keep its one spike; the parts are where the split says."""
    values = np.zeros(10_000)
    values[7_123] = 9.0
    values[100:200] = np.nan
    (axes,) = series.series(values, (6_000, 8_000, 10_000), CLOCK, "t", "u", "c").figure.axes
    assert axes.dataLim.y1 == 9.0
    spans = [patch.get_extents() for patch in axes.patches]
    edges = [axes.transData.inverted().transform_bbox(s) for s in spans]
    assert [(round(e.x0 * 24), round(e.x1 * 24)) for e in edges] == [
        (0, 6_000),
        (6_000, 8_000),
        (8_000, 10_000),
    ]


def test_loss_marks_the_best_point() -> None:
    """The dot stands at the smallest validation loss; the level to beat is a line across."""
    (axes,) = loss.loss([1, 2, 3], [3, 2, 1], [3, 1.5, 2], "c", level=("ridge", 2.5)).figure.axes
    assert ys(axes, "best") == [1.5]
    assert ys(axes, "ridge") == [2.5, 2.5]


def test_gradient_shows_norms_and_the_cut() -> None:
    """The norms are drawn as given, on a log scale, with the clipping norm across."""
    (axes,) = gradient.gradient([1, 2], [0.5, 20.0], 1.0, "c").figure.axes
    assert ys(axes, "norm of the gradient") == [0.5, 20.0]
    assert ys(axes, "cut above this") == [1.0, 1.0]
    assert axes.get_yscale() == "log"


def test_gradient_of_narrow_range_has_ticks() -> None:
    """Norms within a factor of three still have more than one tick to be read by."""
    (axes,) = gradient.gradient([1, 2], [0.7, 1.3], 1.0, "c").figure.axes
    low, high = axes.get_ylim()
    assert sum(low <= tick <= high for tick in axes.get_yticks()) >= 3


def test_fan_shades_each_band_between_its_quantiles() -> None:
    """Bands are named by the share they promise and lie between their two quantiles."""
    q = np.array([[-3.0, -1.0, 0.0, 1.0, 3.0], [-6.0, -2.0, 0.0, 2.0, 6.0]])
    picture = fan.fan(
        np.arange(4), np.arange(4.0), q, (0.05, 0.25, 0.5, 0.75, 0.95), CLOCK, "u", "f", "t", "c"
    )
    (axes,) = picture.figure.axes
    bands: dict[str, Any] = {str(c.get_label()): c.get_paths()[0].vertices for c in axes.collections}
    assert set(bands) == {"90 %", "50 %"}
    assert (bands["90 %"][:, 1].min(), bands["90 %"][:, 1].max()) == (-6, 6)
    assert (bands["50 %"][:, 1].min(), bands["50 %"][:, 1].max()) == (-2, 2)
    assert ys(axes, "readings") == [0, 1, 2, 3]


def test_error_by_lead_draws_every_forecaster_in_its_colour() -> None:
    """Each line is the errors given; the model's is the widest and has the model's colour."""
    errors: dict[str, F64] = {"persistence": np.array([1.0, 2.0]), "model": np.array([0.5, 0.75])}
    (axes,) = by_lead.by_lead(errors, "c").figure.axes
    assert ys(axes, "persistence") == [1.0, 2.0]
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    assert to_hex(lines["model"].get_color()) == canvas.MODEL
    assert lines["model"].get_linewidth() > lines["persistence"].get_linewidth()


def test_coverage_is_drawn_in_per_cent() -> None:
    """Levels and shares stand on both axes in per cent, beside the diagonal."""
    (axes,) = coverage.coverage((0.1, 0.5, 0.9), {"lead 1": [0.2, 0.5, 0.8]}, "c").figure.axes
    assert ys(axes, "lead 1") == pytest.approx([20, 50, 80])
    assert ys(axes, "as promised") == [0, 100]


def test_quantization_bars_are_the_losses() -> None:
    """A bar per variant, as long as its change; the shipped one stands out; its text lies within the picture."""
    (axes,) = quantization.quantization(["float32", "int8"], [0.0, -0.25], [90, 30], "int8", "c").figure.axes
    widths = [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert widths == [0.0, -0.25]
    assert to_hex(axes.patches[1].get_facecolor()) == canvas.MODEL
    assert [t.get_text() for t in axes.texts] == ["+0.00 %, 90 kB", "-0.25 %, 30 kB"]
    assert axes.get_xlim()[0] < -0.25 < 0 < axes.get_xlim()[1]


def test_gates_and_readings_share_the_day() -> None:
    """Openings are drawn in per cent above the readings, over the same hours."""
    at = np.arange(24.0)
    above, below = gates.gates(at, {"keep (z)": at / 24}, at * 2, "hour of day", "u", "c").figure.axes
    assert ys(above, "keep (z)")[12] == pytest.approx(50)
    assert np.asarray(below.get_lines()[0].get_ydata()).tolist() == (at * 2).tolist()
    assert above.get_xlim() == below.get_xlim()


def test_state_map_sorts_units_by_what_they_move() -> None:
    """The unit that moves most is the top row; the sign has its colour, 0 is transparent."""
    states = np.array([[0.5, -1.0], [0.5, 1.0], [0.5, 0.0]])
    (axes,) = state_map.state_map(np.arange(3.0), states, "hour", "c").figure.axes
    (image,) = axes.get_images()
    assert np.asarray(image.get_array()).tolist() == [[0.5, 0.5, 0.5], [-1.0, 1.0, 0.0]]
    rgba: Any = image.cmap(image.norm(np.array([-1.0, 0.0, 1.0])))
    assert to_hex(rgba[0]) == canvas.SEASONAL
    assert to_hex(rgba[2]) == canvas.MODEL
    assert rgba[1][3] < 0.01


def test_svg_takes_the_pages_colours_and_fonts() -> None:
    """Inline pictures name no font and no fixed colour of the palette, and their ids carry their name."""
    with canvas.style():
        svg = canvas.inline_svg(loss.loss([1, 2], [2, 1], [2, 1.5], "c", name="one"))
    assert "font-family" not in svg
    assert not [c for c in canvas.VARIABLES if c in svg]
    assert "var(--model)" in svg
    assert all(i.startswith("one-") for i in re.findall(r'\bid="([^"]*)"', svg))


def test_svg_says_what_the_picture_says() -> None:
    """Every text of a picture stands in its SVG as it is, to the last digit."""
    picture = loss.loss([1, 2], [0.1251, 0.1253], [0.1252, 0.1254], "c")
    with canvas.style():
        svg = canvas.inline_svg(picture)
    shown = re.findall(r"<text[^>]*>(.*?)</text>", svg)
    (axes,) = picture.figure.axes
    low, high = axes.get_ylim()
    ticks = [t.get_text() for t in axes.get_yticklabels() if low <= t.get_position()[1] <= high]
    assert len({len(t) for t in ticks}) == 1
    assert max(map(len, ticks)) >= len("0.1251")
    assert set(ticks) <= set(shown)
