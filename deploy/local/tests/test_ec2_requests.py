"""dagstorm's own EC2 client against botocore: the same parameters make the same request, and its answers are real ones.

`tests/snapshots/ec2_requests.snap` is what the client sends (`cargo test --test ec2` holds it to that), beside the
parameters as botocore takes them. Here botocore serializes those, so that neither side can drift.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
botocore: dict[str, Any] = {  # which has no types
    name: import_module(f"botocore.{name}") for name in ("endpoint_provider", "parsers", "serialize", "session")
}
ANSWERS = REPOSITORY / "tests" / "ec2" / "answers"


def golden() -> dict[str, Any]:
    _, _, text = (REPOSITORY / "tests" / "snapshots" / "ec2_requests.snap").read_text().split("---\n", 2)
    found: dict[str, Any] = json.loads(text)
    return found


REQUESTS = golden()["requests"]


@pytest.fixture(scope="module")
def service() -> Any:
    return botocore["session"].get_session().get_service_model("ec2")


@pytest.mark.parametrize("row", REQUESTS, ids=[f"{index}-{row['action']}" for index, row in enumerate(REQUESTS)])
def test_a_request_is_botocores(row: dict[str, Any], service: Any) -> None:
    serializer = botocore["serialize"].create_serializer(service.metadata["protocol"], include_validation=True)
    wanted = serializer.serialize_to_request(row["parameters"], service.operation_model(row["action"]))
    assert (wanted["method"], wanted["url_path"]) == ("POST", "/")
    ours = parse_qsl(row["body"], keep_blank_values=True, strict_parsing=True)
    assert len(ours) == len(dict(ours)), "a parameter is there twice"
    assert dict(ours) == {name: text(value) for name, value in wanted["body"].items()}


def test_every_action_is_compared() -> None:
    assert {row["action"] for row in REQUESTS} == {
        "AuthorizeSecurityGroupEgress",
        "AuthorizeSecurityGroupIngress",
        "CreateNetworkAcl",
        "CreateNetworkAclEntry",
        "CreateTags",
        "DeleteNetworkAcl",
        "DeleteTags",
        "DescribeNetworkAcls",
        "DescribeNetworkInterfaces",
        "DescribeSecurityGroupRules",
        "DescribeSecurityGroups",
        "DescribeSubnets",
        "ReplaceNetworkAclAssociation",
        "RevokeSecurityGroupEgress",
        "RevokeSecurityGroupIngress",
    }


@pytest.mark.parametrize("region", golden()["endpoints"])
def test_an_endpoint_is_botocores(region: str) -> None:
    loader = botocore["session"].get_session().get_component("data_loader")
    rules = loader.load_service_model("ec2", "endpoint-rule-set-1")
    provider = botocore["endpoint_provider"].EndpointProvider(rules, loader.load_data("partitions"))
    ways = [(False, False), (True, False), (False, True), (True, True)]
    wanted = [provider.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual).url for fips, dual in ways]
    assert golden()["endpoints"][region] == wanted


@pytest.mark.parametrize("path", sorted(ANSWERS.glob("*.xml")), ids=lambda path: path.name)
def test_an_answer_has_only_what_the_model_knows(path: Path, service: Any) -> None:
    """botocore drops what it does not know: every text of the answer must come out of it again."""
    document = path.read_bytes()
    shape = service.operation_model(path.name.split(".")[0]).output_shape
    parser = botocore["parsers"].create_parser(service.metadata["protocol"])
    answer = {"body": document, "headers": {}, "status_code": 200}
    parsed = parser.parse(answer, shape) if shape else {}
    request_id = parsed.pop("ResponseMetadata", {}).get("RequestId")
    found = sorted(leaf for leaf in leaves(parsed) if leaf)
    wanted = sorted(
        (element.text or "").strip()
        for element in ElementTree.fromstring(document).iter()
        if len(element) == 0 and (element.text or "").strip() not in ("", request_id)
    )
    if shape:
        assert found == wanted
    else:
        assert len(wanted) <= 2, "a request id, and that it was done"


def leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [text(value)]


def text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
