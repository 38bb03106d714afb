"""JSON Schema (2020-12) of the configuration, of every message and of every request, generated from the structs."""

from __future__ import annotations

from typing import Any

import msgspec

from edgeseq import config
from edgeseq.config.docstrings import field_docs
from edgeseq.core import asking, payloads, types

REQUEST = "bridge/request"

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> dict[str, Any]:
    """Describe the configuration file."""
    return _schema(config.Config, "edgeseq configuration")


def message_names() -> tuple[str, ...]:
    """List the messages that have a schema, by the last levels of their topics."""
    requests = (f"{REQUEST}/{verb}" for verb in asking.REQUESTS)
    return (*payloads.MESSAGES, *payloads.WORDS, *requests)


def message_schema(name: str) -> dict[str, Any]:
    """Describe the payload of a message: JSON, or the word that is the whole payload.

    >>> message_schema("anomaly")["enum"]
    ['ON', 'OFF']
    """
    if name in payloads.WORDS:
        return {
            "$schema": DIALECT,
            "title": f"edgeseq {name}",
            "type": "string",
            "enum": [*payloads.WORDS[name]],
        }
    return _schema(struct_of(name), f"edgeseq {name}")


def struct_of(name: str) -> type[msgspec.Struct]:
    """Find the struct of a message that is JSON."""
    above, _, verb = name.rpartition("/")
    return asking.REQUESTS[verb] if above == REQUEST else payloads.MESSAGES[name]


def message_of(topic: str) -> str | None:
    """Name the message that a topic carries, or None where edgeseq publishes none.

    >>> message_of("edgeseq/attic/pump1/flow/forecast"), message_of("edgeseq/attic/bridge/state")
    ('forecast', 'bridge/state')
    """
    levels = topic.split("/")
    if levels[-3:-1] == ["bridge", "response"]:
        return "bridge/response"
    if levels[-3:-1] == ["bridge", "request"]:
        return "/".join(levels[-3:]) if levels[-1] in asking.REQUESTS else None
    names = message_names()
    return next((name for name in ("/".join(levels[-2:]), levels[-1]) if name in names), None)


def _schema(struct: type[msgspec.Struct], title: str) -> dict[str, Any]:
    """Generate the schema of a struct, with the docstrings of its fields."""
    (top,), components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    for name, component in components.items():
        docs = field_docs(struct_named(name)) if "properties" in component else {}
        for key, doc in docs.items():
            component["properties"][key]["description"] = doc
    return {"$schema": DIALECT, "title": title, **top, "$defs": components}


def struct_named(name: str) -> type[msgspec.Struct]:
    """Find the struct that a component describes."""
    for module in (config, payloads, asking, types):
        found = getattr(module, name, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    raise LookupError(name)
