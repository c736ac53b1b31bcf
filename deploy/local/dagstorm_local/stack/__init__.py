"""The supervisor of the local stack and its command line.

`cli` is what a user types, `supervisor` the detached process that starts the parts and watches them, `deploy` what is
made in the emulated cloud, `files` what is written into the stack's folder, `processes` how a process is recognised.
"""
