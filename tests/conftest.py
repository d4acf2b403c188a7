"""Small networks on small images are fastest on one thread, and several test processes then share
the cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from knowbound.memory import keep_freed_memory

torch.set_num_threads(1)
keep_freed_memory()
