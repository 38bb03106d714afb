"""Models on a runtime: which variant runs where, what a faulty model may do, and what happens to corrupt files.

Runs in both environments: EDGESEQ_TEST_RUNTIME names the TFLite runtime that must be there.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.adapters.interpreter import (
    BUCKETS,
    GuardedStepper,
    choose,
    fingerprint,
    open_proven,
    open_stepper,
    probe,
    probe_cached,
    runtime_fault,
)
from edgeseq.adapters.interpreter.calls import _surviving, _surviving_rows, make_call
from edgeseq.adapters.interpreter.steppers import plan
from edgeseq.bundle import GOLDEN, WEIGHTS, Bundle, Signature, read_bundle, write_bundle
from edgeseq.bundle.golden import dump_golden, load_golden
from edgeseq.bundle.keys import TrustedKeys
from edgeseq.core.forecast import RecurrentState, StateSpec, initial_state
from edgeseq.core.types import F32
from edgeseq.errors import EXIT_CONFIG, BundleError
from tests.runtimes.conftest import RUNTIME
from tests.support.tiny_bundle import read_tiny_bundle, tiny_bundle_path

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = {"litert": "tflite", "tflite": "litert"}[RUNTIME]
HERE = ("litert", "tflite")


@pytest.fixture(scope="session")
def bundle(request: pytest.FixtureRequest) -> Bundle:
    """Give the tiny bundle, verified."""
    return read_tiny_bundle(tiny_bundle_path(request.config))


def changed(
    bundle: Bundle, folder: Path, files: dict[str, bytes | None] | None = None, **fields: object
) -> Bundle:
    """Write a correctly signed bundle with other files or manifest fields, and read it back."""
    merged = {name: data for name, data in {**bundle.files, **(files or {})}.items() if data is not None}
    path = folder / "changed.edgeseq"
    write_bundle(path, msgspec.structs.replace(bundle.manifest, **fields), merged, KEY)
    return read_bundle(path, TrustedKeys.of(KEY.public_key()))


# --- batches ------------------------------------------------------------------------------------------------------


@given(rows=st.integers(1, 5000))
def test_plan_covers_a_batch_with_buckets(rows: int) -> None:
    """Only known buckets are used, none stays empty, and all rows find a place."""
    buckets = plan(rows)
    assert set(buckets) <= set(BUCKETS)
    assert sum(buckets) >= rows
    assert sum(buckets[:-1]) < rows


def test_importing_the_adapter_imports_no_runtime() -> None:
    """A daemon of baselines alone pays for no runtime."""
    code = """
import sys, edgeseq.adapters.interpreter
print(sorted({'ai_edge_litert', 'tflite_runtime'} & set(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_fingerprint_tells_runtimes_apart_and_is_stable() -> None:
    """Equal fingerprints promise equal bits, so it names runtime, version and CPU."""
    assert fingerprint(RUNTIME) == fingerprint(RUNTIME)
    assert fingerprint(RUNTIME) != fingerprint("numpy")
    assert len(fingerprint(RUNTIME).split()) == 4


# --- what runs where ------------------------------------------------------------------------------------------------


def variants(bundle: Bundle, **runtimes: tuple[str, ...]) -> tuple[object, ...]:
    """Say on which runtimes each variant was proven; others keep none."""
    return tuple(
        msgspec.structs.replace(v, runtimes=runtimes.get(v.name, ())) for v in bundle.manifest.variants
    )


def test_default_variant_on_the_best_runtime_is_chosen(bundle: Bundle) -> None:
    """Without a wish the bundle's default runs on this environment's TFLite runtime."""
    runtime, variant = choose(bundle)
    assert (runtime, variant.name) == (RUNTIME, bundle.manifest.default_variant)


def test_other_variant_serves_when_the_default_is_not_proven_here(bundle: Bundle, tmp_path: Path) -> None:
    """A TFLite runtime with another variant is better than NumPy."""
    other = changed(bundle, tmp_path, variants=variants(bundle, int8_weights=(OTHER,), float16=HERE))
    runtime, variant = choose(other)
    assert (runtime, variant.name) == (RUNTIME, "float16")


def test_numpy_is_the_last_resort(bundle: Bundle, tmp_path: Path) -> None:
    """Where no variant is proven the weights themselves serve."""
    stepper = open_stepper(changed(bundle, tmp_path, variants=variants(bundle)))
    assert (stepper.runtime, stepper.variant) == ("numpy", "float32")


def test_no_variant_for_this_runtime_is_said(bundle: Bundle, tmp_path: Path) -> None:
    """Without weights and proven variants there is nothing to run, and the error lists what there is."""
    nothing = changed(bundle, tmp_path, {WEIGHTS: None}, variants=variants(bundle, float32=(OTHER,)))
    with pytest.raises(BundleError, match="no variant for this runtime") as caught:
        open_stepper(nothing)
    assert f"float32 on {OTHER}" in str(caught.value)
    assert caught.value.exit_code == EXIT_CONFIG


def test_runtime_that_is_not_installed_is_refused_with_what_to_install(bundle: Bundle) -> None:
    """A forced runtime must work here."""
    assert "ModuleNotFoundError" in str(runtime_fault(OTHER))
    with pytest.raises(BundleError, match=f"runtime {OTHER} cannot be used here") as caught:
        open_stepper(bundle, OTHER)
    assert "pip install" in str(caught.value)
    with pytest.raises(BundleError, match=r"onnx cannot be used here"):
        open_stepper(bundle, "onnx")


def test_unknown_variant_is_refused(bundle: Bundle) -> None:
    """A forced variant must exist; NumPy computes float32 and nothing else."""
    with pytest.raises(BundleError, match="no such variant"):
        open_stepper(bundle, variant="int4")
    with pytest.raises(BundleError, match="no variant for this runtime"):
        open_stepper(bundle, "numpy", "int8_weights")


@pytest.mark.parametrize("fault", ["tensor", "shape", "horizon", "model"])
def test_model_that_does_not_fit_its_manifest_is_refused_at_open(
    bundle: Bundle, tmp_path: Path, fault: str
) -> None:
    """Wrong tensors or shapes are found before the first reading, not at it."""
    m = bundle.manifest
    step = m.signatures["step"]
    faults: dict[str, dict[str, object]] = {
        "tensor": {"signatures": {"step": Signature({**step.inputs, "x": "other:0"}, step.outputs)}},
        "shape": {"state": tuple(StateSpec(s.name, (*s.shape[:-1], s.shape[-1] + 1)) for s in m.state)},
        "horizon": {"horizon": m.horizon + 1},
        "model": {},
    }
    files: dict[str, bytes | None] = {"float32.tflite": b"no model"} if fault == "model" else {}
    wrong = changed(bundle, tmp_path, files, **faults[fault])
    with pytest.raises(BundleError, match="the runtime refuses the model"):
        open_stepper(wrong, RUNTIME, "float32")


@pytest.mark.parametrize("fault", ["missing", "shape", "network"])
def test_weights_that_do_not_fit_the_network_are_refused(bundle: Bundle, tmp_path: Path, fault: str) -> None:
    """The NumPy stepper checks its arrays at open as well."""
    from edgeseq.bundle.archive import dump_arrays, load_arrays

    arrays = load_arrays(bundle.files[WEIGHTS], "test")
    network = dict(bundle.manifest.network)
    if fault == "missing":
        arrays.pop("highway")
    elif fault == "shape":
        arrays["highway"] = arrays["highway"][1:]
    else:
        network["layers"] = [{"kind": "transformer", "units": 8}]
    wrong = changed(bundle, tmp_path, {WEIGHTS: dump_arrays(arrays)}, network=network)
    with pytest.raises(BundleError, match="weights do not fit"):
        open_stepper(wrong, "numpy")


# --- a faulty model ---------------------------------------------------------------------------------------------------


class Poison:
    """A stepper of one state that adds up; where the sum reaches its limit it breaks, as a bad model would."""

    name = "poison"
    channels = 1
    horizon = 2
    levels: tuple[float, ...] = (0.5,)
    ring = 4
    known = 0
    state_spec: tuple[StateSpec, ...] = (StateSpec("sum", (1,), init=0.5),)

    def step(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Add x; from 3 on the state is infinite, and NaN next."""
        total = np.where(state[0] + x >= 3, np.inf, state[0] + x).astype(np.float32)
        return np.repeat(total[:, :, None, None], 2, axis=2), (total,)

    def replay(self, x: F32, state: RecurrentState, known: F32 | None = None) -> tuple[F32, RecurrentState]:
        """Step through."""
        for t in range(x.shape[1]):
            quantiles, state = self.step(x[:, t], state)
        return quantiles, state


def test_faulty_row_forecasts_nothing_and_starts_again_alone() -> None:
    """A row that leaves the numbers gets NaN quantiles and the initial state; its neighbours notice nothing."""
    stepper = GuardedStepper(Poison(), "numpy", "float32")
    quantiles, state = stepper.step(
        np.array([[1], [9], [2]], np.float32), initial_state(stepper.state_spec, 3)
    )
    assert np.isnan(quantiles[1]).all()
    assert quantiles[[0, 2], 0, 0, 0].tolist() == [1.5, 2.5]
    assert state[0][:, 0].tolist() == [1.5, 0.5, 2.5]
    assert stepper.faults == 1
    quantiles, state = stepper.step(np.array([[0], [1], [0]], np.float32), state)
    assert np.isfinite(quantiles).all()
    assert stepper.faults == 1


def test_faulty_stored_row_starts_again_alone() -> None:
    """What holds of a batch holds of rows that are stepped where they are kept."""
    stepper = GuardedStepper(Poison(), "numpy", "float32")
    stored = (np.full((6, 1), 0.5, np.float32),)
    x = np.array([[1], [9], [2]], np.float32)
    quantiles = stepper.step_rows(x, stored, np.array([4, 0, 2]), np.array([5, 1, 3]))
    assert np.isnan(quantiles[1]).all()
    assert quantiles[[0, 2], 0, 0, 0].tolist() == [1.5, 2.5]
    assert stored[0][:, 0].tolist() == [0.5, 0.5, 0.5, 2.5, 0.5, 1.5]
    assert stepper.faults == 1


def test_fault_within_a_replay_resets_at_its_step() -> None:
    """Replay equals steps in faults, too."""
    x = np.array([[[1], [9], [1], [1]], [[0], [0], [0], [1]]], np.float32)
    replayed, stepped = GuardedStepper(Poison(), "numpy", "f"), GuardedStepper(Poison(), "numpy", "f")
    quantiles, state = replayed.replay(x, initial_state(Poison.state_spec, 2))
    expected = initial_state(Poison.state_spec, 2)
    for t in range(4):
        wanted, expected = stepped.step(x[:, t], expected)
    np.testing.assert_array_equal(quantiles, wanted)
    np.testing.assert_array_equal(state[0], expected[0])
    assert state[0][:, 0].tolist() == [2.5, 1.5]
    assert replayed.faults == stepped.faults == 1


@pytest.mark.parametrize("fault", [RuntimeError, ValueError, SystemError, MemoryError])
def test_call_that_the_runtime_refuses_becomes_a_fault_of_its_rows(fault: type[Exception]) -> None:
    """An exception of the runtime ends no daemon: the rows get NaN, which the guard resets."""

    def refuse(arrays: object, into: object = None) -> tuple[F32, ...]:
        raise fault("refused")

    call = _surviving(refuse, [(2, 1, 2, 1), (2, 1)])
    results = call([])
    assert [r.shape for r in results] == [(2, 1, 2, 1), (2, 1)]
    assert all(np.isnan(r).all() for r in results)
    into = [np.zeros((1, 1, 2, 1), np.float32), np.zeros((1, 1), np.float32)]
    call([], into)
    assert all(np.isnan(r).all() for r in into)

    def refuse_rows(*_: object, **__: object) -> float:
        raise fault("refused")

    kept, quantiles = (np.zeros((3, 1), np.float32),), np.zeros((1, 1, 2, 1), np.float32)
    assert np.isnan(_surviving_rows(refuse_rows)([], kept, np.array([0]), np.array([2]), quantiles))
    assert np.isnan(quantiles).all()
    assert np.isnan(kept[0][:, 0]).tolist() == [False, False, True]


def test_weights_of_nan_serve_nothing_but_keep_running(bundle: Bundle, tmp_path: Path) -> None:
    """A real network with a broken weight: every row is a counted fault, nothing raises."""
    from edgeseq.bundle.archive import dump_arrays, load_arrays

    arrays = load_arrays(bundle.files[WEIGHTS], "test")
    arrays["head.bias"] = np.full_like(arrays["head.bias"], np.nan)
    stepper = open_stepper(changed(bundle, tmp_path, {WEIGHTS: dump_arrays(arrays)}), "numpy")
    quantiles, state = stepper.step(np.ones((3, 2), np.float32), initial_state(stepper.state_spec, 3))
    assert np.isnan(quantiles).all()
    assert stepper.faults == 3
    for found, wanted in zip(state, initial_state(stepper.state_spec, 3), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_step_that_is_not_primary_runs_by_its_signature(bundle: Bundle) -> None:
    """The order of signatures in a file costs speed, never the result."""
    m = bundle.manifest
    model = bundle.files["float32.tflite"]
    shape = (2, 64, len(m.channels))
    swapped = msgspec.structs.replace(m, signatures={"step": m.signatures["replay"]})
    arrays = (np.ones(shape, np.float32), *initial_state(m.state, 2))
    by_runner = make_call(swapped, "step", RUNTIME, model, shape).arrays(arrays)
    wanted = make_call(m, "replay", RUNTIME, model, shape).arrays(arrays)
    for a, b in zip(by_runner, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


# --- the probe --------------------------------------------------------------------------------------------------


def test_good_bundle_passes_and_opens(bundle: Bundle, tmp_path: Path) -> None:
    """A proven bundle serves under its own name."""
    stepper = open_proven(bundle, cache_folder=tmp_path)
    assert stepper.name == bundle.manifest.label
    assert (stepper.runtime, stepper.variant) == (RUNTIME, "int8_weights")


def test_numpy_is_proven_even_where_the_default_is_another_variant(bundle: Bundle, tmp_path: Path) -> None:
    """The last resort has to pass the same roll-out."""
    bare = changed(bundle, tmp_path, variants=variants(bundle))
    assert open_proven(bare).runtime == "numpy"


def test_proof_is_remembered_for_this_file_variant_and_runtime(bundle: Bundle, tmp_path: Path) -> None:
    """The second start needs no child; another variant does. A damaged memory is no proof."""
    copy = changed(bundle, tmp_path)
    difference = probe_cached(copy, RUNTIME, "float32", tmp_path)
    copy.path.unlink()  # a child would fail from here on
    assert probe_cached(copy, RUNTIME, "float32", tmp_path) == difference
    with pytest.raises(BundleError, match="does not exist"):
        probe_cached(copy, RUNTIME, "float16", tmp_path)
    for damage in (
        "",
        "[]",
        "{",
        json.dumps(dict.fromkeys(json.loads((tmp_path / "probes.json").read_text()), 2.5)),
    ):
        (tmp_path / "probes.json").write_text(damage)
        with pytest.raises(BundleError, match="does not exist"):
            probe_cached(copy, RUNTIME, "float32", tmp_path)


def test_failure_is_not_remembered(bundle: Bundle, tmp_path: Path) -> None:
    """A failed proof leaves nothing behind."""
    wrong = changed(bundle, tmp_path, {"float32.tflite": b"no model"})
    with pytest.raises(BundleError, match=r"crashed|refuses|failed"):
        probe_cached(wrong, RUNTIME, "float32", tmp_path)
    assert not (tmp_path / "probes.json").exists()


def test_memory_of_proofs_that_cannot_be_written_is_no_fault(bundle: Bundle, tmp_path: Path) -> None:
    """A missing state folder costs time, not the start."""
    assert probe_cached(bundle, RUNTIME, "float32", tmp_path / "none") <= 1


def test_file_replaced_after_it_was_verified_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """The child runs what its parent verified, or nothing."""
    first = changed(bundle, tmp_path)
    changed(bundle, tmp_path, version="2")
    with pytest.raises(BundleError, match="changed while it was read"):
        probe(first, RUNTIME, "float32")


def test_model_that_computes_other_values_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """A silent difference, as ai-edge-quantizer's dynamic models show in tflite-runtime, never serves."""
    golden = load_golden(bundle)
    other = dump_golden(
        type(golden)(golden.x, golden.quantiles + 1, golden.scale, golden.state_steps, golden.states)
    )
    wrong = changed(bundle, tmp_path, {GOLDEN: other})
    with pytest.raises(BundleError, match="computes other values") as caught:
        probe(wrong, RUNTIME, "float32")
    assert "running scales" in str(caught.value)


def test_child_cannot_take_more_memory_than_its_limit() -> None:
    """The limits of the child hold: a runtime that asks for gigabytes is refused them."""
    code = "from edgeseq.adapters.interpreter.__main__ import set_limits; set_limits(); bytearray(2**30)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("MemoryError")


def mutate(model: bytes, seed: int) -> bytes:
    """Damage a model: truncate, flip bits, zero or fill a block."""
    rng = np.random.default_rng(seed)
    data = bytearray(model)
    at = int(rng.integers(len(data)))
    match seed % 4:
        case 0:
            return bytes(data[:at])
        case 1:
            for position in rng.integers(len(data), size=8):
                data[position] ^= 1 << int(rng.integers(8))
        case 2:
            data[at : at + 64] = bytes(min(64, len(data) - at))
        case _:
            head = int(rng.integers(4, 2000))
            data[head : head + 4] = b"\xff\xff\xff\x7f"
    return bytes(data)


MUTATIONS = 24


def test_corrupt_models_in_well_signed_bundles_never_reach_this_process(
    bundle: Bundle, tmp_path: Path
) -> None:
    """Whatever a damaged model does to a runtime, the child takes it: the parent gets a BundleError or a proof."""

    def outcome(seed: int) -> str:
        folder = tmp_path / str(seed)
        folder.mkdir()
        wrong = changed(bundle, folder, {"float32.tflite": mutate(bundle.files["float32.tflite"], seed)})
        try:
            assert probe(wrong, RUNTIME, "float32") <= 1
        except BundleError as error:
            return error.what if error.found not in signal.Signals.__members__ else str(error.found)
        return "the same values"

    with ThreadPoolExecutor(2) as pool:
        outcomes = Counter(pool.map(outcome, range(MUTATIONS)))
    print(RUNTIME, dict(outcomes))
    assert outcomes["the same values"] < MUTATIONS
    if RUNTIME == "tflite":
        assert outcomes["SIGSEGV"] > 0, "tflite-runtime was expected to crash on some"
