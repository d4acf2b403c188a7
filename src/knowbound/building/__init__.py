"""From images to a calibrated boundary: on a network that is trained, or on a frozen one."""

from knowbound.building.base import train_base as train_base
from knowbound.building.frozen import Embedded as Embedded
from knowbound.building.frozen import FrozenNetwork as FrozenNetwork
from knowbound.building.frozen import FrozenParts as FrozenParts
from knowbound.building.frozen import build_frozen as build_frozen
from knowbound.building.parts import Base as Base
from knowbound.building.parts import Chosen as Chosen
from knowbound.building.parts import OnStep as OnStep
from knowbound.building.parts import Parts as Parts
from knowbound.building.parts import Trainer as Trainer
from knowbound.building.trained import Built as Built
from knowbound.building.trained import build as build
