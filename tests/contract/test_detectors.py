"""What every detector promises: on three far clusters (which also serve as logits) with queries near and far."""

import pytest
import torch

from knowbound.detectors import DETECTORS, Detector

CLUSTERS = torch.eye(3) * 12


def examples(per_class: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3 * per_class) % 3
    return CLUSTERS[labels] + torch.randn(len(labels), 3, generator=generator), labels


@pytest.mark.parametrize("name", DETECTORS)
def test_detector(name: str) -> None:
    embeddings, labels = examples()
    detector = DETECTORS[name]()
    assert isinstance(detector, Detector)
    assert detector.fit(embeddings, labels) is detector
    scores = detector.score(embeddings)
    assert scores.shape == (len(labels),)
    assert torch.isfinite(scores).all()
    assert (detector.classify(embeddings) == labels).all()
    between = CLUSTERS.mean(dim=0, keepdim=True)
    assert detector.score(between).item() > scores.quantile(0.99)  # higher = more out-of-distribution
    torch.testing.assert_close(detector.score(embeddings[:1]), scores[:1])
    assert detector.score(embeddings[:0]).shape == (0,)


@pytest.mark.parametrize("name", DETECTORS)
def test_state_stands_in_buffers(name: str) -> None:
    embeddings, labels = examples()
    detector = DETECTORS[name]().fit(embeddings, labels)
    again = DETECTORS[name](**detector.settings)
    for buffer, value in detector.state_dict().items():
        setattr(again, buffer, torch.empty_like(value))
    again.load_state_dict(detector.state_dict())
    torch.testing.assert_close(again.score(embeddings), detector.score(embeddings))
