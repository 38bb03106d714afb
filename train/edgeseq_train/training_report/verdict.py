"""What a training run comes to, in words: who wins, on which leads, whether the bands hold, and what to try next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeseq_train.training_report.findings import MODEL, SERVED, Errors, marked_leads

MARGIN_PERCENT = 0.5
"""A gain below this is none, however sure."""
MARGIN_UNSURE_PERCENT = 2.0
"""… and below this where the test part is too short to say what chance does."""
BAND_MISS = 0.05
"""A band that holds so much less or more than it promises is called wrong …"""
BAND_FAULT = 0.1
"""… and so much is told in the headline."""
ABOUT_NOTHING_PERCENT = 2.0
"""Where nobody gains so much on persistence, a series moves like a random walk as far as anybody can tell."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Words for the top of the report."""

    winner: str
    headline: str
    said: tuple[str, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the verdict is made of."""

    errors: Errors
    chance: Mapping[str, float | None]
    """Peer → per cent points that chance may have moved the model's gain."""
    recurrent: bool
    """Whether the recurrent part beat ridge on the validation part."""
    bands: Mapping[str, tuple[float, float, float]]
    """Band such as 90 % → share promised, held at lead 1, held at the last lead."""
    shipped: str
    lost_percent: float
    """By quantizing, as the shipped variant."""
    training: tuple[str, str]
    """How training went, and what to do about it."""
    has_inputs: bool = False
    """Whether it had covariates or known inputs."""


def simplest_first(peers: Sequence[str]) -> list[str]:
    """Sort peers by what they need to know: nothing, a season, a regression."""
    order = ("persistence", "seasonal", "ridge")
    return sorted(
        peers, key=lambda p: next((i for i, kind in enumerate(order) if p.startswith(kind)), len(order))
    )


def in_order(errors: Errors) -> list[str]:
    """List what tables and pictures show: peers, then the model, then what is served."""
    last = [name for name in (MODEL, SERVED) if name in errors.by_lead]
    return [*simplest_first([name for name in errors.by_lead if name not in last]), *last]


def winner(o: Outcome) -> str:
    """Name the simplest forecaster that the model does not beat beyond chance; else the model itself.

    A simpler one that is itself beaten by another peer as clearly does not win.
    """
    standing = [p for p in simplest_first(list(o.chance)) if not _beats(o, p)]
    if not standing:
        return MODEL
    best = min(standing, key=o.errors.at)
    return next(p for p in standing if o.errors.gain(best, p) <= _margin(o, p))


def _beats(o: Outcome, peer: str) -> bool:
    return o.errors.gain(MODEL, peer) > _margin(o, peer)


def _margin(o: Outcome, peer: str) -> float:
    chance = o.chance[peer]
    return MARGIN_UNSURE_PERCENT if chance is None else max(chance, MARGIN_PERCENT)


def judge(o: Outcome) -> Verdict:
    """Put the outcome into words; every figure is one that the report's tables show."""
    won = winner(o)
    ridge = next(p for p in o.chance if p.startswith("ridge"))
    said = [*(_against(o, peer) for peer in dict.fromkeys((won, ridge)) if peer != MODEL), _leads(o, ridge)]
    said += [_bands(o), _quantized(o), o.training[0]]
    fault = _band_fault(o)
    advice = [*_advice(won, has_inputs=o.has_inputs), *([BAND_ADVICE] if fault else []), o.training[1]]
    return Verdict(won, _headline(o, won, ridge) + fault, tuple(t for t in said if t), tuple(advice))


def _headline(o: Outcome, won: str, ridge: str) -> str:
    if won == "persistence":
        ahead = _ahead_of_persistence(o)
        if ahead:
            return f"The test part is too short to tell {' and '.join(ahead)} from persistence."
        return (
            "Persistence wins: nothing here forecasts better than saying that the last value stays. "
            "A series that moves like a random walk cannot be forecast from its own past."
        )
    if won.startswith("seasonal"):
        return f"The {won} forecast wins: repeating the last season is as good as anything learned."
    if not o.recurrent:
        return "Ridge wins and ships: on the validation part the network found nothing to add to it."
    if won == MODEL:
        gain = f"{o.errors.gain(MODEL, ridge):.1f} %"
        return f"The network earns its keep: {gain} less error than {ridge}, the best a straight line can do."
    if o.errors.gain(MODEL, ridge) < -_margin(o, ridge):
        return "Ridge wins on the test part: what the network gained on the validation part did not last."
    return f"A draw with {ridge}: what the network adds could be chance."


def _ahead_of_persistence(o: Outcome) -> list[str]:
    """Name the model and the best peer, with what they gain on persistence, where that is more than about nothing."""
    others = [name for name in (*o.chance, MODEL) if name != "persistence"]
    gains = {name: o.errors.gain(name, "persistence") for name in others}
    best = max(gains, key=gains.__getitem__)
    told = dict.fromkeys((MODEL, best))
    return [
        f"{'the model' if name == MODEL else name} ({-gains[name]:+.1f} % error)"
        for name in told
        if gains[name] > ABOUT_NOTHING_PERCENT
    ]


def _band_fault(o: Outcome) -> str:
    """Say which band is far from what it promises, if any is."""
    far = len(o.errors.by_lead[MODEL])
    for name, (promised, *held) in o.bands.items():
        for lead, share in zip((1, far), held, strict=True):
            if abs(share - promised) > BAND_FAULT:
                return f" Its bands do not hold: that of {name} held {100 * share:.1f} % at lead {lead}."
    return ""


def _against(o: Outcome, peer: str) -> str:
    gain, chance = o.errors.gain(MODEL, peer), o.chance[peer]
    short = "the test part is too short to say how much of it is chance"
    sure = short if chance is None else f"chance alone makes ± {chance:.1f} points"
    side = "less" if gain >= 0 else "more"
    return f"Over all leads the model makes {abs(gain):.1f} % {side} error than {peer} ({sure})."


def _leads(o: Outcome, ridge: str) -> str:
    """Say on which leads the model differs from ridge most."""
    leads = marked_leads(len(o.errors.by_lead[MODEL]))
    if len(leads) < 2 or not o.recurrent:
        return ""
    gains = {lead: o.errors.gain(MODEL, ridge, lead) for lead in leads}
    most, least = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
    first = f"Against {ridge} it does best at lead {most} ({gains[most]:+.1f} %)"
    return f"{first} and worst at lead {least} ({gains[least]:+.1f} %)."


def _bands(o: Outcome) -> str:
    name, (promised, first, last) = next(iter(o.bands.items()))
    far = len(o.errors.by_lead[MODEL])
    at_end = "" if far == 1 else f" and {100 * last:.1f} % at lead {far}"
    fine = max(abs(first - promised), abs(last - promised)) <= BAND_MISS
    after = "as promised" if fine else "the device corrects this from its own readings within days"
    return f"The {name} band held {100 * first:.1f} % of the readings at lead 1{at_end}: {after}."


def _quantized(o: Outcome) -> str:
    return f"Stored as {o.shipped} the loss changes by {o.lost_percent:+z.2f} %."


ADVICE = {
    "persistence": (
        "Give it what moves the series: further columns as inputs (weather, occupancy, a valve), or a coarser period "
        "with --every and the mean of each step."
    ),
    "seasonal": (
        "A longer recording, a longer front.ring, or inputs that tell this season from the last (weather, calendar)."
    ),
    "ridge": (
        "Ridge is a good answer. For more: a longer recording, inputs that act non-linearly (weather, opening hours), "
        "or another cell (cell.kind, cell.units); edgeseq keeps whichever is better on validation."
    ),
}
"""Kind of winner → what may help."""


INPUTS_ADVICE = {
    "persistence": "Its inputs do not tell what moves the series: try a coarser period with --every and the mean of "
    "each step, or a longer recording.",
    "seasonal": "A longer recording, or a longer front.ring.",
    "ridge": "Ridge is a good answer. For more: a longer recording, or another cell (cell.kind, cell.units); edgeseq "
    "keeps whichever is better on validation.",
}
"""The same where it has inputs already."""
BAND_ADVICE = (
    "Bands that miss by so much: the test part is unlike what it learned from. Train on a longer recording that holds "
    "both; a device corrects its bands from its own readings, so let alerts wait for some days."
)


def _advice(won: str, *, has_inputs: bool) -> list[str]:
    advice = INPUTS_ADVICE if has_inputs else ADVICE
    return [text for kind, text in advice.items() if won.startswith(kind)]
