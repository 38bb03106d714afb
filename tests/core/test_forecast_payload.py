"""Forecasts as text: what is written for a whole batch is what the struct says, for any numbers and names."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from edgeseq.core.decimals import significant
from edgeseq.core.forecast_payload import seconds
from edgeseq.core.instants import format_instant
from edgeseq.core.payloads import ForecastPayload, LatestPayload, Path
from edgeseq.core.render import RenderContext, RenderState, render
from edgeseq.core.types import (
    F64,
    ChannelSource,
    DataStatus,
    Event,
    Forecast,
    ForecastColumns,
    Phase,
    Source,
    StreamInfo,
    StreamRule,
    StreamStatus,
)

LABEL = 'ho"use@3f9%s'
DECODE = msgspec.json.Decoder(ForecastPayload, strict=True).decode


@st.composite
def rules(draw: st.DrawFn) -> StreamRule:
    """Draw rules of one channel or several, with names and units of any text."""
    texts = st.text(min_size=1, max_size=8)
    names = draw(st.lists(texts, unique=True, max_size=3))
    return StreamRule(
        key="rule",
        period_ns=draw(st.sampled_from([10**9, 1_500_000_000, 60 * 10**9, 1])),
        channels={name: ChannelSource("p") for name in names},
        unit=draw(st.none() | texts),
        publish_path=draw(st.booleans()),
        coverage=draw(st.sampled_from([0.5, 0.8, 0.9])),
    )


@st.composite
def columns(draw: st.DrawFn, channels: int) -> ForecastColumns:
    """Draw the numbers of forecasts made together."""
    n, H = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    numbers = st.floats() | st.floats(-1000, 1000)

    def column(*shape: int) -> F64:
        count = math.prod(shape)
        return np.array(draw(st.lists(numbers, min_size=count, max_size=count))).reshape(shape)

    scalars, path = (n, channels), (n, channels, H)
    observed = np.where(np.isinf(drawn := column(*scalars)), np.nan, drawn)  # what is not finite is rejected
    lower, value, upper = column(*path), column(*path), column(*path)
    return ForecastColumns(observed, lower, value, upper, column(*scalars), column(*scalars))


def numbers(values: F64) -> list[float | None]:
    """Round; null where not finite."""
    return [x if math.isfinite(x) else None for x in significant(values).tolist()]


def payload(rule: StreamRule, event: Forecast, c: int) -> ForecastPayload:
    """Make the payload of one channel, the plain way."""
    name = rule.forecast_names[c]
    label = LABEL if event.source == "model" else None
    place = f"s-1/{name}" if rule.channels else "s-1"
    lower, value, upper = (numbers(column[c]) for column in (event.lower, event.value, event.upper))
    observed, score, skill = numbers(np.array([event.observed[c], event.score[c], event.skill[c]]))
    leads = [seconds(rule.period_ns * lead) for lead in range(1, len(value) + 1)]
    return ForecastPayload(
        id=f"{place}:{event.step}:{label.rpartition('@')[2] if label else 'baseline'}",
        stream="s-1",
        channel=name if rule.channels else UNSET,
        origin=format_instant(event.origin_ns),
        period_s=seconds(rule.period_ns),
        unit=rule.unit,
        observed=observed,
        value=value[0],
        lower=lower[0],
        upper=upper[0],
        coverage=rule.coverage,
        score=score,
        quality="missing" if observed is None else "ok",
        source=event.source,
        skill=skill,
        bundle=label,
        leads_filled=event.leads_filled or UNSET,
        path=Path(leads, lower, value, upper) if rule.publish_path else UNSET,
    )


@given(st.data(), rules())
def test_render_forecasts_of_any_numbers_decode_to_the_struct(data: st.DataObject, rule: StreamRule) -> None:
    """Each payload has exactly the fields of its struct, in their order, and `latest` repeats the newest of them."""
    together = data.draw(columns(len(rule.channel_names)))
    sources: st.SearchStrategy[Source] = st.sampled_from(["model", "baseline"])
    events = [
        Forecast(
            row,
            0,
            data.draw(st.integers(-(2**62), 2**62)),
            data.draw(st.integers(-(2**62), 2**62 - 1)),
            data.draw(sources),
            data.draw(st.sampled_from([0, 3])),
            row,
            together,
        )
        for row in range(len(together.value))
    ]
    context = RenderContext(
        "e", "n", [StreamInfo("s-1", "rule", "t", None, 0)], {"rule": rule}, {"rule": LABEL}
    )
    state = RenderState()
    sent: list[Event] = [*events, StreamStatus(9, 0, Phase.LIVE, DataStatus.OK, "none")]
    outgoing = render(context, state, sent)
    expected = [payload(rule, event, c) for event in events for c in range(len(rule.channel_names))]
    got = [out.payload for out in outgoing if out.topic.endswith("/forecast")]
    assert [DECODE(text) for text in got] == expected
    keys = [list(msgspec.json.decode(text)) for text in got]
    assert keys == [list(msgspec.json.decode(msgspec.json.encode(one))) for one in expected]
    latest = [out.payload for out in outgoing if out.topic.endswith("/latest")][-len(rule.channel_names) :]
    told = {name: getattr(expected[-1], name) for name in expected[-1].__struct_fields__ if name != "path"}
    newest = LatestPayload(**told, phase=Phase.LIVE, data=DataStatus.OK, alert="none")
    assert msgspec.json.decode(latest[-1], type=LatestPayload) == newest
