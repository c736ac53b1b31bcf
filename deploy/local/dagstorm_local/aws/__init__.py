"""The emulated cloud: ministack in one process, hardened to answer as AWS, its ECS tasks real processes.

`emulator` serves it; `processes` runs containers as process groups. What differs from AWS is mended in `ec2`, `acls`,
`interfaces` and `tags`; in `ecs`, `ecs_answers`, `protection` and `instances`; in `queues`, `cloudwatch` and `iam`.
`network`, `proxy` and `policy` make partitions real, `topology` is the network that the stack deploys into.
"""
