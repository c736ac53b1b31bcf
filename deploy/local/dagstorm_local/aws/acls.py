"""Network ACLs as AWS answers: every subnet has exactly one, entries are numbered, the last one denies.

The association is what a fault changes: `ReplaceNetworkAclAssociation` moves a subnet to another ACL under a new id.
"""

from __future__ import annotations

import ipaddress
import threading
from typing import Any
from xml.sax.saxutils import escape

from dagstorm_local.aws.answers import Parameters, Record, Refused, done, end_dry_run, know, matches, new_id, refusing
from dagstorm_local.aws.hooks import replace
from dagstorm_local.aws.private import ec2

_lock = threading.RLock()  # associations are read and made by the network's thread too
LAST = 32767  # the number of the entry that nobody makes and nobody removes
ENTRIES_AT_MOST = 20  # a direction, with the last one: AWS's default quota
PROTOCOLS = {"tcp": "6", "udp": "17", "icmp": "1", "icmpv6": "58", "all": "-1"}
PORTED = ("6", "17")
ICMP = ("1", "58")


def install() -> None:
    """Put our actions in the place of ministack's. Call once, before the first request."""
    for name, action in (
        ("_create_network_acl", _create),
        ("_delete_network_acl", _delete),
        ("_describe_network_acls", _describe),
        ("_replace_network_acl_association", _replace_association),
        ("_create_network_acl_entry", lambda parameters: _put_entry(parameters, "Create")),
        ("_replace_network_acl_entry", lambda parameters: _put_entry(parameters, "Replace")),
        ("_delete_network_acl_entry", _delete_entry),
    ):
        replace(ec2, name, lambda _original, action=action: refusing(action))  # type: ignore[misc]


def ensure_associations() -> None:
    """Every subnet has exactly one ACL: its VPC's default one, unless it was given another."""
    with _lock:
        every = list(ec2._network_acls.values())
        known = {a["SubnetId"] for acl in every for a in acl["Associations"]}
        defaults = {acl["VpcId"]: acl for acl in every if acl["IsDefault"]}
        subnets = dict(ec2._subnets.items())
        for subnet_id, subnet in subnets.items():
            acl = defaults.get(subnet["VpcId"])
            if subnet_id not in known and acl is not None:
                acl["Associations"].append({"NetworkAclAssociationId": new_id("aclassoc"), "SubnetId": subnet_id})
        if known - set(subnets):
            for acl in every:
                acl["Associations"] = [a for a in acl["Associations"] if a["SubnetId"] in subnets]


def _named(acl_id: str) -> Record:
    acl: Record | None = ec2._network_acls.get(acl_id)
    if acl is None:
        raise Refused("InvalidNetworkAclID.NotFound", f"The networkAcl ID '{acl_id}' does not exist")
    return acl


def _create(parameters: Parameters) -> Any:
    """A new ACL denies everything. The same ClientToken gives the same ACL again."""
    vpc, token = ec2._p(parameters, "VpcId"), ec2._p(parameters, "ClientToken")
    if not vpc:
        raise Refused("MissingParameter", "The request must contain the parameter vpcId")
    if vpc not in ec2._vpcs:
        raise Refused("InvalidVpcID.NotFound", f"The vpc ID '{vpc}' does not exist")
    end_dry_run(parameters)
    acl = next((one for one in ec2._network_acls.values() if token and one.get("_token") == token), None)
    if acl is not None and acl["VpcId"] != vpc:
        raise Refused("IdempotentParameterMismatch", "The client token was used with other parameters.")
    if acl is None:
        acl_id = new_id("acl")
        deny = {"RuleNumber": LAST, "Protocol": "-1", "RuleAction": "deny", "CidrBlock": "0.0.0.0/0"}
        acl = {"NetworkAclId": acl_id, "VpcId": vpc, "IsDefault": False, "Associations": [], "Tags": []}
        acl |= {"Entries": [{**deny, "Egress": egress} for egress in (True, False)]}
        acl |= {"OwnerId": ec2.get_account_id(), "_token": token}
        ec2._network_acls[acl_id] = acl
        ec2._parse_tag_specs(parameters, "network-acl", acl_id)
    told = f"<clientToken>{escape(token)}</clientToken>" if token else ""
    return done("CreateNetworkAcl", f"<networkAcl>{_xml(acl)}</networkAcl>{told}")


def _delete(parameters: Parameters) -> Any:
    acl_id = ec2._p(parameters, "NetworkAclId")
    acl = _named(acl_id)
    end_dry_run(parameters)
    ensure_associations()
    if acl["IsDefault"]:
        raise Refused("InvalidParameterValue", f"cannot delete default network ACL {acl_id}")
    if acl["Associations"]:
        raise Refused("DependencyViolation", f"The network acl '{acl_id}' has dependencies and cannot be deleted.")
    del ec2._network_acls[acl_id]
    ec2._tags.pop(acl_id, None)
    return done("DeleteNetworkAcl")


def _describe(parameters: Parameters) -> Any:
    ensure_associations()
    ids = ec2._parse_member_list(parameters, "NetworkAclId")
    named = [_named(acl_id) for acl_id in ids] or list(ec2._network_acls.values())
    filters = ec2._parse_filters(parameters)
    know(filters, _values({"Entries": [], "Associations": []}))
    end_dry_run(parameters)
    chosen = [acl for acl in named if matches(acl["NetworkAclId"], _values(acl), filters)]
    items = "".join(f"<item>{_xml(acl)}</item>" for acl in chosen)
    return done("DescribeNetworkAcls", f"<networkAclSet>{items}</networkAclSet>")


def _values(acl: Record) -> dict[str, list[str]]:
    """What each filter looks at."""
    associations, entries = acl["Associations"], acl["Entries"]
    ports = [entry["PortRange"] for entry in entries if entry.get("PortRange")]
    icmp = [entry["IcmpTypeCode"] for entry in entries if entry.get("IcmpTypeCode")]
    associated = [str(acl.get("NetworkAclId", ""))] if associations else []
    return {
        "network-acl-id": [str(acl.get("NetworkAclId", ""))],
        "vpc-id": [str(acl.get("VpcId", ""))],
        "owner-id": [str(acl.get("OwnerId", ""))],
        "default": ["true" if acl.get("IsDefault") else "false"],
        "association.association-id": [a["NetworkAclAssociationId"] for a in associations],
        "association.network-acl-id": associated,
        "association.subnet-id": [a["SubnetId"] for a in associations],
        "entry.cidr": [entry["CidrBlock"] for entry in entries if entry.get("CidrBlock")],
        "entry.ipv6-cidr": [entry["Ipv6CidrBlock"] for entry in entries if entry.get("Ipv6CidrBlock")],
        "entry.egress": ["true" if entry["Egress"] else "false" for entry in entries],
        "entry.icmp.code": [str(one["Code"]) for one in icmp],
        "entry.icmp.type": [str(one["Type"]) for one in icmp],
        "entry.port-range.from": [str(one["From"]) for one in ports],
        "entry.port-range.to": [str(one["To"]) for one in ports],
        "entry.protocol": [entry["Protocol"] for entry in entries],
        "entry.rule-action": [entry["RuleAction"] for entry in entries],
        "entry.rule-number": [str(entry["RuleNumber"]) for entry in entries],
    }


def _xml(acl: Record) -> str:
    ordered = sorted(acl["Entries"], key=lambda entry: (not entry["Egress"], entry["RuleNumber"]))
    entries = "".join(f"<item>{_entry_xml(entry)}</item>" for entry in ordered)
    acl_id = acl["NetworkAclId"]
    associations = "".join(
        f"<item><networkAclAssociationId>{a['NetworkAclAssociationId']}</networkAclAssociationId>"
        f"<networkAclId>{acl_id}</networkAclId><subnetId>{a['SubnetId']}</subnetId></item>"
        for a in acl["Associations"]
    )
    default = "true" if acl["IsDefault"] else "false"
    return (
        f"<networkAclId>{acl_id}</networkAclId><vpcId>{acl['VpcId']}</vpcId><default>{default}</default>"
        f"<entrySet>{entries}</entrySet><associationSet>{associations}</associationSet>"
        f"{ec2._tag_set_xml(acl_id)}<ownerId>{acl['OwnerId']}</ownerId>"
    )


def _entry_xml(entry: Record) -> str:
    block, ports, icmp = entry.get("CidrBlock"), entry.get("PortRange"), entry.get("IcmpTypeCode")
    return "".join(
        (
            f"<ruleNumber>{entry['RuleNumber']}</ruleNumber><protocol>{entry['Protocol']}</protocol>",
            f"<ruleAction>{entry['RuleAction']}</ruleAction><egress>{'true' if entry['Egress'] else 'false'}</egress>",
            f"<cidrBlock>{block}</cidrBlock>" if block else f"<ipv6CidrBlock>{entry['Ipv6CidrBlock']}</ipv6CidrBlock>",
            f"<icmpTypeCode><code>{icmp['Code']}</code><type>{icmp['Type']}</type></icmpTypeCode>" if icmp else "",
            f"<portRange><from>{ports['From']}</from><to>{ports['To']}</to></portRange>" if ports else "",
        )
    )


def _put_entry(parameters: Parameters, verb: str) -> Any:
    acl_id = ec2._p(parameters, "NetworkAclId")
    acl = _named(acl_id)
    entry = _entry(parameters)
    end_dry_run(parameters)
    number, egress = entry["RuleNumber"], entry["Egress"]
    same = [one for one in acl["Entries"] if one["RuleNumber"] == number and one["Egress"] == egress]
    if verb == "Create" and same:
        raise Refused("NetworkAclEntryAlreadyExists", f"The network acl entry identified by {number} already exists.")
    if verb == "Replace" and not same:
        raise Refused(
            "InvalidNetworkAclEntry.NotFound", f"The network acl entry identified by {number} does not exist."
        )
    if not same and len([one for one in acl["Entries"] if one["Egress"] == egress]) >= ENTRIES_AT_MOST:
        raise Refused("NetworkAclEntryLimitExceeded", f"The maximum number of entries for '{acl_id}' has been reached.")
    acl["Entries"] = [one for one in acl["Entries"] if one not in same] + [entry]
    return done(f"{verb}NetworkAclEntry")


def _no_entry(number: int) -> Refused:
    return Refused("InvalidNetworkAclEntry.NotFound", f"The network acl entry identified by {number} does not exist.")


def _entry(parameters: Parameters) -> Record:
    """The entry that the request describes. Raises Refused."""
    protocol = str(ec2._p(parameters, "Protocol")).lower()
    action = ec2._p(parameters, "RuleAction")
    entry: Record = {
        "RuleNumber": _rule_number(parameters),
        "Protocol": PROTOCOLS.get(protocol, protocol),
        "RuleAction": action,
        "Egress": ec2._p(parameters, "Egress") == "true",
        **_block(parameters),
    }
    if not entry["Protocol"].removeprefix("-").isdigit():
        raise Refused("InvalidParameterValue", f"Invalid value '{protocol}' for protocol.")
    if action not in ("allow", "deny"):
        raise Refused("InvalidParameterValue", f"Invalid value '{action}' for rule action.")
    if entry["Protocol"] in PORTED:
        low, high = _numbers(parameters, "PortRange.From", "PortRange.To")
        if not 0 <= low <= high <= 65535:
            raise Refused("InvalidParameterValue", f"Invalid TCP/UDP port range ({low}:{high})")
        entry["PortRange"] = {"From": low, "To": high}
    elif entry["Protocol"] in ICMP:
        kind, code = _numbers(parameters, "Icmp.Type", "Icmp.Code")
        entry["IcmpTypeCode"] = {"Type": kind, "Code": code}
    return entry


def _rule_number(parameters: Parameters) -> int:
    (number,) = _numbers(parameters, "RuleNumber")
    if not 1 <= number < LAST:
        raise Refused("InvalidParameterValue", f"Invalid value '{number}' for ruleNumber: 1 to 32766.")
    return number


def _numbers(parameters: Parameters, *names: str) -> list[int]:
    for name in names:
        if not ec2._p(parameters, name):
            raise Refused("MissingParameter", f"The request must contain the parameter {name}")
    return [int(ec2._p(parameters, name)) for name in names]


def _block(parameters: Parameters) -> dict[str, str]:
    """The block of addresses, whose bits beyond the mask AWS clears."""
    given = {name: ec2._p(parameters, name) for name in ("CidrBlock", "Ipv6CidrBlock") if ec2._p(parameters, name)}
    if len(given) != 1:
        code = "InvalidParameterCombination" if given else "MissingParameter"
        raise Refused(code, "The request must contain exactly one of cidrBlock and ipv6CidrBlock")
    ((name, block),) = given.items()
    try:
        network = ipaddress.ip_network(block, strict=False)
    except ValueError:
        raise Refused("InvalidParameterValue", f"CIDR block {block} is malformed") from None
    if (network.version == 6) != (name == "Ipv6CidrBlock"):
        raise Refused("InvalidParameterValue", f"CIDR block {block} is malformed")
    return {name: str(network)}


def _delete_entry(parameters: Parameters) -> Any:
    acl_id = ec2._p(parameters, "NetworkAclId")
    acl = _named(acl_id)
    number = _rule_number(parameters)
    end_dry_run(parameters)
    egress = ec2._p(parameters, "Egress") == "true"
    rest = [entry for entry in acl["Entries"] if (entry["RuleNumber"], entry["Egress"]) != (number, egress)]
    if len(rest) == len(acl["Entries"]):
        raise Refused(
            "InvalidNetworkAclEntry.NotFound", f"The network acl entry identified by {number} does not exist."
        )
    acl["Entries"] = rest
    return done("DeleteNetworkAclEntry")


def _replace_association(parameters: Parameters) -> Any:
    ensure_associations()
    association_id, acl_id = ec2._p(parameters, "AssociationId"), ec2._p(parameters, "NetworkAclId")
    new = _named(acl_id)
    found = [
        (acl, association)
        for acl in ec2._network_acls.values()
        for association in acl["Associations"]
        if association["NetworkAclAssociationId"] == association_id
    ]
    if not found:
        raise Refused("InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist")
    end_dry_run(parameters)
    ((old, association),) = found
    subnet = association["SubnetId"]
    if old["VpcId"] != new["VpcId"]:
        raise Refused("InvalidParameterValue", f"networkAcl {acl_id} and subnet {subnet} belong to different networks")
    made = {"NetworkAclAssociationId": new_id("aclassoc"), "SubnetId": subnet}
    with _lock:
        new["Associations"].append(made)  # first: the network must never see the subnet without an ACL
        old["Associations"].remove(association)
    return done(
        "ReplaceNetworkAclAssociation", f"<newAssociationId>{made['NetworkAclAssociationId']}</newAssociationId>"
    )
