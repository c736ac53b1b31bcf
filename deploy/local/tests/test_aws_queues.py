"""SQS as AWS answers: a policy that denies is enforced, tags are kept, and a message comes out as it was put in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from aws_rig import Emulator, error_code, eventually
from botocore.exceptions import ClientError

ACTIONS = ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
EVERYTHING = {"MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["All"], "MaxNumberOfMessages": 10}
SENDER = (  # a task of a service: sends for ever, tells how it went
    "import boto3,os,time\n"
    "sqs=boto3.client('sqs')\n"
    "while True:\n"
    "  try: sqs.send_message(QueueUrl=os.environ['QUEUE'],MessageBody='x'); print('sent',flush=True)\n"
    "  except Exception as error: print(error.response['Error']['Code'],flush=True)\n"
    "  time.sleep(0.1)\n"
)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("cloud"))
    yield emulator
    emulator.close()


@pytest.fixture(scope="module")
def sqs(cloud: Emulator) -> Any:
    return cloud.client("sqs")


def queue(sqs: Any, name: str, **attributes: str) -> str:
    return str(sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def deny(sqs: Any, url: str) -> str:
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {"Sid": "f-1", "Effect": "Deny", "Principal": "*", "Action": ACTIONS, "Resource": arn}
    return json.dumps({"Version": "2012-10-17", "Id": "dagstorm", "Statement": [statement]})


def policy(sqs: Any, url: str) -> str:
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    return str(told.get("Attributes", {}).get("Policy", ""))


def test_a_policy_denies_the_data_plane_and_nothing_else(sqs: Any) -> None:
    url, other = queue(sqs, "denied"), queue(sqs, "not-denied")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    handle = sqs.receive_message(QueueUrl=url)["Messages"][0]["ReceiptHandle"]
    there, entry = {"QueueUrl": url, "ReceiptHandle": handle}, {"Id": "1", "ReceiptHandle": handle}
    calls = [
        lambda: sqs.send_message(QueueUrl=url, MessageBody="x"),
        lambda: sqs.receive_message(QueueUrl=url),
        lambda: sqs.delete_message(**there),
        lambda: sqs.change_message_visibility(**there, VisibilityTimeout=0),
        lambda: sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "x"}]),
        lambda: sqs.delete_message_batch(QueueUrl=url, Entries=[entry]),
        lambda: sqs.change_message_visibility_batch(QueueUrl=url, Entries=[{**entry, "VisibilityTimeout": 0}]),
    ]
    document = deny(sqs, url)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    assert [error_code(call) for call in calls] == ["AccessDenied"] * len(calls)
    said = r"sqs:sendmessage on resource: arn:aws:sqs:\S+:denied with an explicit deny in a resource-based policy"
    with pytest.raises(ClientError, match=said) as told:
        calls[0]()
    assert told.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert policy(sqs, url) == document
    assert sqs.get_queue_url(QueueName="denied")["QueueUrl"] == url
    sqs.tag_queue(QueueUrl=url, Tags={"dagstorm:fault": "f-1"})
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"dagstorm:fault": "f-1"}
    sqs.send_message(QueueUrl=other, MessageBody="x")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    assert policy(sqs, url) == ""
    assert "Policy" not in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert [error_code(call) for call in calls[:2]] == ["", ""]


def test_a_denied_task_fails_and_goes_on_when_it_is_healed(cloud: Emulator, sqs: Any) -> None:
    url = queue(sqs, "denied-to-tasks")
    cloud.service("sender", 1, [sys.executable, "-c", SENDER], environment=[{"name": "QUEUE", "value": url}])
    task = cloud.running("sender", 1)[0]

    def last() -> list[str]:
        return cloud.log(task, "sender").split()[-1:]

    eventually(lambda: last() == ["sent"])
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": deny(sqs, url)})
    eventually(lambda: last() == ["AccessDenied"])
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    eventually(lambda: last() == ["sent"])
    cloud.delete_service("sender")


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "[]",
        '{"Statement": []}',
        '{"Statement": [{"Effect": "Deny", "Action": "sqs:*"}]}',
        '{"Statement": [{"Effect": "No", "Principal": "*", "Action": "sqs:*"}]}',
        '{"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:Get*"}]}',
        json.dumps({"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "r" * 8192}]}),
    ],
)
def test_what_is_no_policy_is_refused(sqs: Any, text: str) -> None:
    url = queue(sqs, "refuses")
    change = {"QueueUrl": url, "Attributes": {"Policy": text}}
    assert error_code(lambda: sqs.set_queue_attributes(**change)) == "InvalidAttributeValue"
    assert policy(sqs, url) == ""


def test_tags_are_kept_within_limits(sqs: Any) -> None:
    url = queue(sqs, "tagged")
    sqs.tag_queue(QueueUrl=url, Tags={"dagstorm:fault": "f-1", "team": "storm"})
    sqs.tag_queue(QueueUrl=url, Tags={"team": "calm"})
    for tags in ({"k": "v" * 257}, {"k" * 129: "v"}, {"aws:k": "v"}, {"k": "{}"}, {f"k{n}": "" for n in range(49)}):
        change = {"QueueUrl": url, "Tags": tags}
        assert error_code(lambda change=change: sqs.tag_queue(**change)) == "InvalidParameterValue"  # type: ignore[misc]
    sqs.untag_queue(QueueUrl=url, TagKeys=["dagstorm:fault", "absent"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "calm"}
    sqs.untag_queue(QueueUrl=url, TagKeys=["team"])
    assert not sqs.list_queue_tags(QueueUrl=url).get("Tags")
    absent = {"QueueUrl": url + "x", "TagKeys": ["team"]}
    assert error_code(lambda: sqs.untag_queue(**absent)) == "AWS.SimpleQueueService.NonExistentQueue"


@pytest.mark.parametrize("batch", [False, True])
def test_a_message_comes_out_as_it_was_put_in(sqs: Any, batch: bool) -> None:
    url = queue(sqs, f"kept-{batch}.fifo", FifoQueue="true")
    attributes: dict[str, Any] = {
        "text": {"DataType": "String", "StringValue": "äö"},
        "number": {"DataType": "Number", "StringValue": "-1.5"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        "custom": {"DataType": "String.json", "StringValue": "{}"},
    }
    trace = {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}
    message = {
        "MessageBody": "body",
        "MessageAttributes": attributes,
        "MessageSystemAttributes": {"AWSTraceHeader": trace},
        "MessageGroupId": "group",
        "MessageDeduplicationId": "once",
    }

    def send() -> dict[str, Any]:
        if batch:
            return dict(sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", **message}])["Successful"][0])
        return dict(sqs.send_message(QueueUrl=url, **message))

    first, again = send(), send()
    assert first["MessageId"] == again["MessageId"]
    (got,) = sqs.receive_message(QueueUrl=url, **EVERYTHING)["Messages"]
    assert (got["Body"], got["MessageAttributes"]) == ("body", attributes)
    assert got["MD5OfMessageAttributes"] == first["MD5OfMessageAttributes"]
    system = got["Attributes"]
    assert (system["AWSTraceHeader"], system["MessageGroupId"]) == (trace["StringValue"], "group")
    assert (system["MessageDeduplicationId"], system["SequenceNumber"]) == ("once", first["SequenceNumber"])
    assert (system["ApproximateReceiveCount"], {"SenderId", "SentTimestamp"} <= system.keys()) == ("1", True)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"], VisibilityTimeout=0)
    (second,) = sqs.receive_message(QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["All"])["Messages"]
    assert (second["MessageId"], second["MessageAttributes"]) == (got["MessageId"], attributes)
    assert second["Attributes"] == {**system, "ApproximateReceiveCount": "2"}
    sqs.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
    assert send()["MessageId"] == first["MessageId"]  # five minutes long, also when it is gone
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
