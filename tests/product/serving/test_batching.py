"""Images of many requests meet in batches, and every answer finds its request."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest
from numpy.typing import NDArray

from knowbound.judgement import Verdict
from knowbound.product.serving.batching import Batcher
from tests.product.serving.samples import Shade


def image(value: int) -> NDArray[np.uint8]:
    return np.full((1, 4, 4), value, np.uint8)


def judge(images: NDArray[np.uint8]) -> list[Verdict]:
    model = Shade()
    return model.verdicts(model.judge(images))


def test_every_answer_is_of_its_own_images() -> None:
    sizes: list[int] = []
    batcher = Batcher(judge, most=8, wait=0.001, on_batch=lambda size, _: sizes.append(size))

    def ask(seed: int) -> bool:
        values = np.random.default_rng(seed).integers(0, 256, seed % 21).tolist()
        said = batcher.submit([image(value) for value in values]).result(10)
        return [verdict.score for verdict in said] == values

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))
    batcher.stop()
    assert sum(sizes) == sum(seed % 21 for seed in range(200))
    assert max(sizes) <= 8


def test_what_comes_while_a_batch_is_judged_is_judged_together() -> None:
    sizes: list[int] = []
    begun, free = threading.Event(), threading.Event()

    def slowly(images: NDArray[np.uint8]) -> list[Verdict]:
        begun.set()
        free.wait(10)
        return judge(images)

    batcher = Batcher(slowly, most=16, wait=0.0, on_batch=lambda size, _: sizes.append(size))
    first = batcher.submit([image(0)])
    begun.wait(10)
    rest = [batcher.submit([image(value)]) for value in range(20)]
    assert batcher.waiting == 20
    free.set()
    wait([first, *rest], 10)
    batcher.stop()
    assert sizes == [1, 16, 4]


def test_a_full_batch_does_not_wait() -> None:
    batcher = Batcher(judge, most=2, wait=60.0)
    began = time.monotonic()
    batcher.submit([image(1), image(2)]).result(10)
    assert time.monotonic() - began < 10
    batcher.stop()


def test_stopping_answers_what_was_taken() -> None:
    batcher = Batcher(judge, most=64, wait=60.0)
    answers = [batcher.submit([image(value)]) for value in range(5)]
    batcher.stop()
    assert [answer.result(0)[0].score for answer in answers] == [0, 1, 2, 3, 4]
    assert not batcher.is_alive
    with pytest.raises(RuntimeError, match="stopped"):
        batcher.submit([image(0)])


def test_a_failure_reaches_those_who_asked_and_no_others() -> None:
    def judge_or_fail(images: NDArray[np.uint8]) -> list[Verdict]:
        if images.max() == 255:
            raise MemoryError
        return judge(images)

    batcher = Batcher(judge_or_fail, most=1, wait=0.0)
    answers = [batcher.submit([image(value), image(0)]) for value in (1, 255, 2)]
    assert [len(answer.result(10)) for answer in answers[::2]] == [2, 2]
    with pytest.raises(MemoryError):
        answers[1].result(10)
    assert batcher.is_alive
    batcher.stop()


def test_nothing_is_answered_at_once() -> None:
    batcher = Batcher(judge, most=1, wait=60.0)
    assert batcher.submit([]).result(0) == []
    batcher.stop()
