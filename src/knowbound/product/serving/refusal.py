"""A request that is not answered with verdicts: a status and one sentence."""

from dataclasses import dataclass

RETRY_AFTER = 1
"""Seconds after which a busy service may be asked again."""


@dataclass(eq=False)
class Refusal(Exception):
    """Why a request has no verdicts.

    Args:
        status: of HTTP: 4xx where the request must change, 503 where it may come again.
        sentence: what came, what was expected, what to do.
        close: whether the connection ends, since the rest of the body was not read.
    """

    status: int
    sentence: str
    close: bool = False

    def headers(self) -> dict[str, str]:
        """The headers that go with it."""
        said = {"Cache-Control": "no-store"}
        if self.status == 503:
            said["Retry-After"] = str(RETRY_AFTER)
        if self.status == 401:
            said["WWW-Authenticate"] = "Bearer"
        if self.close:
            said["Connection"] = "close"
        return said
