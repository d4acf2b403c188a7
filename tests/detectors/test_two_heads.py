"""The score of the centre and every block, the class of the logits."""

import torch

from knowbound.detectors import CentreAndStages, TwoHeads
from knowbound.objectives.choice import make_objective
from knowbound.outputs import Outputs
from knowbound.workflows.settings import usual_detector


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


def test_it_judges_networks_of_two_heads_where_no_detector_is_named() -> None:
    names = ("ce", "ml", "odm", "two_heads", "oe")
    made = {name: make_objective(name, outs=name not in ("ce", "ml")) for name in names}
    few = {name: usual_detector(objective) for name, objective in made.items()}
    assert set(few.values()) == {"max_softmax", "nearest_centre"}
    usual = {name: usual_detector(objective, plenty=True) for name, objective in made.items()}
    assert usual == {
        "ce": "max_softmax",
        "ml": "centre_and_stages",
        "odm": "centre_and_stages",
        "two_heads": "two_heads",
        "oe": "max_softmax",
    }
