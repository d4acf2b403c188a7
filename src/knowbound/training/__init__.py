"""How a backbone is trained: settings, the loop, its checkpoints, its pace and its processes."""

from knowbound.training.loop import Trained as Trained
from knowbound.training.loop import describe_hardware as describe_hardware
from knowbound.training.loop import train as train
from knowbound.training.settings import Training as Training
