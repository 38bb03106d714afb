"""Verify the signatures of bundles in a child process, whose memory goes with it.

Checking a signature takes a millisecond, once, and a library of 7 MB, for ever: a tenth of what the daemon has. The
child answers with the digest of each file that it has verified; the daemon then reads the very same bytes or none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeseq.bundle import read_bundle
from edgeseq.bundle.keys import TrustedKeys
from edgeseq.bundle.release import MAX_RELEASE_BYTES, check_release
from edgeseq.errors import EXIT_CONFIG, BundleError

RELEASE_SUFFIX = ".release"
_TIMEOUT_S = 60
_PARTS = ("what", "where", "found", "wanted", "do")


def verified_digests(paths: Sequence[Path], trusted_keys: Path, *, allow_unsigned: bool) -> dict[Path, str]:
    """Verify bundles with the keys of a folder → SHA-256 hex of each file.

    Raises:
        BundleError: a bundle or a key cannot be trusted or read.
    """
    command = [sys.executable, "-P", "-m", "edgeseq.adapters.verifier"]
    arguments = [str(trusted_keys), str(int(allow_unsigned)), *map(str, paths)]
    try:
        done = subprocess.run(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as fault:
        raise BundleError(
            "the bundles could not be verified",
            where=", ".join(map(str, paths)),
            found=str(fault),
            wanted="an answer of the verifying child process",
            do="look for what kills it: memory limits, or a broken installation of cryptography",
        ) from fault
    if "what" in answer:
        raise BundleError(answer.pop("what"), **answer)
    return {path: answer["digests"][str(path)] for path in paths}


def main() -> None:
    """Take KEYS ALLOW_UNSIGNED FILE… and print one line of JSON: the digests, or the parts of a BundleError."""
    folder, allow_unsigned, *paths = sys.argv[1:]
    try:
        trusted = TrustedKeys.from_dir(Path(folder))
        digests = {
            path: _verified(Path(path), trusted, allow_unsigned=allow_unsigned == "1") for path in paths
        }
    except BundleError as fault:
        print(json.dumps({name: getattr(fault, name) for name in _PARTS}))  # noqa: T201 - the answer
        sys.exit(EXIT_CONFIG)
    print(json.dumps({"digests": digests}))  # noqa: T201 - the answer


def _verified(path: Path, trusted: TrustedKeys, *, allow_unsigned: bool) -> str:
    """Verify a bundle, or a release, which is never unsigned → its SHA-256 hex. Raises BundleError."""
    if path.suffix != RELEASE_SUFFIX:
        return read_bundle(path, trusted, allow_unsigned=allow_unsigned).digest
    with path.open("rb") as file:
        return check_release(file.read(MAX_RELEASE_BYTES + 1), trusted)


if __name__ == "__main__":
    main()
