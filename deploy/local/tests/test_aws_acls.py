"""Network ACLs as AWS answers, and a real TCP connection that a change of a subnet's ACL cuts and heals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aws_rig import Emulator, connect, echoes, error_code, eventually, refused_like_dropped_packets, throughout

TAGS = [{"Key": "dagstorm:fault", "Value": "f-2"}]
EVERYWHERE = "0.0.0.0/0"
ABSENT = {"NetworkAclId": "acl-0123456789abcdef0"}
GONE = "InvalidNetworkAclID.NotFound"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("cloud"))
    yield emulator
    emulator.close()


@pytest.fixture
def acl(cloud: Emulator) -> Iterator[str]:
    made = cloud.ec2.create_network_acl(
        VpcId=cloud.topology.vpc, TagSpecifications=[{"ResourceType": "network-acl", "Tags": TAGS}]
    )
    yield made["NetworkAcl"]["NetworkAclId"]
    cloud.ec2.delete_network_acl(NetworkAclId=made["NetworkAcl"]["NetworkAclId"])


def acls(cloud: Emulator, **filters: str) -> list[dict[str, Any]]:
    asked = [{"Name": name.replace("__", ".").replace("_", "-"), "Values": [value]} for name, value in filters.items()]
    return list(cloud.ec2.describe_network_acls(Filters=asked)["NetworkAcls"])


def one(cloud: Emulator, acl_id: str) -> dict[str, Any]:
    found: dict[str, Any] = cloud.ec2.describe_network_acls(NetworkAclIds=[acl_id])["NetworkAcls"][0]
    return found


def put(cloud: Emulator, acl_id: str, number: int, action: str = "allow", **more: Any) -> None:
    entry = {"NetworkAclId": acl_id, "RuleNumber": number, "RuleAction": action, "Egress": True, "Protocol": "-1"}
    if "Ipv6CidrBlock" not in more:
        entry["CidrBlock"] = EVERYWHERE
    cloud.ec2.create_network_acl_entry(**{**entry, **more})


def test_each_subnet_has_one_acl_the_default_one_at_first(cloud: Emulator) -> None:
    vpc = cloud.topology.vpc
    subnet = cloud.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.9.0/24")["Subnet"]["SubnetId"]
    (default,) = acls(cloud, association__subnet_id=subnet)
    assert (default["IsDefault"], default["VpcId"]) == (True, vpc)
    assert sorted((e["Egress"], e["RuleNumber"], e["RuleAction"]) for e in default["Entries"]) == [
        (egress, number, action) for egress in (False, True) for number, action in ((100, "allow"), (32767, "deny"))
    ]
    subnets = [
        s["SubnetId"] for s in cloud.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    ]
    associated = [a["SubnetId"] for found in acls(cloud, vpc_id=vpc) for a in found["Associations"]]
    assert sorted(associated) == sorted(subnets)
    cloud.ec2.delete_subnet(SubnetId=subnet)
    assert acls(cloud, association__subnet_id=subnet) == []


def test_a_new_acl_denies_everything_and_is_found_by_its_tags(cloud: Emulator, acl: str) -> None:
    made = one(cloud, acl)
    assert (made["IsDefault"], made["Associations"], made["Tags"]) == (False, [], TAGS)
    deny = {"CidrBlock": EVERYWHERE, "Protocol": "-1", "RuleAction": "deny", "RuleNumber": 32767}
    assert made["Entries"] == [{**deny, "Egress": True}, {**deny, "Egress": False}]
    assert acls(cloud, tag_key="dagstorm:fault") == acls(cloud, **{"tag:dagstorm:fault": "f-2"}) == [made]
    assert acls(cloud, **{"tag:dagstorm:fault": "f-3"}) == []
    cloud.ec2.delete_tags(Resources=[acl], Tags=[{"Key": "dagstorm:fault"}])
    assert acls(cloud, tag_key="dagstorm:fault") == []
    assert error_code(lambda: acls(cloud, colour="blue")) == "InvalidParameterValue"
    assert error_code(lambda: one(cloud, ABSENT["NetworkAclId"])) == GONE


def test_a_token_makes_one_acl(cloud: Emulator) -> None:
    asked = {"VpcId": cloud.topology.vpc, "ClientToken": "f-4"}
    made = [cloud.ec2.create_network_acl(**asked)["NetworkAcl"]["NetworkAclId"] for _ in range(2)]
    assert made[0] == made[1]
    cloud.ec2.delete_network_acl(NetworkAclId=made[0])
    assert error_code(lambda: cloud.ec2.create_network_acl(VpcId="vpc-0123")) == "InvalidVpcID.NotFound"


def test_entries_keep_ports_icmp_and_ipv6(cloud: Emulator, acl: str) -> None:
    put(cloud, acl, 10, Protocol="6", PortRange={"From": 443, "To": 444}, CidrBlock="100.68.0.18/18")
    put(cloud, acl, 20, Protocol="1", IcmpTypeCode={"Type": -1, "Code": -1})
    put(cloud, acl, 30, "deny", Ipv6CidrBlock="2001:db8::/32")
    put(cloud, acl, 10, Egress=False)  # the other direction is numbered for itself
    told = {(entry["RuleNumber"], entry["Egress"]): entry for entry in one(cloud, acl)["Entries"]}
    assert told[10, True]["PortRange"] == {"From": 443, "To": 444}
    assert told[10, True]["CidrBlock"] == "100.68.0.0/18"
    assert told[20, True]["IcmpTypeCode"] == {"Type": -1, "Code": -1}
    assert (told[30, True]["Ipv6CidrBlock"], "CidrBlock" in told[30, True]) == ("2001:db8::/32", False)
    for number in range(40, 56):
        put(cloud, acl, number)
    assert error_code(lambda: put(cloud, acl, 99)) == "NetworkAclEntryLimitExceeded"


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"number": 5}, "NetworkAclEntryAlreadyExists"),
        ({"number": 32767}, "InvalidParameterValue"),
        ({"number": 0}, "InvalidParameterValue"),
        ({"number": 6, "action": "drop"}, "InvalidParameterValue"),
        ({"number": 6, "Protocol": "6"}, "MissingParameter"),
        ({"number": 6, "Protocol": "58", "Ipv6CidrBlock": "::/0"}, "MissingParameter"),
        ({"number": 6, "CidrBlock": "10.0.0.0/33"}, "InvalidParameterValue"),
        ({"number": 6, "CidrBlock": "::/0"}, "InvalidParameterValue"),
        ({"number": 6, "CidrBlock": EVERYWHERE, "Ipv6CidrBlock": "::/0"}, "InvalidParameterCombination"),
        ({"number": 6, "DryRun": True}, "DryRunOperation"),
    ],
    ids=str,
)
def test_an_entry_is_refused(cloud: Emulator, acl: str, entry: dict[str, Any], code: str) -> None:
    put(cloud, acl, 5)
    before = one(cloud, acl)
    assert error_code(lambda: put(cloud, acl, **entry)) == code
    assert one(cloud, acl) == before


def test_absent_acls_and_dry_runs(cloud: Emulator, acl: str) -> None:
    (mine,) = acls(cloud, association__subnet_id=cloud.topology.tasks_subnet)
    held = next(a for a in mine["Associations"] if a["SubnetId"] == cloud.topology.tasks_subnet)
    entry = {"RuleNumber": 7, "Egress": True}
    whole = {**entry, "RuleAction": "deny", "Protocol": "-1", "CidrBlock": EVERYWHERE}
    move = {"AssociationId": held["NetworkAclAssociationId"]}
    before = acls(cloud)
    calls = [
        lambda **there: cloud.ec2.create_network_acl_entry(**there, **whole),
        lambda **there: cloud.ec2.replace_network_acl_entry(**there, **whole),
        lambda **there: cloud.ec2.delete_network_acl_entry(**there, **entry),
        lambda **there: cloud.ec2.replace_network_acl_association(**there, **move),
        cloud.ec2.delete_network_acl,
    ]
    for call in calls:
        assert error_code(lambda call=call: call(**ABSENT)) == GONE  # type: ignore[misc]
        assert error_code(lambda call=call: call(NetworkAclId=acl, DryRun=True)) == "DryRunOperation"  # type: ignore[misc]
    new = {"VpcId": cloud.topology.vpc, "DryRun": True}
    assert error_code(lambda: cloud.ec2.create_network_acl(**new)) == "DryRunOperation"
    assert error_code(lambda: cloud.ec2.delete_network_acl(NetworkAclId=mine["NetworkAclId"])) == "DependencyViolation"
    (default,) = acls(cloud, vpc_id=cloud.topology.vpc, default="true")
    default_id = default["NetworkAclId"]
    assert error_code(lambda: cloud.ec2.delete_network_acl(NetworkAclId=default_id)) == "InvalidParameterValue"
    elsewhere = cloud.ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    (foreign,) = acls(cloud, vpc_id=elsewhere)
    there = {**move, "NetworkAclId": foreign["NetworkAclId"]}
    assert error_code(lambda: cloud.ec2.replace_network_acl_association(**there)) == "InvalidParameterValue"
    assert [one for one in acls(cloud) if one["VpcId"] != elsewhere] == before


@pytest.mark.parametrize("place", ["tasks", "peer"])
def test_a_moved_association_cuts_what_is_established_and_healing_lets_new_connections_in(
    cloud: Emulator, acl: str, place: str
) -> None:
    cloud.service(f"moved-{place}", 1)
    task = str(cloud.running(f"moved-{place}", 1)[0]["taskArn"])
    port = cloud.paths(task)["dagster"]["port"]
    established = connect(port)
    assert echoes(established)
    peer = {"Name": "addresses.private-ip-address", "Values": ["10.0.3.10"]}
    peers = cloud.ec2.describe_network_interfaces(Filters=[peer])["NetworkInterfaces"][0]["SubnetId"]
    subnet = cloud.topology.tasks_subnet if place == "tasks" else peers
    for egress in (True, False):
        put(cloud, acl, 100, Egress=egress)
    blocks = {"tasks": "10.0.3.10/32", "peer": "10.0.1.0/24"}
    put(cloud, acl, 90, "deny", CidrBlock=blocks[place], Egress=place == "tasks")  # lower than 100: it counts

    def move(to: str) -> str:
        (now,) = acls(cloud, association__subnet_id=subnet)
        held = next(a["NetworkAclAssociationId"] for a in now["Associations"] if a["SubnetId"] == subnet)
        made = cloud.ec2.replace_network_acl_association(AssociationId=held, NetworkAclId=to)["NewAssociationId"]
        stale = {"AssociationId": held, "NetworkAclId": to}
        assert error_code(lambda: cloud.ec2.replace_network_acl_association(**stale)) == "InvalidAssociationID.NotFound"
        assert made != held
        return str(now["NetworkAclId"])

    before = move(acl)
    eventually(lambda: not cloud.paths(task)["dagster"]["established"], 2)
    assert not echoes(established, b"late")
    assert refused_like_dropped_packets(port)
    throughout(lambda: cloud.paths(task)["sqs"]["established"], 0.3)
    assert error_code(lambda: cloud.ec2.delete_network_acl(NetworkAclId=acl)) == "DependencyViolation"
    assert move(before) == acl
    established.settimeout(5)
    assert established.recv(100) == b"late"  # what was sent in between was only held up
    assert echoes(connect(port))
    cloud.delete_service(f"moved-{place}")
