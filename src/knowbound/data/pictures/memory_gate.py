"""How much memory pictures may take that are decoded at the same time."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

BUDGET = 2 * 1024**3
SMALL = 16 * 1024**2
"""Bytes of a picture below which nobody waits."""


class MemoryGate:
    """Lets threads decode side by side as long as their pictures fit the budget together.

    A picture larger than the whole budget is decoded alone.

    Args:
        budget: bytes.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = budget
        self.used = 0
        self._freed = threading.Condition()

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """A block entered once ``size`` bytes are free; a thread has one such block at a time."""
        if size < SMALL:
            yield
            return
        with self._freed:
            self._freed.wait_for(lambda: not self.used or self.used + size <= self.budget)
            self.used += size
        try:
            yield
        finally:
            with self._freed:
                self.used -= size
                self._freed.notify_all()

    def reserve_in(self, stack: ExitStack, size: int) -> None:
        """The same block until ``stack`` ends; nothing is entered for a small picture.

        What the stack held before is given back first: a thread that waits for room must hold none.
        """
        stack.close()
        if size >= SMALL:
            stack.enter_context(self.reserve(size))


GATE = MemoryGate()
"""Of this process, for all its threads."""
