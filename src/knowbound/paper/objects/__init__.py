"""Table 1: SVHN and CIFAR-10."""
