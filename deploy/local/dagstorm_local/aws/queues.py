"""SQS where ministack differs: a queue's policy denies also without IAM, tags have limits, batches keep traces."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from dagstorm_local.aws import tags
from dagstorm_local.aws.hooks import replace
from dagstorm_local.aws.private import iam_evaluator, responses, sqs

POLICY_AT_MOST = 8192  # bytes
DENIED = "AccessDeniedException"

Action = Callable[[dict[str, Any], str], dict[str, Any]]


def install() -> None:
    """Harden ministack's SQS. Call once, before the first request."""
    sqs._QUERY_COMPAT_CODES[DENIED] = "AccessDenied"  # the code that SDKs tell, from the header for the older protocol
    replace(sqs, "_enforce_queue_policy", lambda _original: enforce)
    replace(sqs, "_act_set_queue_attributes", _set_attributes)
    replace(sqs, "_act_tag_queue", _tag)
    replace(sqs, "_act_send_message_batch", _send_batch)


def enforce(queue: dict[str, Any], action: str) -> None:
    """Refuse what the queue's own policy denies the caller, whether or not IAM is asked otherwise.

    Batches are judged as their single action. Who owns the queue needs no statement that allows.
    """
    arn = queue["attributes"].get("QueueArn", "")
    owner, _region = sqs._owner_from_queue_arn(arn)
    account = responses.get_account_id()
    caller = iam_evaluator.caller_arn()
    context = iam_evaluator.EvalContext(
        principal_arn=caller,
        principal_type="Root",
        principal_account=account,
        action=action,
        resource_arn=arn or "*",
        region=responses.get_region(),
    )
    policy = queue["attributes"].get("Policy") or ""
    if not iam_evaluator.resource_policy_allows(policy, context, owner is None or owner == account):
        service, _, name = action.partition(":")
        raise sqs._Err(
            DENIED,
            f"User: {caller} is not authorized to perform: {service}:{name.lower()} on resource: {arn} "
            "with an explicit deny in a resource-based policy",
            403,
        )


def _set_attributes(original: Action) -> Action:
    """A policy must be one: a JSON object with statements about actions of SQS."""

    def change(data: dict[str, Any], url: str) -> dict[str, Any]:
        policy = (data.get("Attributes") or {}).get("Policy")
        if policy and not _is_policy(str(policy)):
            raise sqs._Err("InvalidAttributeValue", "Invalid value for the parameter Policy.", 400)
        return original(data, url)

    return change


def _is_policy(text: str) -> bool:
    try:
        document = json.loads(text)
    except ValueError:
        return False
    statements = document.get("Statement") if isinstance(document, dict) else None
    statements = [statements] if isinstance(statements, dict) else statements
    return bool(
        isinstance(statements, list)
        and statements
        and len(text.encode()) <= POLICY_AT_MOST
        and all(isinstance(statement, dict) and _is_statement(statement) for statement in statements)
    )


def _is_statement(statement: dict[str, Any]) -> bool:
    actions = statement.get("Action", statement.get("NotAction"))
    named = [actions] if isinstance(actions, str) else actions
    return (
        statement.get("Effect") in ("Allow", "Deny")
        and ("Principal" in statement or "NotPrincipal" in statement)
        and isinstance(named, list)
        and bool(named)
        and all(str(action) == "*" or str(action).lower().startswith("sqs:") for action in named)
    )


def _tag(original: Action) -> Action:
    def tag(data: dict[str, Any], url: str) -> dict[str, Any]:
        new = {str(key): str(value) for key, value in (data.get("Tags") or {}).items() if value is not None}
        if wrong := tags.complaint(new):
            raise sqs._Err("InvalidParameterValue", wrong, 400)
        there = sqs._get_q(data.get("QueueUrl", url)).get("tags", {})
        if len(there | new) > tags.TAGS_AT_MOST:
            name = data.get("QueueUrl", url).rsplit("/", 1)[-1]
            raise sqs._Err("InvalidParameterValue", f"Too many tags added for queue {name}.", 400)
        return original(data, url)

    return tag


def _send_batch(original: Action) -> Action:
    """With each entry's MessageSystemAttributes, which ministack keeps of a single message only."""

    def send(data: dict[str, Any], url: str) -> dict[str, Any]:
        answer = original(data, url)
        system = {entry.get("Id"): entry.get("MessageSystemAttributes") for entry in data.get("Entries", [])}
        sent = {one["MessageId"]: system[one["Id"]] for one in answer["Successful"] if system.get(one["Id"])}
        for message in sqs._get_q(data.get("QueueUrl", url))["messages"] if sent else []:
            if message["id"] in sent:
                message["sys"] |= sqs._build_send_sys_attrs(message["sent_at"], sent[message["id"]])
        return answer

    return send
