"""A small Home Assistant: discovers, makes entities, follows their topics, presses buttons. Over a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.broker import wait_until
from tests.support.homeassistant_rules import TOPIC, parse, render

STATUS = "homeassistant/status"


class Home:
    """What Home Assistant's MQTT integration does with discovery messages."""

    def __init__(self, port: int) -> None:
        self.entities: dict[str, dict[str, Any]] = {}
        """Unique id → its configuration, with that of its device."""
        self.faults: list[str] = []
        self.announcements: list[MQTTMessage] = []
        self.messages: dict[str, list[MQTTMessage]] = {}
        """Topic of an entity → what came."""
        self._ids: dict[tuple[str, str], str] = {}
        """Topic of discovery and key → unique id."""
        self._is_ready = False
        self._pending: set[int] = set()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv311)
        self._client.on_message = self._take
        self._client.on_subscribe = self._subscribed
        filters = [("homeassistant/+/+/config", 0), ("homeassistant/+/+/+/config", 0)]
        self._client.on_connect = lambda client, *_: client.subscribe(filters)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_until(lambda: self._is_ready, "Home Assistant listens")

    def _subscribed(self, _: Client, __: object, mid: int, *___: object) -> None:
        self._is_ready = True
        self._pending.discard(mid)

    def hears_all(self) -> bool:
        """Tell whether the broker has acknowledged the subscriptions of all entities."""
        return not self._pending

    def _take(self, client: Client, _: object, message: MQTTMessage) -> None:
        if not message.topic.endswith("/config"):
            self.messages.setdefault(message.topic, []).append(message)
            return
        self.announcements.append(message)
        try:
            self._discover(client, message)
        except (AssertionError, KeyError, ValueError) as fault:
            self.faults.append(f"{message.topic}: {fault!r}")

    def _discover(self, client: Client, message: MQTTMessage) -> None:
        place = TOPIC.fullmatch(message.topic.removeprefix("homeassistant/"))
        assert place, message.topic
        assert place["component"] == "device", message.topic
        if not message.payload:
            for topic, key in [known for known in self._ids if known[0] == message.topic]:
                self._remove(topic, key)
            return
        root = parse(bytes(message.payload))
        for key, component in root["components"].items():
            if set(component) == {"platform"}:
                self._remove(message.topic, key)
                continue
            self._add(client, message.topic, key, {**component, "device": root["device"]})

    def _add(self, client: Client, topic: str, key: str, entity: dict[str, Any]) -> None:
        name = entity["unique_id"]
        owner = next((place for place, known in self._ids.items() if known == name), (topic, key))
        assert owner == (topic, key), f"{name} belongs to {owner}"
        self._ids[topic, key] = name
        self.entities[name] = entity
        topics = [entity.get("state_topic"), entity.get("json_attributes_topic")]
        topics += [one["topic"] for one in entity.get("availability", [])]
        for wanted in {one for one in topics if one}:
            _, mid = client.subscribe(wanted, entity.get("qos", 0))
            if mid is not None:
                self._pending.add(mid)

    def _remove(self, topic: str, key: str) -> None:
        name = self._ids.pop((topic, key), None)
        if name is not None:
            del self.entities[name]

    # --- what a person sees and does

    def is_available(self, name: str) -> bool:
        """Tell whether an entity is available, by the mode `all`."""
        entity = self.entities[name]
        assert entity["availability_mode"] == "all"
        for one in entity["availability"]:
            newest = self.messages.get(one["topic"])
            if not newest or render(one.get("value_template"), bytes(newest[-1].payload)) != "online":
                return False
        return True

    def state(self, name: str) -> str | None:
        """Give an entity's state; None while it has none. Of an event its type."""
        entity = self.entities[name]
        came = self.messages.get(entity["state_topic"], [])
        if entity["platform"] == "event":
            came = [message for message in came if not message.retain]
            return json.loads(came[-1].payload)["event_type"] if came else None
        if not came:
            return None
        text = render(entity.get("value_template"), bytes(came[-1].payload))
        if entity["platform"] == "binary_sensor":
            assert text in ("ON", "OFF")
        elif entity.get("device_class") == "enum":
            assert text in entity["options"]
        elif text != "None":
            float(text)
        return None if text == "None" else text

    def attributes(self, name: str) -> dict[str, Any]:
        """Give an entity's attributes by its template."""
        entity = self.entities[name]
        payload = bytes(self.messages[entity["json_attributes_topic"]][-1].payload)
        found = json.loads(render(entity["json_attributes_template"], payload))
        assert isinstance(found, dict)
        return found

    def press(self, name: str) -> None:
        """Press a button."""
        button = self.entities[name]
        self.publish(button["command_topic"], button.get("payload_press", "PRESS"), qos=button.get("qos", 0))

    def publish(self, topic: str, payload: str, *, qos: int = 0) -> None:
        """Say something."""
        self._client.publish(topic, payload, qos)

    def close(self) -> None:
        """Go."""
        self._client.disconnect()
        self._client.loop_stop()
        self._client._reset_sockets()


@contextmanager
def home(port: int) -> Iterator[Home]:
    """Run one for a while."""
    found = Home(port)
    try:
        yield found
    finally:
        found.close()
