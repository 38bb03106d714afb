"""The embedded broker (amqtt, MQTT 3.1.1) as a child process on loopback. For the demo only.

    python -m edgeseq.demo.broker PORT [TOPIC_END EVERY]

It serves until its standard input ends, so it never outlives its parent. With TOPIC_END and EVERY it loses each
EVERY-th message whose topic ends so: a fault between the processes, of which edgeseq knows nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from edgeseq.errors import BrokerError, ConfigError

READY, MISSING = "ready", "missing"
STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class Loss:
    """Which messages the broker loses."""

    topic_end: str
    every: int


@contextmanager
def embedded_broker(loss: Loss | None = None) -> Iterator[int]:
    """Run the broker as a child process → its port.

    Raises:
        ConfigError: amqtt is not installed.
        BrokerError: the broker did not start.
    """
    port = free_port()
    command = [sys.executable, "-m", "edgeseq.demo.broker", str(port)]
    command += [loss.topic_end, str(loss.every)] if loss else []
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdin is not None  # noqa: S101 (PIPE)
    assert child.stdout is not None  # noqa: S101 (PIPE)
    try:
        answer = child.stdout.readline().strip()
        if answer == MISSING:
            raise ConfigError("the demo needs a broker", wanted="amqtt", do="pip install 'edgeseq[demo]'")
        if answer != READY:
            raise BrokerError("the embedded broker did not start", where=f"127.0.0.1:{port}", found=answer)
        yield port
    finally:
        child.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            child.wait(STOP_S)
        child.kill()
        child.wait()
        child.stdout.close()


def free_port() -> int:
    """Find a loopback port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- in the child -----------------------------------------------------------------------------------------------


async def _serve(port: int, loss: Loss | None) -> None:
    from amqtt.broker import Broker

    config: dict[str, Any] = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Broker(config)
    if loss is not None:
        _lose(broker, loss)
    await broker.start()
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await broker.shutdown()


def _lose(broker: Any, loss: Loss) -> None:
    """Make the broker accept, acknowledge and then forget each n-th matching message."""
    forward, seen = broker._broadcast_message, 0  # noqa: SLF001 (amqtt has no public place for this)

    async def lossy(session: Any, topic: str, *rest: Any, **options: Any) -> None:
        nonlocal seen
        if topic.endswith(loss.topic_end):
            seen += 1
            if seen % loss.every == 0:
                return
        await forward(session, topic, *rest, **options)

    broker._broadcast_message = lossy  # noqa: SLF001 (see above)


def main(arguments: list[str]) -> None:
    """Serve until the standard input ends."""
    logging.disable(logging.CRITICAL)  # amqtt logs every client that leaves
    loss = Loss(arguments[1], int(arguments[2])) if len(arguments) == 3 else None
    try:
        asyncio.run(_serve(int(arguments[0]), loss))
    except ImportError:
        sys.stdout.write(MISSING + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
