"""The vocabulary of edgeseq: every word the core speaks.

Shape letters, used in all docstrings:
B batch, T time, C channels, F features, U units, L layers, H horizon, Q quantile levels,
R ring length, N streams of a group, K calibrated leads.

Times are integer nanoseconds since the epoch, UTC. Values are float64 in the sensor's unit until a
forecaster's anchor and unit have been applied.

words.py       arrays, literals, figures          readings.py  columns of readings, rejections, counts
happenings.py  values of the inbox                events.py    what comes out
streams.py     rules and identities of streams
"""

from edgeseq.core.types.events import (
    AlertEvent,
    ClassChanged,
    DataStatus,
    Estimate,
    Event,
    Forecast,
    ForecastColumns,
    InputsFilled,
    OtherEvent,
    Outgoing,
    Phase,
    StreamCreated,
    StreamReset,
    StreamStatus,
    StreamSwitched,
)
from edgeseq.core.types.happenings import Message, Reload, Scrape, Stop, Tick
from edgeseq.core.types.readings import READING_DTYPES, Counts, Readings, Reason, Rejection
from edgeseq.core.types.streams import (
    Alerting,
    AlertKind,
    ChannelSource,
    Heard,
    KnownSource,
    Limits,
    Options,
    StreamInfo,
    StreamRule,
    SwitchSource,
    Target,
)
from edgeseq.core.types.words import (
    CALIBRATED_LEADS,
    COVERAGE,
    F32,
    F64,
    I16,
    I32,
    I64,
    U64,
    Aggregate,
    Bool,
    Index,
    Kind,
    OnGap,
    Quality,
    Severity,
    Source,
)

__all__ = [
    "CALIBRATED_LEADS",
    "COVERAGE",
    "F32",
    "F64",
    "I16",
    "I32",
    "I64",
    "READING_DTYPES",
    "U64",
    "Aggregate",
    "AlertEvent",
    "AlertKind",
    "Alerting",
    "Bool",
    "ChannelSource",
    "ClassChanged",
    "Counts",
    "DataStatus",
    "Estimate",
    "Event",
    "Forecast",
    "ForecastColumns",
    "Heard",
    "Index",
    "InputsFilled",
    "Kind",
    "KnownSource",
    "Limits",
    "Message",
    "OnGap",
    "Options",
    "OtherEvent",
    "Outgoing",
    "Phase",
    "Quality",
    "Readings",
    "Reason",
    "Rejection",
    "Reload",
    "Scrape",
    "Severity",
    "Source",
    "Stop",
    "StreamCreated",
    "StreamInfo",
    "StreamReset",
    "StreamRule",
    "StreamStatus",
    "StreamSwitched",
    "SwitchSource",
    "Target",
    "Tick",
]
