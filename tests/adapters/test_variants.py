"""Which quantization serves: the most accurate within the budgets, by what was measured on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeseq.adapters.interpreter import Budget, choose_measured, measure
from edgeseq.adapters.interpreter.measure import pick
from edgeseq.adapters.interpreter.probe import cost_of
from edgeseq.bundle import Bundle, Variant
from edgeseq.bundle.keys import load_signing_key, write_public_key
from edgeseq.compose import open_node
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.payloads import VariantCost
from edgeseq.reporting import info_of
from tests.support.tiny_bundle import read_tiny_bundle, tiny_bundle_path
from tests.support.validate import validate

LOSSES = {"float32": 0.50, "float16": 0.51, "int8_weights": 0.52}
VARIANTS = {name: Variant(name, "f", "", 0, ("litert",), 1.0, loss) for name, loss in LOSSES.items()}
AMPLE = Budget(cpu=1.0, latency_ms=1e3, memory_bytes=2**40, streams=1000)


def cost(**changes: Any) -> VariantCost:
    """Make the cost of a variant."""
    return VariantCost(**{"latency_ms": 1.0, "stream_us": 10.0, "memory_bytes": 50 * 2**20, **changes})


@pytest.mark.parametrize(
    ("float32", "budget", "wanted"),
    [
        (cost(), AMPLE, ("float32", True)),
        (cost(stream_us=20.0), AMPLE._replace(cpu=0.015), ("float16", True)),
        (cost(latency_ms=9.0), AMPLE._replace(latency_ms=5.0), ("float16", True)),
        (cost(memory_bytes=2**30), AMPLE._replace(memory_bytes=2**29), ("float16", True)),
        (cost(), AMPLE._replace(cpu=1e-9), ("int8_weights", False)),
    ],
)
def test_most_accurate_within_the_budget_is_picked(
    float32: VariantCost, budget: Budget, wanted: tuple[str, bool]
) -> None:
    """CPU is the share of a core that all streams take once a period; where nothing fits the quickest serves."""
    costs = {"float32": float32, "float16": cost(), "int8_weights": cost(stream_us=5.0)}
    assert pick(VARIANTS, costs, budget, period_s=1.0) == wanted


def test_of_equal_losses_the_quicker_one_is_picked() -> None:
    """An accuracy that is the same costs nothing."""
    variants = {name: msgspec.structs.replace(v, loss=0.5) for name, v in VARIANTS.items()}
    costs = {"float32": cost(), "float16": cost(stream_us=8.0), "int8_weights": cost(stream_us=9.0)}
    assert pick(variants, costs, AMPLE, period_s=600.0) == ("float16", True)


@pytest.fixture(scope="module")
def tiny(pytestconfig: pytest.Config) -> Bundle:
    """The tiny bundle with all its variants."""
    return read_tiny_bundle(tiny_bundle_path(pytestconfig))


def test_real_variants_are_measured_once_for_bundle_runtime_and_machine(
    tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in a child; a second start remembers, another machine's memory is not used."""
    runs: list[str] = []

    def counted(bundle: Bundle, runtime: str, name: str) -> dict[str, Any]:
        runs.append(name)
        return cost_of(bundle, runtime, name)

    monkeypatch.setattr(measure, "cost_of", counted)
    found = choose_measured(tiny, "litert", AMPLE, tmp_path)
    assert found is not None
    assert found.is_within
    assert sorted(found.costs) == sorted(runs) == sorted(v.name for v in tiny.manifest.variants)
    assert all(c.latency_ms > 0 and c.stream_us > 0 and c.memory_bytes > 0 for c in found.costs.values())
    assert choose_measured(tiny, "litert", AMPLE, tmp_path) == found
    assert len(runs) == len(found.costs)
    monkeypatch.setattr(measure, "fingerprint", lambda _: "another machine")
    monkeypatch.setattr(measure, "cost_of", lambda *_: msgspec.to_builtins(cost()))
    again = choose_measured(tiny, "litert", AMPLE, tmp_path)
    assert again is not None
    assert again.costs != found.costs


def test_node_tells_what_was_chosen(tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It serves, and stands in bridge/info, in an event and in the log."""
    monkeypatch.setattr(
        measure, "cost_of", lambda _, __, name: msgspec.to_builtins(cost(stream_us=len(name)))
    )
    write_public_key(
        load_signing_key(tiny.path.parent / "signing.key").public_key(), tmp_path / "trusted_keys"
    )
    text = f"""
    [bundles]
    choose = "measured"
    [[streams]]
    name = "pump"
    every = "10m"
    channels = {{ c0 = "a", c1 = "b" }}
    bundle = "{tiny.path}"
    """
    logged: list[str] = []
    resolved = resolve(parse_config(text), tmp_path)
    node = open_node(resolved, state_dir=tmp_path / "state", log=lambda event, **_: logged.append(event))
    (stepper,) = node.steppers.values()
    (choice,) = node.variants
    most_accurate = min(tiny.manifest.variants, key=lambda v: (v.loss, len(v.name)))
    assert getattr(stepper, "variant", None) == choice.variant == most_accurate.name
    assert "variant.chosen" in logged
    validate(node.backlog[-1].topic, node.backlog[-1].payload)
    assert info_of(node).variants == [choice]
    assert node.store is not None
    node.store.close()


def test_numpy_has_nothing_to_choose(tiny: Bundle, tmp_path: Path) -> None:
    """It computes the float32 weights, whatever the variants are."""
    assert choose_measured(tiny, "numpy", AMPLE, tmp_path) is None
