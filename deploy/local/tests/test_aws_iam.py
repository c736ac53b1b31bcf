"""With IAM on, who lacks an action is refused as each service refuses, and a DryRun tells so too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aws_rig import Emulator, error_code

from dagstorm_local.contract import CLUSTER, WORKERS_GROUP

Client = Callable[[str], Any]
QUEUE = "arn:aws:sqs:us-east-1:000000000000:guarded"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("cloud"), iam=True)
    emulator.client("sqs").create_queue(QueueName="guarded")
    emulator.service("guarded", 0)
    yield emulator
    emulator.close()


def user(cloud: Emulator, name: str, *actions: str, resource: str | list[str] = "*") -> Client:
    iam = cloud.client("iam")
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": [*actions, "sts:GetCallerIdentity"], "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return lambda service: cloud.client(service, key["AccessKeyId"], key["SecretAccessKey"])


def calls(cloud: Emulator) -> dict[str, Callable[[Client], object]]:
    """One call an action, which would do no harm."""
    group, acl = cloud.topology.groups[WORKERS_GROUP], cloud.topology.tasks_acl
    url = cloud.client("sqs").get_queue_url(QueueName="guarded")["QueueUrl"]
    arn = cloud.ecs.describe_services(cluster=CLUSTER, services=["guarded"])["services"][0]["serviceArn"]
    instances = cloud.ecs.list_container_instances(cluster=CLUSTER)["containerInstanceArns"]
    (held,) = [
        association["NetworkAclAssociationId"]
        for found in cloud.ec2.describe_network_acls()["NetworkAcls"]
        for association in found["Associations"]
        if association["SubnetId"] == cloud.topology.tasks_subnet
    ]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.9.0.0/16"}]}]
    entry = {"NetworkAclId": acl, "RuleNumber": 9, "Egress": True, "DryRun": True}
    whole = {**entry, "Protocol": "-1", "RuleAction": "deny", "CidrBlock": "10.9.0.0/16"}
    there = {"GroupId": group, "IpPermissions": everything, "DryRun": True}
    tags = {"Resources": [group, acl], "Tags": [{"Key": "k", "Value": "v"}], "DryRun": True}
    move = {"AssociationId": held, "NetworkAclId": acl, "DryRun": True}
    state = {"cluster": CLUSTER, "containerInstances": instances, "status": "ACTIVE"}
    return {
        "ec2:AuthorizeSecurityGroupEgress": lambda of: of("ec2").authorize_security_group_egress(**there),
        "ec2:RevokeSecurityGroupEgress": lambda of: of("ec2").revoke_security_group_egress(**there),
        "ec2:CreateTags": lambda of: of("ec2").create_tags(**tags),
        "ec2:DeleteTags": lambda of: of("ec2").delete_tags(**tags),
        "ec2:CreateNetworkAcl": lambda of: of("ec2").create_network_acl(VpcId=cloud.topology.vpc, DryRun=True),
        "ec2:CreateNetworkAclEntry": lambda of: of("ec2").create_network_acl_entry(**whole),
        "ec2:DeleteNetworkAclEntry": lambda of: of("ec2").delete_network_acl_entry(**entry),
        "ec2:ReplaceNetworkAclAssociation": lambda of: of("ec2").replace_network_acl_association(**move),
        "ec2:DeleteNetworkAcl": lambda of: of("ec2").delete_network_acl(NetworkAclId=acl, DryRun=True),
        "sqs:SetQueueAttributes": lambda of: of("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""}),
        "sqs:TagQueue": lambda of: of("sqs").tag_queue(QueueUrl=url, Tags={"k": "v"}),
        "sqs:UntagQueue": lambda of: of("sqs").untag_queue(QueueUrl=url, TagKeys=["k"]),
        "sqs:ListQueueTags": lambda of: of("sqs").list_queue_tags(QueueUrl=url),
        "sqs:SendMessage": lambda of: of("sqs").send_message(QueueUrl=url, MessageBody="x"),
        "ecs:UpdateService": lambda of: of("ecs").update_service(cluster=CLUSTER, service="guarded", desiredCount=0),
        "ecs:TagResource": lambda of: of("ecs").tag_resource(resourceArn=arn, tags=[{"key": "k", "value": "v"}]),
        "ecs:UntagResource": lambda of: of("ecs").untag_resource(resourceArn=arn, tagKeys=["k"]),
        "ecs:GetTaskProtection": lambda of: of("ecs").get_task_protection(cluster=CLUSTER, tasks=["absent"]),
        "ecs:UpdateTaskProtection": lambda of: of("ecs").update_task_protection(
            cluster=CLUSTER, tasks=["absent"], protectionEnabled=False
        ),
        "ecs:UpdateContainerInstancesState": lambda of: of("ecs").update_container_instances_state(**state),
        "cloudwatch:DescribeAlarms": lambda of: of("cloudwatch").describe_alarms(AlarmNames=["absent"]),
    }


REFUSED = {
    "ec2": "UnauthorizedOperation",
    "sqs": "AccessDenied",
    "ecs": "AccessDeniedException",
    "cloudwatch": "AccessDeniedException",
}


def test_each_action_is_refused_to_who_lacks_it_and_done_for_who_has_it(cloud: Emulator) -> None:
    asked = calls(cloud)
    lacking = user(cloud, "lacking", "iam:GetUser")
    having = user(cloud, "having", *asked)
    refused = {action: error_code(lambda call=call: call(lacking)) for action, call in asked.items()}  # type: ignore[misc]
    assert refused == {action: REFUSED[action.split(":")[0]] for action in asked}
    done = {action: error_code(lambda call=call: call(having)) for action, call in asked.items()}  # type: ignore[misc]
    assert done == {action: "DryRunOperation" if action.startswith("ec2:") else "" for action in asked}


def test_a_statement_is_about_the_resources_it_names(cloud: Emulator) -> None:
    asked = calls(cloud)
    ec2, ecs = "arn:aws:ec2:us-east-1:000000000000:", "arn:aws:ecs:us-east-1:000000000000:"
    kinds = [f"{ec2}{kind}/*" for kind in ("security-group", "network-acl", "subnet", "vpc")]
    kinds += [f"{ecs}{kind}/{CLUSTER}/*" for kind in ("service", "task", "container-instance")]
    within = user(cloud, "within", *asked, resource=[*kinds, QUEUE])
    scoped = {action: call for action, call in asked.items() if not action.startswith("cloudwatch:")}
    done = {action: error_code(lambda call=call: call(within)) for action, call in scoped.items()}  # type: ignore[misc]
    assert done == {action: "DryRunOperation" if action.startswith("ec2:") else "" for action in scoped}
    others = user(cloud, "others", *asked, resource=[one[:-1] + "none" for one in kinds] + [QUEUE + "-not"])
    refused = {action: error_code(lambda call=call: call(others)) for action, call in asked.items()}  # type: ignore[misc]
    assert refused == {action: REFUSED[action.split(":")[0]] for action in asked}


def test_a_batch_is_allowed_by_its_single_action(cloud: Emulator) -> None:
    sqs = user(cloud, "batch", "sqs:SendMessage")("sqs")
    url = cloud.client("sqs").get_queue_url(QueueName="guarded")["QueueUrl"]
    assert sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "x"}])["Successful"]


def test_a_queues_policy_denies_also_who_may_do_everything(cloud: Emulator) -> None:
    everyone: list[Client] = [cloud.client, user(cloud, "full", "*"), user(cloud, "one", "sqs:*", resource=QUEUE)]
    send = calls(cloud)["sqs:SendMessage"]
    statement = {"Effect": "Deny", "Principal": "*", "Action": ["sqs:SendMessage"], "Resource": QUEUE}
    there = {"QueueUrl": cloud.client("sqs").get_queue_url(QueueName="guarded")["QueueUrl"]}
    for who in everyone:
        sqs = who("sqs")
        sqs.set_queue_attributes(**there, Attributes={"Policy": json.dumps({"Statement": [statement]})})
        assert error_code(lambda who=who: send(who)) == "AccessDenied"  # type: ignore[misc]
        sqs.set_queue_attributes(**there, Attributes={"Policy": ""})
        send(who)
