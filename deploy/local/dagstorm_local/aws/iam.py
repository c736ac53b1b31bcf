"""What an IAM statement is about, where ministack does not say it: network ACLs, what is tagged, services, tasks.

It matters only where the emulator was started with AUTH=true. Of several resources in one request the first is judged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from dagstorm_local.aws.hooks import replace
from dagstorm_local.aws.private import iam_actions

KINDS = {"sg": "security-group", "sgr": "security-group-rule", "acl": "network-acl", "subnet": "subnet"}
# Fields of an ECS request that name its resource, in the order of their precedence, and the resource's type.
ECS_FIELDS = (
    ("containerInstances", "container-instance"),
    ("tasks", "task"),
    ("task", "task"),
    ("services", "service"),
    ("service", "service"),
)


def install() -> None:
    """Put our answers before ministack's. Call once, before the first request."""
    replace(iam_actions, "extract_resource_arn", _resource)
    replace(iam_actions, "extract_iam_action", _action)


def _resource(original: Callable[..., str]) -> Callable[..., str]:
    def resource(*arguments: Any) -> str:
        service, _method, _path, _headers, body, query_params, region, account_id = arguments
        found = ""
        prefix = f"arn:aws:{service}:{region}:{account_id}:"
        if service == "ecs":
            found = _of_ecs(body, prefix)
        elif service == "ec2":
            found = _of_ec2(query_params, prefix)
        return found or original(*arguments)

    return resource


def _of_ecs(body: bytes, prefix: str) -> str:
    try:
        data = json.loads(body or b"{}")
    except ValueError:
        return ""
    if data.get("resourceArn"):
        return str(data["resourceArn"])
    cluster = str(data.get("cluster") or "default").rsplit("/", 1)[-1]
    for field, kind in ECS_FIELDS:
        value = data.get(field)
        name = value[0] if isinstance(value, list) and value else value
        if name:
            return str(name) if str(name).startswith("arn:") else f"{prefix}{kind}/{cluster}/{name}"
    return ""


def _of_ec2(query_params: dict[str, Any], prefix: str) -> str:
    for field in ("NetworkAclId", "ResourceId.1"):
        value = query_params.get(field)
        name = str((value[0] if isinstance(value, list) else value) or "")
        if name:
            kind = KINDS.get(name.split("-", 1)[0])
            return f"{prefix}{kind}/{name}" if kind else ""
    return ""


def _action(original: Callable[..., str | None]) -> Callable[..., str | None]:
    """A batch is allowed by its single action."""

    def action(*arguments: Any) -> str | None:
        named = original(*arguments)
        return named.removesuffix("Batch") if named and named.startswith("sqs:") else named

    return action
