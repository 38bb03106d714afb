"""Watch a node live: subscribe as any client would and draw what it publishes.

On a terminal the view is redrawn in place; elsewhere each event is one plain line.
"""

from __future__ import annotations

import os
import queue
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgeseq.adapters.mqtt.happenings import NOT_LET_IN
from edgeseq.errors import BrokerError, ConfigError, LoginError
from edgeseq.watch import view as v
from edgeseq.watch.drawing import draw
from edgeseq.watch.terminal import colors, no_colors

FRAME_S = 0.1
FIRST_CONNECT_S = 10.0

Inbox = queue.Queue[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Broker:
    """How a client reaches the broker."""

    host: str = "localhost"
    port: int = 1883
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None


Take = Callable[[mqtt.MQTTMessage], None]


def put_into(inbox: Inbox) -> Take:
    """Put (topic, payload) of messages into an inbox."""
    return lambda message: inbox.put((message.topic, bytes(message.payload)))


def connect(broker: Broker, topics: Iterable[str], inbox: Inbox | Take) -> mqtt.Client:
    """Subscribe in a thread of its own and put (topic, payload) into the inbox. Reconnects by itself.

    Instead of an inbox there may be a function that takes each message, in that thread.

    Raises:
        BrokerError: the first connection failed.
        LoginError: because the broker does not know this user, or not by this password.
    """
    answers: queue.Queue[str] = queue.Queue()
    take = put_into(inbox) if isinstance(inbox, queue.Queue) else inbox
    client = _subscriber(broker, topics, take, answers)
    where = f"{broker.host}:{broker.port}"
    try:
        client.connect(broker.host, broker.port, keepalive=20)
        client.loop_start()
        refused = answers.get(timeout=FIRST_CONNECT_S)
    except (OSError, queue.Empty) as error:
        client.loop_stop()
        raise BrokerError(
            "the broker does not answer",
            where=where,
            found=str(error) or "no answer",
            wanted="an MQTT broker",
            do="start the broker, or give --host and --port",
        ) from error
    if refused:
        client.loop_stop()
    if refused in NOT_LET_IN:
        raise LoginError(
            "the broker refuses this user, or this password",
            where=where,
            found=refused,
            do="give --username and --password-file"
            if broker.username is None
            else "check the user and the password",
        )
    if refused:
        raise BrokerError(
            "the broker refuses the connection", where=where, found=refused, do="try again later"
        )
    return client


def _subscriber(broker: Broker, topics: Iterable[str], take: Take, answers: queue.Queue[str]) -> mqtt.Client:
    """Make a client that subscribes at each connection; each answer is why it was refused, or empty."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    if broker.username is not None:
        client.username_pw_set(broker.username, _password(broker.password_file))
    if broker.ca_file is not None:
        client.tls_set(ca_certs=str(broker.ca_file))
    client.reconnect_delay_set(1, 10)
    wanted = [(topic, 1) for topic in topics]

    def on_connect(client: mqtt.Client, _data: object, _flags: object, reason: object, _p: object) -> None:
        if getattr(reason, "is_failure", False):
            answers.put(str(reason))
            return
        client.subscribe(wanted)

    client.on_connect = on_connect
    client.on_subscribe = lambda *_: answers.put("")
    client.on_message = lambda _client, _data, message: take(message)
    return client


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text().rstrip("\n")
    except OSError as error:
        raise ConfigError("the password cannot be read", where=str(path), found=str(error)) from error


class Screen:
    """Where a view is shown: redrawn in place on a terminal, else one line per event."""

    def __init__(self, out: IO[str] = sys.stdout, *, only_alerts: bool = False) -> None:
        self.out = out
        self.live = out.isatty() and os.environ.get("TERM") != "dumb"
        self.paint = colors if self.live and "NO_COLOR" not in os.environ else no_colors
        self.only_alerts = only_alerts
        self._drawn = 0

    def line(self, topic: str, text: str | None) -> None:
        """Print one event, where the view is not redrawn in place."""
        if self.live or text is None or (self.only_alerts and not topic.endswith(("/alert", "bridge/state"))):
            return
        print(text, file=self.out, flush=True)

    def frame(self, view: v.View, footer: Iterable[str] = ()) -> None:
        """Redraw the view over the last one."""
        if not self.live:
            return
        size = shutil.get_terminal_size()
        lines = draw(view, size.columns - 1, size.lines - 1, self.paint, footer)
        up = f"\x1b[{self._drawn}F" if self._drawn else ""
        # Each line is cleared to its end only after it was written, so that nothing flickers.
        self.out.write(up + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        self.out.flush()
        self._drawn = len(lines)


def drain(
    view: v.View, inbox: Inbox, screen: Screen, seen: Callable[[str, bytes], None] | None = None
) -> int:
    """Take all waiting messages into the view → how many."""
    count = 0
    while True:
        try:
            topic, payload = inbox.get_nowait()
        except queue.Empty:
            return count
        if seen is not None:
            seen(topic, payload)
        screen.line(topic, v.take(view, topic, payload))
        count += 1


def watch(broker: Broker, prefix: str, node: str, out: IO[str] = sys.stdout) -> None:
    """Show the node's streams until interrupted; on a terminal, say once how."""
    inbox: Inbox = queue.Queue()
    client = connect(broker, [f"{prefix}/{node}/#"], inbox)
    view, screen = v.View(prefix=prefix, node=node), Screen(out)
    if screen.live:
        print("Ctrl-C ends", file=out, flush=True)
    try:
        while True:
            drain(view, inbox, screen)
            screen.frame(view, footer=() if client.is_connected() else ("connection lost, trying again …",))
            time.sleep(FRAME_S)
    except KeyboardInterrupt:
        return
    finally:
        client.disconnect()
        client.loop_stop()
