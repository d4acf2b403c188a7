"""All benchmarks in turn: ``python -m benchmarks [--quick]``."""

import runpy
import sys
from pathlib import Path

for script in sorted(Path(__file__).parent.glob("bench_*.py")):
    print(f"\n## {script.stem}\n", flush=True)
    sys.argv[0] = str(script)
    runpy.run_path(str(script), run_name="__main__")
