"""What a training says of the key that it signs with."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from edgeseq.bundle.keys import key_id, load_signing_key
from edgeseq_train.cli import _signing_key


def said(path: Path) -> str:
    """Sign with a key → what is told of it."""
    out = io.StringIO()
    _signing_key(path, Console(file=out))
    return out.getvalue()


def test_each_training_says_where_the_public_key_lies(tmp_path: Path) -> None:
    """Also one whose key was there before, and where somebody has removed the public half: it is written again."""
    path = tmp_path / "signing.key"
    assert f"signing key made: {path}" in said(path)
    public = tmp_path / f"{key_id(load_signing_key(path).public_key()).hex()}.pub"
    content = public.read_bytes()
    public.unlink()
    assert f"have {public} in their folder trusted_keys" in said(path)
    assert public.read_bytes() == content
