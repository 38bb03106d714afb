"""Ask a node something over MQTT and wait for its answer: bridge/request/<verb> → bridge/response/<verb>."""

from __future__ import annotations

import json
import queue
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import paho.mqtt.client as mqtt

from edgeseq.errors import BrokerError, InputError
from edgeseq.watch import Broker, Inbox, connect

ANSWER_S = 10.0
MOST_A_SECOND = 4
"""A node answers five requests a second; pages are asked for more slowly."""


class Node:
    """A node that can be asked."""

    def __init__(self, client: mqtt.Client, inbox: Inbox, root: str) -> None:
        self._client = client
        self._inbox = inbox
        self._root = root

    def ask(self, verb: str, **asked: Any) -> dict[str, Any]:
        """Ask, and give the answer.

        Raises:
            BrokerError: no answer came.
            InputError: the node refused, and said why.
        """
        number = secrets.token_hex(8)
        given = {key: value for key, value in asked.items() if value is not None}
        topic = f"{self._root}/bridge/request/{verb}"
        self._client.publish(topic, json.dumps({"id": number, **given}), qos=1)
        answer = self._answer(verb, number)
        if "error" in answer:
            raise InputError("the node refuses", where=topic, found=answer["error"])
        return answer

    def pages(self, name: str, verb: str, **asked: Any) -> Iterator[dict[str, Any]]:
        """Ask for page after page, and give their entries."""
        start: int | None = None
        while True:
            page = self.ask(verb, start=start, **asked)
            yield from page[name]
            start = page.get("next")
            if start is None:
                return
            time.sleep(1 / MOST_A_SECOND)

    def _answer(self, verb: str, number: str) -> dict[str, Any]:
        deadline_s = time.monotonic() + ANSWER_S
        while (rest_s := deadline_s - time.monotonic()) > 0:
            try:
                _, payload = self._inbox.get(timeout=rest_s)
                answer = msgspec.json.decode(payload, type=dict[str, Any])
            except queue.Empty:
                break
            except msgspec.DecodeError:
                continue  # not a node's
            # What cannot be read has no id: the error of our verb is ours, most likely.
            if answer.get("id") == number or (answer.get("verb") == verb and answer.get("id") is None):
                return answer
        raise BrokerError(
            "the node does not answer",
            where=f"{self._root}/bridge/request/{verb}",
            found=f"nothing for {ANSWER_S:.0f} s",
            wanted="a running node with [node] requests = true",
            do="name it with --node and --prefix, and switch requests on in its configuration",
        )


@contextmanager
def asked_node(broker: Broker, prefix: str, name: str) -> Iterator[Node]:
    """Connect to a node for a while. Raises BrokerError."""
    root = f"{prefix}/{name}"
    inbox: Inbox = queue.Queue()
    client = connect(broker, [f"{root}/bridge/response/+"], inbox)
    try:
        yield Node(client, inbox, root)
    finally:
        client.disconnect()
        client.loop_stop()
