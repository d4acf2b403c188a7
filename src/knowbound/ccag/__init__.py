"""CC-AG (Lee et al., ICLR 2018): a classifier trained together with a network that makes its out
images."""

from knowbound.ccag.generator import Generator as Generator
from knowbound.ccag.settings import CIFAR10 as CIFAR10
from knowbound.ccag.settings import SVHN as SVHN
from knowbound.ccag.settings import CcagTraining as CcagTraining
from knowbound.ccag.training import CcagProgress as CcagProgress
from knowbound.ccag.training import CcagTrained as CcagTrained
from knowbound.ccag.training import train_ccag as train_ccag
