"""Which rules let what through."""

from __future__ import annotations

from typing import Any

import pytest

from dagstorm_local.aws.policy import End, acl_allows, acl_lets_in, group_allows

THERE = End("10.0.2.10", frozenset({"sg-a"}))


def permission(protocol: str = "tcp", ports: tuple[int, int] | None = (443, 443), **source: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"IpProtocol": protocol, **source}
    return base | ({"FromPort": ports[0], "ToPort": ports[1]} if ports else {})


def cidr(block: str) -> dict[str, Any]:
    return {"IpRanges": [{"CidrIp": block}]}


def group(group_id: str) -> dict[str, Any]:
    return {"UserIdGroupPairs": [{"GroupId": group_id}]}


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (permission(**group("sg-a")), True),
        (permission(**group("sg-b")), False),
        (permission(**cidr("10.0.2.0/24")), True),
        (permission(**cidr("10.0.2.11/32")), False),
        (permission(ports=(1, 442), **cidr("0.0.0.0/0")), False),
        (permission(ports=(0, 65535), **cidr("0.0.0.0/0")), True),
        (permission("6", **cidr("0.0.0.0/0")), True),
        (permission("udp", **cidr("0.0.0.0/0")), False),
        (permission("-1", None, **cidr("0.0.0.0/0")), True),
        (permission("-1", None, Ipv6Ranges=[{"CidrIpv6": "::/0"}]), False),
    ],
)
def test_a_group_rule(rule: dict[str, Any], allowed: bool) -> None:
    assert group_allows([rule], THERE, 443) is allowed


def test_no_rule_allows_nothing() -> None:
    assert not group_allows([], THERE, 443)


def entry(number: int, action: str, egress: bool = True, block: str = "0.0.0.0/0", **more: Any) -> dict[str, Any]:
    return {"RuleNumber": number, "RuleAction": action, "Egress": egress, "CidrBlock": block, "Protocol": "-1", **more}


BACK = entry(100, "allow", egress=False)


@pytest.mark.parametrize(
    ("entries", "allowed"),
    [
        ([entry(100, "allow"), BACK], True),
        ([entry(100, "allow")], False),  # the answers do not come back
        ([entry(100, "allow"), entry(99, "deny"), BACK], False),
        ([entry(100, "allow"), entry(101, "deny"), BACK], True),
        ([entry(100, "allow"), entry(90, "deny", block="10.0.2.10/32"), BACK], False),
        ([entry(100, "allow"), entry(90, "deny", block="10.0.2.20/32"), BACK], True),
        ([entry(100, "allow"), entry(90, "deny", Protocol="6", PortRange={"From": 443, "To": 443}), BACK], False),
        ([entry(100, "allow"), entry(90, "deny", Protocol="6", PortRange={"From": 5432, "To": 5432}), BACK], True),
        ([entry(100, "allow"), entry(90, "deny", Protocol="17"), BACK], True),
    ],
)
def test_an_acl(entries: list[dict[str, Any]], allowed: bool) -> None:
    assert acl_allows(entries, THERE, 443) is allowed


def test_the_acl_at_the_other_end() -> None:
    out = entry(100, "allow", egress=True)
    here = entry(90, "deny", egress=False, block="10.0.2.10/32", Protocol="6", PortRange={"From": 443, "To": 443})
    assert acl_lets_in([BACK, out], THERE, 443)
    assert not acl_lets_in([BACK, out, here], THERE, 443)
    assert acl_lets_in([BACK, out, here], THERE, 5432)
    assert not acl_lets_in([BACK], THERE, 443)  # its answers do not get out
