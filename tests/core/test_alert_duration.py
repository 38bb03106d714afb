"""How long an alert has lasted, as its payload says it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from edgeseq.core import alert_payload
from edgeseq.core.types import AlertEvent


@pytest.mark.parametrize(
    ("lasted_ns", "told"),
    [(90 * 10**9, 90), (123456 * 10**9, 123456), (989_605_148, 0.98961), (53_117_498_174_676, 53117)],
)
def test_duration_has_five_digits_and_is_whole_where_possible(lasted_ns: int, told: float) -> None:
    """Whole seconds are exact, others have five significant digits, and what is whole then is an integer."""
    event = cast("AlertEvent", SimpleNamespace(opened_ns=10**9, since_ns=None, time_ns=10**9 + lasted_ns))
    found = alert_payload._duration_s(event)
    assert (found, type(found)) == (told, type(told))
