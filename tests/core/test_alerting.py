"""Laws of telling alerts: what a mute holds back, what is told later, what people and groups add."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from edgeseq.core.alert_payload import group_id
from edgeseq.core.alerting import acknowledge, acknowledgement, review
from edgeseq.core.muting import Mute
from edgeseq.core.render import RenderContext, RenderState, announce, render
from edgeseq.core.told import Acknowledgement
from edgeseq.core.types import AlertEvent, AlertKind, Event, Outgoing, StreamInfo, StreamRule
from tests.support.validate import validate

S = 10**9
T0 = 1_772_359_200 * S
RULE = StreamRule(key="pumps", period_ns=10 * S, topics=("p/+",))
CONTEXT = RenderContext(
    "e", "n", [StreamInfo(f"p-{i}", "pumps", f"p/{i}", None, 0) for i in range(50)], {"pumps": RULE}, {}
)


def opened(at_s: int = 0, stream: int = 0, kind: AlertKind = AlertKind.SPIKE) -> AlertEvent:
    """Make the opening of an alert."""
    return AlertEvent(
        order=0, stream=stream, channel=0, kind=kind, event_type="opened", opened_step=at_s, opened_ns=T0 + at_s * S,
        time_ns=T0 + at_s * S, cleared_ns=None, observed=7.9, expected=4.1, lower=3.6, upper=4.7, p_value=0.0004,
        seq=1, source="baseline",
    )  # fmt: skip


def cleared(event: AlertEvent, at_s: int) -> AlertEvent:
    """Make its clearing."""
    time_ns = T0 + at_s * S
    return msgspec.structs.replace(
        event, event_type="cleared", time_ns=time_ns, cleared_ns=time_ns, seq=event.seq + 1
    )


def snoozed(begin_s: int, end_s: int, **about: Any) -> RenderState:
    """Make the state of a node whose alerts are muted for a while."""
    return RenderState(mutes=lambda _: [Mute(T0 + begin_s * S, T0 + end_s * S, **about)])


def told(outgoing: list[Outgoing]) -> list[str]:
    """List what is told of alerts and switches: event types, ON, OFF."""
    for out in outgoing:
        validate(out.topic, out.payload)
    words = {
        "alert": lambda out: json.loads(out.payload)["event_type"],
        "anomaly": lambda out: out.payload.decode(),
    }
    kinds = [(out.topic.rpartition("/")[2], out) for out in outgoing]
    return [words[kind](out) for kind, out in kinds if kind in words]


def listed(outgoing: list[Outgoing]) -> list[dict[str, Any]]:
    """Give the newest list of open alerts."""
    lists = [json.loads(out.payload) for out in outgoing if out.topic == "e/n/bridge/alerts"]
    return list(lists[-1]["alerts"])


def test_alert_muted_when_it_opens_is_only_listed() -> None:
    """No event, no switch; the list holds it as muted; nor is its clearing told."""
    state = snoozed(-1, 100)
    first = render(CONTEXT, state, [opened()])
    assert told(first) == []
    assert [(alert["muted"], alert["stream"]) for alert in listed(first)] == [(True, "p-0")]
    assert told(render(CONTEXT, state, [cleared(opened(), 50)])) == []


def test_alert_still_open_when_the_snooze_ends_is_told_with_the_bytes_it_would_have_had() -> None:
    """What was held back is told once, and from then on the alert is like any other."""
    state, free = snoozed(-1, 100), RenderState()
    (event, *_) = render(CONTEXT, free, [opened()])
    render(CONTEXT, state, [opened()])
    assert told(review(CONTEXT, state, T0 + 99 * S)) == []
    late = review(CONTEXT, state, T0 + 100 * S)
    assert late[0] == event
    assert told(late) == ["opened", "ON"]
    assert listed(late)[0]["muted"] is False
    assert told(review(CONTEXT, state, T0 + 101 * S)) == []
    assert told(render(CONTEXT, state, [cleared(opened(), 150)])) == ["cleared", "OFF"]


def test_alert_cleared_after_the_snooze_but_before_anybody_looked_is_told_whole() -> None:
    """The outcome does not depend on when somebody looked: opening, then clearing."""
    state = snoozed(-1, 100)
    out = render(CONTEXT, state, [opened(), cleared(opened(), 150)])
    assert told(out) == ["opened", "cleared"]


def test_snooze_of_an_open_alert_turns_its_switch_off_and_tells_it_again_at_the_end() -> None:
    """Its clearing is told, too, since its opening was."""
    state = RenderState()
    (event, *_) = render(CONTEXT, state, [opened()])
    state.mutes = lambda _: [Mute(T0 + 10 * S, T0 + 20 * S, streams=("p-*",), kind="spike")]
    during = review(CONTEXT, state, T0 + 10 * S)
    assert (told(during), listed(during)[0]["muted"]) == (["OFF"], True)
    again = review(CONTEXT, state, T0 + 20 * S)
    assert (again[0], told(again)) == (event, ["opened", "ON"])
    state.mutes = lambda _: [Mute(T0 + 30 * S, T0 + 90 * S)]
    review(CONTEXT, state, T0 + 30 * S)
    assert told(render(CONTEXT, state, [cleared(opened(), 60)])) == ["cleared"]


@pytest.mark.parametrize(
    "about", [{"streams": ("q-*",)}, {"table": "others"}, {"kind": "silent"}, {"streams": ("p-1",)}]
)
def test_snooze_of_something_else_mutes_nothing(about: dict[str, Any]) -> None:
    """Stream, table and kind must all fit."""
    assert told(render(CONTEXT, snoozed(-1, 100, **about), [opened()])) == ["opened", "ON"]


def test_state_rebuilt_after_a_restart_says_what_the_old_one_would_have_said() -> None:
    """Of what was told late only the desk knows: with its knowledge the clearing is told as it would have been."""
    state = snoozed(-1, 100)
    render(CONTEXT, state, [opened()])
    review(CONTEXT, state, T0 + 100 * S)
    assert [out.alert_id for out in state.late] == [f"{name}:1" for name in state.told_late]
    rebuilt = RenderState(mutes=state.mutes, told_late=set(state.told_late))
    render(CONTEXT, rebuilt, [opened()])
    review(CONTEXT, rebuilt, T0 + 110 * S)
    assert announce(CONTEXT, rebuilt) == announce(CONTEXT, state)
    last: list[Event] = [cleared(opened(), 150)]
    assert render(CONTEXT, rebuilt, last) == render(CONTEXT, state, last)


def test_acknowledged_alert_says_so_once_and_in_the_list_and_no_earlier_event_changes() -> None:
    """The acknowledgement has the opening's number, a time of its own, and marks only what comes after it."""
    state = RenderState()
    (event, *_) = render(CONTEXT, state, [opened()])
    name = json.loads(event.payload)["id"]
    taken = Acknowledgement(T0 + 30 * S, "anna")
    out = acknowledgement(state, name, taken)
    assert out is not None
    acknowledge(state, name, taken)
    validate(out.topic, out.payload)
    said = json.loads(out.payload)
    assert (said["event_type"], said["seq"], said["acknowledged"]) == ("acknowledged", 1, True)
    assert said["message"].endswith("acknowledged by anna")
    assert listed(review(CONTEXT, state, T0))[0]["acknowledged_by"] == "anna"
    again = RenderState(acknowledged=dict(state.acknowledged))
    assert render(CONTEXT, again, [opened()])[0] == event
    assert json.loads(render(CONTEXT, state, [cleared(opened(), 60)])[0].payload)["acknowledged"] is True
    assert acknowledgement(state, name, taken) is None, "it is open no longer"


def test_alerts_that_open_together_are_told_as_one() -> None:
    """Fifty streams that fall silent together: fifty alerts of one group, summaries that grow, one line in the list."""
    state = RenderState()
    start_s = -(T0 // S) % 120
    out = render(CONTEXT, state, [opened(start_s + i, i, AlertKind.SILENT) for i in range(50)])
    events = [json.loads(o.payload) for o in out if o.topic.endswith("bridge/event")]
    assert [(e["event"], e["count"]) for e in events] == [("alerts.grouped", n) for n in (3, 9, 27)]
    groups = {json.loads(o.payload)["group"] for o in out if o.topic.endswith("/alert")}
    assert groups == {events[0]["group"]} == {group_id(RULE, "silent", T0 + start_s * S)}
    (group,) = json.loads(out[-1].payload)["groups"]
    assert (group["group"], group["count"], len(group["streams"])) == (events[0]["group"], 50, 20)
    render(CONTEXT, state, [cleared(opened(start_s + i, i, AlertKind.SILENT), 500) for i in range(48)])
    assert json.loads(announce(CONTEXT, state)[-1].payload)["groups"] == []


def test_group_of_muted_alerts_is_not_told() -> None:
    """A broker that is maintained raises no summary."""
    out = render(CONTEXT, snoozed(-1, 100), [opened(i, i) for i in range(9)])
    assert [o.topic for o in out] == ["e/n/bridge/alerts"]
    assert json.loads(out[0].payload)["groups"] == []
