"""EC2's security-group rules, network ACLs and interfaces as AWS answers, over ministack's records.

Every action honours DryRun and never executes it. Rules are one source each with an id of their own, new at each
authorize; a duplicate or an absent rule is an error and changes nothing. Each subnet is associated with one ACL.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

from dagstorm_local.aws.hooks import replace, replace_action
from dagstorm_local.aws.private import ec2

Parameters = dict[str, Any]
Rule = dict[str, Any]
SOURCES = {
    "IpRanges": "CidrIp",
    "Ipv6Ranges": "CidrIpv6",
    "PrefixListIds": "PrefixListId",
    "UserIdGroupPairs": "GroupId",
}
NUMBER_OF = {"6": "tcp", "17": "udp", "1": "icmp"}


def install() -> None:
    """Harden ministack's EC2. Call once, before the first request."""
    for direction, egress in (("Ingress", False), ("Egress", True)):
        replace_action(ec2, f"AuthorizeSecurityGroup{direction}", _authorize(direction, egress))
        replace_action(ec2, f"RevokeSecurityGroup{direction}", _revoke(direction, egress))
    replace(ec2, "_network_acl_entry_xml", _entry_xml)
    replace(ec2, "_create_network_acl", _create_acl)
    replace(ec2, "_create_network_acl_entry", lambda _original: lambda p: _put_entry(p, "Create"))
    replace(ec2, "_replace_network_acl_entry", lambda _original: lambda p: _put_entry(p, "Replace"))
    replace(ec2, "_delete_network_acl_entry", _delete_entry)
    replace(ec2, "_describe_network_acls", _describe_acls)
    replace(ec2, "_replace_network_acl_association", lambda _original: _replace_association)
    replace(ec2, "_delete_network_acl", _delete_acl)
    replace(ec2, "_describe_network_interfaces", lambda _original: _describe_interfaces)
    replace(ec2, "_create_network_interface", _create_interface)
    replace(ec2, "_delete_network_interface", _refuse_managed)
    replace_action(ec2, "ModifyNetworkInterfaceAttribute", _modify_interface)
    for action, handler in list(ec2._ACTION_MAP.items()):
        if not action.startswith(("AuthorizeSecurityGroup", "RevokeSecurityGroup")):
            ec2._ACTION_MAP[action] = _honour_dry_run(handler)


def error(code: str, message: str) -> Any:
    return ec2._error(
        code, message.replace("&", "&amp;").replace("<", "&lt;"), 412 if code == "DryRunOperation" else 400
    )


def dry(parameters: Parameters) -> bool:
    return str(ec2._p(parameters, "DryRun")).lower() == "true"


def _dry_run() -> Any:
    return error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")


def _honour_dry_run(handler: Callable[[Parameters], Any]) -> Callable[[Parameters], Any]:
    return lambda parameters: _dry_run() if dry(parameters) else handler(parameters)


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
            return error("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
        new = list(single_rules(ec2._parse_ip_permissions(parameters, "IpPermissions")))
        if not new:
            return error("MissingParameter", "The request must contain the parameter ipPermissions")
        if dry(parameters):
            return _dry_run()
        there = {content(rule) for rule in single_rules(group[key])}
        for rule in new:
            if content(rule) in there:
                return error("InvalidPermission.Duplicate", f"the specified rule {_say(rule)} already exists")
            there.add(content(rule))
        tags = ec2._sg_rule_tag_specifications(parameters)
        items = ""
        for rule in new:
            rule["SecurityGroupRuleId"] = "sgr-" + secrets.token_hex(9)[:17]
            group[key].append(rule)
            if tags:
                ec2._tags[rule["SecurityGroupRuleId"]] = [dict(tag) for tag in tags]
            items += ec2._sg_rule_xml(group_id, rule, is_egress=egress)
        return ec2._xml(
            200,
            f"AuthorizeSecurityGroup{direction}Response",
            f"<return>true</return><securityGroupRuleSet>{items}</securityGroupRuleSet>",
        )

    return authorize


def _revoke(direction: str, egress: bool) -> Callable[[Parameters], Any]:
    key = "IpPermissionsEgress" if egress else "IpPermissions"

    def revoke(parameters: Parameters) -> Any:
        group_id = ec2._p(parameters, "GroupId")
        group = ec2._security_groups.get(group_id)
        if not group:
            return error("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
        have = list(single_rules(group[key]))
        ids = set(ec2._parse_member_list(parameters, "SecurityGroupRuleId"))
        if ids:
            missing = ids - {ec2._sg_rule_id(group_id, egress, rule) for rule in have}
            if missing:
                return error(
                    "InvalidSecurityGroupRuleId.NotFound",
                    f"The security group rule ID '{missing.pop()}' does not exist",
                )
            gone = [rule for rule in have if ec2._sg_rule_id(group_id, egress, rule) in ids]
        else:
            wanted = list(single_rules(ec2._parse_ip_permissions(parameters, "IpPermissions")))
            if not wanted:
                return error("MissingParameter", "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.")
            contents = {content(rule) for rule in have}
            for rule in wanted:
                if content(rule) not in contents and not dry(parameters):
                    return error(
                        "InvalidPermission.NotFound",
                        f"The specified rule {_say(rule)} does not exist in this security group.",
                    )
            gone = [rule for rule in have if content(rule) in {content(one) for one in wanted}]
        if dry(parameters):
            return _dry_run()
        items = "".join(ec2._revoked_sg_rule_xml(group_id, rule, is_egress=egress) for rule in gone)
        for rule in gone:
            ec2._tags.pop(ec2._sg_rule_id(group_id, egress, rule), None)
        group[key] = [rule for rule in have if rule not in gone]
        return ec2._xml(
            200,
            f"RevokeSecurityGroup{direction}Response",
            f"<return>true</return><revokedSecurityGroupRuleSet>{items}</revokedSecurityGroupRuleSet>",
        )

    return revoke


# Network ACLs


def _entry_xml(original: Callable[[Rule], str]) -> Callable[[Rule], str]:
    def xml(entry: Rule) -> str:
        ports = entry.get("PortRange")
        text = original(entry)
        if ports:
            span = f"<portRange><from>{ports['From']}</from><to>{ports['To']}</to></portRange>"
            text = text.replace("</item>", f"{span}</item>")
        return text

    return xml


def _create_acl(original: Callable[[Parameters], Any]) -> Callable[[Parameters], Any]:
    """A new ACL denies everything, and shows it."""

    def create(parameters: Parameters) -> Any:
        before = set(ec2._network_acls.keys())
        answer = original(parameters)
        for acl_id in set(ec2._network_acls.keys()) - before:
            for egress in (False, True):
                deny = {"RuleNumber": 32767, "Protocol": "-1", "RuleAction": "deny", "Egress": egress}
                ec2._network_acls[acl_id]["Entries"].append({**deny, "CidrBlock": "0.0.0.0/0"})
        return answer

    return create


def _put_entry(parameters: Parameters, verb: str) -> Any:
    acl_id, number = ec2._p(parameters, "NetworkAclId"), int(ec2._p(parameters, "RuleNumber") or 0)
    egress = ec2._p(parameters, "Egress") == "true"
    acl = ec2._network_acls.get(acl_id)
    if not acl:
        return error("InvalidNetworkAclID.NotFound", f"The networkAcl ID '{acl_id}' does not exist")
    same = [entry for entry in acl["Entries"] if entry["RuleNumber"] == number and entry["Egress"] == egress]
    if verb == "Create" and same:
        return error("NetworkAclEntryAlreadyExists", f"The network acl entry identified by {number} already exists.")
    if verb == "Replace" and not same:
        return error("InvalidNetworkAclEntry.NotFound", f"The network acl entry identified by {number} does not exist.")
    entry: Rule = {
        "RuleNumber": number,
        "Protocol": ec2._p(parameters, "Protocol") or "-1",
        "RuleAction": ec2._p(parameters, "RuleAction") or "allow",
        "Egress": egress,
        "CidrBlock": ec2._p(parameters, "CidrBlock") or "0.0.0.0/0",
    }
    low = ec2._p(parameters, "PortRange.From")
    if low:
        entry["PortRange"] = {"From": int(low), "To": int(ec2._p(parameters, "PortRange.To") or low)}
    acl["Entries"] = [one for one in acl["Entries"] if one not in same] + [entry]
    return ec2._xml(200, f"{verb}NetworkAclEntryResponse", "<return>true</return>")


def _delete_entry(original: Callable[[Parameters], Any]) -> Callable[[Parameters], Any]:
    def delete(parameters: Parameters) -> Any:
        acl = ec2._network_acls.get(ec2._p(parameters, "NetworkAclId"))
        number, egress = int(ec2._p(parameters, "RuleNumber") or 0), ec2._p(parameters, "Egress") == "true"
        if acl and not any(e["RuleNumber"] == number and e["Egress"] == egress for e in acl["Entries"]):
            return error(
                "InvalidNetworkAclEntry.NotFound", f"The network acl entry identified by {number} does not exist."
            )
        return original(parameters)

    return delete


def ensure_associations() -> None:
    """Every subnet has exactly one ACL: its VPC's default one, unless it was given another."""
    known = {a["SubnetId"] for acl in ec2._network_acls.values() for a in acl["Associations"]}
    defaults = {acl["VpcId"]: acl for acl in ec2._network_acls.values() if acl["IsDefault"]}
    for subnet_id, subnet in ec2._subnets.items():
        acl = defaults.get(subnet["VpcId"])
        if subnet_id not in known and acl is not None:
            acl["Associations"].append({"NetworkAclAssociationId": _association_id(), "SubnetId": subnet_id})


def _association_id() -> str:
    return "aclassoc-" + secrets.token_hex(9)[:17]


def _describe_acls(original: Callable[[Parameters], Any]) -> Callable[[Parameters], Any]:
    """With associations, and the filters by association."""

    def describe(parameters: Parameters) -> Any:
        ensure_associations()
        ids = set(ec2._parse_member_list(parameters, "NetworkAclId"))
        unknown = ids - set(ec2._network_acls.keys())
        if unknown:
            return error("InvalidNetworkAclID.NotFound", f"The networkAcl ID '{unknown.pop()}' does not exist")
        filters = ec2._parse_filters(parameters)
        fields = {"association.subnet-id": "SubnetId", "association.association-id": "NetworkAclAssociationId"}
        chosen = {acl_id for acl_id in ec2._network_acls if not ids or acl_id in ids}
        chosen &= set(filters.get("association.network-acl-id", chosen))
        for name, field in fields.items():
            if name in filters:
                chosen = {
                    i for i in chosen if any(a[field] in filters[name] for a in ec2._network_acls[i]["Associations"])
                }
        narrowed = {k: v for k, v in parameters.items() if not k.startswith("NetworkAclId.")}
        narrowed |= {f"NetworkAclId.{index}": [acl_id] for index, acl_id in enumerate(sorted(chosen), 1)}
        return original(narrowed if chosen else {**narrowed, "NetworkAclId.1": ["acl-none"]})

    return describe


def _replace_association(parameters: Parameters) -> Any:
    ensure_associations()
    association_id, acl_id = ec2._p(parameters, "AssociationId"), ec2._p(parameters, "NetworkAclId")
    new = ec2._network_acls.get(acl_id)
    if not new:
        return error("InvalidNetworkAclID.NotFound", f"The networkAcl ID '{acl_id}' does not exist")
    for acl in ec2._network_acls.values():
        for association in acl["Associations"]:
            if association["NetworkAclAssociationId"] == association_id:
                acl["Associations"].remove(association)
                made = {"NetworkAclAssociationId": _association_id(), "SubnetId": association["SubnetId"]}
                new["Associations"].append(made)
                inner = f"<newAssociationId>{made['NetworkAclAssociationId']}</newAssociationId>"
                return ec2._xml(200, "ReplaceNetworkAclAssociationResponse", inner)
    return error("InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist")


def _delete_acl(original: Callable[[Parameters], Any]) -> Callable[[Parameters], Any]:
    def delete(parameters: Parameters) -> Any:
        acl = ec2._network_acls.get(ec2._p(parameters, "NetworkAclId"))
        if acl and (acl["IsDefault"] or acl["Associations"]):
            return error("DependencyViolation", f"The network acl '{acl['NetworkAclId']}' has dependencies.")
        return original(parameters)

    return delete


# Network interfaces


def _create_interface(original: Callable[[Parameters], Any]) -> Callable[[Parameters], Any]:
    def create(parameters: Parameters) -> Any:
        before = set(ec2._network_interfaces.keys())
        answer = original(parameters)
        address = ec2._p(parameters, "PrivateIpAddress")
        for eni_id in set(ec2._network_interfaces.keys()) - before:
            eni = ec2._network_interfaces[eni_id]
            eni["PrivateIpAddress"] = address or eni["PrivateIpAddress"]
            return ec2._xml(200, "CreateNetworkInterfaceResponse", ec2._eni_fields_xml(eni, tag="networkInterface"))
        return answer

    return create


def _refuse_managed(original: Callable[[Parameters], Any]) -> Callable[[Parameters], Any]:
    def change(parameters: Parameters) -> Any:
        eni = ec2._network_interfaces.get(ec2._p(parameters, "NetworkInterfaceId"))
        if eni and eni.get("_managed"):
            return error("OperationNotPermitted", "You are not allowed to manage 'ela-attach' attachments.")
        return original(parameters)

    return change


def _modify_interface(parameters: Parameters) -> Any:
    """Refused for interfaces that ECS manages; for others only the groups can be changed."""
    eni_id = ec2._p(parameters, "NetworkInterfaceId")
    eni = ec2._network_interfaces.get(eni_id)
    if not eni:
        return error("InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID '{eni_id}' does not exist")
    if eni.get("_managed"):
        return error("OperationNotPermitted", "You do not have permission to access the specified resource.")
    groups = ec2._parse_member_list(parameters, "SecurityGroupId")
    if groups:
        names = {group: ec2._security_groups.get(group, {}).get("GroupName", group) for group in groups}
        eni["Groups"] = [{"GroupId": group, "GroupName": name} for group, name in names.items()]
    return ec2._xml(200, "ModifyNetworkInterfaceAttributeResponse", "<return>true</return>")


def _describe_interfaces(parameters: Parameters) -> Any:
    ids = ec2._parse_member_list(parameters, "NetworkInterfaceId")
    for eni_id in ids:
        if eni_id not in ec2._network_interfaces:
            return error("InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID '{eni_id}' does not exist")
    filters = ec2._parse_filters(parameters)
    items = ""
    for eni_id, eni in list(ec2._network_interfaces.items()):
        if ids and eni_id not in ids:
            continue
        if all(_interface_matches(eni, name, values) for name, values in filters.items()):
            xml = ec2._eni_fields_xml(eni)
            managed = "true" if eni.get("_managed") else "false"
            items += xml.replace("</interfaceType>", f"</interfaceType><requesterManaged>{managed}</requesterManaged>")
    return ec2._xml(200, "DescribeNetworkInterfacesResponse", f"<networkInterfaceSet>{items}</networkInterfaceSet>")


def _interface_matches(eni: Rule, name: str, values: list[str]) -> bool:
    found = {
        "network-interface-id": [eni["NetworkInterfaceId"]],
        "subnet-id": [eni["SubnetId"]],
        "vpc-id": [eni["VpcId"]],
        "status": [eni["Status"]],
        "description": [eni["Description"]],
        "group-id": [group["GroupId"] for group in eni["Groups"]],
        "group-name": [group["GroupName"] for group in eni["Groups"]],
        "private-ip-address": [eni["PrivateIpAddress"]],
        "addresses.private-ip-address": [eni["PrivateIpAddress"]],
        "requester-managed": ["true" if eni.get("_managed") else "false"],
    }.get(name)
    if found is None:
        return bool(ec2._resource_matches_tag_filters(eni["NetworkInterfaceId"], {name: values}))
    return any(value in values for value in found)
