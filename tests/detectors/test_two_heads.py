"""The score of the centre and every block, the class of the logits."""

import torch

from knowbound.detectors import CentreAndStages, TwoHeads
from knowbound.objectives.choice import make_objective
from knowbound.outputs import Outputs
from knowbound.workflows.settings import usual_detectors


def outputs(seed: int) -> Outputs:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(60) % 3
    return Outputs(
        stages=torch.randn(60, 7, generator=generator) + 2 * torch.eye(3, 7)[labels],
        embedding=torch.randn(60, 4, generator=generator) + 9 * torch.eye(3, 4)[labels],
        logits=torch.randn(60, 3, generator=generator),
    )


def test_score_of_one_head_class_of_the_other() -> None:
    labels = torch.arange(60) % 3
    train, test = outputs(0), outputs(1)
    both, centre = TwoHeads(), CentreAndStages()
    both.learn(both.read(train), labels)
    centre.learn(centre.read(train), labels)
    torch.testing.assert_close(both.score(both.read(test)), centre.score(centre.read(test)))
    expected = [max(range(3), key=row.__getitem__) for row in test.get("logits").tolist()]
    assert both.classify(both.read(test)).tolist() == expected
    assert both.classify(both.read(test)).tolist() != centre.classify(centre.read(test)).tolist()
    assert both.centres_in("embedding") is not None


def test_it_comes_into_question_for_networks_of_two_heads() -> None:
    names = ("ce", "ml", "odm", "two_heads", "oe")
    made = {name: make_objective(name, outs=name not in ("ce", "ml")) for name in names}
    usual = {name: usual_detectors(objective) for name, objective in made.items()}
    assert usual == {
        "ce": ("max_softmax",),
        "ml": ("nearest_centre", "centre_and_stages"),
        "odm": ("nearest_centre", "centre_and_stages"),
        "two_heads": ("nearest_centre", "two_heads"),
        "oe": ("max_softmax",),
    }
