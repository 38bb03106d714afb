"""The recipe of a training run: every field has a default and a meaning; `recipe_files` reads and writes it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgeseq.core.decoder import DecoderSpec
from edgeseq.core.layers import LayerSpec
from edgeseq.core.types import Aggregate, Kind, OnGap

COUNTED: Aggregate = "sum"
"""How the increments of a counter become one, unless told otherwise."""
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Season = Annotated[int, msgspec.Meta(ge=2)]
MOST_SEED = 2**31 - 1
VariantName = Literal["float32", "float16", "int8_weights", "dynamic"]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the recipe: unknown keys are errors."""


class SplitRecipe(_Table, frozen=True):
    """[split]: by time. Fractions of the rows, or counts of rows where none is below 1."""

    train: float = 0.6
    validation: float = 0.2
    test: float = 0.2


class RecordingRecipe(_Table, frozen=True):
    """[recording]: how the recording is read, as the options of the same names say; those win."""

    time_column: str | None = None
    time_format: str | None = None
    time_zone: str | None = None
    series: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    since: str | None = None
    """ISO 8601, as text."""
    until: str | None = None
    on_gap: OnGap | None = None
    kind: Kind | None = None
    statistics: bool | None = None


class FrontRecipe(_Table, frozen=True):
    """[front]: what is computed before anything is learned."""

    seasons: tuple[Season, ...] | None = None
    """Season lengths in steps; default: found by autocorrelation among the day and the week."""
    ring: Annotated[int, msgspec.Meta(ge=2)] | None = None
    """Steps kept; default: chosen by validation among sensible ones."""
    half_life: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Of the running mean and scale in steps; default min(7 seasons, rows / 8)."""


class CellRecipe(_Table, frozen=True):
    """[cell]: the recurrent part."""

    kind: Literal["gru", "lstm", "rnn"] = "gru"
    layers: Positive = 1
    units: Positive = 48


class TrainingRecipe(_Table, frozen=True):
    """[training]: truncated back-propagation through time with carried state."""

    steps: Positive = 1000
    """Most optimizer steps."""
    patience: Positive = 250
    """Stop after so many steps without a better validation loss."""
    validate_every: Positive = 25
    lanes: Positive = 48
    """Segments per step; each goes on where it stopped, with its state."""
    segment: Annotated[int, msgspec.Meta(ge=0)] = 32
    """Steps of time per segment, through which gradients flow; 0: whole runs (full back-propagation through time)."""
    loss_stride: Positive = 4
    """The loss is taken at every n-th step of a segment, from a random offset."""
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 3e-3
    schedule: Literal["one_cycle", "cosine", "constant", "plateau"] = "one_cycle"
    """Of the learning rate; plateau: halved whenever validation has not improved for `plateau_steps`."""
    plateau_steps: Positive = 75
    highway_rate: Annotated[float, msgspec.Meta(ge=0)] = 0.2
    """Learning rate of the highway as a share of the others'."""
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 1e-3
    dropout: Share = 0.25
    """Of each layer's outputs."""
    recurrent_dropout: Share = 0.0
    """Of what a recurrence is fed of its own state, the same units over a whole segment (arXiv 1512.05287)."""
    clip_norm: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """Longest gradient (arXiv 1211.5063); 0: never clipped."""
    teacher_forcing: Literal["linear", "none", "always"] = "linear"
    """Whether a decoder is fed the true value of the lead before: less and less often, never, always."""
    teacher_forcing_start: Share = 0.0
    """Share of the steps up to which it is always fed the truth …"""
    teacher_forcing_end: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """… and from which on it is fed its own output only, where `linear`."""
    median_weight: Annotated[float, msgspec.Meta(gt=0)] = 4.0
    """Weight of the median in the loss, as a multiple of that of each other level."""
    average: Share = 0.98
    """Decay of the running average of the weights that is validated and shipped; 0: no average."""
    cold_share: Share = 0.1
    """Share of lanes that start cold, with an empty ring."""


class QuantizationRecipe(_Table, frozen=True):
    """[quantization]: in which ways the weights are stored; a device chooses among them, or takes the default."""

    variants: Annotated[tuple[VariantName, ...], msgspec.Meta(min_length=1)] = (
        "float32", "float16", "int8_weights", "dynamic",
    )  # fmt: skip
    """What the bundle carries. The smallest of them within both bounds is the default."""
    loss_percent: Annotated[float, msgspec.Meta(ge=0)] = 0.3
    """Bound on what it loses against float32: MASE on the validation part, at every horizon …"""
    difference: Annotated[float, msgspec.Meta(gt=0)] = 0.2
    """… and bound on how far 99.9 % of its forecasts are from those of float32 at the farthest quantile, in running
    scales: bands and alerts hang on quantiles, which a loss over the median does not see."""


class CalendarRecipe(_Table, frozen=True):
    """[calendar]: local time of day and week, and holidays, as inputs."""

    time_zone: str
    """Whose clock people live by: such as Europe/Berlin, or +01:00."""
    holidays: str = "none"
    """Country or part of one, such as US or DE-BY; none."""


class Recipe(_Table, frozen=True):
    """The whole file. `every` and `horizon` may come from the command line instead."""

    name: str | None = None
    every: str | None = None
    """Grid period, such as 10m."""
    horizon: str | None = None
    """How far to forecast, such as 24h."""
    aggregate: Aggregate = "last"
    """How several readings of one step become one; in a file about counters the default is sum, as on the device."""
    multichannel: bool = False
    """True: the columns are channels of one stream. False: each is a stream of one shared model."""
    covariates: tuple[str, ...] = ()
    """Columns that are inputs beside each target, and not forecast."""
    known: tuple[str, ...] = ()
    """Columns whose future is known: on the device a topic brings them. What was measured may stand for forecasts."""
    calendar: CalendarRecipe | None = None
    levels: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    seed: Annotated[int, msgspec.Meta(ge=0, le=MOST_SEED)] = 0
    estimate: str | None = None
    """Column to be estimated from the others at each step: a number that no device will see."""
    classify: str | None = None
    """Column of classes to be told from the others at each step."""
    class_names: tuple[str, ...] = ()
    """What classes are called, where the column calls them otherwise: "1=occupied"."""
    class_weights: Literal["none", "balanced"] = "none"
    """Of classes in the loss: none, or each class as much as any other, however seldom it is."""
    memory: bool = True
    """False: an estimator sees the present values only, as a control of what memory earns."""
    recording: RecordingRecipe = RecordingRecipe()
    split: SplitRecipe = SplitRecipe()
    front: FrontRecipe = FrontRecipe()
    cell: CellRecipe = CellRecipe()
    layers: tuple[LayerSpec, ...] = ()
    """[[layers]] from the features up, such as a convolution below a GRU; empty: what [cell] says."""
    modules: tuple[str, ...] = ()
    """Python files beside the recipe that are run first: they name layers of one's own in LAYERS."""
    decoder: DecoderSpec | None = None
    """[decoder]: makes it an encoder-decoder, with the layers as its encoder."""
    training: TrainingRecipe = TrainingRecipe()
    quantization: QuantizationRecipe = QuantizationRecipe()
