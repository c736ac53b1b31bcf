"""The modules of ministack whose private parts we use, as untyped as they are; and nothing else imports them.

`tests/test_aws_hooks.py` names every private function and record that we rely on.
"""

from __future__ import annotations

import importlib
from typing import Any

ec2: Any = importlib.import_module("ministack.services.ec2")
ecs: Any = importlib.import_module("ministack.services.ecs")
ecs_metadata: Any = importlib.import_module("ministack.services.ecs_metadata")
sqs: Any = importlib.import_module("ministack.services.sqs")
cloudwatch: Any = importlib.import_module("ministack.services.cloudwatch")
iam_actions: Any = importlib.import_module("ministack.core.iam_actions")
iam_evaluator: Any = importlib.import_module("ministack.core.iam_evaluator")
concurrency: Any = importlib.import_module("ministack.core.concurrency")
responses: Any = importlib.import_module("ministack.core.responses")
