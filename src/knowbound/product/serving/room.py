"""So much may be held at one time, and no more."""

from knowbound.product.serving.refusal import RETRY_AFTER, Refusal


class Room:
    """A bounded amount of something, taken and given back.  For one event loop: without a lock.

    Args:
        size: the most that is held.
        what: it is, in the plural, for the sentence.
    """

    def __init__(self, size: int, what: str) -> None:
        self.size, self.what, self.held = size, what, 0

    def take(self, amount: int) -> None:
        """Hold more.

        Args:
            amount: at least 0; it is given back with ``give``.

        Raises:
            Refusal: 503, where it does not fit now.
        """
        if self.held + amount > self.size:
            raise Refusal(
                503,
                f"busy: {self.held} of {self.size} {self.what} are held and {amount} more came; "
                f"ask again after {RETRY_AFTER} second",
            )
        self.held += amount

    def give(self, amount: int) -> None:
        """Hold less again.

        Args:
            amount: that was taken.
        """
        self.held -= amount
