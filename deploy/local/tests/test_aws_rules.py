"""EC2 answers as AWS does, and partitions are real: a TCP connection through a task's proxy, cut in both modes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from aws_rig import Emulator, connect, echoes, error_code, eventually, refused_like_dropped_packets, throughout

from dagstorm_local.contract import DAGSTER_GROUP, ENDPOINTS_GROUP, WORKERS_GROUP

DENY = {"RuleNumber": 50, "Protocol": "-1", "RuleAction": "deny", "Egress": True}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("cloud"))
    yield emulator
    emulator.close()


@pytest.fixture(scope="module")
def task(cloud: Emulator) -> str:
    cloud.service("cut", 1)
    return str(cloud.running("cut", 1)[0]["taskArn"])


def rule(cloud: Emulator, peer: str, port: int, description: str = "") -> dict[str, Any]:
    pair = {"GroupId": cloud.topology.groups[peer]} | ({"Description": description} if description else {})
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [pair]}


def egress(cloud: Emulator) -> dict[str, Any]:
    """Rule ids by peer group."""
    group = cloud.topology.groups[WORKERS_GROUP]
    found = cloud.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    rules = [one for one in found["SecurityGroupRules"] if one["IsEgress"]]
    return {one["ReferencedGroupInfo"]["GroupId"]: one for one in rules}


def test_rules_as_aws_keeps_them(cloud: Emulator) -> None:
    group, peer = cloud.topology.groups[WORKERS_GROUP], cloud.topology.groups[ENDPOINTS_GROUP]
    before = egress(cloud)[peer]
    same = {"GroupId": group, "IpPermissions": [rule(cloud, ENDPOINTS_GROUP, 443, "another description")]}
    other = {"GroupId": group, "IpPermissions": [rule(cloud, ENDPOINTS_GROUP, 444)]}
    both = {"GroupId": group, "IpPermissions": [*other["IpPermissions"], *same["IpPermissions"]]}
    assert error_code(lambda: cloud.ec2.authorize_security_group_egress(**same)) == "InvalidPermission.Duplicate"
    assert error_code(lambda: cloud.ec2.authorize_security_group_egress(**both)) == "InvalidPermission.Duplicate"
    assert error_code(lambda: cloud.ec2.revoke_security_group_egress(**other)) == "InvalidPermission.NotFound"
    assert error_code(lambda: cloud.ec2.revoke_security_group_egress(**both)) == "InvalidPermission.NotFound"
    by_id = {"GroupId": group, "SecurityGroupRuleIds": ["sgr-0123456789abcdef0"]}
    unknown = "InvalidSecurityGroupRuleId.NotFound"
    assert error_code(lambda: cloud.ec2.revoke_security_group_egress(**by_id)) == unknown
    assert egress(cloud)[peer] == before
    cloud.ec2.revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=[before["SecurityGroupRuleId"]])
    assert peer not in egress(cloud)
    tags = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "k", "Value": "v"}]}]
    cloud.ec2.authorize_security_group_egress(**same, TagSpecifications=tags)
    after = egress(cloud)[peer]
    assert after["SecurityGroupRuleId"] != before["SecurityGroupRuleId"]
    assert (after["Description"], after["Tags"]) == ("another description", [{"Key": "k", "Value": "v"}])


def test_a_dry_run_is_honoured_and_changes_nothing(cloud: Emulator) -> None:
    group = cloud.topology.groups[WORKERS_GROUP]
    before = egress(cloud)
    there = {"GroupId": group, "IpPermissions": [rule(cloud, ENDPOINTS_GROUP, 443)], "DryRun": True}
    acl = {"NetworkAclId": cloud.topology.tasks_acl, "CidrBlock": "0.0.0.0/0", "DryRun": True, **DENY}
    calls = [
        lambda: cloud.ec2.revoke_security_group_egress(**there),
        lambda: cloud.ec2.create_network_acl_entry(**acl),
        lambda: cloud.ec2.create_security_group(GroupName="x", Description="x", DryRun=True),
    ]
    assert [error_code(call) for call in calls] == ["DryRunOperation"] * 3
    nowhere = {**there, "GroupId": "sg-0123456789abcdef0"}
    assert error_code(lambda: cloud.ec2.revoke_security_group_egress(**nowhere)) == "InvalidGroup.NotFound"
    assert egress(cloud) == before
    assert len(entries(cloud)) == 4


def entries(cloud: Emulator) -> list[dict[str, Any]]:
    found = cloud.ec2.describe_network_acls(NetworkAclIds=[cloud.topology.tasks_acl])["NetworkAcls"]
    return list(found[0]["Entries"])


def association(cloud: Emulator) -> tuple[str, str]:
    """(association id, ACL id) of the tasks' subnet."""
    subnet = cloud.topology.tasks_subnet
    found = cloud.ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])
    assert len(found["NetworkAcls"]) == 1
    one = next(a for a in found["NetworkAcls"][0]["Associations"] if a["SubnetId"] == subnet)
    return one["NetworkAclAssociationId"], one["NetworkAclId"]


def test_an_association_is_replaced_under_a_new_id(cloud: Emulator) -> None:
    first, mine = association(cloud)
    acls = cloud.ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [cloud.topology.vpc]}])["NetworkAcls"]
    default = next(acl["NetworkAclId"] for acl in acls if acl["IsDefault"])
    made = cloud.ec2.replace_network_acl_association(AssociationId=first, NetworkAclId=default)["NewAssociationId"]
    assert made != first
    assert association(cloud) == (made, default)
    stale = {"AssociationId": first, "NetworkAclId": mine}
    gone = "InvalidAssociationID.NotFound"
    assert error_code(lambda: cloud.ec2.replace_network_acl_association(**stale)) == gone
    assert error_code(lambda: cloud.ec2.delete_network_acl(NetworkAclId=default)) == "InvalidParameterValue"
    cloud.ec2.replace_network_acl_association(AssociationId=made, NetworkAclId=mine)
    assert association(cloud)[1] == mine


def test_acl_entries(cloud: Emulator) -> None:
    acl = {"NetworkAclId": cloud.topology.tasks_acl}
    entry = {**acl, **DENY, "Protocol": "6", "CidrBlock": "10.9.0.0/16", "PortRange": {"From": 443, "To": 444}}
    cloud.ec2.create_network_acl_entry(**entry)
    assert error_code(lambda: cloud.ec2.create_network_acl_entry(**entry)) == "NetworkAclEntryAlreadyExists"
    assert [e["PortRange"] for e in entries(cloud) if e["RuleNumber"] == 50] == [{"From": 443, "To": 444}]
    cloud.ec2.delete_network_acl_entry(**acl, RuleNumber=50, Egress=True)
    missing = {**acl, "RuleNumber": 50, "Egress": True}
    assert error_code(lambda: cloud.ec2.delete_network_acl_entry(**missing)) == "InvalidNetworkAclEntry.NotFound"


def test_a_removed_rule_stops_new_connections_only(cloud: Emulator, task: str) -> None:
    port = cloud.paths(task)["dagster"]["port"]
    established = connect(port)
    assert echoes(established)
    group = cloud.topology.groups[WORKERS_GROUP]
    permissions = [rule(cloud, DAGSTER_GROUP, 3000)]
    cloud.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=permissions)
    eventually(lambda: not cloud.paths(task)["dagster"]["new"], 2)
    assert refused_like_dropped_packets(port)
    assert echoes(established)
    assert cloud.paths(task)["sqs"]["new"]
    cloud.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=permissions)
    eventually(lambda: cloud.paths(task)["dagster"]["new"], 2)
    assert echoes(connect(port))


def test_a_client_that_still_waits_gets_through_when_the_rule_is_back(cloud: Emulator, task: str) -> None:
    port = cloud.paths(task)["dagster"]["port"]
    group, permissions = cloud.topology.groups[WORKERS_GROUP], [rule(cloud, DAGSTER_GROUP, 3000)]
    cloud.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=permissions)
    eventually(lambda: not cloud.paths(task)["dagster"]["new"], 2)
    waiting = socket.socket()
    waiting.setblocking(False)
    waiting.connect_ex(("127.0.0.1", port))
    cloud.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=permissions)
    waiting.setblocking(True)
    waiting.settimeout(5)
    eventually(lambda: waiting.connect_ex(("127.0.0.1", port)) in (0, 106), 8)
    assert echoes(waiting)


def test_an_acl_stops_established_connections_and_lets_them_go_on(cloud: Emulator, task: str) -> None:
    port = cloud.paths(task)["dagster"]["port"]
    established = connect(port)
    assert echoes(established)
    acl = {"NetworkAclId": cloud.topology.tasks_acl}
    cloud.ec2.create_network_acl_entry(**acl, **DENY, CidrBlock="10.0.3.10/32")
    eventually(lambda: not cloud.paths(task)["dagster"]["established"], 2)
    assert not echoes(established, b"late")
    assert refused_like_dropped_packets(port)
    throughout(lambda: cloud.paths(task)["sqs"]["established"], 0.3)
    cloud.ec2.delete_network_acl_entry(**acl, RuleNumber=50, Egress=True)
    established.settimeout(5)
    assert established.recv(100) == b"late"  # what was sent in between was only held up
    assert echoes(connect(port))


def test_one_address_of_a_group_can_be_cut(cloud: Emulator, task: str) -> None:
    acl = {"NetworkAclId": cloud.topology.tasks_acl}
    cloud.ec2.create_network_acl_entry(**acl, **DENY, CidrBlock="10.0.2.10/32")
    eventually(lambda: not cloud.paths(task)["sqs"]["new"], 2)
    assert cloud.paths(task)["aws"]["new"]
    cloud.ec2.delete_network_acl_entry(**acl, RuleNumber=50, Egress=True)
    eventually(lambda: cloud.paths(task)["sqs"]["new"], 2)


def test_a_dashboard_must_be_json(cloud: Emulator) -> None:
    cloudwatch = cloud.client("cloudwatch")
    bad = {"DashboardName": "d", "DashboardBody": "{"}
    assert error_code(lambda: cloudwatch.put_dashboard(**bad)) == "InvalidParameterInput"
    cloudwatch.put_dashboard(DashboardName="d", DashboardBody=json.dumps({"widgets": []}))


def test_sqs_publishes_its_metrics(cloud: Emulator) -> None:
    sqs, cloudwatch = cloud.client("sqs"), cloud.client("cloudwatch")
    url = sqs.create_queue(QueueName="measured")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="x")

    def names() -> set[str]:
        return {one["MetricName"] for one in cloudwatch.list_metrics(Namespace="AWS/SQS")["Metrics"]}

    eventually(lambda: {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"} <= names(), 12)
