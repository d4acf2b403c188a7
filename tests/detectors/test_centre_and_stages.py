"""The sum of two logarithms, each written out; the shares of both; what cannot be learned."""

import numpy as np
import pytest
import torch

from knowbound.detectors import CentreAndStages, NearestCentre, StageMahalanobis
from knowbound.errors import UserError
from knowbound.outputs import Outputs


def outputs(count: int = 90, seed: int = 0, unit: float = 1.0) -> Outputs:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    stages = torch.randn(count, 7, generator=generator) + 2 * torch.eye(3, 7)[labels]
    embedding = torch.randn(count, 4, generator=generator) + 9 * torch.eye(3, 4)[labels]
    return Outputs(stages=stages, embedding=unit * embedding)


LABELS = torch.arange(90) % 3


def learned(train: Outputs) -> CentreAndStages:
    detector = CentreAndStages()
    return detector.learn(detector.read(train), LABELS)


def test_against_both_detectors_by_themselves() -> None:
    train, test = outputs(), outputs(seed=1)
    detector = learned(train)
    centre = NearestCentre().fit(train.get("embedding"), LABELS)
    stages = StageMahalanobis().fit(train.get("stages"), LABELS)
    expected = np.zeros(90)
    for part, field in ((centre, "embedding"), (stages, "stages")):
        logs = np.log(part.score(train.get(field)).double().numpy())
        expected += (
            np.log(part.score(test.get(field)).double().numpy()) - logs.mean()
        ) / logs.std()
    np.testing.assert_allclose(detector.score(detector.read(test)).numpy(), expected, rtol=1e-6)
    nearest = centre.classify(test.get("embedding"))
    assert detector.classify(detector.read(test)).tolist() == nearest.tolist()


def test_the_unit_of_the_embedding_does_not_change_its_share() -> None:
    test = learned(outputs())
    small = learned(outputs(unit=1e-5))
    torch.testing.assert_close(
        small.score(small.read(outputs(seed=1, unit=1e-5))),
        test.score(test.read(outputs(seed=1))),
        rtol=1e-4,
        atol=1e-4,
    )


def test_an_image_on_its_centre_does_not_decide_by_a_logarithm_of_0() -> None:
    train = outputs()
    train.get("embedding")[-1] = 100.0
    labels = torch.cat([LABELS[:-1], torch.tensor([3])])  # the only image of its class
    detector = CentreAndStages()
    scores = detector.learn(detector.read(train), labels).score(detector.read(train))
    assert torch.isfinite(scores).all()
    assert scores.argmin() == 89


def test_what_cannot_be_learned_is_said() -> None:
    train = outputs()
    still = Outputs(stages=torch.eye(3, 7)[LABELS], embedding=train.embedding)
    with pytest.raises(UserError, match="class means of the stages gives every image the same"):
        learned(still)
    with pytest.raises(ValueError, match="11 columns came; expected what read"):
        CentreAndStages().fit(torch.rand(90, 11), LABELS)
