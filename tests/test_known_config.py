"""Known covariates in the configuration and in what a bundle asks of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgeseq.bundle import check_fits, seal
from edgeseq.bundle.manifest import Channel, check_manifest
from edgeseq.config import parse_config
from edgeseq.config.resolve import Resolved, resolve
from edgeseq.core.calendar import Calendar
from edgeseq.core.known import Covariate, KnownInputs
from edgeseq.core.types import ChannelSource, KnownSource, StreamRule, Target
from edgeseq.errors import BundleError, ConfigError
from tests.support.bundles import make_files, make_manifest

STREAM = """
[[streams]]
topic = "rooms/+"
every = "10m"
bundle = "house.edgeseq"
known = { outdoor = { topic = "weather/forecast", field = "hourly", time = "at", value = "t2m" } }
"""


def resolved(text: str) -> Resolved:
    """Resolve a configuration as the daemon does."""
    return resolve(parse_config(text), Path("/etc/edgeseq"), environment={})


def test_a_known_covariate_becomes_a_source_and_a_subscription() -> None:
    """Topic, array, time and value are taken over; the topic is subscribed to; time and value have usual names."""
    found = resolved(STREAM)
    assert found.rules[0].known == {"outdoor": KnownSource("weather/forecast", "hourly", "at", "t2m")}
    assert found.filters == ("rooms/+", "weather/forecast")
    short = resolved(STREAM.replace(', field = "hourly", time = "at", value = "t2m"', ""))
    assert short.rules[0].known == {"outdoor": KnownSource("weather/forecast", None, "time", "value")}


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('bundle = "house.edgeseq"', "", "inputs of a bundle, but there is none"),
        ("weather/forecast", "weather/+", "comes from one topic"),
        ("weather/forecast", "weather/#/x", "comes from one topic"),
        ("weather/forecast", "", "the topic filter is invalid"),
        ("weather/forecast", "edgeseq/edgeseq/x/forecast", "matches what edgeseq itself publishes"),
        ("t2m", 't2m", unit = "C', "unknown key unit"),
        ('topic = "weather/forecast", ', "", "the key topic is missing"),
    ],
)  # fmt: skip
def test_known_covariates_that_cannot_be_are_refused(old: str, new: str, what: str) -> None:
    """Each contradiction has its message, which names the key."""
    with pytest.raises(ConfigError, match=what) as caught:
        resolved(STREAM.replace(old, new))
    assert "known" in str(caught.value)


# --- the bundle's side --------------------------------------------------------------------------------------------

WEATHER = KnownInputs(covariates=(Covariate("outdoor", 10.0, 5.0),))
FLAT = KnownInputs(covariates=(Covariate("a", 0.0, 0.0),))
RULE = StreamRule(key="rooms", period_ns=600 * 10**9, topics=("rooms/+",), bundle="house.edgeseq")


@pytest.mark.parametrize(
    ("names", "wanted"), [((), "outdoor"), (("wind",), "outdoor"), (("outdoor", "wind"), "outdoor")]
)
def test_a_bundle_wants_all_its_known_covariates_and_no_other(names: tuple[str, ...], wanted: str) -> None:
    """A missing or another covariate is told with what the bundle was trained on."""
    manifest = make_manifest(inputs=WEATHER)
    rule = msgspec.structs.replace(RULE, known={name: KnownSource("weather") for name in names})
    with pytest.raises(BundleError, match="trained for another set of known") as caught:
        check_fits(manifest, rule)
    assert caught.value.wanted == wanted
    check_fits(manifest, msgspec.structs.replace(RULE, known={"outdoor": KnownSource("weather")}))


def test_the_target_may_be_called_otherwise_and_covariates_may_not() -> None:
    """A model of one target fits any sensor of its kind; its covariates are told by name and order."""
    channels = (Channel("value"), Channel("outdoor"), Channel("sun"))
    manifest = make_manifest(channels=channels, covariates=2)

    def rule(*names: str) -> StreamRule:
        return StreamRule(
            key="r", name="r", period_ns=600 * 10**9, channels={name: ChannelSource("t") for name in names}
        )

    check_fits(manifest, rule("kitchen", "outdoor", "sun"))
    for wrong in (("kitchen", "sun", "outdoor"), ("kitchen", "outdoor"), ("outdoor", "sun", "kitchen")):
        with pytest.raises(BundleError, match="trained for another set of channels"):
            check_fits(manifest, rule(*wrong))


ESTIMATOR = {"target": Target("load"), "channels": (Channel("value", None, 0.0, 1.0),), "horizon": 1}


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        ({"known": ("outdoor",)}, "known"),
        ({"inputs": WEATHER}, "known"),
        ({"inputs": FLAT, "known": ("a",), "network": {"known": 1}}, "inputs"),
        ({"inputs": KnownInputs(Calendar("UTC", "", 0, 2**40, ((0, 0),)))}, "inputs"),
        ({"inputs": KnownInputs(Calendar("UTC", "", 0, 1, ()))}, "inputs"),
        ({"covariates": 1}, "covariates"),
        ({"inputs": WEATHER, "known": ("outdoor",), "network": {"known": 1}, **ESTIMATOR}, "known"),
    ],
)  # fmt: skip
def test_a_manifest_that_contradicts_itself_on_inputs_is_refused(
    changes: dict[str, object], law: str
) -> None:
    """Names, network and description of the known inputs belong together, and a calendar has a sane size."""
    inputs = changes.get("inputs")
    if isinstance(inputs, KnownInputs) and inputs.calendar:
        changes = {**changes, "known": inputs.names, "network": {"known": len(inputs.names)}}
    manifest = make_manifest(**changes)
    with pytest.raises(BundleError, match=f"contradicts itself: {law}"):
        check_manifest(seal(manifest, make_files(manifest)), make_files(manifest), "x")
