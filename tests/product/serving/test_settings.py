"""What a service may be told, and what it refuses before it starts."""

import pytest

from knowbound.errors import UserError
from knowbound.product.serving.server import Settings, is_loopback
from knowbound.product.serving.settings import Limits


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", "", "8.8.8.8"])
def test_beyond_this_machine_there_must_be_a_token(host: str) -> None:
    with pytest.raises(UserError, match="--token-file"):
        Settings(host=host)
    assert Settings(host=host, token="0123456789abcdef").host == host


def test_this_machine() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "localhost", "::1")))
    assert not is_loopback("localhost.example.org")


@pytest.mark.parametrize("token", ["", "short", "with a space in it", "0123456789abcdé"])
def test_a_token_that_is_none(token: str) -> None:
    with pytest.raises(UserError, match="16"):
        Settings(token=token)


@pytest.mark.parametrize(
    "given",
    [
        {"max_batch": 0},
        {"seconds": -1.0},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"queue": 10, "pictures": 11},
        {"request_bytes": 10, "held_bytes": 9},
    ],
)
def test_bounds_that_cannot_be(given: dict[str, float]) -> None:
    with pytest.raises(UserError):
        Limits(**given)  # type: ignore[arg-type]
