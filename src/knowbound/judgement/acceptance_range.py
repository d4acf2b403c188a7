"""The range that a promise gives for the acceptance of new images, in words."""

import math


def rounded_outwards(low: float, high: float) -> tuple[str, str]:
    """Both ends in percent to one decimal, so that no rounding makes the range narrower.

    Args:
        low: smallest acceptance, a share in 0..1.
        high: largest acceptance, a share in 0..1.

    Returns:
        The ends, such as ("93.1%", "96.7%").
    """
    lower, upper = math.floor(1000 * low) / 10, math.ceil(1000 * high) / 10
    return f"{lower:.1f}%", f"{upper:.1f}%"
