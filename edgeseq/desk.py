"""The desk: what people do about alerts, and the history of both.

It stands behind the core, which knows nothing of it, and before the broker: rendering asks it what is muted. Whatever
it says of an alert follows from the alert's own times and from the ledger, so that it is the same after a crash:

    journal committed ─▶ ledger: events, what was told late ─▶ alerts are told
    request ─▶ ledger: the wish, and what is to be told of it ─▶ told, answered
    snapshot, with the outbox in it ─▶ ledger: nothing is to be told again

Where the ledger cannot be written, alerts are told all the same, their history waits in memory (1,000 events, then the
oldest are lost and counted), and requests that would have to be kept are refused. It is tried again every 10 s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from edgeseq.adapters.ledger import EventRow, Ledger, ReadingsRow
from edgeseq.adapters.log import Log
from edgeseq.around import MOST_AT_ONCE, Around, begin, from_row, go_on, is_due, to_row
from edgeseq.config.windows import Window
from edgeseq.core.alerting import acknowledge, acknowledgement, open_alerts, review
from edgeseq.core.muting import next_change_ns
from edgeseq.core.pipeline import State
from edgeseq.core.told import Acknowledgement, Recorded, RenderContext, RenderState
from edgeseq.core.types import Outgoing
from edgeseq.errors import StorageError
from edgeseq.failpoint import reach
from edgeseq.rates import Rates
from edgeseq.wishes import Purpose, Wish, Wishes

MOST_UNWRITTEN = 1000
RETRY_S = 10.0
DAY_NS = 86_400 * 10**9

MOST_ASKED = 200
PRUNE_EVERY = 200
"""Events between two looks at the ledger's bounds."""

_encode = msgspec.json.encode


class Desk:
    """What is muted and acknowledged, and the ledger that keeps it."""

    def __init__(
        self,
        ledger: Ledger,
        maintenance: Iterable[Window],
        log: Log,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ledger = ledger
        self.wishes = Wishes(maintenance)
        self.acknowledged: dict[str, Acknowledgement] = {}
        self.told_late: set[str] = set()
        self.outbox: list[Outgoing] = []
        """What was told by the desk alone and may not have reached the broker; told again at a start."""
        self.around: dict[str, Around] = {}
        self.rates = Rates(log)
        self.faults = self.lost = self.muted = 0
        self.log = log
        self._clock_s = clock_s
        self._retry_s = float("-inf")
        self._unwritten: list[Recorded] = []
        self._late: list[tuple[str, int, Outgoing]] = []
        self._rows: list[ReadingsRow] = []
        self._since_prune = PRUNE_EVERY
        self._is_loaded = False
        self._is_settled = True
        self._next_ns = self._looked_ns = -(2**62)

    # --- beginning and ending

    def load(self) -> None:
        """Read what was kept. Where that fails nothing is muted but by the configuration, and it is tried again."""
        try:
            kept = self.ledger.load()
        except StorageError as fault:
            self._failed(fault)
            return
        self._is_loaded = True
        # In place: rendering has the same objects.
        self.acknowledged.update({name: Acknowledgement(*taken) for name, taken in kept.acknowledged.items()})
        self.told_late |= kept.told_late
        self.outbox = kept.outbox
        self.around |= {row.id: from_row(row) for row in kept.readings}
        self.rates.load(kept.rates)
        self._is_settled = not kept.outbox
        self.wishes.load(kept.asked)
        self._next_ns = -(2**62)

    def _load_late(self, render_state: RenderState) -> list[Outgoing]:
        """Try again to read what was kept → what is to be told of it."""
        if self._clock_s() < self._retry_s:
            return []
        self.load()
        if not self._is_loaded:
            return []
        for name, taken in list(self.acknowledged.items()):
            acknowledge(render_state, name, taken)
        return self.outbox

    def attach(self, render_state: RenderState) -> None:
        """Let rendering ask what is muted, and tell what it tells. Before anything is rendered."""
        render_state.mutes = self.wishes.mutes_at
        render_state.acknowledged, render_state.told_late = self.acknowledged, self.told_late
        render_state.record = []
        self._next_ns = -(2**62)

    def follow(self, maintenance: Iterable[Window]) -> None:
        """Take another configuration's windows into force."""
        self.wishes.follow(maintenance)
        self._next_ns = -(2**62)

    def close(self, state: State, now_ns: int) -> None:
        """Keep what is still gathered, and let go of the file."""
        for around in self.around.values():
            go_on(state, around)
        self._rows += [to_row(around) for around in self.around.values()]
        self._write(state, now_ns, ())
        self.ledger.close()

    # --- as time goes on

    def look(
        self, context: RenderContext, render_state: RenderState, state: State, now_ns: int
    ) -> list[Outgoing]:
        """Tell what is muted no longer, note what is; keep the readings that have come around alerts."""
        outgoing = [] if self._is_loaded else self._load_late(render_state)
        if now_ns >= self._next_ns or now_ns < self._looked_ns:  # the clock may have been set back
            outgoing = [*outgoing, *review(context, render_state, now_ns)]
            # A week around a day is known: look again at least once a day, for windows that come every week.
            self._next_ns = min(next_change_ns(self.wishes.mutes_at(now_ns), now_ns), now_ns + DAY_NS)
        self._looked_ns = now_ns
        for around in [around for around in self.around.values() if is_due(state, around)]:
            self._keep_readings(around)
        self.rates.begin(context.rules, now_ns)
        self.note(context, render_state, state, now_ns)
        return outgoing

    def note(self, context: RenderContext, render_state: RenderState, state: State, now_ns: int) -> None:
        """Keep what rendering has said of alerts: after it is in the journal, before it is told."""
        if render_state.record:
            self._unwritten += render_state.record
            render_state.record = []
        if render_state.late:
            told = [((out.alert_id or "").partition(":")[0], now_ns, out) for out in render_state.late]
            self._late += told
            render_state.late = []
        if not (self._unwritten or self._late or self._rows):
            return
        if self._write(state, now_ns, (name for view in render_state.views.values() for name in view.open)):
            self.rates.tell_exceeded(context.rules.values(), now_ns)
            reach("ledger.written")

    def settle(self) -> None:
        """Note that a snapshot holds what waits for the broker: the desk need not tell it again."""
        if self._is_settled:
            return
        try:
            self.ledger.settle()
            self._is_settled = True
        except StorageError as fault:
            self._failed(fault)

    def _write(self, state: State, now_ns: int, open_ids: Iterable[str]) -> bool:
        """Write what waits; what cannot be written waits on, within its bound."""
        if self._clock_s() < self._retry_s:
            self._bound()
            return False
        try:
            new = self._new_ones()
            self._since_prune += len(new)
            for recorded in new:
                self._take_in(state, recorded)
            rows = [_event_row(recorded) for recorded in new]
            self.ledger.record(rows, self._late, self._rows, self.rates.dump())
            self._is_settled = self._is_settled and not self._late
            self._unwritten, self._late, self._rows = [], [], []
            if self._since_prune >= PRUNE_EVERY:
                self._since_prune = 0
                self._prune(now_ns, open_ids)
        except StorageError as fault:
            self._failed(fault)
            self._bound()
            return False
        return True

    def _new_ones(self) -> list[Recorded]:
        """Leave out what the history holds already: events that a start has made again."""
        known = self.ledger.known({recorded.payload.id for recorded in self._unwritten})
        new = {
            (recorded.payload.id, recorded.payload.seq): recorded
            for recorded in reversed(self._unwritten)
            if (recorded.payload.id, recorded.payload.seq) not in known
        }
        return list(reversed(new.values()))

    def _take_in(self, state: State, recorded: Recorded) -> None:
        """Count an alert that has opened, and begin to gather its readings; what was counted is not again."""
        payload, event = recorded.payload, recorded.event
        if payload.event_type != "opened" or payload.id in self.around:
            return
        self.muted += recorded.is_muted
        self.rates.count(recorded.table, payload.group, event.time_ns)
        if len(self.around) >= MOST_AT_ONCE:
            return
        if around := begin(state, payload.id, event.stream, event.channel, event.opened_step):
            self.around[payload.id] = around
            self._rows.append(to_row(around))

    def _keep_readings(self, around: Around) -> None:
        self._rows.append(to_row(around))
        if around.is_complete:
            del self.around[around.id]

    def _prune(self, now_ns: int, open_ids: Iterable[str]) -> None:
        self.ledger.prune(now_ns, [*open_ids, *self.around])
        self.ledger.forget(self.wishes.forget(now_ns))

    def _bound(self) -> None:
        self.lost += max(0, len(self._unwritten) - MOST_UNWRITTEN)
        for waiting in (self._unwritten, self._late, self._rows):
            del waiting[:-MOST_UNWRITTEN]

    def _failed(self, fault: StorageError) -> None:
        self.faults += 1
        self._retry_s = self._clock_s() + RETRY_S
        self.log("ledger.failed", error=str(fault), retry_s=RETRY_S)

    # --- what people ask for

    def acknowledge(
        self, context: RenderContext, render_state: RenderState, name: str, taken: Acknowledgement
    ) -> list[Outgoing]:
        """Note that a person knows of an alert → what is told of it; nothing where it is not open.

        Raises StorageError: nothing is noted.
        """
        out = acknowledgement(render_state, name, taken)
        if out is None:
            return []
        self.ledger.acknowledge(name, taken.time_ns, taken.by, out)
        self._is_settled = False
        reach("ledger.asked")
        acknowledge(render_state, name, taken)
        return [out, open_alerts(context, render_state)]

    def wish(self, purpose: Purpose, window: Window, by: str | None) -> int:
        """Keep a snooze or maintenance → its number. Raises StorageError."""
        number = self.ledger.ask(purpose, _encode(window).decode(), by)
        reach("ledger.asked")
        self.wishes.put(Wish(number, purpose, window, by))
        self._next_ns = -(2**62)
        return number

    def end(self, number: int, now_ns: int) -> bool:
        """End a snooze or maintenance; False where there is none of this number. Raises StorageError."""
        wish = self.wishes.asked.get(number)
        if wish is None:
            return False
        window = msgspec.structs.replace(wish.window, not_after_ns=min(now_ns, wish.window.not_after_ns))
        self.ledger.change(number, _encode(window).decode())
        reach("ledger.asked")
        self.wishes.put(wish._replace(window=window))
        self._next_ns = -(2**62)
        return True

    def label(self, name: str, label: str | None, note: str | None, by: str | None, now_ns: int) -> bool:
        """Keep what an alert was, in hindsight; False where there are too many labels. Raises StorageError."""
        is_kept = self.ledger.label(name, label, note, by, now_ns)
        reach("ledger.asked")
        return is_kept

    def readings(self, state: State, name: str) -> ReadingsRow | None:
        """Give the readings around an alert, the newest of them from memory. Raises StorageError."""
        around = self.around.get(name)
        if around is None:
            return self.ledger.readings(name)
        go_on(state, around)
        return to_row(around)


def _event_row(recorded: Recorded) -> EventRow:
    payload = recorded.payload
    return EventRow(
        payload.id,
        payload.seq,
        payload.event_type,
        payload.stream,
        recorded.table,
        str(payload.kind),
        recorded.event.time_ns,
        recorded.is_muted,
        _encode(payload),
    )


def open_desk(folder: Path, maintenance: Iterable[Window], log: Log) -> Desk:
    """Open the desk of a state folder."""
    desk = Desk(Ledger(folder, log), maintenance, log)
    desk.load()
    return desk
