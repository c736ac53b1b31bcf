"""EC2's security-group rules, network ACLs and interfaces as AWS answers, over ministack's records.

Every action honours DryRun and never executes it. Rules are one source each with an id of their own, new at each
authorize; a duplicate or an absent rule is an error and changes nothing. Each subnet is associated with one ACL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.sax.saxutils import escape

from dagstorm_local.aws import acls, interfaces, tags
from dagstorm_local.aws.answers import Parameters, Refused, end_dry_run, honour_dry_run, know, matches, new_id, refusing
from dagstorm_local.aws.answers import Record as Rule
from dagstorm_local.aws.hooks import replace, replace_action
from dagstorm_local.aws.private import ec2

SOURCES = {
    "IpRanges": "CidrIp",
    "Ipv6Ranges": "CidrIpv6",
    "PrefixListIds": "PrefixListId",
    "UserIdGroupPairs": "GroupId",
}
RULES_AT_MOST = 60  # a direction of a group: AWS's default quota
DRY_RUN_LATER = re.compile(  # these look first at what they are asked
    r"(Authorize|Revoke)SecurityGroup\w+|(Create|Delete)Tags|(Create|Delete|Describe|Replace)NetworkAcl\w*"
)
NUMBER_OF = {"6": "tcp", "17": "udp", "1": "icmp"}


def install() -> None:
    """Harden ministack's EC2. Call once, before the first request."""
    for direction, egress in (("Ingress", False), ("Egress", True)):
        replace_action(ec2, f"AuthorizeSecurityGroup{direction}", _authorize(direction, egress))
        replace_action(ec2, f"RevokeSecurityGroup{direction}", _revoke(direction, egress))
    replace(ec2, "_parse_ip_permissions", _parse_permissions)
    replace(ec2, "_sg_rule_xml", _rule_xml)
    replace(ec2, "_describe_security_groups", _describe_groups)
    replace(ec2, "_describe_security_group_rules", _describe_rules)
    for part in (acls, interfaces, tags):
        part.install()
    for action, handler in list(ec2._ACTION_MAP.items()):
        if not DRY_RUN_LATER.fullmatch(action):
            ec2._ACTION_MAP[action] = honour_dry_run(handler)


# Security-group rules


def single_rules(permissions: list[Rule]) -> Iterator[Rule]:
    """One rule a source, as AWS keeps them."""
    for permission in permissions:
        base = {key: value for key, value in permission.items() if key not in (*SOURCES, "SecurityGroupRuleId")}
        empty: Rule = {kind: [] for kind in SOURCES}
        base["IpProtocol"] = NUMBER_OF.get(str(base["IpProtocol"]), base["IpProtocol"])
        for kind in SOURCES:
            for source in permission.get(kind, []):
                rule = {**base, **empty, kind: [source]}
                if len([k for k in SOURCES if permission.get(k)]) == 1 and "SecurityGroupRuleId" in permission:
                    rule["SecurityGroupRuleId"] = permission["SecurityGroupRuleId"]
                yield rule


def content(rule: Rule) -> tuple[str, int, int, str, str]:
    """What makes two rules the same: protocol, ports and the source; not the description, not the id."""
    kind, name = next((kind, name) for kind, name in SOURCES.items() if rule.get(kind))
    protocol = str(rule.get("IpProtocol", "-1"))
    ports = (-1, -1) if protocol == "-1" else (int(rule.get("FromPort", -1)), int(rule.get("ToPort", -1)))
    return protocol, *ports, kind, str(rule[kind][0].get(name))


def _say(rule: Rule) -> str:
    protocol, low, high, kind, source = content(rule)
    peer = "peer: " + source
    name = "ALL" if protocol == "-1" else protocol.upper()
    return f'"{peer}, {name}, from port: {low}, to port: {high}, ALLOW" ({kind})'


def _authorize(direction: str, egress: bool) -> Callable[[Parameters], Any]:
    key = "IpPermissionsEgress" if egress else "IpPermissions"

    def authorize(parameters: Parameters) -> Any:
        group_id = ec2._p(parameters, "GroupId")
        group = ec2._security_groups.get(group_id)
        if not group:
            raise Refused("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
        new = list(single_rules(ec2._parse_ip_permissions(parameters, "IpPermissions")))
        if not new:
            raise Refused("MissingParameter", "The request must contain the parameter ipPermissions")
        end_dry_run(parameters)
        there = {content(rule) for rule in single_rules(group[key])}
        for rule in new:
            if content(rule) in there:
                raise Refused("InvalidPermission.Duplicate", f"the specified rule {_say(rule)} already exists")
            there.add(content(rule))
        for pair in (pair for rule in new for pair in rule["UserIdGroupPairs"]):
            if pair.get("GroupId") not in ec2._security_groups:
                raise Refused("InvalidGroup.NotFound", f"The security group '{pair.get('GroupId')}' does not exist")
        if len(there) > RULES_AT_MOST:
            raise Refused("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group is 60.")
        named = ec2._sg_rule_tag_specifications(parameters)
        items = ""
        for rule in new:
            rule["SecurityGroupRuleId"] = new_id("sgr")
            group[key].append(rule)
            if named:
                ec2._tags[rule["SecurityGroupRuleId"]] = [dict(tag) for tag in named]
            items += ec2._sg_rule_xml(group_id, rule, is_egress=egress)
        return ec2._xml(
            200,
            f"AuthorizeSecurityGroup{direction}Response",
            f"<return>true</return><securityGroupRuleSet>{items}</securityGroupRuleSet>",
        )

    return refusing(authorize)


def _revoke(direction: str, egress: bool) -> Callable[[Parameters], Any]:
    key = "IpPermissionsEgress" if egress else "IpPermissions"

    def revoke(parameters: Parameters) -> Any:
        group_id = ec2._p(parameters, "GroupId")
        group = ec2._security_groups.get(group_id)
        if not group:
            raise Refused("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
        end_dry_run(parameters)
        have = list(single_rules(group[key]))
        ids = set(ec2._parse_member_list(parameters, "SecurityGroupRuleId"))
        if ids:
            missing = ids - {ec2._sg_rule_id(group_id, egress, rule) for rule in have}
            if missing:
                raise Refused(
                    "InvalidSecurityGroupRuleId.NotFound",
                    f"The security group rule ID '{missing.pop()}' does not exist",
                )
            gone = [rule for rule in have if ec2._sg_rule_id(group_id, egress, rule) in ids]
        else:
            wanted = list(single_rules(ec2._parse_ip_permissions(parameters, "IpPermissions")))
            if not wanted:
                raise Refused("MissingParameter", "Either 'ipPermissions' or 'securityGroupRuleIds' should be given.")
            contents = {content(rule) for rule in have}
            for rule in wanted:
                if content(rule) not in contents:
                    raise Refused(
                        "InvalidPermission.NotFound",
                        f"The specified rule {_say(rule)} does not exist in this security group.",
                    )
            gone = [rule for rule in have if content(rule) in {content(one) for one in wanted}]
        items = "".join(ec2._revoked_sg_rule_xml(group_id, rule, is_egress=egress) for rule in gone)
        for rule in gone:
            ec2._tags.pop(ec2._sg_rule_id(group_id, egress, rule), None)
        group[key] = [rule for rule in have if rule not in gone]
        return ec2._xml(
            200,
            f"RevokeSecurityGroup{direction}Response",
            f"<return>true</return><revokedSecurityGroupRuleSet>{items}</revokedSecurityGroupRuleSet>",
        )

    return refusing(revoke)


def _parse_permissions(original: Callable[..., list[Rule]]) -> Callable[..., list[Rule]]:
    """With the prefix lists."""

    def parse(parameters: Parameters, prefix: str) -> list[Rule]:
        permissions = original(parameters, prefix)
        for index, permission in enumerate(permissions, 1):
            number = 1
            while listed := ec2._p(parameters, f"{prefix}.{index}.PrefixListIds.{number}.PrefixListId"):
                entry = {"PrefixListId": listed}
                if said := ec2._p(parameters, f"{prefix}.{index}.PrefixListIds.{number}.Description"):
                    entry["Description"] = said
                permission["PrefixListIds"].append(entry)
                number += 1
        return permissions

    return parse


def _rule_xml(original: Callable[..., str]) -> Callable[..., str]:
    def xml(group_id: str, rule: Rule, is_egress: bool = False) -> str:
        text = original(group_id, rule, is_egress=is_egress)
        for entry in rule.get("PrefixListIds", []):
            text = text.replace("</item>", f"<prefixListId>{escape(entry['PrefixListId'])}</prefixListId></item>")
        return text

    return xml


def _describe_rules(original: Callable[[Parameters], Any]) -> Callable[[Parameters], Any]:
    def describe(parameters: Parameters) -> Any:
        known = tags.rule_ids()
        for rule_id in ec2._parse_member_list(parameters, "SecurityGroupRuleId"):
            if rule_id not in known:
                message = f"The security group rule ID '{rule_id}' does not exist"
                raise Refused("InvalidSecurityGroupRuleId.NotFound", message)
        filters = ec2._parse_filters(parameters)
        know(filters, {"group-id": True, "security-group-rule-id": True})
        return original(parameters)

    return refusing(describe)


# Security groups


def _describe_groups(original: Callable[[Parameters], Any]) -> Callable[[Parameters], Any]:
    """By every filter that AWS knows; ministack itself only finds them by id."""

    def describe(parameters: Parameters) -> Any:
        ids = ec2._parse_member_list(parameters, "GroupId")
        if any(group_id not in ec2._security_groups for group_id in ids):
            return original(parameters)
        filters = ec2._parse_filters(parameters)
        know(filters, _values({}))
        names = ec2._parse_member_list(parameters, "GroupName")
        chosen = [
            group_id
            for group_id, group in list(ec2._security_groups.items())
            if (not ids or group_id in ids)
            and (not names or group["GroupName"] in names)
            and matches(group_id, _values(group), filters)
        ]
        if not chosen:
            return ec2._xml(200, "DescribeSecurityGroupsResponse", "<securityGroupInfo/>")
        return original({f"GroupId.{index}": [group_id] for index, group_id in enumerate(chosen, 1)})

    return refusing(describe)


def _values(group: Rule) -> dict[str, list[str]]:
    """What each filter looks at."""
    values = {
        name: [str(group.get(field, ""))]
        for name, field in (
            ("group-id", "GroupId"),
            ("group-name", "GroupName"),
            ("description", "Description"),
            ("owner-id", "OwnerId"),
            ("vpc-id", "VpcId"),
        )
    }
    for prefix, key in (("", "IpPermissions"), ("egress.", "IpPermissionsEgress")):
        rules = list(single_rules(group.get(key, [])))
        for name, kind, field in (
            ("cidr", "IpRanges", "CidrIp"),
            ("ipv6-cidr", "Ipv6Ranges", "CidrIpv6"),
            ("prefix-list-id", "PrefixListIds", "PrefixListId"),
            ("group-id", "UserIdGroupPairs", "GroupId"),
            ("group-name", "UserIdGroupPairs", "GroupName"),
            ("user-id", "UserIdGroupPairs", "UserId"),
        ):
            values[f"{prefix}ip-permission.{name}"] = [str(one.get(field, "")) for rule in rules for one in rule[kind]]
        for name, field in (("protocol", "IpProtocol"), ("from-port", "FromPort"), ("to-port", "ToPort")):
            values[f"{prefix}ip-permission.{name}"] = [str(rule.get(field, -1)) for rule in rules]
    return values
