"""Who else may talk to the broker: what it lets in without a name, and who may ask this node for things."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from edgeseq.config.resolve import Resolved
from edgeseq.doctor.finding import Finding, fail, ok, warn
from edgeseq.doctor.mosquitto import CONF, Options, read_options
from edgeseq.doctor.probe import connected
from edgeseq.errors import BrokerError, ConfigError

_DO = "deploy/security/README.md has the lines: passwords or certificates, TLS, and an access list"


def check_exposure(resolved: Resolved, name: str, *, is_here: bool, conf: Path = CONF) -> Iterator[Finding]:
    """Check whether strangers get in, and what they could ask for. `name` is a client id of our own."""
    is_open = lets_strangers_in(resolved, name)
    try:
        options = read_options(conf) if is_here else []
    except (OSError, UnicodeDecodeError):
        options = []
    yield judge_strangers(is_open=is_open, places=public_listeners(options) if is_here else None)
    has_list = any(key in ("acl_file", "plugin", "auth_plugin") for key, _ in options)
    yield judge_requests(
        is_on=resolved.config.node.requests, is_open=is_open, has_list=has_list if options else None
    )


def lets_strangers_in(resolved: Resolved, name: str) -> bool:
    """Try to connect without name, password and certificate."""
    nobody = msgspec.structs.replace(resolved.config.mqtt, username=None, cert_file=None, key_file=None)
    config = msgspec.structs.replace(resolved.config, mqtt=nobody)
    anonymous = replace(resolved, config=config, password=None, cert_file=None, key_file=None)
    try:
        with connected(anonymous, name):
            return True
    except (BrokerError, ConfigError):
        return False


def judge_strangers(*, is_open: bool, places: Sequence[str] | None) -> Finding:
    """Judge a broker by whether it lets strangers in, and where it listens; None: on another machine."""
    if not is_open:
        return ok("strangers", "the broker refuses who has no name or certificate")
    if places == []:
        return ok("strangers", "the broker lets anybody in who is on this machine, and listens nowhere else")
    found = "the broker lets anybody in"
    if places is None:
        return warn("strangers", f"{found} who reaches it over the network", "clients with names", _DO)
    wanted = "clients with names, or a broker that listens on this machine only"
    return fail("strangers", f"{found}, and listens on {', '.join(places)}", wanted, _DO)


def judge_requests(*, is_on: bool, is_open: bool, has_list: bool | None) -> Finding:
    """Judge who may ask this node; `has_list`: whether the broker has an access list, None where unknown."""
    if not is_on:
        return ok("requests", "off: nobody can ask this node for anything")
    if has_list and not is_open:
        return ok("requests", "on; the broker has an access list that says who may publish them")
    found = "on, and who may publish them is not restricted" if has_list is False or is_open else "on"
    wanted = "an access list of the broker that lets operators alone write bridge/request/#"
    return warn("requests", found, wanted, f"{_DO}; or set [node] requests = false")


def public_listeners(options: Options) -> list[str]:
    """List where a mosquitto listens that other machines reach; without a listener it listens on this one only.

    >>> public_listeners([("listener", "1883 127.0.0.1"), ("listener", "8883"), ("listener", "1884 192.168.1.5")])
    ['*:8883', '192.168.1.5:1884']
    """
    found = []
    for key, value in options:
        words = value.split()
        if key == "listener" and words and words[0] != "0":  # port 0: a Unix socket
            address = words[1] if len(words) > 1 else "*"
            if not _is_loopback(address):
                found.append(f"{address}:{words[0]}")
    return found


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
