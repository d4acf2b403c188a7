"""The user's mistakes and a training that cannot continue: each a clear sentence, exit code 2."""


class UserError(ValueError):
    """Something the user gave cannot be used.

    The message says what came, what was expected, and what to do.
    """


class TrainingStoppedError(RuntimeError):
    """The training cannot continue: the loss is not a number, or all embeddings are one point.

    The message says what to do.
    """
