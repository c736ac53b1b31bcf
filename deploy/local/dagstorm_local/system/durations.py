"""How long an op takes: drawn from the seed, the run and the step alone, so that a repeated run repeats itself."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Uniform between `mean - spread` and `mean + spread` seconds, before scaling."""

    mean_s: float
    spread_s: float

    @property
    def longest_s(self) -> float:
        return self.mean_s + self.spread_s


FAST = Span(20, 10)
SLOW = Span(300, 120)


def draw(span: Span, *, scale: float, seed: int, run: str, step: str) -> float:
    """Seconds that this step of this run takes. The same arguments give the same answer on every machine."""
    unit = random.Random(f"{seed}/{run}/{step}").uniform(-1, 1)
    return scale * (span.mean_s + unit * span.spread_s)
