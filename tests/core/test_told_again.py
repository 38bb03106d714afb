"""An alert that is told again says the same thing of the same deviation."""

from __future__ import annotations

import msgspec
import numpy as np

from edgeseq.core.types import AlertEvent, AlertKind
from tests.support.streams import PLAIN, message, node, run


def test_level_shift_told_again_compares_with_the_level_that_was_left() -> None:
    """The forecast follows within a dozen readings; the alert goes on to say how far it is from where it was."""
    rule = msgspec.structs.replace(PLAIN, season_steps=0, horizon=24, period_ns=600 * 10**9)
    values = 20 + np.random.default_rng(5).normal(0, 0.3, 1060)
    values[1000:] += 10
    state = node(rule)
    messages = [message("t/a", 600 * k, float(value)) for k, value in enumerate(values)]
    run(state, messages[:990])
    events = [e for e in run(state, messages[990:]) if isinstance(e, AlertEvent)]
    shifts = [e for e in events if e.kind == AlertKind.LEVEL_SHIFT and e.event_type != "cleared"]
    assert len(shifts) >= 3, "named, and told again after 24 and 48 steps"
    assert all(abs(e.expected - 20) < 1.5 for e in shifts)
    assert all(abs(e.observed - 30) < 1.5 for e in shifts)
