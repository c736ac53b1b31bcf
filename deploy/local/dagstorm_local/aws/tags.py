"""Tags within AWS's limits: a key of 128 characters, a value of 256, 50 a resource, none under `aws:`.

EC2's CreateTags and DeleteTags with their errors; the limits alone serve the other services too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dagstorm_local.aws.answers import Parameters, Refused, done, end_dry_run, refusing
from dagstorm_local.aws.hooks import replace
from dagstorm_local.aws.private import ec2

KEY_AT_MOST = 128
VALUE_AT_MOST = 256
TAGS_AT_MOST = 50
PLAIN = re.compile(r"[\w\s.:/=+\-@]*")  # what most services take; EC2 takes anything


def install() -> None:
    """Put our actions in the place of ministack's EC2. Call once, before the first request."""
    replace(ec2, "_create_tags", lambda _original: refusing(_create))
    replace(ec2, "_delete_tags", lambda _original: refusing(_delete))


def complaint(tags: Mapping[str, str], plain: bool = True) -> str:
    """What is wrong with the tags; empty if nothing is."""
    for key, value in tags.items():
        if not key or len(key) > KEY_AT_MOST:
            return f"Tag key exceeds the maximum length of {KEY_AT_MOST} characters: '{key}'"
        if len(value) > VALUE_AT_MOST:
            return f"Tag value exceeds the maximum length of {VALUE_AT_MOST} characters: '{value}'"
        if key.lower().startswith("aws:"):
            return f"Tag keys starting with 'aws:' are reserved for internal use: '{key}'"
        if plain and not (PLAIN.fullmatch(key) and PLAIN.fullmatch(value)):
            return f"Tag '{key}' has characters that are not allowed"
    return ""


def _see(ids: Iterable[str]) -> None:
    """Refuse a resource that is not there; kinds that we do not know are taken as they are."""
    for resource in ids:
        kind = resource.split("-", 1)[0]
        if kind == "sg" and resource not in ec2._security_groups:
            raise Refused("InvalidGroup.NotFound", f"The security group '{resource}' does not exist")
        if kind == "acl" and resource not in ec2._network_acls:
            raise Refused("InvalidNetworkAclID.NotFound", f"The networkAcl ID '{resource}' does not exist")
        if kind == "sgr" and resource not in rule_ids():
            raise Refused(
                "InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{resource}' does not exist"
            )
        if kind == "subnet" and resource not in ec2._subnets:
            raise Refused("InvalidSubnetID.NotFound", f"The subnet ID '{resource}' does not exist")


def rule_ids() -> set[str]:
    """The id of every rule of every security group."""
    return {
        ec2._sg_rule_id(group_id, egress, rule)
        for group_id, group in ec2._security_groups.items()
        for egress, key in ((False, "IpPermissions"), (True, "IpPermissionsEgress"))
        for rule in group[key]
    }


def _create(parameters: Parameters) -> Any:
    """All resources get all tags, or none gets any."""
    ids = ec2._parse_member_list(parameters, "ResourceId")
    new = {tag["Key"]: tag["Value"] for tag in ec2._parse_tags(parameters)}
    if not ids or not new:
        raise Refused("MissingParameter", "The request must contain the parameters resourceIdSet and tagSet")
    if wrong := complaint(new, plain=False):
        raise Refused("InvalidParameterValue", wrong)
    _see(ids)
    end_dry_run(parameters)
    merged = {one: {tag["Key"]: tag["Value"] for tag in ec2._tags.get(one, [])} | new for one in ids}
    if any(len(tags) > TAGS_AT_MOST for tags in merged.values()):
        raise Refused("TagLimitExceeded", f"A resource can have at most {TAGS_AT_MOST} user tags.")
    for one, tags in merged.items():
        ec2._tags[one] = [{"Key": key, "Value": value} for key, value in tags.items()]
    return done("CreateTags")


def _delete(parameters: Parameters) -> Any:
    """A tag named with a value goes only if it has that value; with none named, all go. An absent tag is no error."""
    ids = ec2._parse_member_list(parameters, "ResourceId")
    _see(ids)
    end_dry_run(parameters)
    named = ec2._parse_tags(parameters)
    valued = {tag["Key"] for index, tag in enumerate(named, 1) if f"Tag.{index}.Value" in parameters}
    for one in ids:
        ec2._tags[one] = [
            tag
            for tag in ec2._tags.get(one, [])
            if named
            and not any(
                tag["Key"] == gone["Key"] and (gone["Key"] not in valued or tag["Value"] == gone["Value"])
                for gone in named
            )
        ]
    return done("DeleteTags")
