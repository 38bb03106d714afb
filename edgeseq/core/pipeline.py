"""A reading's way through edgeseq, on one screen.

    messages ─ accept ─▶ readings ─ advance ─▶ events ─ render.render ─▶ Outgoing
               decode, dedupe      align → step → calibrate → detect

The composition root (daemon, replay) does for each batch, in this order:

    batch = accept(state, messages)                  # pure; registers new streams and reading ids
    journal.append(batch.created, batch.readings)    # + fdatasync, then the acknowledgements
    events = advance(state, batch.readings)          # pure; the only function that moves the state
    outgoing = render(state, events)

and for each Tick `events = tick(state, now_ns)`. At start: load a snapshot, then `recover` for every journal record.
The state is owned by one thread and changed in place. The same readings give the same state and events, however
they were cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core.forecast import Stepper
from edgeseq.core.types import Event, Message, Readings, Rejection, StreamInfo, StreamRule


class Options:  # becomes a frozen struct: clock, max_streams, max_payload_bytes, retained
    """Settings of the core that hold for all streams."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch of messages amounts to."""

    readings: Readings
    rejections: list[Rejection]
    created: list[StreamInfo]


def new_state(rules: Sequence[StreamRule], steppers: Mapping[str, Stepper], options: Any) -> Any:
    """Make the state of a node that has seen nothing; `steppers` maps a rule's `bundle` key to its model."""
    raise NotImplementedError


def accept(state: Any, messages: Sequence[Message]) -> Batch:
    """Decode and deduplicate messages; register streams and reading ids. Never raises on any bytes."""
    raise NotImplementedError


def recover(state: Any, created: Sequence[StreamInfo], readings: Readings) -> list[Event]:
    """Take one journal record: what accept and advance did when it was written."""
    raise NotImplementedError


def advance(state: Any, readings: Readings) -> list[Event]:
    """Align, step, calibrate and detect."""
    raise NotImplementedError


def tick(state: Any, now_ns: int) -> list[Event]:
    """Let processing time go on: only silence and status, never a recurrent state."""
    raise NotImplementedError


def dump(state: Any) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    """Give the whole state as a JSON-able header and named arrays (for the snapshot)."""
    raise NotImplementedError


def load(state: Any, header: dict[str, Any], arrays: Mapping[str, NDArray[np.generic]]) -> list[str]:
    """Fill a new state from a dump. Returns the ids of streams dropped because their rule is gone or changed."""
    raise NotImplementedError
