"""All benchmarks in turn as one table: ``python -m benchmarks [--quick]``."""

import importlib
import sys
import time
from pathlib import Path

from knowbound.training.loop import describe_hardware


def main() -> None:
    """Print the table."""
    import torch

    began, quickly = time.perf_counter(), "--quick" in sys.argv
    print(
        f"{describe_hardware(torch.device('cpu'))}; torch {torch.__version__}; Python "
        f"{sys.version.split()[0]}\n"
    )
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        print(f"\n## {path.stem.removeprefix('bench_')}\n", flush=True)
        importlib.import_module(f"benchmarks.{path.stem}").main(quickly)
    print(f"\n{(time.perf_counter() - began) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
