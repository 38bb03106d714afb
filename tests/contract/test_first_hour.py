"""What docs/first-hour.md says of limits is so; its commands are held to in test_blocks.py."""

from __future__ import annotations

from pathlib import Path

from edgeseq.scan import observe

PAGE = (Path(__file__).parents[2] / "docs" / "first-hour.md").read_text(encoding="utf-8")


def test_limits_are_those_of_the_code() -> None:
    """Figures of the page are true."""
    assert f"{observe.MOST_TOPICS:,} topics and as many numbers, {2 * observe.MOST_KEPT} readings" in PAGE
    assert observe.MOST_NUMBERS == observe.MOST_TOPICS
