"""AsyncAPI 3.0 document of all that edgeseq publishes and answers, generated from the structs of the messages."""

from __future__ import annotations

from typing import Any

import msgspec

from edgeseq import __version__
from edgeseq.config.docstrings import field_docs
from edgeseq.config.schema import REQUEST, message_names, struct_named, struct_of
from edgeseq.core import payloads

RESPONSE = "bridge/response"

NOT_RETAINED = frozenset({"forecast", "estimate", "alert", "bridge/event", RESPONSE, "bridge/update/state"})
"""Messages that the broker does not keep for those who subscribe later; bridge/health is kept at each tenth report."""

QOS_0 = frozenset({"forecast", "estimate"})
"""Messages that the next one replaces; all others go with quality of service 1."""

OF_CHANNELS = ("forecast", "latest", "anomaly", "alert")
"""Messages that streams with several channels publish for each of them."""

_PARAMETERS = {
    "prefix": {"description": "[mqtt] topic_prefix; it may have several levels.", "default": "edgeseq"},
    "node": {"description": "[node] name.", "default": "edgeseq"},
    "stream": {"description": "Id of the stream: a slug of topic and field, or its name."},
    "channel": {"description": "Slug of the channel's name."},
}

_ABOUT = """Streaming forecasts and alerts of MQTT sensors. Numbers carry 5 significant digits, null is a value that is
unknown or missing, times are ISO 8601 in UTC. Subscribers ignore fields they do not know.""".replace(
    "\n", " "
)

_WORDS = {
    "anomaly": "Whether an alert is open; of a stream with channels also for each of them.",
    "availability": "Whether the sensor reports; that the node itself is gone is said by bridge/state.",
}


def asyncapi() -> dict[str, Any]:
    """Describe all messages, their topics, and what is asked and answered."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for name in message_names():
        for key, address in _addresses(name):
            channels[key] = _channel(name, address)
            operations[_operation_key(name, key)] = _operation(name, key)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edgeseq",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {"host": "localhost:1883", "protocol": "mqtt", "description": "Whatever [mqtt] says."}
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {_key(name): _message(name) for name in message_names()},
            "schemas": _schemas(),
        },
    }


def _addresses(name: str) -> list[tuple[str, str]]:
    """Give the channels of a message: key and address."""
    root = "{prefix}/{node}"
    if name == RESPONSE:
        return [(_key(name), f"{root}/{name}/{{verb}}")]
    if name.startswith("bridge/"):
        return [(_key(name), f"{root}/{name}")]
    found = [(_key(name), f"{root}/{{stream}}/{name}")]
    if name in OF_CHANNELS:
        found.append((f"channel_{_key(name)}", f"{root}/{{stream}}/{{channel}}/{name}"))
    return found


def _key(name: str) -> str:
    """Name something as components may be named.

    >>> _key("bridge/health")
    'bridge_health'
    """
    return name.replace("/", "_")


def _channel(name: str, address: str) -> dict[str, Any]:
    verb = {"verb": {"description": "What was asked for.", "enum": [*_verbs(), "unknown"]}}
    parameters = {key: told for key, told in (_PARAMETERS | verb).items() if f"{{{key}}}" in address}
    return {
        "address": address,
        "messages": {_key(name): {"$ref": f"#/components/messages/{_key(name)}"}},
        "parameters": parameters,
    }


def _verbs() -> list[str]:
    return [name.rpartition("/")[2] for name in message_names() if name.startswith(f"{REQUEST}/")]


def _operation_key(name: str, key: str) -> str:
    return f"answer_{_key(name.rpartition('/')[2])}" if name.startswith(f"{REQUEST}/") else f"send_{key}"


def _operation(name: str, key: str) -> dict[str, Any]:
    """Say who sends: edgeseq, or those who ask; what it does with a request is to answer."""
    channel = {"$ref": f"#/channels/{key}"}
    told: dict[str, Any] = {
        "channel": channel,
        "messages": [{"$ref": f"#/channels/{key}/messages/{_key(name)}"}],
    }
    if name.startswith(f"{REQUEST}/"):
        back = f"#/channels/{_key(RESPONSE)}"
        reply = {"channel": {"$ref": back}, "messages": [{"$ref": f"{back}/messages/{_key(RESPONSE)}"}]}
        return {"action": "receive", **told, "reply": reply}
    mqtt = {"qos": 0 if name in QOS_0 else 1, "retain": name not in NOT_RETAINED, "bindingVersion": "0.2.0"}
    return {"action": "send", **told, "bindings": {"mqtt": mqtt}}


def _message(name: str) -> dict[str, Any]:
    if name in payloads.WORDS:
        return {
            "name": name,
            "contentType": "text/plain",
            "summary": _WORDS[name],
            "payload": {"type": "string", "enum": [*payloads.WORDS[name]]},
        }
    struct = struct_of(name)
    doc = " ".join((struct.__doc__ or "").split())
    summary = doc.partition(": ")[2] or doc
    return {"name": name, "summary": summary, "payload": {"$ref": f"#/components/schemas/{struct.__name__}"}}


def _schemas() -> dict[str, Any]:
    """Generate the schemas of all structs, with the docstrings of their fields."""
    structs = dict.fromkeys(struct_of(name) for name in message_names() if name not in payloads.WORDS)
    _, components = msgspec.json.schema_components([*structs], ref_template="#/components/schemas/{name}")
    for name, component in components.items():
        for key, doc in (field_docs(struct_named(name)) if "properties" in component else {}).items():
            component["properties"][key]["description"] = doc
    return dict(sorted(components.items()))
