"""The local stack: real Dagster, real TaskIQ workers over SQS, ECS tasks as real processes; no Docker, no account."""
