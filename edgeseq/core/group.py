"""The state of all streams of one rule: which columns there are, and how they are kept and brought back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.core import achieved, activity, alert_band, align, calibrate, dedupe, detect, estimate, pending
from edgeseq.core.activity import Activity
from edgeseq.core.baseline import BaselineStepper
from edgeseq.core.estimate import Estimator
from edgeseq.core.features import WARM_READINGS
from edgeseq.core.forecast import RecurrentState, Stepper, take_rows
from edgeseq.core.known import NO_INPUTS, Given, Known, KnownInputs, new_known
from edgeseq.core.table import Column, Pairs, Table
from edgeseq.core.types import F64, I64, Bool, Limits, StreamRule

NONE_YET = align.NOT_STARTED
"""Step number of a stream that was not stepped."""

LAYOUT = 3
"""Of the table: a state kept in another one is worthless."""

MIN_LEARNING_STEPS = 336
"""Outcomes before alerts, and at least one season: two weeks of hours. After so many without a miss the rate of
misses is below 0.9 % (rule of three, 95 %); fewer say too little about the outermost thousandth."""


REFRACTORY_STEPS = 12
"""Steps after an alert of behaviour in which none of its kind opens: twice what has cleared it."""


@dataclass(slots=True)
class Group:
    """One rule, its forecasters, and a table with a row for each of its streams."""

    rule: StreamRule
    targets: int
    """Channels that are forecast, the first ones; the others are only inputs of a model."""
    steppers: tuple[Stepper, ...]
    """The baseline, and the model where there is a bundle."""
    horizon: int
    leads: tuple[int, ...]
    ring: int
    """Steps of history kept, in sensor units and model-independent: what a new model warms from."""
    learning_steps: int
    limits: F64 | None
    """(C, 2) lowest and highest allowed value, infinite where not configured; None where none is."""
    settings: detect.Settings
    """What the configuration says of alerts, those limits included."""
    table: Table
    estimator: Estimator | None = None
    known: Known | None = None
    """What the model is told of the future; None where it takes no such inputs."""
    activity: Activity | None = None
    """Whether the machine is on; None where nothing tells."""

    deadlines_from_ns: int = np.iinfo(np.int64).min
    """No stream falls silent before: a bound that saves looking at all of them. Never kept."""

    @property
    def model(self) -> Stepper | None:
        """Give what serves beside the baseline, where there is a bundle."""
        return self.steppers[1] if len(self.steppers) > 1 else None

    @property
    def known_covariates(self) -> tuple[str, ...]:
        """Name the covariates whose future is known, in the model's order."""
        return tuple(c.name for c in self.known.inputs.covariates) if self.known else ()


def new_group(
    rule: StreamRule,
    model: Stepper | None,
    estimator: Estimator | None = None,
    inputs: KnownInputs = NO_INPUTS,
) -> Group:
    """Make the empty group of a rule; `model` serves it beside the baseline, with `inputs` known for the future."""
    channels = len(rule.channel_names)
    horizon = model.horizon if model else rule.horizon
    baseline: Stepper = BaselineStepper(channels, horizon, rule.season_steps, "float64")
    steppers: tuple[Stepper, ...] = (baseline, model) if model else (baseline,)
    estimating = (estimator.stepper,) if estimator else ()
    ring = max(2 * WARM_READINGS, *(s.ring for s in (*steppers, *estimating)))
    learning_steps = max(MIN_LEARNING_STEPS, rule.season_steps)
    limits = _limits(rule)
    return Group(
        rule=rule,
        targets=len(rule.forecast_names),
        steppers=steppers,
        horizon=horizon,
        leads=pending.leads_up_to(horizon),
        ring=ring,
        learning_steps=learning_steps,
        limits=limits,
        settings=_settings(rule, limits, learning_steps),
        table=Table(
            _columns(rule, horizon, ring, steppers) | (estimate.columns(estimator) if estimator else {})
        ),
        estimator=estimator,
        known=new_known(inputs, rule.period_ns, horizon, ring) if inputs.names else None,
        activity=Activity(rule.settle_ns) if rule.active_when else None,
    )


def _limits(rule: StreamRule) -> F64 | None:
    """Give the limits of each channel (C, 2), infinite where there is none; None where no channel has any."""
    limits = [rule.limits.get(name, Limits()) for name in rule.channel_names]
    bounds = [(_or(x.min, -np.inf), _or(x.max, np.inf)) for x in limits]
    return np.array(bounds, dtype=np.float64) if np.isfinite(bounds).any() else None


def _settings(rule: StreamRule, limits: F64 | None, learning_steps: int) -> detect.Settings:
    """Bring what the rule says of alerts to steps and columns."""
    said = rule.alerting
    least = [said.min_deviation.get(name, (0.0, 0.0)) for name in rule.channel_names]
    min_steps = -(-said.min_duration_ns // rule.period_ns)
    given = None if said.refractory_ns is None else -(-said.refractory_ns // rule.period_ns)
    usual = (REFRACTORY_STEPS if kind in detect.BEHAVIOUR else 0 for kind in range(len(detect.KINDS)))
    return detect.Settings(
        learning_steps=learning_steps,
        period_ns=rule.period_ns,
        limits=limits,
        enabled=_enabled(rule),
        least=np.array(least) if said.min_deviation else None,
        above=said.direction != "below",
        below=said.direction != "above",
        coverage=rule.coverage,
        crossing_probability=rule.crossing_probability,
        sensitivity=said.sensitivity,
        min_steps=(min_steps,) * len(detect.KINDS),
        refractory_steps=tuple(steps if given is None else given for steps in usual),
    )


def _enabled(rule: StreamRule) -> Bool | None:
    """Say which kinds are told (G,); None: all."""
    if rule.alerts and not rule.alerting.kinds:
        return None
    return np.array([rule.alerts and kind in rule.alerting.kinds for kind in detect.KINDS])


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _columns(
    rule: StreamRule, horizon: int, ring: int, steppers: tuple[Stepper, ...]
) -> dict[str, Column]:  # fmt: skip
    """Declare what is kept of a stream; nothing for what the rule does without: a model, alerts."""
    channels = len(rule.channel_names)
    c = (channels,)
    columns = {
        "stream": Column((), "int64", -1),
        "history": Column((channels, ring), init=np.nan, apart=True),
        "first_step": Column((), "int64", NONE_YET),
        "anchor": Column(c, init=np.nan),
        "unit": Column(c, init=np.nan),
        "next_step": Column((), "int64", NONE_YET),
        "next_value": Column(c, init=np.nan),
        "next_observed": Column(c, "bool", init=False),
        "model_warm": Column((), "int64", 0),
        "warm_step": Column((), "int64", NONE_YET),
        "status": Column((3,), "int64", -1),
    }
    columns |= align.columns(channels) | dedupe.columns(channels)
    has_model = len(steppers) > 1
    columns |= pending.columns(channels, horizon, rule.season_steps, has_model=has_model)
    columns |= (
        calibrate.columns(channels, horizon) | alert_band.columns(channels) | achieved.columns(channels)
    )
    columns |= detect.columns(channels, has_detectors=rule.alerts)
    columns |= {"leads_filled": Column((), "int64", 0), "leads_told": Column((), "int64", 0)}
    columns |= {"serving_told": Column((), "int64", pending.BASELINE)}
    for kind, stepper in zip(KINDS, steppers, strict=False):
        columns |= _state_columns(kind, stepper)
    return columns


def present_ns(group: Group) -> int | None:
    """Name the time of the open step of the middle one of all streams; None while there is none.

    The middle one: a sensor whose clock runs years ahead shall not speak for the others.
    """
    rows = np.flatnonzero(group.table["open_step"] != align.NOT_STARTED)
    if len(rows) == 0:
        return None
    named_ns = align.origin_ns(group.table, group.rule, rows, group.table["open_step"][rows])
    return int(np.sort(named_ns)[(len(rows) - 1) // 2])


# --- recurrent states -----------------------------------------------------------------------------------------

BASELINE, MODEL = 0, 1
KINDS = ("baseline", "model")
"""What has a recurrent state, in the order of Group.steppers."""

_STATES = tuple(f"{kind}.states." for kind in KINDS)
"""How the names of its columns begin."""

_FEW_WORDS = 16
"""The longest state that lies beside others."""


def _state_columns(kind: str, stepper: Stepper) -> dict[str, Column]:
    """Declare the two states of a stepper, of which `which` is the committed one: promoting the other moves nothing."""
    states = {}
    for spec in stepper.state_spec:
        # A model has half a dozen states of a word or few: they are moved together, since NumPy's cost is by the call.
        is_small = kind == KINDS[MODEL] and spec.dtype == "float32"
        is_small = is_small and len(spec.shape) == 1 and spec.shape[0] <= _FEW_WORDS
        beside = f"{kind}.states." if is_small else ""
        column = Column((2, *spec.shape), spec.dtype, spec.init, apart=not is_small, beside=beside)
        states[f"{kind}.states.{spec.name}"] = column
    return states | {f"{kind}.which": Column((), "int64", 0)}


def stored_states(group: Group, kind: int) -> Pairs:
    """Give the states of all rows as writable views (2 · N, …): a row's two follow each other."""
    return group.table.pairs(_STATES[kind])


def read_state(group: Group, kind: int, which: str, rows: I64) -> RecurrentState:
    """Copy the recurrent states of rows; `which` is committed or next."""
    committed = group.table[f"{KINDS[kind]}.which"][rows]
    at = 2 * rows + (committed if which == "committed" else 1 - committed)
    return take_rows(stored_states(group, kind), at.astype(np.intp, copy=False))


def reset_rows(group: Group, rows: I64) -> None:
    """Forget what a gap longer than the ring made worthless.

    That is history, recurrent states, pending forecasts and what was counted over consecutive steps. What was
    learned of the sensor stays: anchor and unit, errors, offsets, widths.
    """
    table = group.table
    worthless = (
        "history",
        "first_step",
        "next_step",
        "next_value",
        "model_warm",
        "warm_step",
        "serving",
        "pending",
        "pending_model",
        "pending_offset",
        "calm",
        *detect.worthless(),
    )
    estimating = [name for name in table.columns if ".committed." in name or ".next." in name]
    recurrent = [name for name in table.columns if name.startswith(_STATES) or name.endswith(".which")]
    present = [name for name in worthless if name in table.columns]
    table.reset(rows, (*present, *recurrent, *estimating))


def recent_history(group: Group, row: int, step: int, first_step: int | None = None) -> F64:
    """Give a row's history in time order up to `step` → (T, C), T <= ring, from the stream's first step on."""
    first_step = int(group.table["first_step"][row]) if first_step is None else first_step
    steps = min(group.ring, step - first_step + 1)
    at = np.arange(step - steps + 1, step + 1) % group.ring
    history: F64 = group.table["history"][row][:, at].T
    return history


# --- keeping and bringing back --------------------------------------------------------------------------------


def fingerprint(group: Group) -> dict[str, Any]:
    """Say what a kept state depends on: another base makes it worthless, another model needs a new warm-up."""
    rule = group.rule
    base = [
        LAYOUT,
        rule.period_ns,
        rule.aggregate,
        rule.on_gap,
        rule.kind,
        list(rule.channel_names),
        rule.season_steps,
    ]
    # As text, which JSON gives back as it was: tuples would come back as lists, and NaN equals nothing.
    model = [[s.name, *(str(spec) for spec in s.state_spec)] for s in group.steppers[1:]]
    told = {"base": base, "horizon": group.horizon, "ring": group.ring, "model": model}
    if group.estimator:
        stepper = group.estimator.stepper
        told["estimator"] = [stepper.name, *(str(spec) for spec in stepper.state_spec)]
    if group.known:
        told["known"] = list(group.known_covariates)
    return told


def dump_group(group: Group) -> dict[str, NDArray[np.generic]]:
    """Give views of all columns, and what is kept beside them: open alerts, known covariates, the switch."""
    arrays: dict[str, NDArray[np.generic]] = {name: group.table[name] for name in group.table.columns}
    arrays |= detect.dump(group.table)
    if group.activity:
        arrays["activity"] = activity.dump(group.activity)
    for j, given in enumerate(group.known.given if group.known else []):
        arrays |= {f"known.{j}.time_ns": given.time_ns, f"known.{j}.value": given.value}
    return arrays


def load_group(group: Group, kept: Mapping[str, Any], arrays: Mapping[str, NDArray[np.generic]]) -> bool:
    """Fill a new group from what was kept under the fingerprint `kept`. Returns False where nothing fits.

    With another model the streams keep everything but the model's part, and warm it from their history.
    """
    ours = fingerprint(group)
    if kept["base"] != ours["base"] or kept["horizon"] != ours["horizon"]:
        return False
    streams = arrays["stream"]
    for _ in range(len(streams)):
        group.table.add_row()
    for name, column in group.table.columns.items():
        array = arrays.get(name)
        if array is not None and array.shape[1:] == column.shape:
            _fill(group.table[name], array)
    if kept["ring"] != ours["ring"]:
        _lay_history(group, np.asarray(arrays["history"], dtype=np.float64))
    detect.load(group.table, arrays, group.targets)
    if group.activity and "activity" in arrays:
        activity.load(group.activity, arrays["activity"])
    if kept["model"] != ours["model"]:
        _forget_model(group)
    if group.known and kept.get("known") == ours["known"]:
        group.known.given = [
            Given(np.array(arrays[f"known.{j}.time_ns"]), np.array(arrays[f"known.{j}.value"]))
            for j in range(len(group.known.given))
        ]
    if kept.get("estimator") != ours.get("estimator"):
        estimate.forget(group.table)
    return True


def _fill(column: NDArray[Any], kept: NDArray[np.generic]) -> None:
    """Fill a column from one of its dtype; counts that earlier versions kept wider stop at its largest number."""
    if kept.dtype == column.dtype:
        column[:] = kept
    elif kept.dtype.kind == "i" and column.dtype.kind == "u" and column.itemsize < kept.itemsize:
        column[:] = np.minimum(kept, np.iinfo(column.dtype).max)


def _lay_history(group: Group, old: F64) -> None:
    """Move the newest steps of a ring of another length to their places in this one."""
    table = group.table
    table["history"][:] = np.nan
    for row in range(table.rows):
        newest = int(table["next_step"][row]) - 1
        if table["first_step"][row] == NONE_YET:
            continue
        steps = np.arange(newest - min(old.shape[-1], group.ring) + 1, newest + 1)
        table["history"][row][:, steps % group.ring] = old[row][:, steps % old.shape[-1]]
        table["first_step"][row] = max(int(table["first_step"][row]), int(steps[0]))


def _forget_model(group: Group) -> None:
    table = group.table
    table["model_warm"][:] = 0
    table["serving"][:] = pending.BASELINE
    table["anchor"][:] = np.nan
    table["unit"][:] = np.nan
    table["warm_step"][:] = NONE_YET
    everything = np.arange(table.rows)
    forgotten = (
        "pending_model", "pending_offset", "paired_error", "even_error", "paired", "log_ratio", "leads_filled",
    )  # fmt: skip
    table.reset(everything, (name for name in forgotten if name in table.columns))
    for name in ("offset_scales", "owed", "error", "recent_error", "scored", "alert_width", "calm", "stride"):
        table[name][:, pending.BLEND] = table.columns[name].init
