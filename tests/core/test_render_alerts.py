"""Laws of render for alerts: told until delivered, listed while open, one alert whatever its name."""

from __future__ import annotations

import math

import pytest

from edgeseq.core.bridge import MAX_LISTED_ALERTS
from edgeseq.core.render import RenderState, alert_id, render
from edgeseq.core.types import (
    AlertEvent,
    AlertKind,
)
from tests.support.rendering import CELLAR, CONTEXT, NOW_NS, S, alert, published


def test_render_alert_opened_and_cleared_switches_and_list() -> None:
    """An alert turns its switches on, stands in the list of open ones, and takes both back when it clears."""
    state = RenderState()
    opened = published(alert(), state=state)
    cleared = published(alert(event_type="cleared"), state=state)
    topic = next(topic for topic in opened if topic.endswith("/alert"))
    assert topic.startswith("pump1/vib-x-")
    switches = {topic.replace("/alert", "/anomaly"), "pump1/anomaly"}
    assert {t: w for t, w in opened.items() if t.endswith("/anomaly")} == dict.fromkeys(switches, "ON")
    assert {t: w for t, w in cleared.items() if t.endswith("/anomaly")} == dict.fromkeys(switches, "OFF")
    assert [a["id"] for a in opened["bridge/alerts"]["alerts"]] == [opened[topic]["id"]]
    assert cleared["bridge/alerts"] == {"schema": 1, "count": 0, "alerts": [], "groups": []}
    assert opened[topic]["id"] == cleared[topic]["id"] == alert_id("pump1", "Vib X", "spike", 17, "baseline")
    assert (opened[topic]["cleared"], cleared[topic]["cleared"]) == (None, "2026-03-01T11:05:00Z")


def test_render_two_alerts_of_one_channel_switch_on_until_both_clear() -> None:
    """The switch stays on while any alert is open."""
    state = RenderState()
    render(CONTEXT, state, [alert(), alert(AlertKind.STUCK)])
    assert not [t for t in published(alert(event_type="cleared"), state=state) if t.endswith("/anomaly")]
    last = published(alert(AlertKind.STUCK, "cleared"), state=state)
    assert last["pump1/anomaly"] == "OFF"


def test_render_alert_is_kept_until_delivered() -> None:
    """Alert events are QoS 1, not retained, and each has an identity for the outbox."""
    outgoing = render(CONTEXT, RenderState(), [alert(), alert(event_type="cleared")])
    alerts = [o for o in outgoing if o.topic.endswith("/alert")]
    assert [(o.qos, o.retain) for o in alerts] == [(1, False)] * 2
    assert len({o.alert_id for o in alerts}) == 2


def test_render_silent_alert_concerns_the_whole_stream() -> None:
    """Silence is told above the channels."""
    found = published(alert(AlertKind.SILENT, channel=0, observed=math.nan))
    assert found["pump1/alert"]["channel"] is None
    assert found["pump1/alert"]["observed"] is None
    assert found["pump1/anomaly"] == "ON"


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            alert(),
            "pump1 Vib X is 7.9 mm/s, 3.8 above the expected 4.1 (band 3.6 to 4.7), since 2026-03-01 10:00 UTC",
        ),
        (alert(AlertKind.STUCK), "pump1 Vib X stuck at 7.9 mm/s, noticed at 2026-03-01 10:00 UTC"),
        (
            alert(AlertKind.OUT_OF_RANGE, observed=12.0),
            "pump1 Vib X is 12 mm/s, allowed at most 11 mm/s, since 2026-03-01 10:00 UTC",
        ),
        (alert(AlertKind.SILENT, channel=0), "pump1 silent, readings overdue since 2026-03-01 10:00 UTC"),
        (
            alert(event_type="cleared"),
            "pump1 Vib X no longer outside the expected range since 2026-03-01 11:05 UTC, it began at 10:00 UTC",
        ),
        (
            alert(AlertKind.STUCK, "cleared", time_ns=NOW_NS + 86_400 * S),
            "pump1 Vib X no longer stuck since 2026-03-02 10:00 UTC, it began at 2026-03-01 10:00 UTC",
        ),
        (
            alert(stream=CELLAR, channel=0, observed=1.25e-4, expected=math.nan, lower=-0.5, upper=1e6),
            "cellar-temperature is 0.000125 °C, usually -0.5 to 1000000, since 2026-03-01 10:00 UTC",
        ),
        (
            alert(AlertKind.LEVEL_SHIFT, "updated", opened_as=AlertKind.SPIKE, since_ns=NOW_NS - 600 * S),
            (
                "pump1 Vib X at another level: 7.9 mm/s, 3.8 above the expected 4.1 (band 3.6 to 4.7), "
                "since 2026-03-01 09:50 UTC"
            ),
        ),
        (
            alert(AlertKind.BROKEN_RELATION, lower=math.nan, expected=8.9, channels=(0, 1)),
            (
                "pump1 Vib X (with flow, Vib X) at odds with its other channels: 7.9 mm/s, 1 below the expected 8.9, "
                "since 2026-03-01 10:00 UTC"
            ),
        ),
        (
            alert(AlertKind.DRIFT, "cleared", is_normal_now=True),
            (
                "pump1 Vib X drifting since 2026-03-01 10:00 UTC, "
                "which is the new normal from 2026-03-01 11:05 UTC on"
            ),
        ),
    ],
)
def test_render_alert_message_is_a_sentence(event: AlertEvent, message: str) -> None:
    """An alert says in words what, how much, what was expected, in which unit, and since which day and time."""
    found = published(event)
    assert next(p["message"] for t, p in found.items() if t.endswith("/alert")) == message


def test_alert_that_gets_another_name_stays_the_same_alert() -> None:
    """Identity and group are of the kind that it opened as; evidence, severity and duration are of the event."""
    state = RenderState()
    opened = published(alert(severity="info", signs=(AlertKind.SPIKE,)), state=state)
    changes = {
        "opened_as": AlertKind.SPIKE,
        "signs": (AlertKind.SPIKE, AlertKind.DRIFT),
        "severity": "critical",
    }
    later = alert(AlertKind.DRIFT, "updated", seq=18, score=5.0, time_ns=NOW_NS + 90 * S, **changes)
    updated = published(later, state=state)
    topic = next(topic for topic in opened if topic.endswith("/alert"))
    first, second = opened[topic], updated[topic]
    assert [first[key] for key in ("id", "group")] == [second[key] for key in ("id", "group")]
    assert (first["severity"], first["residual"], first["score"], first["duration_s"]) == (
        "info",
        3.8,
        None,
        0,
    )
    assert (second["kind"], second["signs"], second["severity"]) == ("drift", ["spike", "drift"], "critical")
    assert (second["score"], second["duration_s"], second["since"]) == (5, 90, "2026-03-01T10:00:00Z")
    assert [(a["id"], a["kind"], a["severity"]) for a in updated["bridge/alerts"]["alerts"]] == [
        (first["id"], "drift", "critical")
    ]
    cleared = published(alert(AlertKind.DRIFT, "cleared", **changes), state=state)
    assert cleared["bridge/alerts"]["count"] == 0
    assert cleared["bridge/alerts"]["groups"] == []


def test_alert_id_differs_by_each_part() -> None:
    """Two alerts that differ in anything have different ids."""
    parts = ("pump1", "flow", "spike", 17, "baseline")
    ids = {alert_id(*parts)}
    ids |= {alert_id(*other) for other in [
        ("pump2", *parts[1:]), ("pump1", "vib", *parts[2:]), (*parts[:2], "stuck", *parts[3:]),
        (*parts[:3], 18, parts[4]), (*parts[:4], "house@1"), ("pump1flow", "", *parts[2:]),
    ]}  # fmt: skip
    assert len(ids) == 7


def test_render_more_open_alerts_than_listed_counted() -> None:
    """The list of open alerts is bounded; the count is not."""
    events = [alert(opened_step=i, opened_ns=NOW_NS + i * S) for i in range(MAX_LISTED_ALERTS + 5)]
    listed = published(*events)["bridge/alerts"]
    assert (listed["count"], len(listed["alerts"])) == (MAX_LISTED_ALERTS + 5, MAX_LISTED_ALERTS)
    assert listed["alerts"][0]["opened"] > listed["alerts"][-1]["opened"]
