"""What runs now: the recorded processes looked at afresh, the services and queues asked of the emulated cloud."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dagstorm_local.stack import deploy, lifecycle
from dagstorm_local.stack.parts import tail
from dagstorm_local.stack.processes import Identity


def look(stack: dict[str, Any] | None) -> dict[str, Any]:
    """`healthy` is true only if the supervisor and every part run and every service has what it wants."""
    if stack is None:
        return {"state": "absent", "healthy": False, "parts": [], "services": [], "queues": {}}
    supervisor = lifecycle.supervisor_of(stack)
    parts = [
        _process(
            "supervisor",
            {
                "state": "stopped" if stack["state"] == "down" else "running",
                **stack["supervisor"],
                "ended": "",
                "log": "",
            },
        )
    ]
    parts += [_process(name, part) for name, part in stack["parts"].items()]
    if supervisor is None and stack["state"] != "down":
        stack = {**stack, "state": "supervisor gone"}
    services, queues, why = _cloud(stack) if any(one["state"] == "running" for one in parts[1:]) else ([], {}, "")
    well = all(one["state"] == "running" for one in parts) and stack["state"] == "up" and not why
    return {
        "state": stack["state"],
        "healthy": well and all(one["running"] == one["desired"] for one in services),
        "parts": parts,
        "services": services,
        "queues": queues,
        "cloud": why,
        "settings": stack["settings"],
        "dagster": stack["dagster"],
        "aws": stack["aws"],
    }


def table(found: dict[str, Any]) -> str:
    lines = [f"stack: {found['state']}{'' if found['healthy'] else ' (not healthy)'}"]
    for one in found["parts"]:
        uptime = f"{one['uptime']:.0f} s" if one["uptime"] is not None else ""
        lines.append(f"  {one['name']:<14}{one['state']:<10}{one['pid'] or '':<8}{uptime:<9}{one['ended']}".rstrip())
    for one in found["services"]:
        rolling = "" if one["rolledOut"] else "  rolling"
        counts = f"{one['running']} of {one['desired']}"
        lines.append(f"  {one['name']:<14}{counts:<10}{one['taskDefinition']}{rolling}")
    for name, depth in found["queues"].items():
        lines.append(f"  {name:<14}{depth['visible']} waiting, {depth['inFlight']} in flight")
    if found.get("cloud"):
        lines.append(f"  the emulated cloud does not answer: {found['cloud']}")
    for one in found["parts"]:
        for line in one["tail"]:
            lines.append(f"    {one['name']}| {line}")
    return "\n".join(lines)


def _process(name: str, part: dict[str, Any]) -> dict[str, Any]:
    state, ended = part["state"], part["ended"]
    alive = bool(part["pid"]) and Identity(part["pid"], part["started"]).alive
    if state in ("running", "starting") and not alive:
        state, ended = "failed", ended or "is gone"
    uptime = round(time.time() - part["started"], 1) if alive else None
    lines = tail(Path(part["log"]), 5) if state == "failed" and part["log"] else []
    pid = part["pid"] if alive else None
    return {"name": name, "state": state, "pid": pid, "uptime": uptime, "ended": ended, "tail": lines}


def _cloud(stack: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    cloud = deploy.Cloud(stack["aws"]["endpoint"], {}, Path())
    try:
        return deploy.service_states(cloud.client("ecs")), deploy.queue_depths(cloud.client("sqs")), ""
    except (BotoCoreError, ClientError) as error:
        return [], {}, str(error)
