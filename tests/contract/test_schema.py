"""The JSON Schemas are valid, complete and tell right from wrong."""

from __future__ import annotations

import importlib
import pkgutil
import tomllib

import msgspec
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from edgeseq.config.docstrings import field_docs
from edgeseq.config.sample import sample
from edgeseq.config.schema import config_schema, message_names, message_of, message_schema
from edgeseq.core import payloads
from edgeseq.core.render import RenderContext, RenderState, render
from edgeseq.core.types import StreamInfo, StreamRule
from tests.support.streams import one_forecast
from tests.support.validate import fault_of, validate

RULE = StreamRule(key="r", period_ns=10**9, topics=("t",))
CONTEXT = RenderContext("e", "n", [StreamInfo("t", "r", "t", None, 0)], {"r": RULE}, {})
ONE, PATH = np.array([12.5]), np.array([[12.5]])
FORECAST = one_forecast(
    {"observed": ONE, "lower": PATH, "value": PATH, "upper": PATH, "score": ONE, "skill": ONE}
)

STRUCTS = [
    struct
    for found in pkgutil.iter_modules(payloads.__path__, f"{payloads.__name__}.")
    for struct in vars(importlib.import_module(found.name)).values()
    if isinstance(struct, type) and issubclass(struct, msgspec.Struct) and struct.__module__ == found.name
]


@pytest.mark.parametrize("name", message_names())
def test_message_schema_is_a_schema(name: str) -> None:
    """The schema of each message is valid JSON Schema with a title."""
    schema = message_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == f"edgeseq {name}"


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_payload_field_has_a_sentence(struct: type[msgspec.Struct]) -> None:
    """Each field of each payload is explained, and the explanation stands in the schema."""
    docs = field_docs(struct)
    assert [
        f.name for f in msgspec.structs.fields(struct) if not docs.get(f.name, "").endswith((".", ")"))
    ] == []


def test_message_schema_carries_docstrings() -> None:
    """Subscribers find the sentences in the published schema."""
    properties = message_schema("forecast")["$defs"]["ForecastPayload"]["properties"]
    assert properties["coverage"]["description"] == field_docs(payloads.ForecastPayload)["coverage"]
    assert all("description" in described for described in properties.values())


@pytest.mark.parametrize(
    ("message", "field", "words"),
    [
        ("status", "data", ("mismatch", "silent", "stuck", "every", "off")),
        ("status", "phase", ("learning", "model", "source")),
        ("forecast", "source", ("learning", "baseline")),
        ("forecast", "leads_filled", ("known covariate", "day", "mean")),
    ],
)
def test_message_schema_explains_words_that_nobody_can_guess(
    message: str, field: str, words: tuple[str, ...]
) -> None:
    """What a value means stands where a subscriber looks it up."""
    schema = message_schema(message)
    said = schema["$defs"][schema["$ref"].rpartition("/")[2]]["properties"][field]["description"]
    assert [word for word in words if word not in said] == []


def test_config_schema_takes_the_sample_and_no_typo() -> None:
    """The schema of the file accepts the sample and refuses an unknown key."""
    schema = config_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    good = tomllib.loads(sample())
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "stream": []})
    assert not validator.is_valid({"streams": [{"topic": "a"}]})
    assert not validator.is_valid({"mqtt": {"port": 0}})


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("edgeseq/attic/cellar-temperature/forecast", "forecast"),
        ("edgeseq/attic/pump1/flow/alert", "alert"),
        ("a/b/c/attic/bridge/alerts", "bridge/alerts"),
        ("edgeseq/attic/pump1/anomaly", "anomaly"),
        ("edgeseq/attic/bridge/unknown", None),
        ("edgeseq/attic/pump1/state", "state"),
        ("edgeseq/attic/pump1/level", None),
    ],
)
def test_message_of_topic(topic: str, name: str | None) -> None:
    """A topic's last levels name its message."""
    assert message_of(topic) == name


@pytest.mark.parametrize(
    ("topic", "payload", "says"),
    [
        ("e/n/bridge/state", b'{"state":"gone"}', "'gone' is not one of"),
        ("e/n/bridge/state", b'{"state":"online","since":1}', "'since' was unexpected"),
        ("e/n/bridge/state", b"online", "is no JSON"),
        ("e/n/s/anomaly", b"on", "'on' is not one of"),
        ("e/n/s/status", b'{"schema":2,"phase":"live","data":"ok","alert":"none"}', "2 is not one of"),
        ("e/n/s/status", b'{"schema":1,"phase":"live","data":"ok"}', "'alert' is a required property"),
        ("e/n/s/status", b'{"schema":1,"phase":"live","data":NaN,"alert":"none"}', "NaN is no JSON"),
        ("e/n/s/else", b"{}", "no message is documented"),
    ],
)
def test_validate_wrong_message_fails(topic: str, payload: bytes, says: str) -> None:
    """The check that the other tests rely on does fail."""
    with pytest.raises(AssertionError, match=says):
        validate(topic, payload)


def test_validate_too_many_digits_fail() -> None:
    """A forecast with more digits than promised fails."""
    (sent, *_) = render(CONTEXT, RenderState(), [FORECAST])
    validate(sent.topic, sent.payload)
    with pytest.raises(AssertionError, match="significant digits"):
        validate(sent.topic, sent.payload.replace(b"12.5", b"12.500001"))


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("edgeseq/n/bridge/state", b'{"state":"gone"}'),
        ("edgeseq/n/bridge/state", b'{"state":"online","since":1}'),
        ("edgeseq/n/s/level", b"{}"),
        ("edgeseq/n/s/state", b"no JSON"),
        ("edgeseq/n/s/anomaly", b"on"),
    ],
)
def test_peer_notices_a_wrong_message_though_one_of_its_shape_was_right(topic: str, payload: bytes) -> None:
    """What every test's client does with what it hears finds faults, also in the second message of a shape."""
    assert fault_of("edgeseq/n/bridge/state", b'{"state":"online"}') is None
    assert fault_of("edgeseq/n/s/anomaly", b"ON") is None
    assert (fault_of(topic, payload) or "").startswith(topic)
    assert fault_of(f"else/{topic}", payload) is None
