"""Damaged bundles and models, offered to a daemon by reload: python -m tests.fuzz.damage bundles|models COUNT.

The daemon must live and go on with the bundle it has. It may take what passes all its checks, the golden roll-out
among them; then it must serve it. A process of its own: the memory that damage could ask for is limited.

The daemon proves a model in a child, whose start costs more than the proof. So models are proven in forks first, with
the same limits, one at a time; those that pass, and one in OFFER_EVERY of the others, are then offered to the daemon.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeseq.adapters.interpreter.__main__ import set_limits
from edgeseq.adapters.interpreter.opening import choose, open_stepper, verify_golden
from edgeseq.adapters.interpreter.runtimes import available_runtimes
from edgeseq.adapters.log import open_log
from edgeseq.adapters.mqtt import Deliveries
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.bundle import HEADER_BYTES, Bundle, TrustedKeys, parse_bundle, write_bundle
from edgeseq.bundle.archive import pack, unpack
from edgeseq.bundle.keys import SigningKey, load_signing_key, write_public_key
from edgeseq.bundle.manifest import MANIFEST
from edgeseq.compose import open_node
from edgeseq.core.types import Message, Reload
from edgeseq.daemon import Daemon, read_config
from edgeseq.errors import BundleError
from tests.fuzz.bundle import HEADER, edited
from tests.support.tiny_bundle import read_tiny_bundle

MEMORY_BYTES = 4 * 2**30
TINY = Path("build/fuzz/tiny.edgeseq")
OFFER_EVERY = 25
SAME = "the same values"
T0_NS = 1_772_359_200 * 10**9


def main() -> None:
    """Offer what is asked for and print one line: executions, crashes, outcomes."""
    kind, count = sys.argv[1], int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    if not TINY.exists():
        TINY.parent.mkdir(parents=True, exist_ok=True)
        making = [
            sys.executable,
            "-m",
            "tests.support.tiny_model",
            str(TINY),
            str(TINY.parent / "signing.key"),
        ]
        subprocess.run(making, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = offer(kind, TINY, Path(folder), range(count))
    print(json.dumps({"executions": count, "crashes": 0, "failures": {}, "outcomes": dict(outcomes)}))


def offer(kind: str, tiny: Path, folder: Path, seeds: range) -> Counter[str]:
    """Offer one damaged bundle after the other to a running daemon; how often it refused and took them."""
    available_runtimes()  # imported here once, and not in every fork
    bundle, key = read_tiny_bundle(tiny), load_signing_key(tiny.parent / "signing.key", create=False)
    channels = ", ".join(f'{c.name} = "t#{c.name}"' for c in bundle.manifest.channels)
    told: Counter[str] = Counter()
    with running(folder, channels, bundle, key) as (daemon, file):
        good = file.read_bytes()
        serve(daemon, bundle, 0)
        assert kind == "bundles" or proven(file, good) == SAME, "a good model fails its proof here"
        for seed in seeds:
            offered = damaged_bundle(good, seed) if kind == "bundles" else damaged_model(bundle, key, seed)
            file.write_bytes(offered)
            if kind == "models":
                outcome = proven(file, offered)
                told[f"child: {outcome}"] += 1
                if outcome != SAME and seed % OFFER_EVERY:
                    continue
            before = daemon.node
            daemon.take([Reload()])
            if daemon.node is before:
                told["daemon: refused"] += 1
                continue
            is_tampered = kind == "bundles" and any(offered[8:HEADER_BYTES])
            assert not is_tampered, f"seed {seed}: a signature that does not hold was taken"
            told["daemon: taken, with the same values"] += 1
            serve(daemon, bundle, seed + 1)
            file.write_bytes(good)
            daemon.take([Reload()])
            assert daemon.node is not before
        serve(daemon, bundle, seeds.stop + 1)
    return told


@contextmanager
def running(folder: Path, channels: str, bundle: Bundle, key: SigningKey) -> Iterator[tuple[Daemon, Path]]:
    """Run a daemon without a broker that serves a good bundle; it would take unsigned ones, too."""
    write_public_key(key.public_key(), folder / "trusted_keys")
    file, path = folder / "b.edgeseq", folder / "edgeseq.toml"
    write_bundle(file, bundle.manifest, dict(bundle.files), key)
    path.write_text(
        '[node]\nstate_dir = "state"\n[log]\nlevel = "error"\n[bundles]\nallow_unsigned = true\n'
        f'[[streams]]\nname = "s"\nevery = "10m"\nbundle = "b.edgeseq"\nchannels = {{ {channels} }}\n',
        encoding="utf-8",
    )
    log = open_log("error", io.StringIO())
    resolved = read_config(path)
    daemon = Daemon(path, open_node(resolved, state_dir=resolved.state_dir, log=log), log, Notifier(None))
    try:
        yield daemon, file
    finally:
        daemon.link.close()
        daemon.inbox.close()
        assert daemon.node.store
        daemon.node.store.close()


def proven(file: Path, data: bytes) -> str:
    """Do in a fork what the daemon's child does with a bundle, under the same limits; how that ended."""
    child = os.fork()
    if child == 0:
        os._exit(_prove(file, data))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return {0: SAME, 1: "other values", 2: "refused"}.get(os.WEXITSTATUS(status), "another exception")


def _prove(file: Path, data: bytes) -> int:
    """Be the child."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    set_limits()
    try:
        bundle = parse_bundle(data, file, TrustedKeys(), known_digest=hashlib.sha256(data).hexdigest())
        runtime, variant = choose(bundle)
        stepper = open_stepper(bundle, runtime, variant.name)
        return int(verify_golden(stepper, bundle, variant.name) > 1)
    except BundleError:
        return 2
    except BaseException:  # noqa: BLE001 - the child of a daemon would end with it, too
        return 3


def serve(daemon: Daemon, bundle: Bundle, step: int) -> None:
    """Let the daemon take a reading of each channel, and what warms a model before the first."""
    names = [channel.name for channel in bundle.manifest.channels]
    for number in range(40 if step == 0 else 1):
        at_ns = T0_NS + (step + number + (40 if step else 0)) * bundle.manifest.period_ns
        payload = json.dumps(dict.fromkeys(names, float((step + number) % 7))).encode()
        taken = daemon.node.state.counts.applied
        daemon.take([Deliveries([Message("t", payload, at_ns)], 0)])
        assert daemon.node.state.counts.applied == taken + len(names), "a reading was not applied"


def damaged_bundle(good: bytes, seed: int) -> bytes:
    """Damage a signed bundle; or leave its signature away and damage what is described, or the archive."""
    draw = random.Random(seed)
    if seed % 3 == 0:
        return spoilt(good, draw)
    files = unpack(good[HEADER_BYTES:], "good")
    if seed % 3 == 1:
        files[MANIFEST] = edited(files[MANIFEST], draw.randbytes(2 * draw.randint(1, 4)))
        return HEADER + pack(files)
    return HEADER + spoilt(pack(files), draw)


def damaged_model(bundle: Bundle, key: SigningKey, seed: int) -> bytes:
    """Damage the model that would serve, and sign the bundle well."""
    variant = bundle.manifest.variant(bundle.manifest.default_variant)
    files = {**bundle.files, variant.file: spoilt(bundle.files[variant.file], random.Random(seed))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b"
        write_bundle(path, bundle.manifest, files, key)
        return path.read_bytes()


def spoilt(data: bytes, draw: random.Random) -> bytes:
    """Cut, flip bits, zero a block, write a huge number, double a piece or append something."""
    at = draw.randrange(len(data))
    match draw.randrange(6):
        case 0:
            return data[:at]
        case 1:
            made = bytearray(data)
            for _ in range(draw.randint(1, 8)):
                made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
            return bytes(made)
        case 2:
            return data[:at] + bytes(len(data[at : at + 64])) + data[at + 64 :]
        case 3:
            at = draw.randrange(4, 2000)
            return data[:at] + b"\xff\xff\xff\x7f" + data[at + 4 :]
        case 4:
            return data[:at] + data[max(0, at - 32) : at] + data[at:]
        case _:
            return data + draw.randbytes(draw.randint(1, 100))


if __name__ == "__main__":
    main()
