"""Benches: what they sent is as documented."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.desk import Bench
from tests.support.validate import validate


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Give a function that makes benches; all they sent is as documented."""
    made: list[Bench] = []

    def new(name: str = "one", **settings: Any) -> Bench:
        made.append(Bench(tmp_path / name, **settings))
        return made[-1]

    yield new
    for bench in made:
        bench.kill()
    for topic, payload in {(out.topic, out.payload) for bench in made for out in bench.sent}:
        validate(topic, payload)


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    """Give a node with a stream of good readings."""
    made = make()
    for step in range(5):
        made.read(step, 1.0 + step % 2)
    return made
