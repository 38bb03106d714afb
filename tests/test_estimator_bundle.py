"""Bundles of estimators: what their manifest must say, where they may stand, and what configuration makes of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgeseq.bundle import Channel, check_fits, check_serves, seal
from edgeseq.bundle.manifest import MAX_CLASSES, Manifest, check_manifest
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.types import StreamRule, Target
from edgeseq.errors import BundleError
from tests.support.bundles import make_files, make_manifest

FIXED = (Channel("value", "°C", 20.0, 2.0),)
OIL = Target("oil", "°C", 40.0, 8.0)
ROOM = Target("room", classes=("empty", "occupied"))
RULE = StreamRule(key="t", period_ns=600 * 10**9, topics=("t",), bundle="a.edgeseq", estimate="b.edgeseq")


def estimator(**changes: object) -> Manifest:
    """Make the manifest of an estimator of one channel, a number unless told otherwise."""
    return make_manifest(**{"channels": FIXED, "horizon": 1, "target": OIL, **changes})


def check(manifest: Manifest) -> None:
    """Hold a manifest against the laws, with files that fit it."""
    files = make_files(manifest)
    check_manifest(seal(manifest, files), files, "x.edgeseq")


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, (1, 1, 3)),
        ({"target": ROOM, "levels": ()}, (1, 1, 2)),
        ({"channels": (*FIXED, Channel("b", None, 0.0, 1.0))}, (1, 1, 3)),
    ],
)
def test_manifest_of_an_estimator_is_accepted_and_says_its_shape(
    changes: dict[str, object], shape: tuple[int, ...]
) -> None:
    """Numbers have quantiles, classes a probability each; how many channels there are does not matter."""
    manifest = estimator(**changes)
    check(manifest)
    assert manifest.output_shape == shape


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"horizon": 2}, "horizon"),
        ({"channels": (Channel("value"),)}, "channels"),
        ({"channels": (Channel("value", None, 0.0, 0.0),)}, "channels"),
        ({"target": Target("oil", scale=0.0)}, "target"),
        ({"target": Target("oil", anchor=float("nan"))}, "target"),
        ({"target": Target("")}, "target"),
        ({"target": Target("room", classes=("a",)), "levels": ()}, "target"),
        ({"target": Target("room", classes=("a", "a")), "levels": ()}, "target"),
        ({"target": Target("room", classes=tuple(map(str, range(MAX_CLASSES + 1)))), "levels": ()}, "target"),
        ({"levels": ()}, "channels x horizon x levels"),
        ({"target": ROOM, "levels": (0.1, 0.5)}, "levels"),
    ],
)
def test_contradiction_is_refused_by_name(changes: dict[str, object], says: str) -> None:
    """What an estimator's manifest cannot mean is an error that names the field."""
    manifest = estimator(**changes)
    with pytest.raises(BundleError, match=f"contradicts itself: {says}"):
        check(manifest)


def test_forecaster_may_not_stand_under_estimate_nor_an_estimator_under_bundle() -> None:
    """Each key takes its own kind, and the error says where the bundle belongs."""
    check_serves(make_manifest(), RULE, "bundle")
    check_serves(estimator(), RULE, "estimate")
    with pytest.raises(BundleError, match="estimates oil") as raised:
        check_serves(estimator(), RULE, "bundle")
    assert (raised.value.where, raised.value.found) == ("streams t: bundle", "a.edgeseq")
    assert raised.value.do == "name it as estimate = …"
    with pytest.raises(BundleError, match="forecasts its channels") as raised:
        check_serves(make_manifest(), RULE, "estimate")
    assert (raised.value.where, raised.value.found) == ("streams t: estimate", "b.edgeseq")
    assert raised.value.do == "name it as bundle = …"


def test_estimator_must_fit_its_stream_as_a_forecaster_must() -> None:
    """Another period or other channels are refused."""
    check_fits(estimator(), RULE)
    with pytest.raises(BundleError, match="trained for another period"):
        check_fits(estimator(), msgspec.structs.replace(RULE, period_ns=10**9))


def test_stream_names_its_estimator_beside_its_forecaster(tmp_path: Path) -> None:
    """Both files are found beside the configuration, and the rule knows which is which."""
    text = '[[streams]]\ntopic = "t"\nevery = "10m"\nbundle = "a.edgeseq"\nestimate = "b.edgeseq"\n'
    resolved = resolve(parse_config(text), tmp_path)
    assert (resolved.rules[0].bundle, resolved.rules[0].estimate) == ("a.edgeseq", "b.edgeseq")
    assert resolved.bundles == {name: tmp_path / name for name in ("a.edgeseq", "b.edgeseq")}
