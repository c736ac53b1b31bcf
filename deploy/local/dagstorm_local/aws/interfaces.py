"""Network interfaces as AWS answers: those of tasks belong to ECS, and nobody else changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dagstorm_local.aws.answers import Parameters, Record, error
from dagstorm_local.aws.hooks import replace, replace_action
from dagstorm_local.aws.private import ec2


def install() -> None:
    """Put our actions in the place of ministack's. Call once, before the first request."""
    replace(ec2, "_describe_network_interfaces", lambda _original: _describe_interfaces)
    replace(ec2, "_create_network_interface", _create_interface)
    replace(ec2, "_delete_network_interface", _refuse_managed)
    replace_action(ec2, "ModifyNetworkInterfaceAttribute", _modify_interface)


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


def _interface_matches(eni: Record, name: str, values: list[str]) -> bool:
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
