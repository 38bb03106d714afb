"""Loss of skill: told once, by streams, after long enough, and again only after it has come back."""

from __future__ import annotations

import numpy as np

from edgeseq.stale import Watch

LOST, EVEN, GOOD = 0.1, -0.01, -0.1


def told(*course: tuple[int, float]) -> list[bool]:
    """Let one stream go through steps and log error ratios → at which it was told."""
    watch = Watch()
    return [bool(len(watch.look(np.array([step]), np.array([ratio]), 336))) for step, ratio in course]


def test_lost_skill_is_told_once_after_so_many_steps() -> None:
    """Not before 336 steps, and not again."""
    assert told((0, LOST), (335, LOST), (336, LOST), (337, LOST), (900, LOST)) == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_time_begins_anew_when_skill_was_there_in_between() -> None:
    """Skill of 0 and more ends the time; what is not known says neither."""
    assert told((0, LOST), (200, EVEN), (400, LOST), (700, LOST), (736, LOST)) == [False] * 4 + [True]
    assert told((0, LOST), (200, np.nan), (400, LOST), (535, LOST)) == [False] * 4


def test_told_again_only_after_two_per_cent() -> None:
    """Hysteresis: around 0 it is one loss."""
    lost = [(0, LOST), (400, LOST)]
    assert told(*lost, (500, EVEN), (600, LOST), (1000, LOST))[2:] == [False] * 3
    assert told(*lost, (500, GOOD), (600, LOST), (1000, LOST))[2:] == [False, False, True]


def test_streams_that_join_have_their_own_time() -> None:
    """A table grows; the rows that are told are those of the streams."""
    watch = Watch()
    watch.look(np.array([0]), np.array([LOST]), 336)
    assert watch.look(np.array([336, 10]), np.array([LOST, LOST]), 336).tolist() == [0]
    assert watch.look(np.array([700, 346]), np.array([LOST, LOST]), 336).tolist() == [1]
