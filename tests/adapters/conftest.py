"""Links and wires of both transports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from edgeseq.adapters.mqtt import BatchTransport, PlainTransport
from tests.support.rig import Rig
from tests.support.wire import Wire


@pytest.fixture(params=[BatchTransport, PlainTransport], ids=["batch", "plain"])
def rigs(request: pytest.FixtureRequest) -> Iterator[Callable[..., Rig]]:
    """Give a maker of rigs of one transport, all of which are closed in the end."""
    with closing_rigs(request.param) as make:
        yield make


@pytest.fixture
def batch_rigs() -> Iterator[Callable[..., Rig]]:
    """Give a maker of rigs of the fast transport, all of which are closed in the end."""
    with closing_rigs(BatchTransport) as make:
        yield make


@contextmanager
def closing_rigs(kind: type[BatchTransport | PlainTransport]) -> Iterator[Callable[..., Rig]]:
    """Give a maker of rigs of a transport, and close them in the end."""
    made: list[Rig] = []

    def make(port: int, **changes: Any) -> Rig:
        made.append(Rig(kind, port, **changes))
        return made[-1]

    try:
        yield make
    finally:
        for rig in made:
            rig.close()


@pytest.fixture(params=[True, False], ids=["v5", "v3.1.1"])
def version_5(request: pytest.FixtureRequest) -> bool:
    """Run a test with both versions of the protocol."""
    return bool(request.param)


@pytest.fixture
def wires() -> Iterator[Any]:
    """Give a maker of accepted wires, all of which are closed in the end."""
    made: list[Wire] = []

    def make(kind: type[BatchTransport | PlainTransport] = BatchTransport, **changes: Any) -> Wire:
        made.append(Wire(kind, **changes))
        made[-1].accept()
        return made[-1]

    yield make
    for wire in made:
        wire.close()
