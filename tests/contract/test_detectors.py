"""What every detector promises: on three far clusters (which also serve as logits) with queries
near and far."""

from typing import Any

import pytest
import torch

from knowbound.detectors import DETECTORS, Detector

CLUSTERS = torch.eye(3) * 12


def examples(per_class: int = 2500) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (N, 8) and labels; the first three columns of the features are the logits."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3 * per_class) % 3
    logits = CLUSTERS[labels] + torch.randn(len(labels), 3, generator=generator)
    return torch.cat([logits, torch.randn(len(labels), 5, generator=generator)], dim=1), labels


def read(detector: Any, features: torch.Tensor) -> torch.Tensor:
    """What the detector is given of the network's two outputs."""
    embeddings = features[:, :3]
    return detector.read(features, embeddings) if hasattr(detector, "read") else embeddings


@pytest.mark.parametrize("name", DETECTORS)
def test_detector(name: str) -> None:
    features, labels = examples()
    detector = DETECTORS[name]()
    assert isinstance(detector, Detector)
    seen = read(detector, features)
    assert detector.fit(seen, labels) is detector
    scores = detector.score(seen)
    assert scores.shape == (len(labels),)
    assert torch.isfinite(scores).all()
    classes = detector.classify(seen)
    assert classes.dtype == torch.int64
    assert (classes == labels).float().mean() > 0.99
    between = torch.cat([CLUSTERS.mean(dim=0), torch.full((5,), -6.0)])[
        None
    ]  # of no class, and off in the features too
    assert detector.score(read(detector, between)).item() > scores.quantile(
        0.99
    )  # higher = more out-of-distribution
    torch.testing.assert_close(detector.score(seen[:1]), scores[:1])
    assert detector.score(seen[:0]).shape == (0,)
    assert detector.classify(seen[:0]).shape == (0,)


@pytest.mark.parametrize("name", DETECTORS)
def test_state_stands_in_buffers(name: str) -> None:
    features, labels = examples()
    detector = DETECTORS[name]()
    seen = read(detector, features)
    detector.fit(seen, labels)
    again = DETECTORS[name](**detector.settings)
    for buffer, value in detector.state_dict().items():
        setattr(again, buffer, torch.empty_like(value))
    again.load_state_dict(detector.state_dict())
    torch.testing.assert_close(again.score(seen), detector.score(seen))
    assert (again.classify(seen) == detector.classify(seen)).all()
