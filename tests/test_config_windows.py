"""Laws of the configuration: lengths of time, and when nothing is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.config.windows import mutes_of
from edgeseq.core.durations import format_duration, parse_duration
from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.errors import ConfigError
from tests.support.configuring import S, refusal


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("90s", 90), ("10m", 600), ("1h", 3600), ("7d", 604_800), ("1w", 604_800), ("1h30m", 5400), ("500ms", 0.5),
     ("1.5h", 5400)],
)  # fmt: skip
def test_parse_duration_text_read(text: str, duration_s: float) -> None:
    """Numbers with units, alone or compound, are durations."""
    assert parse_duration(text) == int(duration_s * S)


@pytest.mark.parametrize(
    "text", ["", "10", "m", "0s", "-1s", "1 h", "1y", "1h30", "1e3s", "1H", "9" * 40 + "s"]
)
def test_parse_duration_other_text_none(text: str) -> None:
    """Anything else is none."""
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [("10 min", "10m"), ("1 Hour 30 minutes", "1h30m"), ("90 seconds", "1m30s"), ("1 Day", "1d"), ("10M", "10m"),
     ("500 ms", "500ms"), ("often", None), ("0 min", None), ("3 months", None)],
)  # fmt: skip
def test_wrong_duration_names_the_one_that_was_meant(text: str, meant: str | None) -> None:
    """A duration with its unit written out is refused with the text that was meant; what is no duration has none."""
    error = refusal(f'[[streams]]\ntopic = "a"\nevery = "{text}"')
    assert error is not None
    assert error.do == (None if meant is None else f'did you mean "{meant}"?')


@given(st.integers(1, 10**10))
def test_format_duration_read_back_same(duration_ms: int) -> None:
    """A written duration reads back the same."""
    assert parse_duration(format_duration(duration_ms * 10**6)) == duration_ms * 10**6


MAINTAINED = '[[streams]]\ntopic = "t/+"\nevery = "1m"\n[[maintenance]]\n'


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('begin = "Sun 2:00"\nend = "Sun 04:00"', "'Sun 2:00' is no time"),
        ('begin = "Sun 02:00"\nend = "2026-03-01T10:00:00Z"', "two of a kind"),
        ('begin = "2026-03-01T10:00"\nend = "2026-03-01T09:00"', "ends before it begins"),
        ('begin = "Sun 02:00"\nend = "Sun 02:00"', "no length"),
        ('begin = "Sun 02:00"\nend = "Sun 04:00"\ntime_zone = "Mars/North"', "no such time zone"),
        ('begin = "Sun 02:00"\nend = "Sun 04:00"\ntable = "x"', "one of t/+"),
        ('begin = "Sun 02:00"\nend = "Sun 04:00"\nalert_kind = "loud"', "one of spike"),
    ],
)
def test_maintenance_that_is_no_window_is_refused(lines: str, says: str) -> None:
    """What is wrong with it, and what was wanted."""
    with pytest.raises(ConfigError, match=re.escape(says)):
        resolve(parse_config(MAINTAINED + lines), Path("/etc/edgeseq"))


def test_maintenance_weekly_follows_the_clock_on_the_wall() -> None:
    """Sunday at two is Sunday at two on both sides of the change to summer time, and over the end of a week."""
    lines = 'begin = "Sun 23:00"\nend = "Mon 01:00"\ntime_zone = "Europe/Berlin"'
    (window,) = resolve(parse_config(MAINTAINED + lines), Path("/etc/edgeseq")).maintenance
    begins = {}
    for day in ("2026-03-23T12:00:00Z", "2026-03-30T12:00:00Z"):
        moment_ns = parse_instant(day)
        assert moment_ns is not None
        for mute in mutes_of(window, moment_ns):
            begins[format_instant(mute.begin_ns)] = (mute.end_ns - mute.begin_ns) // 10**9
    assert begins == {
        "2026-03-22T22:00:00Z": 7200, "2026-03-29T21:00:00Z": 7200, "2026-04-05T21:00:00Z": 7200,
        "2026-04-12T21:00:00Z": 7200,
    }  # fmt: skip
