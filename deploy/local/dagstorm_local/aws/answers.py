"""What the parts of our EC2 share: errors in its words, DryRun, filters that are known or refused."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from dagstorm_local.aws.private import ec2

Parameters = dict[str, Any]
Record = dict[str, Any]


def error(code: str, message: str) -> Any:
    return ec2._error(
        code, message.replace("&", "&amp;").replace("<", "&lt;"), 412 if code == "DryRunOperation" else 400
    )


class Refused(Exception):
    """What AWS answers instead of doing what it was asked."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = error(code, message)


def refusing(handler: Callable[[Parameters], Any]) -> Callable[[Parameters], Any]:
    """The handler, whose Refused becomes its answer."""

    def handle(parameters: Parameters) -> Any:
        try:
            return handler(parameters)
        except Refused as refused:
            return refused.answer

    return handle


def end_dry_run(parameters: Parameters) -> None:
    """To be called between the look at what the request names, as AWS must to judge the right to it, and the rest."""
    if dry(parameters):
        raise Refused("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")


def dry(parameters: Parameters) -> bool:
    return str(ec2._p(parameters, "DryRun")).lower() == "true"


def honour_dry_run(handler: Callable[[Parameters], Any]) -> Callable[[Parameters], Any]:
    def handle(parameters: Parameters) -> Any:
        end_dry_run(parameters)
        return handler(parameters)

    return refusing(handle)


def done(action: str, inner: str = "<return>true</return>") -> Any:
    return ec2._xml(200, f"{action}Response", inner)


def new_id(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(9)[:17]}"


def know(filters: Mapping[str, list[str]], known: Mapping[str, object]) -> None:
    """Refuse a filter that AWS does not know either."""
    for name in filters:
        if name not in known and name != "tag-key" and not name.startswith("tag:"):
            raise Refused("InvalidParameterValue", f"The filter '{name}' is invalid")


def matches(resource_id: str, values: Mapping[str, list[str]], filters: Mapping[str, list[str]]) -> bool:
    """True if each filter finds one of its values among the resource's (`*` and `?` are wildcards), or in its tags."""
    if not ec2._resource_matches_tag_filters(resource_id, filters):
        return False
    return all(
        any(ec2._glob_match(pattern, value) for value in values[name] for pattern in patterns)
        for name, patterns in filters.items()
        if name in values
    )
