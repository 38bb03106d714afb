"""What a [[streams]] table says of its alerts becomes settings of the core, or a clear error."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from edgeseq.config import parse_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.core import detect
from edgeseq.core.durations import UNITS_NS
from edgeseq.core.group import REFRACTORY_STEPS, new_group
from edgeseq.core.types import Alerting, AlertKind, SwitchSource
from edgeseq.errors import ConfigError

PLAIN = '[[streams]]\ntopic = "a/+"\nevery = "10m"\n'
PUMP = '[[streams]]\nname = "pump"\nevery = "1s"\nchannels = { flow = "p/flow", vib = "p/vib" }\n'
MINUTE_NS = UNITS_NS["m"]


def resolved(text: str) -> Resolved:
    """Resolve a configuration."""
    return resolve(parse_config(text), Path("/etc/edgeseq"), environment={})


def test_nothing_said_is_as_shipped() -> None:
    """Without a word all kinds are told, at once, with the refractory times of their kinds."""
    (rule,) = resolved(PLAIN).rules
    assert (rule.alerts, rule.alerting, rule.active_when, rule.settle_ns) == (True, Alerting(), None, 0)
    settings = new_group(rule, None).settings
    assert (settings.enabled, settings.least, settings.limits) == (None, None, None)
    assert set(settings.min_steps) == {0}
    quiet = {kind for kind, steps in zip(detect.KINDS, settings.refractory_steps, strict=True) if steps}
    assert quiet == {detect.KINDS[kind] for kind in detect.BEHAVIOUR}
    assert max(settings.refractory_steps) == REFRACTORY_STEPS


def test_all_that_can_be_said_becomes_settings() -> None:
    """Times become steps, rounded up; deviations become columns; kinds become a mask."""
    said = (
        'alerts = ["spike", "drift"]\nsensitivity = 0.5\nmin_deviation = "5%"\ndirection = "above"\n'
        'min_duration = "15m"\nrefractory = 3\nactive_when = "plc/p1#state.run"\nsettle = "1m"\n'
    )
    found = resolved(PLAIN + said)
    (rule,) = found.rules
    assert rule.alerting == Alerting(
        kinds=(AlertKind.SPIKE, AlertKind.DRIFT),
        min_deviation={"value": (0.0, 0.05)},
        direction="above",
        sensitivity=0.5,
        min_duration_ns=15 * MINUTE_NS,
        refractory_ns=30 * MINUTE_NS,
    )
    assert (rule.active_when, rule.settle_ns) == (SwitchSource("plc/p1", "state.run"), MINUTE_NS)
    assert found.filters == ("a/+", "plc/p1")
    settings = new_group(rule, None).settings
    assert [kind for kind in range(len(detect.KINDS)) if settings.is_on(kind)] == [
        detect.SPIKE,
        detect.KINDS.index(AlertKind.DRIFT),
    ]
    assert (settings.above, settings.below, settings.sensitivity) == (True, False, 0.5)
    assert (set(settings.min_steps), set(settings.refractory_steps)) == ({2}, {3})


def test_channels_have_deviations_of_their_own() -> None:
    """A table of deviations concerns the channels that it names; a duration may be none."""
    (rule,) = resolved(PUMP + 'min_deviation = { vib = 0.25 }\nrefractory = "1m"\n').rules
    settings = new_group(rule, None).settings
    assert settings.least is not None
    assert settings.least.tolist() == [[0.0, 0.0], [0.25, 0.0]]
    assert set(settings.refractory_steps) == {60}
    (rule,) = resolved(PUMP + "min_deviation = 2\nrefractory = 0\n").rules
    assert rule.alerting.min_deviation == {"flow": (2.0, 0.0), "vib": (2.0, 0.0)}
    assert rule.alerting.refractory_ns == 0


def test_alerts_may_be_off() -> None:
    """False is off; a list of kinds is on."""
    assert [
        resolved(f"{PLAIN}alerts = {word}\n").rules[0].alerts for word in ("false", "true", '["stuck"]')
    ] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("plc/p1/run", SwitchSource("plc/p1/run")),
        ("plc/p1/run == 2", SwitchSource("plc/p1/run", None, "2")),
        ("plc/p1#mode==auto", SwitchSource("plc/p1", "mode", "auto")),
        ("plc/p1#a.b == 'full speed'", SwitchSource("plc/p1", "a.b", "full speed")),
    ],
)
def test_switch_is_a_topic_a_path_and_a_value(text: str, source: SwitchSource) -> None:
    """The ways to name what tells that a machine is on."""
    assert resolved(f'{PLAIN}active_when = "{text}"\n').rules[0].active_when == source


@pytest.mark.parametrize(
    ("said", "where", "wanted"),
    [
        ('alerts = ["spik"]', "alerts", "spike"),
        ("alerts = 1", "alerts", "true or false"),
        ("sensitivity = 0", "sensitivity", "> 0"),
        ('direction = "up"', "direction", "'above'"),
        ('min_deviation = "five"', "min_deviation", '"5%"'),
        ("min_deviation = -1", "min_deviation", '"5%"'),
        ('min_deviation = "5"', "min_deviation", '"5%"'),
        (f"min_deviation = {math.inf}", "min_deviation", '"5%"'),
        ("min_deviation = { flow = 1 }", "min_deviation", "one of value"),
        ('min_duration = "soon"', "min_duration", "90s"),
        ("min_duration = 5", "min_duration", '"5s"'),
        ("refractory = -1", "refractory", ">= 0"),
        ('refractory = "often"', "refractory", "90s"),
        ('settle = "1m"', "settle", "add active_when"),
        ('active_when = "plc/+/run"', "active_when", "plc/p1/run"),
        ('active_when = "plc/p1#"', "active_when", "plc/p1/run"),
        ('active_when = "plc/p1 =="', "active_when", "plc/p1/run"),
        ('active_when = "edgeseq/edgeseq/pump/status#alert"', "active_when", "no topic of"),
    ],
)
def test_what_cannot_be_is_refused(said: str, where: str, wanted: str) -> None:
    """The key, what was found and what is wanted are named."""
    with pytest.raises(ConfigError, match=re.escape(f"streams[0].{where}")) as caught:
        resolved(PLAIN + said)
    assert wanted in str(caught.value)
