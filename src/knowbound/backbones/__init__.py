"""Published networks, images -> embeddings, one file each.  ``BACKBONES`` names those a saved model may hold."""

from knowbound.backbones.backbone import Backbone as Backbone
from knowbound.backbones.lenet import LeNet as LeNet
from knowbound.backbones.vgg import VGG13 as VGG13
from knowbound.backbones.wide_resnet import WideResNet as WideResNet

BACKBONES = {"lenet": LeNet, "vgg13": VGG13, "wide_resnet": WideResNet}
