"""Node-RED with a flow of three nodes: mqtt in → function → mqtt out. It is fetched by npm into build/nodered."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests.bench.stream.clients import ROOT

PACKAGES = {"node-red": "4.1.15"}
"""The last line that runs on Node 20; its own dependencies are as it pins them."""
FOLDER = ROOT / "build" / "nodered"
RED = FOLDER / "node_modules" / "node-red" / "red.js"
INSTALL_S = 300
FUNCTION = """
const last = context.get(msg.topic) || [];
last.push(msg.payload.temperature);
if (last.length > 24) last.shift();
context.set(msg.topic, last);
msg.payload = {seq: msg.payload.seq, value: last[0]};
msg.topic = "out/" + msg.topic;
return msg;
"""
"""Seasonal naive: the value 24 steps ago."""


def fault() -> str | None:
    """Fetch it where it is not there; say why it cannot be had."""
    if RED.exists():
        return None
    if shutil.which("npm") is None or shutil.which("node") is None:
        return "no npm on this machine"
    FOLDER.mkdir(parents=True, exist_ok=True)
    described = {"name": "bench", "private": True, "dependencies": PACKAGES}
    (FOLDER / "package.json").write_text(json.dumps(described), encoding="utf-8")
    command = [
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--omit=dev",
        "--loglevel=error",
    ]
    try:
        done = subprocess.run(
            command, cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"npm took longer than {INSTALL_S} s"
    if done.returncode or not RED.exists():
        return f"npm failed: {done.stderr.strip()[-200:]}"
    return None


def command(port: int, folder: Path) -> list[str | Path]:
    """Write the flow for a broker's port, and give the command that runs it."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"z": "flow", "x": 100, "y": 100}  # what has no place in the drawing is taken for a setting
    flow = [
        {"id": "flow", "type": "tab", "label": "bench"},
        {
            "id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), "clientid": "peer",
            "autoConnect": True, "usetls": False, "protocolVersion": "4", "keepalive": "60", "cleansession": True,
        },
        {
            **drawn, "id": "in", "type": "mqtt in", "topic": "bench/+", "qos": "0", "datatype": "json",
            "broker": "broker", "wires": [["function"]],
        },
        {**drawn, "id": "function", "type": "function", "func": FUNCTION, "outputs": 1, "wires": [["out"]]},
        {
            **drawn, "id": "out", "type": "mqtt out", "topic": "", "qos": "0", "retain": "false",
            "broker": "broker", "wires": [],
        },
    ]  # fmt: skip
    (folder / "flows.json").write_text(json.dumps(flow), encoding="utf-8")
    settings = {
        "flowFile": "flows.json",
        "disableEditor": True,
        "httpAdminRoot": False,
        "httpNodeRoot": False,
    }
    (folder / "settings.js").write_text(f"module.exports = {json.dumps(settings)};", encoding="utf-8")
    return ["node", RED, "--userDir", folder, "--settings", folder / "settings.js", "--port", "0"]
