"""Replay: the daemon's core fed from a recording, at full speed, under the recording's own clock.

The same readings give the same forecasts and alerts as they did live, byte by byte: a silence is told with the time
of its deadline, so it does not matter who noticed it when.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec

from edgeseq.adapters.log import Log, open_log
from edgeseq.compose import Node, open_node
from edgeseq.config import load_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import Message, Outgoing
from edgeseq.errors import InputError

MAX_BATCH = 512
"""As the daemon; the result does not depend on it."""


@dataclass(slots=True)
class Tally:
    """What a replay did, for its last line."""

    messages: int = 0
    published: dict[str, int] = field(default_factory=dict)
    """Kind of topic (its last level) → messages."""


def open_for_replay(config: Path, state_dir: Path | None, *, save_state: bool) -> Node:
    """Open a node as the daemon would; without `save_state` it begins with nothing and keeps nothing.

    Args:
        config: the daemon's configuration file.
        state_dir: folder of the state; None means the configuration's.
        save_state: go on from the state found there, and keep it afterwards.

    Raises:
        OperatorError: configuration, bundle or state folder cannot be used.
    """
    resolved = resolve(load_config(config), config.parent, name=config.name)
    log: Log = open_log("warning")
    return open_node(resolved, state_dir=_state_dir(resolved, state_dir, save_state=save_state), log=log)


def _state_dir(resolved: Resolved, wanted: Path | None, *, save_state: bool) -> Path | None:
    if not save_state:
        return None
    return wanted.absolute() if wanted is not None else resolved.state_dir


def replay(
    node: Node, messages: Iterable[Message], tally: Tally, batch: int = MAX_BATCH
) -> Iterator[Outgoing]:
    """Take messages in their order; yield what the daemon would publish."""
    rest = iter(messages)
    while chunk := list(islice(rest, batch)):
        tally.messages += len(chunk)
        accepted = accept(node.state, chunk)
        for outgoing in node.render(advance(node.state, accepted.readings)):
            kind = kind_of(outgoing.topic)
            tally.published[kind] = tally.published.get(kind, 0) + 1
            yield outgoing


def save(node: Node) -> None:
    """Keep the state, so that a daemon started with it goes on from here. Its alerts are told, not to be told again.

    Raises:
        InputError: nothing was applied: an empty state would look like a history.
        StorageError: the disk refuses.
    """
    if not node.state.counts.applied and (known := _known(node)):
        raise InputError(
            f"{known}, nothing new: the state stays as it was",
            found=f"rejected: {rejected}" if (rejected := _reasons(node)) else None,
            wanted="readings newer than those that the state folder has seen",
            do="nothing if this recording was replayed before; else give another --state-dir",
        )
    if not node.state.counts.applied:
        raise InputError(
            "no reading was applied, so there is no state to save",
            found=f"rejected: {_reasons(node) or 'nothing'}",
            do="compare the recording's topics and fields with the configuration's streams",
        )
    node.keep([])


def close(node: Node) -> None:
    """Let go of the state folder."""
    if node.store is not None:
        node.store.close()


def to_line(outgoing: Outgoing) -> bytes:
    r"""Write a message as a line of JSON; a JSON payload stays as it is, byte by byte.

    >>> to_line(Outgoing("a/anomaly", b"ON")), to_line(Outgoing("a/forecast", b'{"value":1.50}'))
    (b'{"topic":"a/anomaly","payload":"ON"}\n', b'{"topic":"a/forecast","payload":{"value":1.50}}\n')
    """
    payload = outgoing.payload
    raw = payload if payload[:1] in (b"{", b"[") else msgspec.json.encode(payload.decode("utf-8", "replace"))
    return msgspec.json.encode({"topic": outgoing.topic, "payload": msgspec.Raw(raw)}) + b"\n"


def wanted_only(outgoing: Iterable[Outgoing], kinds: Sequence[str]) -> Iterator[Outgoing]:
    """Keep messages whose topic ends in one of the kinds; no kinds keep all."""
    return (out for out in outgoing if not kinds or kind_of(out.topic) in kinds)


def kind_of(topic: str) -> str:
    """Give the last level of a topic: what the message is.

    >>> kind_of("edgeseq/attic/pump1/vibration/forecast")
    'forecast'
    """
    return topic.rpartition("/")[2]


def account(node: Node, tally: Tally) -> dict[str, object]:
    """Give the same for programs."""
    counts = node.state.counts
    return {
        "messages": tally.messages,
        "received": counts.received,
        "applied": counts.applied,
        "late": counts.late,
        "duplicate": counts.duplicate,
        "rejected": {str(reason): n for reason, n in sorted(counts.rejected.items())},
        "ignored": counts.ignored,
        "published": dict(sorted(tally.published.items())),
    }


def summary(node: Node, tally: Tally) -> str:
    """Say in one line what was done."""
    counts = node.state.counts
    parts = [
        _some(tally.messages, "message"),
        f"{_some(counts.applied, 'reading')} applied",
        _some(tally.published.get("forecast", 0), "forecast"),
        _some(tally.published.get("alert", 0), "alert event"),
    ]
    if known := _known(node):
        parts.append(known)
    if reasons := _reasons(node):
        parts.append(f"rejected: {reasons}")
    return ", ".join(parts)


def _some(count: int, noun: str) -> str:
    """Count things.

    >>> _some(1, "reading"), _some(2000, "reading")
    ('1 reading', '2,000 readings')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _known(node: Node) -> str:
    """Count the readings that brought nothing new; empty where there are none."""
    counts = node.state.counts
    late = f"{counts.late:,} late" if counts.late else ""
    return ", ".join(filter(None, [_some(counts.duplicate, "duplicate") if counts.duplicate else "", late]))


def _reasons(node: Node) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(node.state.counts.rejected.items()))
