"""What training images and scores are refused, and in which words."""

import pytest
import torch
from torch import Tensor

from knowbound.detectors import NearestCentre
from knowbound.detectors.learning import check_learned, check_scores, count_classes
from knowbound.errors import UserError


def vectors(count: int = 40, dim: int = 3) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(0))


LABELS = torch.arange(40) % 2


class Constant(NearestCentre):
    """A detector that learns, and says the same of every image."""

    def score(self, vectors: Tensor) -> Tensor:
        return torch.full((len(vectors),), 3.5)


class Overflowing(NearestCentre):
    """A detector whose centres are not finite."""

    def fit(self, vectors: Tensor, labels: Tensor) -> "Overflowing":
        self.centres = torch.full((2, 3), float("inf"))
        return self


class Undefined(NearestCentre):
    """A detector with finite centres that scores some images with no number."""

    def score(self, vectors: Tensor) -> Tensor:
        return torch.where(vectors[:, 0] > 0, vectors[:, 0], float("nan"))


def test_the_sentence_names_images_and_classes() -> None:
    bad = vectors()
    bad[[3, 5, 9, 11, 12, 30, 31], 1] = float("nan")
    with pytest.raises(UserError) as caught:
        NearestCentre().learn(bad, LABELS, class_names=("stop", "go"))
    assert str(caught.value) == (
        "of 40 training images 7 have values that are not finite in the network's embedding "
        "(numbers 3, 5, 9, 11, 12, ..., counted from 0; class 'stop' has 2 images, class 'go' has "
        "5 images): remove these images, or train again if the network gives such values for "
        "ordinary ones"
    )


def test_many_affected_classes_are_counted() -> None:
    with pytest.raises(UserError, match="and 4 classes more"):
        NearestCentre().learn(torch.full((9, 3), float("inf")), torch.arange(9))


@pytest.mark.parametrize("kind", [Constant, Overflowing, Undefined])
def test_what_was_learned_is_looked_at(kind: type[NearestCentre]) -> None:
    expected = {
        Constant: "every image the same score after learning from 40 training images, 20 of the",
        Overflowing: "learned centres with values that are not finite",
        Undefined: "of 40 training images a score that is not finite",
    }
    with pytest.raises(UserError, match=f"^{kind.__name__}.*{expected[kind]}"):
        kind().learn(vectors(), LABELS)


def test_training_images_may_all_score_0_where_others_do_not() -> None:
    """Of two mirrored classes, each of one point: the same after any move along the line."""
    train = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    detector = NearestCentre().learn(train, torch.tensor([0, 0, 1, 1]))
    assert detector.score(train).tolist() == [0.0] * 4


def test_few_of_many_images_are_scored() -> None:
    seen: list[int] = []

    def score(queries: Tensor) -> Tensor:
        seen.append(len(queries))
        return queries[:, 0]

    many = vectors(12_345)
    check_learned(many, torch.arange(12_345) % 2, detector="own", state=[], score=score)
    assert seen == [294, 588]  # every forty-second, and two others for each


@pytest.mark.parametrize("shape", [(40,), (39, 3), (40, 3, 1)])
def test_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="expected \\(N, R\\) and N integers"):
        NearestCentre().learn(torch.rand(shape), LABELS)


def test_classes_are_counted() -> None:
    assert count_classes(torch.tensor([2, 0, 1, 2])).tolist() == [1, 1, 2]
    for labels in ([], [0, 2]):
        with pytest.raises(UserError, match="at least one for each class"):
            count_classes(torch.tensor(labels, dtype=torch.int64))
    with pytest.raises(UserError, match="1 training images have a label below 0"):
        count_classes(torch.tensor([0, -1, 1]))


def test_scores_that_give_no_threshold() -> None:
    check_scores(torch.tensor([1.0, 2.0]))
    check_scores(torch.tensor([1.0]))
    with pytest.raises(UserError, match=r"of 3 held-out images 1 have .*\(numbers 1, counted"):
        check_scores(torch.tensor([1.0, float("nan"), 2.0]))
    with pytest.raises(UserError, match="all 4 new images have the same score \\(0.5\\)"):
        check_scores(torch.full((4,), 0.5), "new images")
