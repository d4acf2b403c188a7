"""``python -m knowbound``, and ``torchrun -m knowbound`` for several processes: the command
line."""

from knowbound.cli import main

if __name__ == "__main__":
    main()
