"""Each task's place in the VPC: its interface, its proxies, and the loop that makes them follow the rules.

`attach` gives a task an interface and one proxy a destination; every 100 ms the groups' rules and the subnet's ACL are
evaluated for each and the proxies opened or cut. Runs in a thread of its own with its own event loop.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dagstorm_local import contract
from dagstorm_local.aws.acls import ensure_associations
from dagstorm_local.aws.policy import End, acl_allows, acl_lets_in, group_allows
from dagstorm_local.aws.private import ec2, responses
from dagstorm_local.aws.protection import AGENT
from dagstorm_local.aws.proxy import Proxy, Upstream
from dagstorm_local.aws.topology import PEERS, TASKS_CIDR, Peer

logger = logging.getLogger("dagstorm.network")

EVALUATE_EVERY_S = 0.1
DESTINATIONS_VARIABLE = "STACK_DESTINATIONS"  # comma-separated, in the task definition; absent: all
SCHEMES = {"sqs": "http://", "aws": "http://", "dagster": "http://", "postgres": ""}
DROPPED_VARIABLES = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
METADATA_VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"
AGENT_VARIABLE = "ECS_AGENT_URI"


@dataclass
class Seat:
    """One task in the network."""

    arn: str
    eni: str
    subnet: str
    me: End
    proxies: dict[str, Proxy] = field(default_factory=dict)


class Network:
    """Thread-safe: called from ministack's worker threads."""

    def __init__(self, upstreams: Mapping[str, Upstream], account: str, region: str, gateway: str) -> None:
        self._upstreams = dict(upstreams)
        self._scope = (account, region)
        self._gateway = gateway
        self._seats: dict[str, Seat] = {}
        self._choosing = threading.Lock()
        self._addresses: dict[str, Iterator[str]] = {}  # by subnet: each in turn, so that one is not soon used again
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, daemon=True, name="task-network").start()

    def attach(self, task: dict[str, Any], configuration: dict[str, Any]) -> None:
        """Give the task an interface. Without an awsvpc configuration it gets one without groups: nothing is allowed
        by rules, so nothing is cut either (its proxies stay open)."""
        vpc = configuration.get("awsvpcConfiguration") or {}
        groups = [str(group) for group in vpc.get("securityGroups") or []]
        subnet = (list(vpc.get("subnets") or []) or [""])[0]
        address = self._address(subnet)
        eni = "eni-" + secrets.token_hex(9)[:17]
        task["_attached_at"] = time.monotonic()
        self._seats[task["taskArn"]] = Seat(task["taskArn"], eni, subnet, End(address, frozenset(groups)))
        if not vpc:
            return
        ec2._network_interfaces[eni] = self._interface(task["taskArn"], eni, subnet, address, groups)
        details = {"networkInterfaceId": eni, "subnetId": subnet, "privateIPv4Address": address}
        details["macAddress"] = ec2._network_interfaces[eni]["MacAddress"]
        task["attachments"] = [
            {
                "id": secrets.token_hex(16),
                "type": "ElasticNetworkInterface",
                "status": "ATTACHED",
                "details": [{"name": name, "value": value} for name, value in details.items()],
            }
        ]
        for container in task.get("containers", []):
            container["networkInterfaces"] = [
                {"attachmentId": task["attachments"][0]["id"], "privateIpv4Address": address}
            ]

    def _address(self, subnet: str) -> str:
        taken = {seat.me.address for seat in list(self._seats.values())}
        with self._choosing:
            if subnet not in self._addresses:
                block = ec2._subnets.get(subnet, {}).get("CidrBlock", TASKS_CIDR)
                hosts = [str(host) for host in ipaddress.ip_network(block).hosts()]
                self._addresses[subnet] = itertools.cycle(hosts[9:])
            return next(address for address in self._addresses[subnet] if address not in taken)

    def environment(self, arn: str, environment: dict[str, str]) -> dict[str, str]:
        """The task definition's variables, with credentials, endpoints through the proxies, and metadata added."""
        result = {name: value for name, value in environment.items() if name not in DROPPED_VARIABLES}
        result.pop("AWS_ENDPOINT_URL", None)
        result |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        result |= {"AWS_REGION": self._scope[1], "AWS_DEFAULT_REGION": self._scope[1]}
        if METADATA_VARIABLE in result:
            result[METADATA_VARIABLE] = f"{self._gateway}/v4/{result[METADATA_VARIABLE].rsplit('/', 1)[-1]}"
        result[AGENT_VARIABLE] = f"{self._gateway}{AGENT}{arn.rsplit('/', 1)[-1]}"
        named = result.get(DESTINATIONS_VARIABLE)
        wanted = list(self._upstreams) if named is None else [one for one in named.split(",") if one]
        for destination, port in self._open(arn, wanted).items():
            result[contract.DESTINATIONS[destination]] = f"{SCHEMES[destination]}127.0.0.1:{port}"
        return result

    def detach(self, task: dict[str, Any]) -> None:
        """Take the interface away and close the proxies. Idempotent."""
        seat = self._seats.pop(task["taskArn"], None)
        if seat is None:
            return
        ec2._network_interfaces.pop(seat.eni, None)
        for attachment in task.get("attachments") or []:
            attachment["status"] = "DELETED"
        for proxy in seat.proxies.values():
            self._loop.call_soon_threadsafe(proxy.close)

    def describe(self) -> list[dict[str, Any]]:
        """For people and tests: each task's proxies and whether they let traffic through."""
        return [
            {
                "taskArn": seat.arn,
                "address": seat.me.address,
                "destinations": {
                    name: {
                        "port": proxy.port,
                        "connections": proxy.connections,
                        "accepted": proxy.accepted,
                        "new": proxy.open_to_new,
                        "established": proxy.flowing,
                    }
                    for name, proxy in seat.proxies.items()
                },
            }
            for seat in list(self._seats.values())
        ]

    def _open(self, arn: str, destinations: Iterable[str]) -> dict[str, int]:
        async def open_all() -> dict[str, int]:
            seat = self._seats[arn]
            for destination in destinations:
                if destination in self._upstreams and destination not in seat.proxies:
                    seat.proxies[destination] = Proxy(self._upstreams[destination])
            self._apply(seat)
            for proxy in seat.proxies.values():
                proxy.start()
            return {name: proxy.port for name, proxy in seat.proxies.items()}

        return asyncio.run_coroutine_threadsafe(open_all(), self._loop).result(timeout=5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.create_task(self._evaluate_for_ever())
        self._loop.run_forever()

    async def _evaluate_for_ever(self) -> None:
        while True:
            await asyncio.sleep(EVALUATE_EVERY_S)
            for seat in list(self._seats.values()):
                try:
                    self._apply(seat)
                except Exception:
                    logger.exception("evaluating the rules of a task failed", extra={"task": seat.arn})

    def _apply(self, seat: Seat) -> None:
        with responses.request_scope(*self._scope):
            for destination, proxy in seat.proxies.items():
                new, established = self._verdict(seat, PEERS[destination])
                if (new, established) != (proxy.open_to_new, proxy.flowing):
                    logger.info(
                        "path changed",
                        extra={"task": seat.arn, "destination": destination, "new": new, "established": established},
                    )
                    proxy.allow(new, established)

    def _verdict(self, seat: Seat, peer: Peer) -> tuple[bool, bool]:
        """(new connections pass, established ones pass)."""
        if not seat.subnet:
            return True, True
        peer_groups = [g for g in list(ec2._security_groups.values()) if g["GroupName"] == peer.group]
        there = End(peer.address, frozenset(group["GroupId"] for group in peer_groups))
        mine = [ec2._security_groups[group] for group in seat.me.groups if group in ec2._security_groups]
        out = any(group_allows(group["IpPermissionsEgress"], there, peer.port) for group in mine)
        into = not peer_groups or any(group_allows(g["IpPermissions"], seat.me, peer.port) for g in peer_groups)
        passes = _acls_pass(seat, there, peer.port)
        return out and into and passes, passes

    def _interface(self, arn: str, eni: str, subnet: str, address: str, groups: list[str]) -> dict[str, Any]:
        names = {group: ec2._security_groups.get(group, {}).get("GroupName", group) for group in groups}
        record = ec2._subnets.get(subnet, {})
        return {
            "NetworkInterfaceId": eni,
            "SubnetId": subnet,
            "VpcId": record.get("VpcId", ""),
            "AvailabilityZone": record.get("AvailabilityZone", f"{self._scope[1]}a"),
            "Description": f"arn:aws:ecs:{self._scope[1]}:{self._scope[0]}:attachment/{arn.rsplit('/', 1)[-1]}",
            "OwnerId": self._scope[0],
            "Status": "in-use",
            "PrivateIpAddress": address,
            "InterfaceType": "interface",
            "SourceDestCheck": True,
            "MacAddress": "02:" + ":".join(secrets.token_hex(1) for _ in range(5)),
            "Groups": [{"GroupId": group, "GroupName": name} for group, name in names.items()],
            "Attachment": {
                "AttachmentId": f"ela-attach-{secrets.token_hex(8)}",
                "DeviceIndex": 1,
                "AttachTime": ec2._now_ts(),
            },
            "_managed": True,
        }


def _acls_pass(seat: Seat, there: End, port: int) -> bool:
    """The ACL of the task's subnet, and the one of the peer's: traffic passes both."""
    near, far = _acl_of(seat.subnet), _acl_of(_subnet_of(there.address))
    if near is not None and not acl_allows(list(near["Entries"]), there, port):
        return False
    return far is None or acl_lets_in(list(far["Entries"]), seat.me, port)


def _subnet_of(address: str) -> str:
    found = [eni["SubnetId"] for eni in list(ec2._network_interfaces.values()) if eni["PrivateIpAddress"] == address]
    return str(found[0]) if found else ""


def _acl_of(subnet: str) -> dict[str, Any] | None:
    if not subnet:
        return None
    for look in range(2):
        if look:
            ensure_associations()
        for acl in list(ec2._network_acls.values()):
            if any(association["SubnetId"] == subnet for association in list(acl["Associations"])):
                return dict(acl)
    return None
