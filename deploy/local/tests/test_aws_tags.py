"""Tags of security groups, rules and ACLs as EC2 keeps and finds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aws_rig import Emulator, error_code

from dagstorm_local.contract import DAGSTER_GROUP, WORKERS_GROUP

MARK = {"Key": "dagstorm:fault", "Value": '{"id": "f-1", "undo": [443]}'}
BY_KEY = [{"Name": "tag-key", "Values": ["dagstorm:fault"]}]
NOWHERE = "sg-0123456789abcdef0"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("cloud"))
    yield emulator
    emulator.close()


def rules(cloud: Emulator, **asked: Any) -> list[dict[str, Any]]:
    return list(cloud.ec2.describe_security_group_rules(**asked)["SecurityGroupRules"])


def test_a_group_shows_its_tags_and_is_found_by_them(cloud: Emulator) -> None:
    group = cloud.topology.groups[WORKERS_GROUP]

    def found() -> list[str]:
        return [g["GroupId"] for g in cloud.ec2.describe_security_groups(Filters=BY_KEY)["SecurityGroups"]]

    assert found() == []
    cloud.ec2.create_tags(Resources=[group], Tags=[MARK])
    cloud.ec2.create_tags(Resources=[group], Tags=[MARK])  # again changes nothing
    assert found() == [group]
    told = cloud.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["Tags"]
    assert [tag for tag in told if tag["Key"] == MARK["Key"]] == [MARK]
    both = [*BY_KEY, {"Name": "vpc-id", "Values": [cloud.topology.vpc]}, {"Name": "group-id", "Values": [group]}]
    assert len(cloud.ec2.describe_security_groups(Filters=both)["SecurityGroups"]) == 1
    both[2]["Values"] = [NOWHERE]
    assert cloud.ec2.describe_security_groups(Filters=both)["SecurityGroups"] == []
    by_value = [{"Name": "tag:dagstorm:fault", "Values": ["*f-1*"]}]
    assert len(cloud.ec2.describe_security_groups(Filters=by_value)["SecurityGroups"]) == 1
    cloud.ec2.delete_tags(Resources=[group], Tags=[{"Key": MARK["Key"], "Value": "another"}])
    assert found() == [group]
    cloud.ec2.delete_tags(Resources=[group], Tags=[{"Key": MARK["Key"]}])
    cloud.ec2.delete_tags(Resources=[group], Tags=[{"Key": MARK["Key"]}])  # an absent tag is no error
    assert found() == []
    assert "Name" in {tag["Key"] for tag in told}


def test_a_group_is_found_by_the_rules_it_has(cloud: Emulator) -> None:
    peer = cloud.topology.groups[DAGSTER_GROUP]
    by_rule = [{"Name": "egress.ip-permission.group-id", "Values": [peer]}]
    found = {g["GroupName"] for g in cloud.ec2.describe_security_groups(Filters=by_rule)["SecurityGroups"]}
    assert found == {"sg-workers", "sg-autoscaler"}
    unknown = [{"Name": "colour", "Values": ["blue"]}]
    assert error_code(lambda: cloud.ec2.describe_security_groups(Filters=unknown)) == "InvalidParameterValue"


def test_a_rule_shows_its_tags_and_is_found_by_them(cloud: Emulator) -> None:
    group, key = cloud.topology.groups[WORKERS_GROUP], MARK["Key"]
    one, *others = [
        rule for rule in rules(cloud, Filters=[{"Name": "group-id", "Values": [group]}]) if rule["IsEgress"]
    ]
    rule_id = one["SecurityGroupRuleId"]
    cloud.ec2.create_tags(Resources=[rule_id, others[0]["SecurityGroupRuleId"]], Tags=[MARK])
    assert len(rules(cloud, Filters=BY_KEY)) == 2
    cloud.ec2.delete_tags(Resources=[others[0]["SecurityGroupRuleId"]])  # all of them
    assert [rule["SecurityGroupRuleId"] for rule in rules(cloud, Filters=BY_KEY)] == [rule_id]
    assert rules(cloud, SecurityGroupRuleIds=[rule_id])[0]["Tags"] == [MARK]
    cloud.ec2.delete_tags(Resources=[rule_id], Tags=[{"Key": key}])
    assert not rules(cloud, SecurityGroupRuleIds=[rule_id])[0].get("Tags")
    absent = ["sgr-0123456789abcdef0"]
    gone = "InvalidSecurityGroupRuleId.NotFound"
    assert error_code(lambda: rules(cloud, SecurityGroupRuleIds=absent)) == gone
    assert error_code(lambda: cloud.ec2.create_tags(Resources=absent, Tags=[MARK])) == gone


def test_a_rule_of_a_prefix_list_shows_it(cloud: Emulator) -> None:
    group = cloud.topology.groups[WORKERS_GROUP]
    listed = {"PrefixListId": "pl-0123456789abcdef0", "Description": "to S3"}
    permissions = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [listed]}]
    made = cloud.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=permissions)["SecurityGroupRules"]
    seen = rules(cloud, SecurityGroupRuleIds=[made[0]["SecurityGroupRuleId"]])[0]
    assert (seen["PrefixListId"], seen["Description"]) == tuple(listed.values())
    cloud.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=permissions)
    again = {"GroupId": group, "IpPermissions": permissions}
    assert error_code(lambda: cloud.ec2.revoke_security_group_egress(**again)) == "InvalidPermission.NotFound"


def test_a_rule_whose_peer_is_gone_cannot_be_made(cloud: Emulator) -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{"GroupId": NOWHERE}]}
    made = {"GroupId": cloud.topology.groups[WORKERS_GROUP], "IpPermissions": [rule]}
    assert error_code(lambda: cloud.ec2.authorize_security_group_egress(**made)) == "InvalidGroup.NotFound"


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ({"Key": "k" * 129, "Value": "v"}, "InvalidParameterValue"),
        ({"Key": "k", "Value": "v" * 257}, "InvalidParameterValue"),
        ({"Key": "aws:k", "Value": "v"}, "InvalidParameterValue"),
        ({"Key": "k" * 128, "Value": "v" * 256}, "DryRunOperation"),
    ],
)
def test_a_tag_has_its_limits(cloud: Emulator, tag: dict[str, str], code: str) -> None:
    group = cloud.topology.groups[WORKERS_GROUP]
    assert error_code(lambda: cloud.ec2.create_tags(Resources=[group], Tags=[tag], DryRun=True)) == code


def test_too_many_tags_and_absent_resources_change_nothing(cloud: Emulator) -> None:
    group, acl = cloud.topology.groups[WORKERS_GROUP], cloud.topology.tasks_acl
    before = cloud.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["Tags"]
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    assert error_code(lambda: cloud.ec2.create_tags(Resources=[group], Tags=many)) == "TagLimitExceeded"
    one = {"Resources": [acl, group, NOWHERE], "Tags": [MARK]}
    assert error_code(lambda: cloud.ec2.create_tags(**one)) == "InvalidGroup.NotFound"
    assert error_code(lambda: cloud.ec2.delete_tags(**one)) == "InvalidGroup.NotFound"
    absent = {"Resources": ["acl-0123456789abcdef0"], "Tags": [MARK]}
    assert error_code(lambda: cloud.ec2.create_tags(**absent)) == "InvalidNetworkAclID.NotFound"
    dry = {"Resources": [group], "DryRun": True}
    assert error_code(lambda: cloud.ec2.delete_tags(**dry)) == "DryRunOperation"
    assert cloud.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["Tags"] == before


def test_a_subnet_shows_its_tags_and_is_found_by_them(cloud: Emulator) -> None:
    subnet = cloud.topology.tasks_subnet

    def found() -> list[dict[str, Any]]:
        return list(cloud.ec2.describe_subnets(Filters=BY_KEY)["Subnets"])

    assert found() == []
    cloud.ec2.create_tags(Resources=[subnet], Tags=[MARK])
    assert [(one["SubnetId"], MARK in one["Tags"]) for one in found()] == [(subnet, True)]
    cloud.ec2.delete_tags(Resources=[subnet], Tags=[{"Key": MARK["Key"]}, {"Key": "dagstorm:undo.0"}])
    assert found() == []
    absent = {"Resources": ["subnet-0123456789abcdef0"], "Tags": [MARK]}
    assert error_code(lambda: cloud.ec2.create_tags(**absent)) == "InvalidSubnetID.NotFound"


def test_many_tags_of_one_mark_come_and_go_together(cloud: Emulator) -> None:
    group = cloud.topology.groups[WORKERS_GROUP]
    mark = {f"dagstorm:undo.{number}": "x" * 250 for number in range(36)} | {"dagstorm:fault": "a/1/b"}
    cloud.ec2.create_tags(Resources=[group], Tags=[{"Key": key, "Value": value} for key, value in mark.items()])
    told = cloud.ec2.describe_security_groups(Filters=BY_KEY)["SecurityGroups"][0]["Tags"]
    assert mark.items() <= {tag["Key"]: tag["Value"] for tag in told}.items()
    cloud.ec2.delete_tags(Resources=[group], Tags=[{"Key": key} for key in mark])
    left = cloud.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["Tags"]
    assert {tag["Key"] for tag in left} == {"Name", "dagstorm-ready"}
