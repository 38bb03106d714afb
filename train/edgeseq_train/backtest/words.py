"""What a backtest found, in sentences."""

from __future__ import annotations

from typing import NamedTuple

from edgeseq_train.scores import Verdict

NAME = "edgeseq"
PERSISTENCE = "persistence"
MARK = "* the simplest that is not surely worse than the least"


class Comparison(NamedTuple):
    """The model beside the best of its peers."""

    peer: str
    ratio: float
    """Error of the model ÷ error of the peer, with its 95 % interval."""
    low: float
    high: float


def sure_winner(v: Verdict) -> str | None:
    """Name who wins: whoever errs least and is the simplest that nothing surely beats, or persistence if nothing does.

    Chance alone gives somebody the least error on a random walk: there persistence wins.
    """
    return v.winner if v.winner in (v.lowest, PERSISTENCE) else None


def standing(v: Verdict) -> str:
    """Say in a few words who wins.

    >>> standing(Verdict("ridge 96", "ridge 96", 1, 1)), standing(Verdict("Holt-Winters", "edgeseq", 0.8, 1.1))
    ('ridge 96 wins', 'no sure winner; least error: edgeseq')
    >>> standing(Verdict("persistence", "edgeseq", 0.98, 1.1))
    'persistence wins: nothing is surely better'
    """
    if v.winner == v.lowest:
        return f"{v.winner} wins"
    if v.winner == PERSISTENCE:
        return f"{v.winner} wins: nothing is surely better"
    return f"no sure winner; least error: {v.lowest}"


def marked(name: str, v: Verdict) -> str:
    """Mark in a table the simplest that nothing surely beats, where another errs less.

    >>> marked("ridge 96", Verdict("ridge 96", "edgeseq", 0.8, 1.1))
    'ridge 96 *'
    """
    return f"{name} *" if name == v.winner != v.lowest else name


def who_wins(h: int, v: Verdict, ratio: float, against: Comparison | None) -> str:
    """Say who wins at a horizon, if anybody surely does; ratio: the least error ÷ the simplest one's.

    >>> who_wins(1, Verdict("edgeseq", "edgeseq", 1, 1), 1.0, Comparison("ridge 96", 0.95, 0.93, 0.97))
    "1 step ahead edgeseq wins: its error is 5.0 % lower than ridge 96's (95 %: 7.0 % to 3.0 % lower)."
    >>> who_wins(24, Verdict("ridge 96", "ridge 96", 1, 1), 1.0, Comparison("ridge 96", 1.02, 0.99, 1.04))
    "1-24 steps ahead ridge 96 wins. edgeseq's error is 2.0 % higher than ridge 96's (95 %: 1.0 % lower to ..."
    >>> who_wins(1, Verdict("persistence", "SegRNN", 0.98, 1.01), 0.995, None)
    "1 step ahead persistence wins: nothing is surely better (SegRNN's error is 0.5 % lower, which may be chance; ..."
    >>> who_wins(24, Verdict("Holt-Winters", "edgeseq", 0.8, 1.1), 0.896, None)
    '1-24 steps ahead: no sure winner; least error: edgeseq (10.4 % below Holt-Winters, the simplest that is not ...'
    """
    lead = f"{span(h)} {standing(v)}"
    if v.lowest != v.winner:
        ours = "" if against is None or NAME in (v.winner, v.lowest) else f" {_beside(against)}"
        sure = f"with allowance for the best of many, {_interval(v.low, v.high)}"
        if v.winner == PERSISTENCE:
            return f"{lead} ({v.lowest}'s error is {_change(ratio)}, which may be chance; {sure}).{ours}"
        below = f"{100 * (1 - ratio):.1f} % below {v.winner}, the simplest that is not surely worse"
        return f"{span(h)}: {standing(v)} ({below}; {sure}).{ours}"
    if against is None:
        return f"{lead}."
    if v.winner == NAME:
        sure = _interval(against.low, against.high)
        return f"{lead}: its error is {_change(against.ratio)} than {against.peer}'s ({sure})."
    return f"{lead}. {_beside(against)}"


def _beside(against: Comparison) -> str:
    sure = _interval(against.low, against.high)
    return f"{NAME}'s error is {_change(against.ratio)} than {against.peer}'s ({sure})."


def span(h: int) -> str:
    """Name the leads 1 … h.

    >>> span(1), span(24)
    ('1 step ahead', '1-24 steps ahead')
    """
    return "1 step ahead" if h == 1 else f"1-{h} steps ahead"


def _change(ratio: float) -> str:
    return f"{abs(100 * (ratio - 1)):.1f} % {'lower' if ratio < 1 else 'higher'}"


def _interval(low: float, high: float) -> str:
    if (low < 1) == (high < 1):
        return f"95 %: {abs(100 * (low - 1)):.1f} % to {_change(high)}"
    return f"95 %: {_change(low)} to {_change(high)}"
