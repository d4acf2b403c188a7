"""Published networks, images -> ``Outputs``, one file each.  ``BACKBONES`` names those a saved model
may hold."""

from knowbound.backbones.backbone import Backbone as Backbone
from knowbound.backbones.backbone import OwnNetwork as OwnNetwork
from knowbound.backbones.backbone import as_backbone as as_backbone
from knowbound.backbones.efficientnet_lite import EfficientNetLite as EfficientNetLite
from knowbound.backbones.ensemble import Ensemble as Ensemble
from knowbound.backbones.given_features import GivenFeatures as GivenFeatures
from knowbound.backbones.lenet import LeNet as LeNet
from knowbound.backbones.pretrained import Pretrained as Pretrained
from knowbound.backbones.vgg import VGG13 as VGG13
from knowbound.backbones.wide_resnet import WideResNet as WideResNet

BACKBONES: dict[str, type[Backbone]] = {
    "efficientnet_lite": EfficientNetLite,
    "ensemble": Ensemble,
    "lenet": LeNet,
    "pretrained": Pretrained,
    "vgg13": VGG13,
    "wide_resnet": WideResNet,
}
