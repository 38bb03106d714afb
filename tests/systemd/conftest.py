"""The booted machine with the package in it, once for all tests of this folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.machine import Machine, make_tree

BUILD = Path(__file__).parents[2] / "build"


@pytest.fixture(scope="session")
def package() -> Path:
    """The Debian package that `make deb` has built."""
    found = sorted((BUILD / "deb").glob("edgeseq_*_amd64.deb"))
    assert found, "there is no package: do make deb"
    return found[-1]


@pytest.fixture(scope="session")
def newer(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same package with a higher version."""
    folder = tmp_path_factory.mktemp("newer")
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(folder / "stage")], check=True)
    control = folder / "stage/DEBIAN/control"
    lines = control.read_text(encoding="utf-8").splitlines()
    control.write_text(
        "\n".join(f"{line}+1" if line.startswith("Version:") else line for line in lines) + "\n",
        encoding="utf-8",
    )
    target = folder / "newer.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(folder / "stage"), str(target)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return target


@pytest.fixture(scope="session")
def machine(package: Path) -> Iterator[Machine]:
    """A booted machine with a broker and the installed service, forecasting what Zigbee2MQTT reports."""
    made = Machine(BUILD / "systemd/root", make_tree(BUILD / "systemd/tree.tar"))
    made.boot()
    try:
        made.wait(lambda: made.shown("ActiveState", "mosquitto.service") == "active", "the broker")
        made.run("dpkg", "--install", made.put(package))
        configure(made)
        yield made
    finally:
        made.power_off()


def configure(machine: Machine) -> None:
    """Tell the service where its broker is and what to take, and wait until it has connected."""
    machine.write("/etc/edgeseq/edgeseq.toml", configuration(machine), 0o644)
    machine.run("systemctl", "restart", "edgeseq")
    machine.wait(lambda: is_online(machine), "a connected service")


def configuration(machine: Machine, more: str = "") -> str:
    """Write a configuration for the machine's broker."""
    return f"""[node]
name = "cellar"
requests = true

[mqtt]
host = "127.0.0.1"
port = {machine.port}
{more}
[[streams]]
topic = "zigbee2mqtt/+"
exclude = ["zigbee2mqtt/bridge/#"]
fields = ["temperature", "humidity"]
time = "last_seen"
every = "10m"
"""


def is_online(machine: Machine) -> bool:
    """Tell whether the service is connected to its broker."""
    heard = machine.run(
        "mosquitto_sub", "-p", str(machine.port), "-W", "1", "-C", "1", "-t", "edgeseq/cellar/bridge/state", check=False
    )  # fmt: skip
    return '"online"' in heard
