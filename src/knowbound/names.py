"""What a user may say: the names of objectives, networks and detectors, with a line on each.

The command line builds its choices from here, without torch.  The tables that turn a name into a
part are ``knowbound.objectives.OBJECTIVES`` and ``knowbound.detectors.DETECTORS``.
"""

from typing import Literal

ObjectiveName = Literal[
    "odm",
    "ml",
    "ce",
    "confidence",
    "oe",
    "two_heads",
    "triplet",
    "semihard_triplet",
    "n_pair",
    "lifted_structure",
    "histogram",
    "angular",
    "ranking",
    "multi_similarity",
]
OBJECTIVES: dict[ObjectiveName, str] = {
    "odm": "contrastive loss with a folder of out-of-distribution images (the paper's ODM)",
    "ml": "contrastive loss without any outliers, made ones neither (the paper's ML)",
    "ce": "cross-entropy",
    "confidence": "cross-entropy, and undecided on out-of-distribution images (confidence loss)",
    "oe": "cross-entropy, and undecided on out-of-distribution images (outlier exposure)",
    "two_heads": "cross-entropy on one head, contrastive loss on another",
    "triplet": "triplet network's loss (Hoffer and Ailon)",
    "semihard_triplet": "triplet loss with a margin, on semi-hard triplets (FaceNet)",
    "n_pair": "N-pair loss (Sohn)",
    "lifted_structure": "lifted structure loss (Song et al.)",
    "histogram": "histogram loss (Ustinova and Lempitsky)",
    "angular": "angular loss (Wang et al. 2017)",
    "ranking": "triplet loss with a margin, on all triplets (deep ranking)",
    "multi_similarity": "multi-similarity loss; needs knowbound[metric-learning]",
}

BackboneName = Literal[
    "auto",
    "lenet",
    "wrn-16-2",
    "wrn-28-10",
    "efficientnet-lite0",
    "efficientnet-lite1",
    "efficientnet-lite2",
]
BACKBONES: dict[BackboneName, str] = {
    "auto": "lenet for small grey images; else the best of a short comparison on your pictures",
    "lenet": "LeNet: small grey images",
    "wrn-16-2": "wide residual network of 16 layers, width 2",
    "wrn-28-10": "wide residual network of 28 layers, width 10; expensive on a CPU",
    "efficientnet-lite0": "trained on ImageNet photographs and frozen; knowbound[photographs]",
    "efficientnet-lite1": "the same, larger; its package is named where it is missing",
    "efficientnet-lite2": "the same, larger still; its package is named where it is missing",
}

DetectorName = Literal[
    "centre_and_stages",
    "energy",
    "extreme_value_signature",
    "k_nearest",
    "mahalanobis",
    "max_softmax",
    "nearest_centre",
    "null_space",
    "odin",
    "one_vs_set",
    "openmax",
    "relative_centre",
    "relative_mahalanobis",
    "stage_mahalanobis",
    "two_heads",
    "vim",
]
DETECTORS: dict[DetectorName, str] = {
    "centre_and_stages": "distances to the centre and of all blocks, in one score",
    "energy": "free energy of the logits",
    "extreme_value_signature": "which dimensions of the features are extreme",
    "k_nearest": "distance to the k-th nearest training image",
    "mahalanobis": "Mahalanobis distance to the nearest class",
    "max_softmax": "one minus the largest softmax probability",
    "nearest_centre": "Euclidean distance to the nearest class centre (the paper's)",
    "null_space": "distance in the null space of the classes",
    "odin": "softmax at a temperature, of images moved by a gradient (ODIN)",
    "one_vs_set": "depth in the slab of a class between two planes (1-vs-set machine)",
    "openmax": "OpenMax: the probability of an unknown class",
    "relative_centre": "distance to the nearest class centre, less that to all centres",
    "relative_mahalanobis": "Mahalanobis distance to the nearest class, less that to all images",
    "stage_mahalanobis": "Mahalanobis distance of the activations of all blocks",
    "two_heads": "class from the logits, score as centre_and_stages",
    "vim": "energy, and what the principal space of the features leaves over (ViM)",
}
