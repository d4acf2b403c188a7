"""How CC-AG is trained, and the published values for two data sets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CcagTraining:
    """How the three networks are trained; the defaults are those of the released code for SVHN.

    steps: batches; images: in a batch; beta: weight of both KL terms; learning_rate: Adam's for all
    three, times 0.1 after ``drop_at`` of the steps; noise: length of the generator's input; width:
    of generator and discriminator; sheets: how many times 64 images of the same noise are kept to
    look at, the last after the last step; checkpoint_every: steps. No weight decay, no
    augmentation.
    """

    steps: int = 57_233
    images: int = 128
    beta: float = 1.0
    learning_rate: float = 2e-4
    drop_at: float = 0.6
    noise: int = 100
    width: int = 64
    sheets: int = 6
    seed: int = 0
    checkpoint_every: int = 1000

    def __post_init__(self) -> None:
        if self.steps < 1 or self.images < 2 or not self.learning_rate > 0 or not self.beta >= 0:
            raise ValueError(
                f"{self.steps} steps of {self.images} images at rate {self.learning_rate} with "
                f"beta {self.beta} were asked for; expected 1 step or more of 2 images or more "
                "(batch norm needs two), a rate above 0 and a beta of 0 or more"
            )

    def rate_at(self, step: int) -> float:
        """The learning rate of a step.

        Args:
            step: 0..steps-1.
        """
        return self.learning_rate * (0.1 if step >= self.drop_at * self.steps else 1.0)

    def sheet_steps(self) -> list[int]:
        """After how many steps sheets are drawn, at equal intervals."""
        return sorted({-(-self.steps * (k + 1) // self.sheets) for k in range(self.sheets)})


SVHN = CcagTraining()
"""100 epochs of the 73,257 training images."""
CIFAR10 = CcagTraining(steps=78_125, images=64, beta=0.1)
"""100 epochs of the 50,000 training images."""
