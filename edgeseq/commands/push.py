"""`edgeseq push`: send a bundle to a node, over MQTT in chunks, or as files for its drop folder."""

from __future__ import annotations

import fnmatch
import hashlib
import queue
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click
import msgspec
import paho.mqtt.client as mqtt

from edgeseq.bundle import TrustedKeys, parse_bundle, signer_of
from edgeseq.bundle.keys import load_signing_key
from edgeseq.bundle.release import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, Release, sign_release
from edgeseq.core.durations import parse_duration
from edgeseq.core.payloads import UpdateStatePayload
from edgeseq.errors import BrokerError, InputError
from edgeseq.watch import Broker, Inbox, connect

FILE = click.Path(path_type=Path)
WINDOW = 32
"""Chunks on their way before the node has said what it has."""
QUIET_S, PATIENCE_S = 5.0, 120.0
ENDS = ("refused", "rolled_back")


@click.command()
@click.argument("node")
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--host", default="localhost", show_default=True, help="The broker's host.")
@click.option("--port", default=1883, show_default=True, help="The broker's port.")
@click.option("--prefix", default="edgeseq", show_default=True, help="First level of the topics.")
@click.option("--username", help="User at the broker.")
@click.option("--password-file", type=FILE, help="File that holds the password.")
@click.option("--ca-file", type=FILE, help="Certificates to trust; switches TLS on.")
@click.option("--replaces-bundle", "replaced", help="File name of the configured bundle. Default: its own.")
@click.option("--target", help="Nodes that may install it, a pattern with * and ?. Default: NODE.")
@click.option("--sequence", type=int, help="Must rise with every release. Default: the time (Unix, s).")
@click.option(
    "--rollback-from", type=int, help="Permit an older sequence on a node whose highest is this one."
)
@click.option("--expires", default="30d", show_default=True, help="How long nodes may begin to install it.")
@click.option("--key", type=FILE, help="Signing key. Default: the one that `edgeseq train` uses.")
@click.option(
    "--chunk-bytes", default=16384, show_default=True, help="For brokers that take small packets only."
)
@click.option("--files", type=FILE, help="Write release and bundle into this folder instead of sending them.")
@click.option(
    "--wait/--no-wait", default=False, help="Wait until the node has decided, which takes two seasons."
)
def push(node: str, bundle: Path, **options: Any) -> None:
    """Send BUNDLE to NODE, which judges it beside its present model. It must have [node] updates = true."""
    data = bundle.read_bytes()
    release = _release(node, bundle, data, options)
    signed = sign_release(release, load_signing_key(options["key"], create=False))
    if options["files"]:
        _write(options["files"], bundle.stem, data, signed)
        click.echo(f"{options['files']}: {bundle.stem}.edgeseq, {bundle.stem}.release")
        return
    taken = {name: options[name] for name in ("host", "port", "username", "password_file", "ca_file")}
    for line in send(Broker(**taken), f"{options['prefix']}/{node}/bridge/update", data, release, signed, is_waiting=options["wait"]):  # fmt: skip  # noqa: E501
        click.echo(line)


def _release(node: str, bundle: Path, data: bytes, options: dict[str, Any]) -> Release:
    """Say what is sent, for which node, in which order and until when."""
    if not MIN_CHUNK_BYTES <= options["chunk_bytes"] <= MAX_CHUNK_BYTES:
        wanted = f"{MIN_CHUNK_BYTES} to {MAX_CHUNK_BYTES}"
        raise InputError(
            "no such chunks", where="--chunk-bytes", found=str(options["chunk_bytes"]), wanted=wanted
        )
    target = options["target"] or node
    if not fnmatch.fnmatchcase(node, target):
        raise InputError(
            "the release would not be for this node",
            where="--target",
            found=target,
            wanted=f"a pattern of {node}",
        )
    manifest = parse_bundle(
        data, bundle, _own_key(data, bundle, options["key"]), allow_unsigned=True
    ).manifest
    lasting_ns = parse_duration(options["expires"])
    if lasting_ns is None:
        raise InputError(
            "no such duration", where="--expires", found=options["expires"], wanted="such as 30d"
        )
    now_s = int(time.time())
    return Release(
        node=target,
        bundle=options["replaced"] or bundle.name,
        label=manifest.label,
        digest=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        chunk_bytes=options["chunk_bytes"],
        sequence=options["sequence"] or now_s,
        expires_s=now_s + lasting_ns // 10**9,
        replaces=options["rollback_from"],
    )


def _own_key(data: bytes, bundle: Path, path: Path | None) -> TrustedKeys:
    """Give the key that is to sign the release.

    Raises:
        InputError: another one has signed the bundle.
    """
    own = TrustedKeys.of(load_signing_key(path, create=False).public_key())
    signer = signer_of(data, bundle)
    if signer is None or signer in own.keys:
        return own
    raise InputError(
        "the bundle was signed by another key than the release would be", where=str(bundle),
        found=f"key {signer.hex()}", wanted=f"the own key {' or '.join(key.hex() for key in own.keys)}",
        do="give the key that signed it (--key), or train it with your own",
    )  # fmt: skip


def _write(folder: Path, stem: str, data: bytes, signed: bytes) -> None:
    """Write both files; the release last, since it is what a node looks for."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.edgeseq").write_bytes(data)
    draft = folder / f"{stem}.new"
    draft.write_bytes(signed)
    draft.replace(folder / f"{stem}.release")


def send(
    broker: Broker, above: str, data: bytes, release: Release, signed: bytes, *, is_waiting: bool
) -> Iterator[str]:
    """Send a release and the chunks that the node lacks, until it has them → lines about how it goes.

    Raises:
        BrokerError: the node does not answer.
        InputError: it refuses.
    """
    inbox: Inbox = queue.Queue()
    client = connect(broker, [f"{above}/state"], inbox)
    digest = hashlib.sha256(signed).hexdigest()
    try:
        client.publish(f"{above}/release", signed, qos=1, retain=True)
        heard_s = time.monotonic()
        most_lacking, said = release.chunks, ""
        while True:
            state = _state(inbox, digest, most_lacking)
            if state is None:
                _be_patient(heard_s, above, is_waiting=is_waiting)
                most_lacking = release.chunks
                client.publish(f"{above}/release", signed, qos=1, retain=True)
                continue
            heard_s = time.monotonic()
            if state.state in ENDS:
                raise InputError(
                    "the node refuses" if state.state == "refused" else "the node has taken it back",
                    where=above, found=state.reason,
                    do="what served there before still does; docs/updates.md says what is refused, and why",
                )  # fmt: skip
            if state.state == "receiving":
                yield f"{state.chunks - state.lacking} of {state.chunks} chunks"
                most_lacking = state.lacking - _send_chunks(client, above, data, release, state)
                continue
            line = state.state + (f": {state.reason}" if state.reason else "")
            if line != said:
                yield line
            said = line
            if not is_waiting or state.state in ("promoted", "settled"):
                return
    finally:
        client.disconnect()
        client.loop_stop()


def _state(inbox: Inbox, digest: str, most_lacking: int) -> UpdateStatePayload | None:
    """Wait until the node says of our release that no more chunks lack, or something else; the last it said, if any."""
    found = None
    deadline_s = time.monotonic() + QUIET_S
    while (rest_s := deadline_s - time.monotonic()) > 0:
        try:
            _, payload = inbox.get(timeout=rest_s)
            state = msgspec.json.decode(payload, type=UpdateStatePayload)
        except queue.Empty:
            break
        except msgspec.DecodeError:
            continue  # not a node's
        if state.release == digest:
            found = state
            if state.state != "receiving" or state.lacking <= most_lacking:
                break
    return found


def _be_patient(heard_s: float, above: str, *, is_waiting: bool) -> None:
    if is_waiting or time.monotonic() - heard_s < PATIENCE_S:
        return
    raise BrokerError(
        "the node does not answer",
        where=above,
        found=f"nothing for {PATIENCE_S:.0f} s",
        wanted="a running node with [node] updates = true",
        do=f"check its name, and that the broker's access list lets you write {above}/#;"
        " the release stays at the broker, and pushing again goes on where this ended",
    )


def _send_chunks(
    client: mqtt.Client, above: str, data: bytes, release: Release, state: UpdateStatePayload
) -> int:
    """Send the first of the chunks that lack → how many."""
    lacking = (number for first, last in state.missing for number in range(first, last + 1))
    sent = 0
    for number in islice(lacking, WINDOW):
        chunk = data[number * release.chunk_bytes : (number + 1) * release.chunk_bytes]
        client.publish(f"{above}/chunk/{release.digest[:16]}/{number}", chunk, qos=1)
        sent += 1
    return sent
