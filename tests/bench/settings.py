"""The settings that the bench of architectures compares: each is the default recipe but for what its line says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from edgeseq.core.decoder import DecoderSpec
from edgeseq.core.layers import LayerSpec
from edgeseq_train.recipe import CellRecipe, FrontRecipe, Recipe

Group = Literal["architecture", "technique"]
Change = Callable[[Recipe], Recipe]
OWN_CELL = str(Path(__file__).parents[1] / "train" / "mingru.py")
FULL = {"segment": 0, "lanes": 1, "loss_stride": 32, "steps": 40, "patience": 40, "validate_every": 10}
"""Where whole runs are unrolled a step sees one of them, which is six to twenty times the rows of a batch of segments:
so there are fewer steps."""


class Setting(NamedTuple):
    """One row."""

    name: str
    group: Group
    change: Change
    note: str = ""


def _layers(*layers: LayerSpec, **options: Any) -> Change:
    return lambda r: msgspec.structs.replace(r, layers=layers, **options)


def _training(**options: Any) -> Change:
    return lambda r: msgspec.structs.replace(r, training=msgspec.structs.replace(r.training, **options))


def _segment(steps: int) -> Change:
    """Cut as many rows otherwise: longer segments of fewer lanes."""

    def change(r: Recipe) -> Recipe:
        lanes = max(1, r.training.lanes * r.training.segment // steps)
        return _training(segment=steps, lanes=lanes)(r)

    return change


def _both(*changes: Change) -> Change:
    def change(r: Recipe) -> Recipe:
        for each in changes:
            r = each(r)
        return r

    return change


def _memoryless(r: Recipe) -> Recipe:
    return _layers(LayerSpec("dense", 48), front=FrontRecipe(ring=2, seasons=()))(r)


def settings() -> list[Setting]:
    """List all, the default first."""
    gru = LayerSpec("gru", 48)
    seq2seq = _layers(gru, decoder=DecoderSpec(units=32))
    rnn = _layers(LayerSpec("rnn", 48))
    return [
        Setting("default", "architecture", lambda r: r, "one GRU of 48 units"),
        Setting("vanilla RNN", "architecture", rnn),
        Setting("LSTM", "architecture", _layers(LayerSpec("lstm", 48))),
        Setting("stacked GRU", "architecture", _layers(gru, gru)),
        Setting("stacked LSTM", "architecture", _layers(LayerSpec("lstm", 32), LayerSpec("lstm", 32))),
        Setting(
            "minGRU", "architecture", _layers(LayerSpec("mingru", 48)), "a cell of one's own, in one file"
        ),
        Setting("CNN + RNN", "architecture", _layers(LayerSpec("convolution", 32, width=4), gru)),
        Setting(
            "encoder-decoder", "architecture", seq2seq, "GRU decoder of 32 units, linear teacher forcing"
        ),
        Setting(
            "attention", "architecture", _layers(gru, LayerSpec("attention", 48)), "over the ring, 4 heads"
        ),
        Setting(
            "MLP", "architecture", _layers(LayerSpec("ring", 32), LayerSpec("dense", 48)), "on the same ring"
        ),
        Setting("memoryless", "architecture", _memoryless, "one-to-one: present value and the one before"),
        Setting("full back-propagation", "technique", _training(**FULL)),
        Setting("segments of 8", "technique", _segment(8)),
        Setting("segments of 128", "technique", _segment(128)),
        Setting("no clipping", "technique", _training(clip_norm=0.0)),
        Setting("vanilla RNN, no clipping", "technique", _both(rnn, _training(clip_norm=0.0))),
        Setting("no dropout", "technique", _training(dropout=0.0)),
        Setting("recurrent dropout", "technique", _training(dropout=0.0, recurrent_dropout=0.25)),
        Setting("dropout of both kinds", "technique", _training(recurrent_dropout=0.25)),
        Setting("no teacher forcing", "technique", _both(seq2seq, _training(teacher_forcing="none"))),
        Setting("always teacher forcing", "technique", _both(seq2seq, _training(teacher_forcing="always"))),
        Setting("rate as a cosine", "technique", _training(schedule="cosine")),
        Setting("constant rate", "technique", _training(schedule="constant")),
        Setting("rate lowered on a plateau", "technique", _training(schedule="plateau", plateau_steps=50)),
        Setting("no averaging", "technique", _training(average=0.0)),
        Setting("no early stopping", "technique", _last, "the last weights, not the best on validation"),
    ]


def _last(r: Recipe) -> Recipe:
    """Validate at the end only: what is there then ships, if it beats ridge."""
    return _training(validate_every=r.training.steps)(r)


def default_cell(recipe: Recipe) -> bool:
    """Tell whether the recipe's cell is what the settings take for it."""
    return recipe.cell == CellRecipe(kind="gru", units=48)
