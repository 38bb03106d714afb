"""What others may ask of the node: bridge/request/<verb> → bridge/response/<verb>; off unless [node] requests is on.

A request is a value in the inbox like all else, and touches no stream: readings before it have been applied, those
behind it have not. Those beyond a rate are counted and not answered, so that nobody can make the node shout; so are
retained ones, which would be asked anew with every connection. What is asked about alerts: `edgeseq.requests.alerts`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import msgspec
from msgspec import UNSET, UnsetType

from edgeseq.compose import Node
from edgeseq.core.asking import REQUESTS, Asked, RecordingRequest, StreamsRequest
from edgeseq.core.bridge import request_filter
from edgeseq.core.payloads import HealthPayload, ResponsePayload, StreamEntry
from edgeseq.core.render import NEW
from edgeseq.core.types import Message
from edgeseq.reporting import info_of

UNKNOWN = "unknown"
"""Last level of the response to a verb that there is none of."""

MAX_REQUEST_BYTES = 1024
MAX_PAGE = 100
"""Streams in one response: some 30 KB."""

RATE_PER_S, BURST = 5.0, 20.0
SNAPSHOT_EVERY_S = 60.0
"""A snapshot writes the whole state to the disk."""


@dataclass(slots=True)
class Gate:
    """Where requests are held back."""

    now_s: Callable[[], float] = time.monotonic
    _tokens: float = BURST
    _filled_s: float = 0.0
    _snapshot_s: float = -math.inf

    def admit(self) -> bool:
        """Tell whether one more may be answered now."""
        now_s = self.now_s()
        self._tokens = min(BURST, self._tokens + RATE_PER_S * (now_s - self._filled_s))
        self._filled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def admit_snapshot(self) -> bool:
        """Tell whether a snapshot may be taken now."""
        if self.now_s() - self._snapshot_s < SNAPSHOT_EVERY_S:
            return False
        self._snapshot_s = self.now_s()
        return True


def parted(node: Node, messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """Part readings from requests, which there are only where the configuration allows them."""
    if not node.resolved.config.node.requests:
        return messages, []
    above = request_filter(node.context.root)[:-1]
    readings = [message for message in messages if not message.topic.startswith(above)]
    return readings, [message for message in messages if message.topic.startswith(above)]


def answer(
    gate: Gate,
    node: Node,
    message: Message,
    health: Callable[[], HealthPayload],
    take_snapshot: Callable[[], bool],
    send: Callable[..., None],
) -> ResponsePayload | None:
    """Answer a request; None where it must not be answered. Total: no bytes raise, and no stream is touched.

    Args:
        gate: bounds the rate.
        node: what is told of.
        message: as `parted` gave it.
        health: puts together how the node fares.
        take_snapshot: keeps the whole state; False where the disk refuses.
        send: tells subscribers what else follows from it, before the answer.
    """
    if message.retained or not gate.admit():
        return None
    verb = message.topic.rpartition("/")[2]
    if verb not in REQUESTS:
        return ResponsePayload(verb=UNKNOWN, error=f"no such verb: it is one of {', '.join(REQUESTS)}")
    asked = _read(verb, message.payload)
    if isinstance(asked, str):
        return ResponsePayload(verb=verb, error=asked)
    match asked:
        case Asked() if verb == "health":
            return ResponsePayload(verb=verb, id=asked.id, health=health())
        case Asked() if verb == "info":
            return ResponsePayload(verb=verb, id=asked.id, info=info_of(node))
        case Asked() if verb == "snapshot":
            return ResponsePayload(verb=verb, id=asked.id, error=_snapshot(gate, node, take_snapshot))
        case StreamsRequest():
            page, following = _streams(node, asked.start, min(asked.limit, MAX_PAGE))
            count = node.state.registry.streams
            return ResponsePayload(verb=verb, id=asked.id, count=count, streams=page, next=following)
        case RecordingRequest():
            from edgeseq.requests.recording import answer_recording

            return answer_recording(node, asked)
        case _:
            from edgeseq.requests.alerts import answer_about_alerts  # SQLite, of no use where nobody asks

            return answer_about_alerts(node, verb, asked, message.received_ns, send)


def _read(verb: str, payload: bytes) -> Asked | str:
    """Read a request, or say what is wrong with it. None at all asks for the defaults."""
    if len(payload) > MAX_REQUEST_BYTES:
        return f"the request is too long: {len(payload)} bytes, allowed {MAX_REQUEST_BYTES}"
    try:
        return msgspec.json.decode(payload or b"{}", type=REQUESTS[verb])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        return f"the request cannot be read: {fault}"[:200]


def _snapshot(gate: Gate, node: Node, take_snapshot: Callable[[], bool]) -> str | UnsetType:
    """Take a snapshot, or say why not."""
    if node.store is None:
        return "no state is kept here"
    if not gate.admit_snapshot():
        return f"at most one snapshot is taken in {SNAPSHOT_EVERY_S:.0f} s"
    return UNSET if take_snapshot() else "the disk refused: see the log"


def _streams(node: Node, start: int, limit: int) -> tuple[list[StreamEntry], int | None]:
    """List the streams from number `start` on, and give the number that the next page begins with.

    Left out are what others say of the future, which is no stream of its own, and streams whose rule is gone.
    """
    registry = node.state.registry
    told = (n for n in range(start, len(registry)) if registry.infos[n].rule and n not in registry.hidden)
    page = list(islice(told, limit))
    return [_entry(node, n) for n in page], next(told, None)


def _entry(node: Node, number: int) -> StreamEntry:
    """Describe one stream."""
    found, view = node.context.infos[number], node.render_state.views.get(number)
    status = view.status if view else NEW
    return StreamEntry(
        id=found.id,
        rule=found.rule,
        topic=found.topic,
        field=found.field,
        phase=status.phase,
        data=status.data,
        alert=status.alert,
    )
