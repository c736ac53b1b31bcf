"""The private parts of ministack that we replace or read: an upgrade that moves one fails here, by name."""

from __future__ import annotations

from importlib.metadata import version
from types import SimpleNamespace

import pytest

from dagstorm_local.aws.hooks import MissingHook, parameters, replace
from dagstorm_local.aws.private import (
    cloudwatch,
    concurrency,
    ec2,
    ecs,
    ecs_metadata,
    iam_actions,
    iam_evaluator,
    responses,
    sqs,
)

FUNCTIONS = [
    (ecs, "_get_docker", []),
    (ecs, "_run_task", ["data"]),
    (ecs, "_put_cluster", ["data"]),
    (ecs, "_primary_deployment", ["svc"]),
    (ecs, "_list_container_instances", ["data"]),
    (ecs, "_describe_container_instances", ["data"]),
    (ecs, "_run_task_worker", ["task", "td", "container_overrides", "docker_client", "account_id", "region"]),
    (ecs, "_mark_task_stopped", ["task_arn", "task", "reason", "stop_code", "exit_code"]),
    (ecs, "_record_service_task_failure", ["task", "digest_resolution_failed"]),
    (ecs, "_reconcile_service_tasks", ["cluster_name", "svc_key"]),
    (ecs, "_stop_task", ["data"]),
    (ecs, "_describe_services", ["data"]),
    (ecs, "_describe_tasks", ["data"]),
    (ecs, "_update_service", ["data"]),
    (ecs, "_list_tasks", ["data"]),
    (ecs, "_tag_resource", ["data"]),
    (ecs, "_untag_resource", ["data"]),
    (ecs, "_resolve_service_ref", ["ref"]),
    (ecs, "_resolve_task", ["ref", "cluster_name"]),
    (ecs, "_resolve_cluster_name", ["ref"]),
    (ecs, "_resolve_td_key", ["ref"]),
    (ecs, "_cluster_name_from_arn", ["arn"]),
    (ecs, "_refresh_service_state", ["cluster_name", "group"]),
    (ecs, "_recount_cluster", ["cluster_name"]),
    (ecs, "_bump_task_version", ["task"]),
    (ecs, "_sanitize", ["obj"]),
    (ecs, "_iso", []),
    (ecs_metadata, "set_task_status", ["task_arn", "known_status", "desired_status"]),
    (ecs_metadata, "unregister_token", ["token"]),
    (ec2, "_p", ["params", "key", "default"]),
    (ec2, "_error", ["code", "message", "status"]),
    (ec2, "_xml", ["status", "root_tag", "inner"]),
    (ec2, "_now_ts", []),
    (ec2, "_parse_ip_permissions", ["params", "prefix"]),
    (ec2, "_parse_member_list", ["params", "prefix"]),
    (ec2, "_parse_filters", ["params"]),
    (ec2, "_resource_matches_tag_filters", ["resource_id", "filters"]),
    (ec2, "_sg_rule_id", ["sg_id", "is_egress", "rule"]),
    (ec2, "_sg_rule_xml", ["sg_id", "rule", "is_egress"]),
    (ec2, "_revoked_sg_rule_xml", ["sg_id", "rule", "is_egress"]),
    (ec2, "_sg_rule_tag_specifications", ["p"]),
    (ec2, "_glob_match", ["pattern", "value"]),
    (ec2, "_tag_set_xml", ["resource_id"]),
    (ec2, "_parse_tags", ["params"]),
    (ec2, "_parse_tag_specs", ["p", "resource_type", "resource_id"]),
    (ec2, "_create_tags", ["p"]),
    (ec2, "_delete_tags", ["p"]),
    (ec2, "_describe_security_groups", ["p"]),
    (ec2, "_describe_security_group_rules", ["p"]),
    (ec2, "_create_network_acl", ["params"]),
    (ec2, "_create_network_acl_entry", ["params"]),
    (ec2, "_replace_network_acl_entry", ["params"]),
    (ec2, "_delete_network_acl_entry", ["params"]),
    (ec2, "_describe_network_acls", ["params"]),
    (ec2, "_replace_network_acl_association", ["params"]),
    (ec2, "_delete_network_acl", ["params"]),
    (ec2, "_describe_network_interfaces", ["p"]),
    (ec2, "_create_network_interface", ["p"]),
    (ec2, "_delete_network_interface", ["p"]),
    (ec2, "_eni_fields_xml", ["eni", "tag"]),
    (sqs, "_enforce_queue_policy", ["q", "iam_action"]),
    (sqs, "_owner_from_queue_arn", ["queue_arn"]),
    (sqs, "_get_q", ["url", "action"]),
    (sqs, "_act_set_queue_attributes", ["data", "qurl"]),
    (sqs, "_act_tag_queue", ["data", "qurl"]),
    (sqs, "_act_send_message_batch", ["data", "qurl"]),
    (sqs, "_build_send_sys_attrs", ["now", "sys_attrs_input"]),
    (iam_actions, "extract_iam_action", ["service", "method", "path", "headers", "body", "query_params"]),
    (
        iam_actions,
        "extract_resource_arn",
        ["service", "method", "path", "headers", "body", "query_params", "region", "account_id"],
    ),
    (iam_evaluator, "caller_arn", []),
    (iam_evaluator, "resource_policy_allows", ["raw_policy", "ctx", "same_account"]),
    (cloudwatch, "_put_dashboard", ["params", "cbor_data", "is_cbor", "is_json"]),
    (cloudwatch, "_set_alarm_state", ["params", "cbor_data", "is_cbor", "is_json"]),
    (cloudwatch, "_evaluate_alarm", ["alarm"]),
    (cloudwatch, "_evaluate_all_alarms", []),
    (cloudwatch, "_evaluate_parent_alarms", ["child", "seen"]),
    (cloudwatch, "_record_history", None),
    (cloudwatch, "_dispatch_alarm_actions", ["alarm", "old_state", "new_state", "reason"]),
    (cloudwatch, "_calc_stats", None),
    (cloudwatch, "_stat_value", None),
    (cloudwatch, "_dims_key", ["dims"]),
    (cloudwatch, "_dims_from_list", ["dimensions"]),
    (cloudwatch, "record_metric", ["namespace", "metric_name", "value", "unit", "dimensions"]),
    (concurrency, "resource_lock", ["scope", "key"]),
    (responses, "json_response", None),
    (responses, "error_response_json", None),
    (responses, "request_scope", None),
    (responses, "get_account_id", []),
    (responses, "get_region", []),
]
RECORDS = [
    (ecs, "_clusters"), (ecs, "_tasks"), (ecs, "_services"), (ecs, "_task_defs"), (ecs, "_tags"), (ecs, "_ACTION_MAP"),
    (ec2, "_security_groups"), (ec2, "_network_acls"), (ec2, "_vpcs"), (ec2, "_subnets"), (ec2, "_network_interfaces"),
    (ec2, "_tags"), (ec2, "_ACTION_MAP"), (sqs, "_queues"), (sqs, "_HANDLERS"), (cloudwatch, "_metrics"),
    (sqs, "_QUERY_COMPAT_CODES"),
]  # fmt: skip


def test_the_version_is_the_one_whose_source_was_read() -> None:
    assert version("ministack") == "1.5.33"


@pytest.mark.parametrize(("module", "name", "expected"), FUNCTIONS, ids=lambda value: getattr(value, "__name__", None))
def test_a_function_is_there_with_the_parameters_we_call_it_with(module: object, name: str, expected: object) -> None:
    function = getattr(module, name)
    assert expected is None or parameters(function) == expected


@pytest.mark.parametrize(("module", "name"), RECORDS, ids=str)
def test_a_record_is_there(module: object, name: str) -> None:
    assert hasattr(getattr(module, name), "items")


def test_the_states_of_a_task_that_is_not_stopped() -> None:
    assert ecs._PRE_STOP_STATUSES == ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING")


def test_a_missing_hook_is_an_error_with_its_name() -> None:
    with pytest.raises(MissingHook, match=r"thing\._gone"):
        replace(SimpleNamespace(__name__="thing"), "_gone", lambda original: original)


def test_a_replaced_function_is_replaced_in_the_table_of_actions_too() -> None:
    def original() -> int:
        return 1

    module = SimpleNamespace(__name__="thing", act=original, _ACTION_MAP={"Act": original, "Other": len})
    replace(module, "act", lambda before: lambda: before() + 1)
    assert (module.act(), module._ACTION_MAP["Act"](), module._ACTION_MAP["Other"]) == (2, 2, len)
