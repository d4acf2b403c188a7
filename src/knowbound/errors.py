"""The user's mistakes: each a clear sentence, exit code 2 on the command line."""


class UserError(ValueError):
    """Something the user gave cannot be used.  The message says what came, what was expected, and
    what to do."""
