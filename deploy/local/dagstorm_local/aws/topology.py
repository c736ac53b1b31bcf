"""The network that the stack deploys into: one VPC 10.0.0.0/16, subnets for tasks, and a peer for each destination.

The workers have a subnet to themselves, so that its ACL can cut them off and nobody else. Every peer has an address and
a security group of its own, so that a rule or an ACL can cut one path and no other. SQS and the other AWS endpoints
share a group, as VPC endpoints often do, but not an address: an ACL can tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dagstorm_local import contract

VPC_CIDR = "10.0.0.0/16"
TASKS_CIDR = "10.0.1.0/24"  # the workers'
OTHERS_CIDR = "10.0.5.0/24"  # the tasks of every other service
PEERS_CIDRS = ("10.0.2.0/24", "10.0.3.0/24", "10.0.4.0/24")
READY_TAG = {"Key": "dagstorm-ready", "Value": "true"}


@dataclass(frozen=True)
class Peer:
    """What a destination is in the VPC: the address and port that rules are matched against."""

    group: str
    address: str
    port: int


PEERS: dict[str, Peer] = {
    "sqs": Peer(contract.ENDPOINTS_GROUP, "10.0.2.10", 443),
    "aws": Peer(contract.ENDPOINTS_GROUP, "10.0.2.20", 443),
    "dagster": Peer(contract.DAGSTER_GROUP, "10.0.3.10", 3000),
    "postgres": Peer(contract.DATABASE_GROUP, "10.0.4.10", 5432),
}
CLIENTS = (contract.WORKERS_GROUP, contract.AUTOSCALER_GROUP)  # may reach the peers and nothing else
INSIDERS = (contract.DAGSTER_GROUP,)  # Dagster's own tasks: may reach everything, and the peers let them in


@dataclass(frozen=True)
class Topology:
    """Ids of what `create` made. `groups` is by name."""

    vpc: str
    tasks_subnet: str
    others_subnet: str
    tasks_acl: str
    groups: dict[str, str]

    def subnet_of(self, group: str) -> str:
        """Where tasks with this group (by name) are placed."""
        return self.tasks_subnet if group == contract.WORKERS_GROUP else self.others_subnet


def create(ec2: Any) -> Topology:
    """Make the VPC, its subnets, groups, rules and the peers' interfaces through the EC2 API."""
    vpc = ec2.create_vpc(CidrBlock=VPC_CIDR, TagSpecifications=_tags("vpc", "stack"))["Vpc"]["VpcId"]
    tasks_subnet = _subnet(ec2, vpc, TASKS_CIDR, "tasks")
    others_subnet = _subnet(ec2, vpc, OTHERS_CIDR, "others")
    peers_subnets = {cidr: _subnet(ec2, vpc, cidr, f"peers-{index}") for index, cidr in enumerate(PEERS_CIDRS)}
    acl = ec2.create_network_acl(VpcId=vpc, TagSpecifications=_tags("network-acl", "tasks"))["NetworkAcl"]
    for egress in (True, False):
        ec2.create_network_acl_entry(
            NetworkAclId=acl["NetworkAclId"],
            RuleNumber=100,
            Protocol="-1",
            RuleAction="allow",
            Egress=egress,
            CidrBlock="0.0.0.0/0",
        )
    _associate(ec2, tasks_subnet, acl["NetworkAclId"])
    groups = {name: _group(ec2, vpc, name) for name in (*CLIENTS, *{peer.group: 1 for peer in PEERS.values()})}
    _rules(ec2, groups)
    for destination, peer in PEERS.items():
        cidr = ".".join(peer.address.split(".")[:3]) + ".0/24"
        ec2.create_network_interface(
            SubnetId=peers_subnets[cidr],
            PrivateIpAddress=peer.address,
            Description=f"stack: {destination}",
            Groups=[groups[peer.group]],
        )
    return Topology(vpc, tasks_subnet, others_subnet, acl["NetworkAclId"], groups)


def _rules(ec2: Any, groups: dict[str, str]) -> None:
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ports = {peer.group: peer.port for peer in PEERS.values()}
    for client in (*CLIENTS, *INSIDERS):
        if client in CLIENTS:
            ec2.revoke_security_group_egress(GroupId=groups[client], IpPermissions=[everything])
        for group, port in ports.items():
            here = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
            there = {"GroupId": groups[group], "Description": f"{client} to {group}"}
            if client in CLIENTS:
                ec2.authorize_security_group_egress(
                    GroupId=groups[client], IpPermissions=[{**here, "UserIdGroupPairs": [there]}]
                )
            back = {"GroupId": groups[client], "Description": f"{client} to {group}"}
            ec2.authorize_security_group_ingress(
                GroupId=groups[group], IpPermissions=[{**here, "UserIdGroupPairs": [back]}]
            )


def _group(ec2: Any, vpc: str, name: str) -> str:
    answer = ec2.create_security_group(
        GroupName=name, Description=f"stack: {name}", VpcId=vpc, TagSpecifications=_tags("security-group", name)
    )
    return str(answer["GroupId"])


def _subnet(ec2: Any, vpc: str, cidr: str, name: str) -> str:
    answer = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, TagSpecifications=_tags("subnet", name))
    return str(answer["Subnet"]["SubnetId"])


def _associate(ec2: Any, subnet: str, acl: str) -> None:
    found = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["NetworkAcls"]
    association = next(a for one in found for a in one["Associations"] if a["SubnetId"] == subnet)
    ec2.replace_network_acl_association(AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl)


def _tags(resource: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": resource, "Tags": [{"Key": "Name", "Value": name}, READY_TAG]}]
