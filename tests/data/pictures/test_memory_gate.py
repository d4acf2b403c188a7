"""Large pictures wait for each other; small ones, and one alone, never wait."""

import threading
import time
from contextlib import ExitStack

from knowbound.data.pictures.memory_gate import SMALL, MemoryGate


def test_the_budget_is_never_passed_by_pictures_that_fit_it() -> None:
    gate = MemoryGate(10 * SMALL)
    held, most, lock = [0], [0], threading.Lock()

    def decode(size: int) -> None:
        with gate.reserve(size):
            with lock:
                held[0] += size
                most[0] = max(most[0], held[0])
            time.sleep(0.002)
            with lock:
                held[0] -= size

    sizes = [SMALL * (1 + k % 7) for k in range(60)]
    threads = [threading.Thread(target=decode, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert gate.used == 0
    assert max(sizes) < most[0] <= 10 * SMALL


def test_one_larger_than_the_budget_is_decoded_alone() -> None:
    gate = MemoryGate(SMALL)
    with gate.reserve(50 * SMALL), gate.reserve(SMALL - 1):
        waiting = threading.Thread(target=lambda: gate.reserve(SMALL).__enter__(), daemon=True)
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_thread_that_needs_more_gives_back_what_it_held() -> None:
    gate = MemoryGate(3 * SMALL)
    with ExitStack() as stack:
        gate.reserve_in(stack, 2 * SMALL)
        gate.reserve_in(stack, 2 * SMALL)  # of its own bytes it must not wait for
        assert gate.used == 2 * SMALL
    assert gate.used == 0


def test_an_error_gives_the_memory_back() -> None:
    gate = MemoryGate(SMALL)
    for _ in range(3):
        try:
            with gate.reserve(SMALL):
                raise MemoryError
        except MemoryError:
            pass
    assert gate.used == 0
