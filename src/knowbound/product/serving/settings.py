"""What a service takes, and how long anyone waits."""

import math
import os
from dataclasses import dataclass, fields

from knowbound.errors import UserError

MIB = 1024**2


@dataclass(frozen=True)
class Limits:
    """The bounds of a service.  Each is above 0.

    Raises:
        UserError: a bound that is not above 0, or a request larger than all requests together.
    """

    max_batch: int = 64
    """Pictures judged in one pass at most."""
    max_wait: float = 0.005
    """Seconds that a picture waits for others to be judged with."""
    queue: int = 1024
    """Pictures being decoded or waiting; a request that would exceed them is answered 503."""
    request_bytes: int = 64 * MIB
    """Of one request's body."""
    held_bytes: int = 512 * MIB
    """Of all bodies that are held at one time; beyond, a request is answered 503."""
    pictures: int = 256
    """In one request."""
    pixels: int = 50_000_000
    """Width x height that a picture's header may announce."""
    seconds: float = 30.0
    """In which a body must arrive, and an answer must be found."""
    header_seconds: float = 10.0
    """In which a connection must bring the whole header of its next request."""
    connections: int = 512
    """At one time."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = vars(self)[field.name]
            if not 0 < value < math.inf:
                raise UserError(f"{field.name} of {value} was given; expected a number above 0")
        if self.pictures > self.queue:
            raise UserError(
                f"a request may bring {self.pictures} pictures, but only {self.queue} may wait; "
                "give a --queue of at least --max-pictures"
            )
        if self.request_bytes > self.held_bytes:
            raise UserError(
                f"a request may have {self.request_bytes} bytes, but all together only "
                f"{self.held_bytes}; lower --max-request-mb"
            )

    @property
    def header_bytes(self) -> int:
        """Of a request's header."""
        return 16 * 1024


def decoders() -> int:
    """Threads that decode: one for each core, up to 8."""
    return min(8, os.cpu_count() or 1)
