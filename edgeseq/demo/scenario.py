"""What the demo plays, and what it wants to be found: readings of two sensors in time order, and three faults.

The traffic is moved by whole weeks (weekday and hour stay) so that its last five weeks end beside the pipeline's
readings: a stream's silence is noticed by the time that other streams' readings tell.

    history (replayed)      │ both sensors live ─────────────────────────────────────────────│
    ………… traffic …………………    │ 3 weeks known to training │ 5 test weeks: 3 clean, 2 with faults │
                        20 March                    11 April              2 May          15 May
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeseq.core.types import AlertKind
from edgeseq.demo.recordings import HOUR_NS, WEEK_NS, Recording, parse_ns, pipeline, traffic

TRAFFIC_MOVED_WEEKS = 189
HISTORY_WEEKS = 12
QUICK_HISTORY_WEEKS, QUICK_TRAINING_WEEKS = 6, 40
LIVE_FROM_NS = parse_ns("2022-03-20T10:00")
"""The hour of the pipeline's first reading."""
TEST_FROM_NS = parse_ns("2022-04-11T00:00")
"""Nothing from here on was seen in training."""
SILENCE_H = 7
"""Gaps at least this long must be reported."""

TRAFFIC = "motorway-vehicles"
PIPELINE = "pipeline-flow"
TRAFFIC_TOPIC, TRAFFIC_FIELD, TRAFFIC_UNIT = "motorway", "vehicles", "veh/h"
PIPELINE_TOPIC, PIPELINE_FIELD, PIPELINE_UNIT = "pipeline", "flow", "l/s"


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading as a sensor publishes it."""

    time_ns: int
    stream: str
    value: float


@dataclass(frozen=True, slots=True)
class Window:
    """A span in which an alert of some kinds is expected."""

    name: str
    stream: str
    start_ns: int
    end_ns: int
    kinds: tuple[AlertKind, ...]
    """Any one of these names it."""
    aftermath_h: int = 0
    """Hours after the end in which an alert still belongs to it: the return is as sudden as the fault."""
    must_clear: bool = True

    @property
    def last_ns(self) -> int:
        """Give the last time at which an alert may open that still belongs to this event."""
        return self.end_ns + self.aftermath_h * HOUR_NS


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything the demo plays and checks against."""

    training: Recording
    """Traffic before the test weeks."""
    history: Recording
    """Traffic that gives the daemon its state before the first live reading."""
    truth: Recording
    """Traffic of the live weeks as recorded."""
    live: tuple[Reading, ...]
    """What is published, in time order, faults included."""
    faults: tuple[Window, ...]
    """Injected."""
    real: tuple[Window, ...]
    """In the recordings themselves."""
    clean_until_ns: int
    """The first injected fault; accuracy is measured before it."""


SPIKE_AT_NS = parse_ns("2022-05-03T11:00")
SPIKE_BY = 6000.0
"""Vehicles per hour on top: about twice the motorway's usual noon."""
STUCK_FROM_NS, STUCK_H = parse_ns("2022-05-05T14:00"), 9
SILENT_FROM_NS, SILENT_H = parse_ns("2022-05-07T09:00"), 14
AFTERMATH_H = 6


def make(history_weeks: int = HISTORY_WEEKS) -> Scenario:
    """Lay out the demo's readings, faults and expectations."""
    cars = traffic().moved(TRAFFIC_MOVED_WEEKS * WEEK_NS)
    water = pipeline()
    end_ns = int(cars.time_ns[-1]) + 1
    truth = cars.between(LIVE_FROM_NS, end_ns)
    sent = [*_readings(TRAFFIC, with_faults(truth)), *_readings(PIPELINE, water)]
    return Scenario(
        training=cars.between(0, TEST_FROM_NS),
        history=cars.between(LIVE_FROM_NS - history_weeks * WEEK_NS, LIVE_FROM_NS),
        truth=truth,
        live=tuple(sorted(sent, key=lambda reading: reading.time_ns)),
        faults=_faults(),
        real=(*_outages(), *_gaps(water), _end_of(truth)),
        clean_until_ns=SPIKE_AT_NS,
    )


def with_faults(recording: Recording) -> Recording:
    """Inject the spike, the stuck value and the silence."""
    times, value = recording.time_ns, recording.value.copy()
    value[times == SPIKE_AT_NS] += SPIKE_BY
    stuck = _span(times, STUCK_FROM_NS, STUCK_H)
    value[stuck] = value[stuck][0]
    value[_span(times, SILENT_FROM_NS, SILENT_H)] = np.nan
    return Recording(times, value)


def _span(times: np.ndarray, start_ns: int, hours: int) -> np.ndarray:
    return (times >= start_ns) & (times < start_ns + hours * HOUR_NS)


def _readings(stream: str, recording: Recording) -> list[Reading]:
    """List what the sensor sends: nothing where the reading is missing."""
    rows = zip(recording.time_ns.tolist(), recording.value.tolist(), strict=True)
    return [Reading(time_ns, stream, value) for time_ns, value in rows if value == value]  # noqa: PLR0124 (NaN)


def _faults() -> tuple[Window, ...]:
    def window(name: str, start_ns: int, hours: int, kind: AlertKind) -> Window:
        return Window(name, TRAFFIC, start_ns, start_ns + hours * HOUR_NS, (kind,), AFTERMATH_H)

    return (
        window("injected spike", SPIKE_AT_NS, 1, AlertKind.SPIKE),
        window("injected stuck value", STUCK_FROM_NS, STUCK_H, AlertKind.STUCK),
        window("injected silence", SILENT_FROM_NS, SILENT_H, AlertKind.SILENT),
    )


def _outages() -> tuple[Window, ...]:
    """Name the pipeline's real outage, by the recording: 102.9 l/s at 14:00, 24.3 at 18:00, 103.6 next day 07:00."""
    start_ns, end_ns = parse_ns("2022-04-27T15:00+02:00"), parse_ns("2022-04-28T09:00+02:00")
    kinds = (AlertKind.SPIKE, AlertKind.OUT_OF_RANGE)
    return (Window("outage of 27-28 April", PIPELINE, start_ns, end_ns, kinds, AFTERMATH_H),)


def _gaps(recording: Recording) -> tuple[Window, ...]:
    """Find the recording's own gaps of SILENCE_H or more: from the first missing hour to the next reading.

    What a sensor has done twice within weeks is its habit, and no news a third time.
    """
    hours = np.diff(recording.time_ns) // HOUR_NS
    return tuple(
        Window(
            f"gap of {hours[i]} h",
            PIPELINE,
            int(recording.time_ns[i]) + HOUR_NS,
            int(recording.time_ns[i + 1]),
            (AlertKind.SILENT,),
        )
        for i in np.flatnonzero(hours >= SILENCE_H)
        if np.count_nonzero(hours[:i] >= hours[i]) < 2
    )


def _end_of(recording: Recording) -> Window:
    """Expect silence after the recording's last reading, while the other sensor goes on."""
    last_ns = int(recording.time_ns[-1])
    return Window(
        "end of the recording", TRAFFIC, last_ns, last_ns + WEEK_NS, (AlertKind.SILENT,), must_clear=False
    )
