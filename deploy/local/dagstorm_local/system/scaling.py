"""How many workers there should be: a pure decision over what was seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dagstorm_local.contract import Settings


@dataclass(frozen=True)
class Load:
    """One complete look. A look that failed in part is no Load: nothing is decided on it."""

    waiting: int  # messages that a worker could take now
    in_flight: int  # messages that workers have taken and not settled
    desired: int  # workers that the service is to have


@dataclass(frozen=True)
class Policy:
    """When and how far to scale."""

    least: int
    most: int
    up_at: float  # waiting messages a worker, above which there are too few
    down_at: float  # below which there are too many
    cooldown_s: float

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        return cls(
            settings.min_workers, settings.max_workers, settings.scale_up_at, settings.scale_down_at, settings.cooldown
        )


@dataclass(frozen=True)
class Decision:
    """The number of workers to have, and why. The same number as now means: change nothing."""

    desired: int
    reason: str


def decide(policy: Policy, load: Load, idle_s: float) -> Decision:
    """What to do after this look; `idle_s` is the time since the last change.

    Up at once to what the queue asks for; down by a quarter at a time. The cooldown holds for both. Never below the
    messages in flight: those are held by workers, which ECS is asked to protect.
    """
    within = min(policy.most, max(policy.least, load.desired))
    if within != load.desired:
        return Decision(within, "outside of the limits")
    per_worker = load.waiting / max(1, load.desired)
    if per_worker > policy.up_at:
        wanted = min(policy.most, max(load.desired + 1, math.ceil(load.waiting / policy.up_at)))
        reason = f"{per_worker:.1f} messages a worker, more than {policy.up_at:g}"
    elif per_worker < policy.down_at:
        fewer = load.desired - max(1, load.desired // 4)
        wanted = min(load.desired, max(policy.least, fewer, load.in_flight))
        reason = f"{per_worker:.1f} messages a worker, fewer than {policy.down_at:g}"
    else:
        return Decision(load.desired, "within the thresholds")
    if wanted == load.desired:
        return Decision(load.desired, f"{reason}, but at the limit or all at work")
    if idle_s < policy.cooldown_s:
        return Decision(load.desired, f"{reason}, but cooling down")
    return Decision(wanted, reason)
