"""What security groups and network ACLs let through. Pure: rules as EC2 tells them in, a verdict out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

TCP = ("tcp", "6")
ANY = "-1"
EPHEMERAL = 32768  # a port that answers come back to: the ACL's other direction must let it through


@dataclass(frozen=True)
class End:
    """One end of a connection: its address and the ids of its security groups."""

    address: str
    groups: frozenset[str]


def group_allows(permissions: Iterable[Mapping[str, Any]], other: End, port: int) -> bool:
    """True if any of the permissions (of one direction) lets TCP to `port` pass between us and `other`.

    A permission matches by protocol (tcp or -1), port range, and a CIDR or a peer group that holds the other end.
    """
    return any(_permission_matches(permission, other, port) for permission in permissions)


def acl_allows(entries: Iterable[Mapping[str, Any]], other: End, port: int) -> bool:
    """True if the ACL lets packets to `other`:`port` out and their answers in. Lowest number first, else denied."""
    entries = list(entries)
    return _acl_direction(entries, True, other, port) and _acl_direction(entries, False, other, EPHEMERAL)


def acl_lets_in(entries: Iterable[Mapping[str, Any]], other: End, port: int) -> bool:
    """The same for the ACL at the other end: packets from `other` to our `port` in, and their answers out."""
    entries = list(entries)
    return _acl_direction(entries, False, other, port) and _acl_direction(entries, True, other, EPHEMERAL)


def _permission_matches(permission: Mapping[str, Any], other: End, port: int) -> bool:
    protocol = str(permission.get("IpProtocol", ANY))
    if protocol != ANY:
        if protocol not in TCP:
            return False
        if not int(permission.get("FromPort", 0)) <= port <= int(permission.get("ToPort", 65535)):
            return False
    if any(pair.get("GroupId") in other.groups for pair in permission.get("UserIdGroupPairs", [])):
        return True
    return any(_contains(entry.get("CidrIp", ""), other.address) for entry in permission.get("IpRanges", []))


def _acl_direction(entries: list[Mapping[str, Any]], egress: bool, other: End, port: int) -> bool:
    for entry in sorted(entries, key=lambda entry: int(entry["RuleNumber"])):
        if bool(entry["Egress"]) != egress or not _contains(entry.get("CidrBlock", ""), other.address):
            continue
        if entry["Protocol"] != ANY:
            if str(entry["Protocol"]) not in TCP:
                continue
            ports = entry.get("PortRange") or {"From": 0, "To": 65535}
            if not ports["From"] <= port <= ports["To"]:
                continue
        return bool(entry["RuleAction"] == "allow")
    return False


def _contains(cidr: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(cidr, strict=False)
    except ValueError:
        return False
