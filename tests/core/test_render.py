"""Laws of render: events become the topics and payloads that subscribers depend on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from edgeseq.core.bridge import bridge_health, bridge_info, bridge_state
from edgeseq.core.payloads import HealthPayload, InfoPayload, RuleInfo
from edgeseq.core.render import LATEST_EVERY_NS, RenderContext, RenderState, announce, render
from edgeseq.core.types import (
    DataStatus,
    Event,
    Outgoing,
    StreamCreated,
    StreamReset,
    StreamSwitched,
)
from tests.support.rendering import (
    CELLAR,
    CONTEXT,
    HOUSE,
    INFOS,
    NOW_NS,
    PUMP,
    S,
    alert,
    forecast,
    published,
    read,
    status,
)
from tests.support.validate import validate

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
