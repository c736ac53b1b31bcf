"""The emulated cloud: ministack in one process, hardened to answer as AWS, its ECS tasks real processes.

`emulator` serves it; `processes` runs containers as process groups, `ecs` and `ec2` put right what differs from AWS,
`network`, `proxy` and `policy` make partitions real, `topology` is the network that the stack deploys into.
"""
