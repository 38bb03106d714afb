"""Laws of render: events become the topics and payloads that subscribers depend on."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest

from edgeseq.core.bridge import MAX_LISTED_ALERTS, bridge_health, bridge_info, bridge_state
from edgeseq.core.payloads import HealthPayload, InfoPayload, RuleInfo
from edgeseq.core.render import LATEST_EVERY_NS, RenderContext, RenderState, alert_id, announce, render
from edgeseq.core.types import (
    F64,
    AlertEvent,
    AlertKind,
    ChannelSource,
    DataStatus,
    Event,
    Forecast,
    Limits,
    Outgoing,
    Phase,
    Source,
    StreamCreated,
    StreamInfo,
    StreamReset,
    StreamRule,
    StreamStatus,
    StreamSwitched,
)
from tests.support.streams import one_forecast
from tests.support.validate import validate

S = 10**9
NOW_NS = 1_772_359_200 * S  # 2026-03-01T10:00:00Z
CELLAR, PUMP = 0, 1

HOUSE = StreamRule(key="house", period_ns=600 * S, topics=("z/+",), fields=("temperature",), unit="°C")
PUMPS = StreamRule(
    key="pump1",
    name="pump1",
    period_ns=S // 2,
    channels={"flow": ChannelSource("p/flow"), "Vib X": ChannelSource("p/vib")},
    units={"Vib X": "mm/s"},
    limits={"Vib X": Limits(max=11)},
)
INFOS = [
    StreamInfo("cellar-temperature", "house", "z/cellar", "temperature", 0),
    StreamInfo("pump1", "pump1", "p/flow", None, 0),
]
CONTEXT = RenderContext(
    "edgeseq", "attic", INFOS, {"house": HOUSE, "pump1": PUMPS}, {"house": "house@3f9a51c2"}
)


def forecast(
    stream: int = CELLAR, *, origin_ns: int = NOW_NS, source: Source = "model", **columns: F64
) -> Forecast:
    """Make a forecast of 2 leads for the channels of a stream."""
    C = len(CONTEXT.rule_of(stream).channel_names)
    value = np.tile([12.5, 12.6], (C, 1))
    usual = {
        "observed": np.full(C, 12.4),
        "lower": value - 0.4,
        "value": value,
        "upper": value + 0.4,
        "score": np.full(C, 0.12),
        "skill": np.full(C, 0.18),
    }
    return one_forecast(usual | columns, stream=stream, step=2941234, origin_ns=origin_ns, source=source)


def alert(kind: AlertKind = AlertKind.SPIKE, event_type: str = "opened", **changes: Any) -> AlertEvent:
    """Make an alert event of the pump's second channel."""
    event = AlertEvent(
        order=0,
        stream=PUMP,
        channel=1,
        kind=kind,
        event_type="opened",
        opened_step=17,
        opened_ns=NOW_NS,
        time_ns=NOW_NS,
        cleared_ns=None,
        observed=7.9,
        expected=4.1,
        lower=3.6,
        upper=4.7,
        p_value=0.0004,
        seq=17,
        source="baseline",
    )
    if event_type == "cleared":
        changes = {"time_ns": NOW_NS + 3900 * S, "cleared_ns": NOW_NS + 3900 * S, "seq": 18, **changes}
    return msgspec.structs.replace(event, event_type=event_type, **changes)


def status(stream: int = CELLAR, data: DataStatus = DataStatus.OK) -> StreamStatus:
    """Make a status."""
    return StreamStatus(order=0, stream=stream, phase=Phase.LIVE, data=data, alert="none")


def published(*events: Event, state: RenderState | None = None) -> dict[str, Any]:
    """Render and give topic (below the node) → payload, the last one where a topic repeats; all are validated."""
    found: dict[str, Any] = {}
    for outgoing in render(CONTEXT, state if state is not None else RenderState(), events):
        validate(outgoing.topic, outgoing.payload)
        found[outgoing.topic.removeprefix("edgeseq/attic/")] = read(outgoing)
    return found


def read(outgoing: Outgoing) -> Any:
    """Read a payload, JSON or a word."""
    text = outgoing.payload.decode()
    return json.loads(text) if text.startswith("{") else text


# --- forecasts --------------------------------------------------------------------------------------------------


def test_render_forecast_of_model_has_documented_payload() -> None:
    """A forecast is published byte for byte as documented."""
    (first, *_) = render(CONTEXT, RenderState(), [forecast()])
    assert (first.topic, first.qos, first.retain) == ("edgeseq/attic/cellar-temperature/forecast", 0, False)
    assert first.payload.decode() == (
        '{"schema":1,"id":"cellar-temperature:2941234:3f9a51c2","stream":"cellar-temperature",'
        '"origin":"2026-03-01T10:00:00Z","period_s":600,"unit":"°C","observed":12.4,"value":12.5,"lower":12.1,'
        '"upper":12.9,"coverage":0.9,"score":0.12,"quality":"ok","source":"model","skill":0.18,'
        '"bundle":"house@3f9a51c2","path":{"lead_s":[600,1200],"lower":[12.1,12.2],"value":[12.5,12.6],'
        '"upper":[12.9,13.0]}}'
    )


def test_render_forecast_of_baseline_names_no_bundle() -> None:
    """What the baseline forecast does not carry the bundle's name."""
    payload = published(forecast(source="baseline"))["cellar-temperature/forecast"]
    assert payload["bundle"] is None
    assert payload["id"] == "cellar-temperature:2941234:baseline"


def test_render_forecast_without_numbers_nulls() -> None:
    """NaN is null, and a missing reading says so."""
    nothing = np.full((1, 2), np.nan)
    unknown = np.array([np.nan])
    payload = published(
        forecast(observed=unknown, lower=nothing, value=nothing, upper=nothing, score=unknown, skill=unknown)
    )["cellar-temperature/forecast"]
    assert [payload[key] for key in ("observed", "value", "lower", "upper", "score", "skill")] == [None] * 6
    assert payload["quality"] == "missing"
    assert payload["path"]["value"] == [None, None]


def test_render_forecast_of_several_channels_one_topic_each() -> None:
    """Each channel of a stream has its own forecast topic, name and unit; half seconds stay."""
    found = published(forecast(PUMP))
    assert {topic for topic in found if topic.endswith("forecast")} == {
        "pump1/flow/forecast",
        next(topic for topic in found if topic.startswith("pump1/vib-x-") and topic.endswith("forecast")),
    }
    flow = found["pump1/flow/forecast"]
    vibration = next(p for p in found.values() if p.get("channel") == "Vib X")
    assert (flow["channel"], flow["unit"], vibration["unit"]) == ("flow", None, "mm/s")
    assert flow["id"] != vibration["id"]
    assert (flow["period_s"], flow["path"]["lead_s"]) == (0.5, [0.5, 1])


def test_render_forecast_with_path_switched_off_scalars_only() -> None:
    """Without the path only the next step's numbers are published."""
    rule = msgspec.structs.replace(HOUSE, publish_path=False)
    context = RenderContext("edgeseq", "attic", INFOS, {"house": rule}, {})
    payload = read(render(context, RenderState(), [forecast()])[0])
    assert "path" not in payload
    assert payload["value"] == 12.5


# --- states -----------------------------------------------------------------------------------------------------


def latest_origins_ns(state: RenderState, stream: int, origins_ns: Sequence[int]) -> list[int]:
    """Render forecasts of these origins, and give those that were retained."""
    return [
        t
        for t in origins_ns
        for out in render(CONTEXT, state, [forecast(stream, origin_ns=t)])
        if out.topic.endswith(("temperature/latest", "flow/latest")) and out.retain
    ]


def test_render_latest_first_at_once_then_once_in_each_15_minutes() -> None:
    """The first forecast is retained; from then on one in each 15 minutes of the stream's own time, as if for ever."""
    assert LATEST_EVERY_NS == 15 * 60 * S
    minutes = [NOW_NS + minute * 60 * S for minute in range(121)]
    first, *others = latest_origins_ns(RenderState(), CELLAR, minutes)
    assert (first, len(others)) == (NOW_NS, 8)
    assert {later - t for t, later in pairwise(others)} == {LATEST_EVERY_NS}
    assert latest_origins_ns(RenderState(), CELLAR, minutes[37:])[1:] == [
        t for t in others if t > minutes[37]
    ]


def test_render_latest_after_a_pause_is_due() -> None:
    """Readings that come more rarely than that are all retained."""
    rare = [NOW_NS + n * LATEST_EVERY_NS for n in range(5)]
    assert latest_origins_ns(RenderState(), CELLAR, rare) == rare


def test_render_latest_of_streams_that_began_together_spread() -> None:
    """Each stream has its own place in the quarter of an hour: no minute takes more than twice its share."""
    infos = [msgspec.structs.replace(INFOS[CELLAR], id=f"sensor-{n}") for n in range(600)]
    context = RenderContext("edgeseq", "attic", infos, {"house": HOUSE}, {})
    state = RenderState()
    counts = []
    for minute in range(31):
        made = forecast(origin_ns=NOW_NS + minute * 60 * S)
        events = [msgspec.structs.replace(made, stream=stream) for stream in range(600)]
        counts.append(sum(out.topic.endswith("/latest") for out in render(context, state, events)))
    assert counts[0] == 600
    assert sum(counts[1:16]) == sum(counts[16:]) == 600
    assert max(counts[1:]) <= 2 * 600 / 15


def test_render_status_change_repeats_latest_at_once() -> None:
    """A new status goes out with the newest forecast, however recent that is; silence makes the stream offline."""
    found = published(forecast(), status(data=DataStatus.SILENT))
    assert found["cellar-temperature/status"] == {
        "schema": 1,
        "phase": "live",
        "data": "silent",
        "alert": "none",
    }
    assert found["cellar-temperature/availability"] == "offline"
    assert found["cellar-temperature/latest"]["data"] == "silent"
    assert found["cellar-temperature/latest"]["value"] == 12.5
    assert published(status())["cellar-temperature/availability"] == "online"


def test_render_stream_created_sets_switches() -> None:
    """A new stream is announced, available and not anomalous, in all its channels."""
    found = published(StreamCreated(order=0, stream=PUMP))
    assert found["bridge/event"] == {
        "schema": 1,
        "event": "stream.created",
        "stream": "pump1",
        "topic": "p/flow",
        "field": None,
    }
    assert found["pump1/availability"] == "online"
    assert [word for topic, word in found.items() if topic.endswith("/anomaly")] == ["OFF"] * 3


def test_render_stream_reset_told() -> None:
    """A stream that starts anew says after which gap."""
    found = published(StreamReset(order=0, stream=CELLAR, gap_steps=400))
    assert found["bridge/event"] == {
        "schema": 1,
        "event": "stream.reset",
        "stream": "cellar-temperature",
        "gap_steps": 400,
    }


@pytest.mark.parametrize(("skill", "told"), [(0.123456, 0.12346), (float("nan"), None)])
def test_render_stream_switched_told(skill: float, told: float | None) -> None:
    """What serves a stream from now on is said, and how much better it is."""
    found = published(StreamSwitched(order=0, stream=CELLAR, source="model", skill=skill))
    assert found["bridge/event"] == {
        "schema": 1,
        "event": "stream.switched",
        "stream": "cellar-temperature",
        "source": "model",
        "skill": told,
    }


# --- alerts -----------------------------------------------------------------------------------------------------


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


# --- the node ---------------------------------------------------------------------------------------------------


def test_announce_repeats_what_is_retained() -> None:
    """After a connect every retained state is told again, also by a state rebuilt from statuses and open alerts."""
    state = RenderState()
    render(CONTEXT, state, [forecast(), status(), status(PUMP), alert()])
    rebuilt = RenderState()
    render(CONTEXT, rebuilt, [status(), status(PUMP), alert()])
    told = {o.topic.removeprefix("edgeseq/attic/"): read(o) for o in announce(CONTEXT, state)}
    assert all(o.retain for o in announce(CONTEXT, state))
    assert told["pump1/anomaly"] == "ON"
    assert told["cellar-temperature/anomaly"] == "OFF"
    assert told["bridge/alerts"]["count"] == 1
    assert told.pop("cellar-temperature/latest")["value"] == 12.5
    assert told == {o.topic.removeprefix("edgeseq/attic/"): read(o) for o in announce(CONTEXT, rebuilt)}


def test_bridge_messages_validate() -> None:
    """What the node tells of itself is retained and as documented."""
    info = InfoPayload(version="0.1.0", node="attic", rules=[RuleInfo("house", 600, ("value",), None)])
    health = HealthPayload(
        time="2026-03-01T10:00:00Z",
        uptime_s=12.5,
        streams=2,
        open_alerts=0,
        received=10,
        applied=8,
        late=1,
        duplicate=0,
        rejected={"bad_time": 1},
    )
    root = CONTEXT.root
    messages = [bridge_state(root, "online"), bridge_info(root, info), bridge_health(root, health)]
    for outgoing in messages:
        validate(outgoing.topic, outgoing.payload)
        assert (outgoing.qos, outgoing.retain) == (1, True)
    assert [o.topic for o in messages] == [f"edgeseq/attic/bridge/{n}" for n in ("state", "info", "health")]


def test_render_cut_anywhere_same_forecasts_and_alerts() -> None:
    """Cutting the events anywhere changes no forecast, status or alert."""
    events: list[Event] = [
        status(),
        forecast(),
        alert(),
        forecast(PUMP),
        status(PUMP),
        alert(event_type="cleared"),
        forecast(),
    ]

    def kept(outgoing: list[Outgoing]) -> list[Outgoing]:
        return [o for o in outgoing if not o.topic.endswith("bridge/alerts")]

    whole = kept(render(CONTEXT, RenderState(), events))
    for at in range(len(events) + 1):
        state = RenderState()
        assert kept(render(CONTEXT, state, events[:at]) + render(CONTEXT, state, events[at:])) == whole
