"""`edgeseq keygen` and `edgeseq bundle`, as an operator types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgeseq import cli
from edgeseq.bundle import GOLDEN, Bundle, Channel, write_bundle
from edgeseq.bundle.golden import dump_golden, load_golden
from edgeseq.bundle.keys import load_signing_key, write_public_key
from edgeseq.errors import EXIT_CONFIG, EXIT_FAILED_CHECK, EXIT_OK
from tests.support.bundles import make_files, make_manifest
from tests.support.tiny_bundle import read_tiny_bundle, tiny_bundle_path

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line and give exit code, stdout and stderr; keys live in a folder of the test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def command(*words: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli.exit_code(lambda: cli.edgeseq([str(word) for word in words], standalone_mode=False))
        return code, *capfd.readouterr()

    return command


@pytest.fixture
def tiny(request: pytest.FixtureRequest) -> Bundle:
    """Give the tiny bundle with a model that runs."""
    return read_tiny_bundle(tiny_bundle_path(request.config))


@pytest.fixture
def dummy(tmp_path: Path) -> Path:
    """Give the path of a signed bundle without a model."""
    manifest = make_manifest()
    write_bundle(tmp_path / "dummy.edgeseq", manifest, make_files(manifest), KEY)
    return tmp_path / "dummy.edgeseq"


# --- keygen ---------------------------------------------------------------------------------------------------------


def test_keygen_makes_a_key_once_and_shows_it_again(run: Run, tmp_path: Path) -> None:
    """The first call makes the pair, the second keeps the private key and renews the public file."""
    code, out, _ = run("keygen", "-o", tmp_path / "keys")
    assert code == EXIT_OK
    assert "signing key made" in out
    private = tmp_path / "keys" / "signing.key"
    (public,) = (tmp_path / "keys").glob("*.pub")
    assert private.stat().st_mode & 0o777 == 0o600
    assert public.read_text() in out
    assert public.stem in out
    kept = private.read_bytes()
    public.unlink()
    code, out, _ = run("keygen", "-o", tmp_path / "keys")
    assert (code, private.read_bytes()) == (EXIT_OK, kept)
    assert "signing key kept" in out
    assert public.exists()


def test_keygen_without_folder_uses_the_key_that_training_uses(run: Run) -> None:
    """One workstation, one key."""
    assert run("keygen")[0] == EXIT_OK
    load_signing_key(create=False)


def test_keygen_into_a_file_is_a_usage_error_and_a_blocked_folder_a_set_up_error(
    run: Run, tmp_path: Path
) -> None:
    """Wrong places are told apart."""
    (tmp_path / "file").write_text("")
    assert run("keygen", "-o", tmp_path / "file")[0] == 64
    code, _, err = run("keygen", "-o", tmp_path / "file" / "keys")
    assert code == EXIT_CONFIG
    assert "cannot be written" in err


# --- show and list --------------------------------------------------------------------------------------------------


def test_show_describes_a_bundle_without_trusting_it(run: Run, dummy: Path) -> None:
    """An operator sees what a bundle wants of a stream and who signed it."""
    code, out, _ = run("bundle", "show", dummy)
    assert code == EXIT_OK
    for fact in (
        "dummy@",
        "value (°C)",
        "10m, last",
        "2 steps (20m)",
        "float32",
        "litert (default)",
        "not checked",
    ):
        assert fact in out


def test_show_names_the_columns_of_the_recording_with_their_units(run: Run, tmp_path: Path) -> None:
    """What a bundle was trained on is listed, units where the source knew them, the first ones of many."""
    manifest = make_manifest(columns=(Channel("hall", "°C"), Channel("door"), *map(Channel, "abcdefghijkl")))
    write_bundle(tmp_path / "a.edgeseq", manifest, make_files(manifest), None)
    out = run("bundle", "show", tmp_path / "a.edgeseq")[1]
    assert "columns:   trained on hall (°C), door, a, b, c, d, e, f, g, h, i, j and 2 more" in out


def test_show_json_gives_the_manifest(run: Run, dummy: Path) -> None:
    """Machines read the same facts."""
    code, out, _ = run("bundle", "show", dummy, "--json")
    found = json.loads(out)
    assert code == EXIT_OK
    assert found["manifest"]["horizon"] == 2
    assert found["key"] == "56475aa75463474c"


def test_show_refuses_a_damaged_bundle(run: Run, dummy: Path) -> None:
    """Display needs no trust, but an intact file."""
    data = bytearray(dummy.read_bytes())
    data[-300] ^= 1
    dummy.write_bytes(data)
    code, _, err = run("bundle", "show", dummy)
    assert code == EXIT_CONFIG
    assert str(dummy) in err
    dummy.write_bytes(dummy.read_bytes()[:400])
    err = run("bundle", "show", dummy)[2]
    assert "found:  contents that are cut off" in err
    assert "Zip" not in err
    assert run("bundle", "show", dummy.with_name("none"))[0] == EXIT_CONFIG


def test_list_names_good_and_damaged_bundles(run: Run, dummy: Path) -> None:
    """A folder is listed whole; exit code 1 says that one is damaged."""
    code, out, _ = run("bundle", "list", dummy.parent)
    assert code == EXIT_OK
    assert "dummy.edgeseq: dummy@" in out
    (dummy.parent / "bad.edgeseq").write_bytes(b"bad")
    code, out, _ = run("bundle", "list", dummy.parent)
    assert code == EXIT_FAILED_CHECK
    assert "bad.edgeseq: the file is not a bundle" in out
    assert "dummy.edgeseq: dummy@" in out
    (dummy.parent / "empty").mkdir()
    assert run("bundle", "list", dummy.parent / "empty")[1].startswith("no *.edgeseq")


# --- verify ---------------------------------------------------------------------------------------------------------


def test_verify_proves_each_variant_on_each_runtime(run: Run, tiny: Bundle, tmp_path: Path) -> None:
    """Signature, files and golden roll-outs: what a device will check, before it is sent there."""
    write_public_key(load_signing_key(tiny.path.parent / "signing.key").public_key(), tmp_path / "trusted")
    code, out, _ = run("bundle", "verify", tiny.path, "--trusted", tmp_path / "trusted")
    assert code == EXIT_OK
    assert out.count(" ok, ") == 5
    for line in ("litert  int8_weights", "litert  dynamic", "numpy   float32", f"signed by {tiny.key_id}"):
        assert line in out


def test_verify_trusts_the_own_key_and_nobody_else(run: Run, dummy: Path, tiny: Bundle) -> None:
    """Without a folder only bundles of this workstation pass."""
    code, _, err = run("bundle", "verify", dummy)
    assert code == EXIT_CONFIG
    assert "not trusted" in err
    assert "a key, but there is none of your own at" in err
    assert "name the folder that holds 56475aa75463474c.pub: --trusted DIR" in err
    own = load_signing_key()
    write_bundle(dummy, tiny.manifest, tiny.files, own)
    assert run("bundle", "verify", dummy, "--runtime", "numpy")[0] == EXIT_OK


def test_verify_names_the_folder_it_trusts(run: Run, dummy: Path, tmp_path: Path) -> None:
    """Where a folder was named and holds no such key, the error says which folder and which file to put there."""
    folder = tmp_path / "trusted"
    folder.mkdir()
    code, _, err = run("bundle", "verify", dummy, "--trusted", folder)
    assert code == EXIT_CONFIG
    assert f"wanted: a key in {folder}" in err
    assert f"copy 56475aa75463474c.pub from the workstation into {folder}" in err


def test_verify_says_which_variant_fails_and_exits_1(run: Run, tiny: Bundle, tmp_path: Path) -> None:
    """A model that computes other values is a failed check; the others are still tried."""
    golden = load_golden(tiny)
    states = golden.state_steps, golden.states
    wrong = dump_golden(type(golden)(golden.x, golden.quantiles + 1, golden.scale, *states))
    write_bundle(tmp_path / "a.edgeseq", tiny.manifest, {**tiny.files, GOLDEN: wrong}, None)
    words = ("bundle", "verify", tmp_path / "a.edgeseq", "--runtime", "litert")
    assert run(*words)[0] == EXIT_CONFIG
    code, out, _ = run(*words, "--allow-unsigned")
    assert code == EXIT_FAILED_CHECK
    assert out.count("FAILED") == 4
    assert "computes other values" in out


def test_verify_refuses_a_bundle_that_runs_nowhere_here(run: Run, tiny: Bundle, tmp_path: Path) -> None:
    """No proof is not a passed proof."""
    variants = tuple(msgspec.structs.replace(v, runtimes=()) for v in tiny.manifest.variants)
    manifest = msgspec.structs.replace(tiny.manifest, variants=variants)
    write_bundle(tmp_path / "a.edgeseq", manifest, tiny.files, None)
    words = ("bundle", "verify", tmp_path / "a.edgeseq", "--allow-unsigned", "--runtime")
    code, _, err = run(*words, "litert")
    assert code == EXIT_CONFIG
    assert "no variant runs" in err
    code, out, _ = run(*words, "numpy")
    assert code == EXIT_OK
    assert "numpy   float32" in out
