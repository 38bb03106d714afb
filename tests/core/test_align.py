"""Alignment: what training puts on the grid is what the device commits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgeseq.core import align
from edgeseq.core.rounds import rounds
from edgeseq.core.table import Table
from edgeseq.core.types import F64, I64, Aggregate, Kind, OnGap, Readings, StreamRule

PERIOD = 100
law = settings(max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])


def committed(rule: StreamRule, time_ns: I64, values: F64) -> F64:
    """Feed a recording to `align` reading by reading and keep the last sample of each step."""
    channels = values.shape[1]
    table = Table(align.columns(channels))
    table.add_row()
    steps: dict[int, F64] = {}
    for i in range(len(time_ns)):
        for channel in np.flatnonzero(~np.isnan(values[i])):
            one = Readings.from_rows(
                [(i, 0, int(channel), int(time_ns[i]), 0, float(values[i, channel]), 0, False)]
            )
            _collect(table, rule, one, steps)
    # A reading far ahead closes the last step.
    closing = Readings.from_rows([(0, 0, 0, int(time_ns.max()) + 10 * PERIOD, 0, 0.0, 0, False)])
    last = int(table["open_step"][0])
    _collect(table, rule, closing, steps)
    first = min(steps)
    return np.array([steps[step] for step in range(first, last + 1)])


def _collect(table: Table, rule: StreamRule, one: Readings, steps: dict[int, F64]) -> None:
    zero, late = np.zeros(1, np.int64), np.zeros(1, np.bool_)
    for item in align.align(table, rule, 10**6, zero, one, zero, late):
        assert isinstance(item, align.Samples)
        steps[int(item.step[0])] = item.values[0]


@st.composite
def recordings(draw: st.DrawFn) -> tuple[I64, F64]:
    """Draw a recording of one or two channels with gaps, jitter, late rows and missing cells."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, channels = int(rng.integers(1, 60)), int(rng.integers(1, 3))
    time_ns = np.cumsum(rng.choice([0, 10, 50, 100, 130, 700], n)).astype(np.int64) + 10**6
    time_ns -= rng.choice([0, 0, 0, 150], n)
    values = np.round(rng.normal(size=(n, channels)), 2)
    values[rng.random(values.shape) < 0.15] = np.nan
    values[0] = np.round(rng.normal(size=channels), 2)
    return time_ns, values


@law
@given(
    recordings(),
    st.sampled_from(["last", "mean", "sum", "min", "max"]),
    st.sampled_from(["missing", "hold"]),
    st.sampled_from(["gauge", "counter"]),
)
def test_to_grid_equals_what_align_commits(
    recording: tuple[I64, F64], aggregate: Aggregate, on_gap: OnGap, kind: Kind
) -> None:
    """The grid of a recording equals, bit for bit, the samples the device commits from the same readings."""
    time_ns, values = recording
    kept = ~np.isnan(values).all(axis=1)
    time_ns, values = time_ns[kept], values[kept]
    rule = StreamRule(key="r", period_ns=PERIOD, aggregate=aggregate, on_gap=on_gap, kind=kind)
    grid = align.to_grid(time_ns, values, PERIOD, aggregate, on_gap, kind)
    on_device = committed(rule, time_ns, values)
    assert grid.shape[0] == on_device.shape[0]
    assert grid.tobytes() == np.where(np.isnan(on_device), np.nan, on_device).tobytes()


@pytest.mark.parametrize("jitter_ns", [-40, 0, 40])
def test_last_jitter_below_half_a_period_never_skips_or_doubles_a_step(jitter_ns: int) -> None:
    """With `last` the phase lies half a period before the first reading, so jitter does not straddle an edge."""
    time_ns = np.arange(50, dtype=np.int64) * PERIOD
    time_ns[1::2] += jitter_ns
    assert not np.isnan(align.to_grid(time_ns, np.ones((50, 1)), PERIOD)).any()
    assert len(align.to_grid(time_ns, np.ones((50, 1)), PERIOD)) == 50


@given(st.lists(st.integers(0, 5), max_size=40))
def test_rounds_hold_each_key_once_and_keep_order(keys: list[int]) -> None:
    """Every index appears in exactly one round; in a round keys differ; a key's indices come in order."""
    array = np.array(keys, dtype=np.int64)
    parts = [part.tolist() for part in rounds(array)]
    assert sorted(i for part in parts for i in part) == list(range(len(keys)))
    assert all(len({keys[i] for i in part}) == len(part) for part in parts)
    for key in set(keys):
        order = [i for part in parts for i in part if keys[i] == key]
        assert order == sorted(order)
