"""The recipe of a training run: TOML in, frozen structs out; every field has a default and a meaning."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgeseq.core.decoder import DecoderSpec
from edgeseq.core.layers import LayerSpec, kind_of
from edgeseq.core.types import Aggregate, Kind, OnGap
from edgeseq.errors import ConfigError

COUNTED: Aggregate = "sum"
"""How the increments of a counter become one, unless told otherwise."""
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
VariantName = Literal["float32", "float16", "int8_weights", "dynamic"]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the recipe: unknown keys are errors."""


class SplitRecipe(_Table, frozen=True):
    """[split]: by time. Fractions of the rows, or counts of rows where all are > 1."""

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

    seasons: tuple[int, ...] | None = None
    """Season lengths in steps; default: found by autocorrelation among the day and the week."""
    ring: int | None = None
    """Steps kept; default: chosen by validation among sensible ones."""
    half_life: float | None = None
    """Of the running mean and scale in steps; default min(7 seasons, rows / 8)."""


class CellRecipe(_Table, frozen=True):
    """[cell]: the recurrent part."""

    kind: Literal["gru", "lstm", "rnn"] = "gru"
    layers: int = 1
    units: int = 48


class TrainingRecipe(_Table, frozen=True):
    """[training]: truncated back-propagation through time with carried state."""

    steps: int = 1000
    """Most optimizer steps."""
    patience: int = 250
    """Stop after so many steps without a better validation loss."""
    validate_every: int = 25
    lanes: int = 48
    """Segments per step; each goes on where it stopped, with its state."""
    segment: Annotated[int, msgspec.Meta(ge=0)] = 32
    """Steps of time per segment, through which gradients flow; 0: whole runs (full back-propagation through time)."""
    loss_stride: int = 4
    """The loss is taken at every n-th step of a segment, from a random offset."""
    learning_rate: float = 3e-3
    schedule: Literal["one_cycle", "cosine", "constant", "plateau"] = "one_cycle"
    """Of the learning rate; plateau: halved whenever validation has not improved for `plateau_steps`."""
    plateau_steps: int = 75
    highway_rate: float = 0.2
    """Learning rate of the highway as a share of the others'."""
    weight_decay: float = 1e-3
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
    median_weight: float = 4.0
    """Weight of the median in the loss, as a multiple of that of each other level."""
    average: Share = 0.98
    """Decay of the running average of the weights that is validated and shipped; 0: no average."""
    cold_share: float = 0.1
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
    seed: int = 0
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


def read_recipe(path: Path | None) -> Recipe:
    """Read a recipe, or take the defaults.

    Raises:
        ConfigError: unreadable file, unknown key or wrong value.
    """
    if path is None:
        return Recipe()
    try:
        text = path.read_bytes()
        recipe = msgspec.toml.decode(text, type=Recipe)
    except OSError as error:
        raise ConfigError("cannot read the recipe", where=str(path), found=str(error)) from error
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ConfigError(
            "the recipe cannot be used",
            where=str(path),
            found=str(error),
            do="see train/recipes for examples",
        ) from error
    if recipe.recording.kind == "counter" and "aggregate" not in msgspec.toml.decode(text):
        recipe = msgspec.structs.replace(recipe, aggregate=COUNTED)
    _load(recipe.modules, path.parent)
    for layer in recipe.layers:
        kind_of(layer)
    return recipe


def _load(modules: tuple[str, ...], folder: Path) -> None:
    """Run Python files that define layers of one's own."""
    for name in modules:
        file = folder / name
        if not file.is_file():
            raise ConfigError(
                "no such Python file",
                where="recipe: modules",
                found=str(file),
                wanted="a path from the recipe on",
            )
        runpy.run_path(str(file))


def moved(recipe: Recipe, origin: Path | None, target: Path) -> Recipe:
    """Let a recipe that is written elsewhere find the Python files beside the one it was read from."""
    if origin is None:
        return recipe
    modules = tuple(os.path.relpath(origin.parent / m, target.parent) for m in recipe.modules)
    return msgspec.structs.replace(recipe, modules=modules)


def write_recipe(recipe: Recipe) -> str:
    """Write a recipe as TOML; what is unset is left out.

    >>> read = msgspec.toml.decode(write_recipe(Recipe(every="10m")), type=Recipe)
    >>> read == Recipe(every="10m")
    True
    """
    scalars, tables = [], []
    for key, value in msgspec.to_builtins(recipe).items():
        if isinstance(value, dict):
            tables.append("\n".join(["", f"[{key}]", *_lines(value)]))
        elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            tables += ["\n".join(["", f"[[{key}]]", *_lines(row)]) for row in value]
        else:
            scalars += _lines({key: value})
    return "\n".join([*scalars, *tables, ""])


def _lines(values: dict[str, object]) -> list[str]:
    # JSON strings, numbers, true/false and arrays of them are TOML too.
    return [
        f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items() if value is not None
    ]
