"""What is told of updates: events, states, figures of a comparison, the slots, and whether the clock is believable."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import msgspec

from edgeseq.core.bridge import bridge_event, update_state
from edgeseq.core.comparison import Comparison
from edgeseq.core.payloads import EventPayload, PairedTest, UpdateInfo, UpdateStatePayload
from edgeseq.reporting import info
from edgeseq.updates.shadow import Trial
from edgeseq.updates.shelf import Host
from edgeseq.updates.slots import Index

_TIME_ERROR, _TIMEX_BYTES = 5, 512


def tell(host: Host, what: str, fields: Mapping[str, object]) -> None:
    """Tell a step as an event and in the log, with what bridge/info then says."""
    told = msgspec.to_builtins(dict(fields))
    payload = msgspec.convert({"event": f"update.{what}", **told}, EventPayload)
    if what == "refused":
        host.log("update.refused", **told)
    else:
        host.log("update.changed", step=what, **told)
    host.send(bridge_event(host.node.context.root, payload), info(host.node))


def tell_state(host: Host, payload: UpdateStatePayload) -> None:
    """Tell whoever sends how far it has come."""
    host.send(update_state(host.node.context.root, payload))


def told_slots(index: Index, trials: Mapping[str, Trial]) -> list[UpdateInfo]:
    """Tell what has come over the air, and how it fares."""
    return [
        UpdateInfo(
            bundle=key,
            phase=slot.phase,
            sequence=slot.sequence,
            outcome=slot.outcome,
            test=paired_test(trials[key].comparison) if key in trials else None,
        )
        for key, slot in sorted(index.slots.items())
    ]


def paired_test(comparison: Comparison) -> PairedTest:
    """Tell what a comparison says so far, with four significant digits."""
    test = comparison.test()
    critical = float(f"{test.critical:.4g}") if test.pairs > 1 else None
    return PairedTest(
        pairs=test.pairs, wanted=comparison.enough, difference=float(f"{test.difference:.4g}"),
        statistic=float(f"{test.statistic:.4g}"), critical=critical,
    )  # fmt: skip


def is_clock_synchronised() -> bool:
    """Ask the kernel whether the network sets the clock (adjtimex(2)); False where it does not say."""
    try:
        state = int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    except (OSError, AttributeError):
        return False
    return 0 <= state != _TIME_ERROR
