"""What happens to each rule's readings after a crash."""

from __future__ import annotations

from collections.abc import Iterator

from edgeseq.config.resolve import Resolved
from edgeseq.core.types import StreamRule
from edgeseq.doctor.finding import Finding, ok, warn


def check_streams(resolved: Resolved) -> Iterator[Finding]:
    """Check whether readings survive a crash, and whether one that comes again is recognised."""
    if resolved.config.journal.durability == "none":
        found = "none: a crash loses all since the last clean stop"
        yield warn("durability", found, "batched", 'set [journal] durability = "batched"')
    else:
        yield ok("durability", f"{resolved.config.journal.durability}: acknowledged is what is on the disk")
    if resolved.config.mqtt.qos == 0:
        found = "0: what comes while edgeseq or the broker is away is lost"
        yield warn("quality of service", found, "1", "set [mqtt] qos = 1, and let sensors publish with QoS 1")
    for rule in resolved.rules:
        yield judge_rule(rule)


def judge_rule(rule: StreamRule) -> Finding:
    """Judge what identifies a rule's readings."""
    check = f"streams {rule.key}"
    if rule.id_field:
        found = f"a reading that comes again is recognised by {rule.id_field}"
        if rule.time_field:
            return ok(check, found)
        do = 'name the payload\'s own time: time = "…"'
        late = "what waited at the broker is dated by its arrival, so an outage looks like a gap and a burst"
        return warn(check, f"{found}; {late}", "the time of the measurement", do)
    if rule.time_field:
        return ok(check, f"a reading that comes again is recognised by {rule.time_field} and value")
    is_json = bool(rule.fields) or any(source.field for source in rule.channels.values())
    found = (
        "neither time nor id: what waited at the broker is dated by its arrival, and of readings that come again "
        "only the broker's own redeliveries are recognised, not a sensor's"
    )
    name = 'name them: time = "…", or id = "…"'
    do = name if is_json else f"let the sensor send JSON with the time of the measurement, and {name}"
    return warn(check, found, "the payload's own time, or an id", do)
