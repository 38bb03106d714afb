"""A broker, a browser, and a client that speaks as a node does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker, Peer, peer, running_broker
from tests.support.browser import Browser, running_browser
from tests.support.dashboard import REQUESTS


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a broker, on which nothing is retained."""
    with running_broker(tmp_path / "broker") as found:
        yield found


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Give a browser."""
    with running_browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def user(broker: Broker) -> Iterator[Peer]:
    """Give a client that publishes as a node does, and hears what it is asked."""
    with peer(broker.port, REQUESTS) as found:
        yield found
