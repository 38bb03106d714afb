"""Bundles: which streams they fit."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from edgeseq.bundle import (
    Channel,
    Manifest,
    check_fits,
    write_bundle,
)
from edgeseq.core.types import ChannelSource, StreamRule
from edgeseq.errors import BundleError
from tests.support.bundles import make_manifest
from tests.support.signed_bundle import FILES, KEY, MANIFEST


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a well signed bundle."""
    write_bundle(tmp_path / "good.edgeseq", MANIFEST, FILES, KEY)
    return tmp_path / "good.edgeseq"


def rule(**changes: object) -> StreamRule:
    """Make a rule of one channel that the bundle fits."""
    return StreamRule(**{"key": "cellar", "period_ns": MANIFEST.period_ns, **changes})  # type: ignore[arg-type]


def test_bundle_of_one_channel_fits_any_stream_of_one_channel() -> None:
    """The name of a single channel does not matter."""
    check_fits(make_manifest(channels=(Channel("traffic", "°C"),)), rule())
    check_fits(MANIFEST, rule(unit="°C"))
    check_fits(make_manifest(channels=(Channel("value"),)), rule(unit="K"))


@pytest.mark.parametrize(
    ("changes", "match", "wanted"),
    [
        ({"period_ns": 10**9}, "another period", "10m"),
        ({"aggregate": "mean"}, "another aggregate", "last"),
        (
            {"channels": {"a": ChannelSource("t"), "b": ChannelSource("u")}},
            "another set of channels",
            "value in this order",
        ),
        ({"unit": "K"}, "another unit", "°C"),
    ],
    ids=["period", "aggregate", "channels", "unit"],
)
def test_bundle_for_other_streams_is_refused(changes: dict[str, object], match: str, wanted: str) -> None:
    """A model serves only streams like those it was trained on."""
    with pytest.raises(BundleError, match=match) as caught:
        check_fits(MANIFEST, rule(**changes))
    error = caught.value
    assert error.wanted is not None
    assert wanted in error.wanted
    assert error.where == "streams cellar"
    assert error.do


def test_units_are_compared_channel_by_channel_where_both_sides_name_one() -> None:
    """Channels of different units fit a rule that names the same ones; another unit of one channel is refused."""
    manifest = make_manifest(channels=(Channel("flow", "m³/h"), Channel("state"), Channel("heat", "°C")))
    sources = {name: ChannelSource(name) for name in ("flow", "state", "heat")}
    check_fits(manifest, rule(channels=sources, units={"flow": "m³/h", "state": "V", "heat": "°C"}))
    check_fits(manifest, rule(channels=sources))
    with pytest.raises(BundleError, match="another unit") as caught:
        check_fits(manifest, rule(channels=sources, units={"flow": "m³/h", "heat": "°F"}))
    assert (caught.value.found, caught.value.wanted) == ("°F", "°C")


def test_manifest_that_says_nothing_of_columns_is_read() -> None:
    """Bundles made before the columns of the recording were carried still open; the others keep what they say."""
    told = json.loads(msgspec.json.encode(make_manifest(columns=(Channel("cellar", "°C"), Channel("hall")))))
    assert msgspec.convert(told, Manifest).columns == (Channel("cellar", "°C"), Channel("hall"))
    del told["columns"]
    assert msgspec.convert(told, Manifest).columns == ()
