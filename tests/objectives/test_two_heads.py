"""Two heads: what each part sees, and that both weigh what they should."""

import json

import pytest
import torch

from knowbound.backbones import LeNet
from knowbound.objectives import Contrastive, CrossEntropy, Ranking, TwoHeads
from knowbound.objectives.confidence import kl_from_uniform
from knowbound.outputs import Outputs
from tests.objectives.loops import LABELS, batch
from tests.objectives.outs import literal_cross_entropy, random_logits
from tests.objectives.test_contrastive import slow_loss


def outputs(labels: list[int]) -> tuple[Outputs, torch.Tensor]:
    embeddings, given = batch(labels)
    return Outputs(embedding=embeddings, logits=random_logits(labels)), given


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_loss_is_the_sum_of_both_by_loops(labels: list[int]) -> None:
    both, given = outputs(labels)
    objective = TwoHeads(weight=0.3, metric=Contrastive(margin=4.0))
    class_loss = literal_cross_entropy(both.get("logits"), labels)
    metric = slow_loss(both.get("embedding"), given, 4.0, squared=True)
    found = objective.loss(both, given).item()
    assert found == pytest.approx(class_loss + 0.3 * metric, rel=1e-9)
    assert objective(both.get("embedding"), given).item() == pytest.approx(metric, rel=1e-9)


def test_out_of_distribution_images_reach_the_class_head_only_if_asked() -> None:
    both, given = outputs([0, 1, -1, -2])
    TwoHeads().loss(both, given).backward()
    logits, embedding = both.get("logits"), both.get("embedding")
    assert logits.grad is not None
    assert embedding.grad is not None
    assert not logits.grad[2:].any()
    assert embedding.grad[2:].any()
    plain, undecided = (TwoHeads(undecided=u).loss(both, given) for u in (0.0, 0.5))
    expected = 0.5 * kl_from_uniform(logits[2:])
    assert (undecided - plain).item() == pytest.approx(expected.item(), rel=1e-9)


def test_it_asks_for_both_heads_and_one_training_teaches_both() -> None:
    torch.manual_seed(0)
    objective = TwoHeads(metric=Ranking(dim=4))
    network = LeNet(**objective.head_sizes(2), hidden=16)
    images = torch.rand(2, 1, 28, 28).repeat_interleave(4, dim=0) + 0.1 * torch.rand(8, 1, 28, 28)
    labels = torch.tensor([0, 1]).repeat_interleave(4)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        objective.loss(network(images), labels).backward()
        optimizer.step()
    found = network(images)
    assert CrossEntropy().loss(found, labels) < 0.05
    assert Ranking().loss(found, labels) < 0.05
    torch.testing.assert_close(found.get("embedding").norm(dim=1), torch.ones(8))


def test_settings_hold_those_of_the_metric_loss_and_one_rule() -> None:
    written = json.loads(json.dumps(TwoHeads(metric=Contrastive(margin=4.0)).to_dict()))
    assert (written["name"], written["metric"]["name"]) == ("two_heads", "contrastive")
    assert written["metric"]["margin"] == 4.0
    assert written["rule"]["name"] == "BalancedBatches"
    assert "rule" not in written["metric"]
    assert TwoHeads(metric=Contrastive(margin=4.0)).scale == 4.0


@pytest.mark.parametrize("settings", [{"weight": 0.0}, {"undecided": -1.0}])
def test_weights_must_be_weights(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected the first above 0, the second 0 or more"):
        TwoHeads(**settings)  # type: ignore[arg-type]
