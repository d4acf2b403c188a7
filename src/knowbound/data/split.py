"""Who plays which role: what is in, what is shown as out, and what is only met at test."""

from dataclasses import dataclass, replace

from knowbound.data.source import Source
from knowbound.labels import Kind


@dataclass(frozen=True, eq=False)
class OutSet:
    """Out-of-distribution images and their kind, which the split declares (it cannot be
    computed)."""

    source: Source
    kind: Kind

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name


@dataclass(frozen=True, eq=False)
class Split:
    """In-distribution images in three parts, and the out sets shown in training or kept for the
    test.

    Attributes:
        name: of the split, as rows and models carry it.
        train: the backbone and the detector learn from it.
        validation: thresholds and every choice; the same class names in the same order.
        test: touched once; the same class names.  The three have no image in common.
        seen_out: shown in training without labels.
        unseen_out: only met at test, each with a name of its own.

    Raises:
        ValueError: class names, image shapes or names of out sets do not fit together.
    """

    name: str
    train: Source
    validation: Source
    test: Source
    seen_out: tuple[OutSet, ...] = ()
    unseen_out: tuple[OutSet, ...] = ()

    def __post_init__(self) -> None:
        for part in (self.validation, self.test):
            if part.class_names != self.train.class_names:
                raise ValueError(
                    f"{part.name!r} has the classes {part.class_names}; expected "
                    f"{self.train.class_names}, as in training"
                )
        everything = [
            self.train,
            self.validation,
            self.test,
            *(o.source for o in (*self.seen_out, *self.unseen_out)),
        ]
        shapes = {source.image_shape for source in everything}
        if len(shapes) > 1:
            raise ValueError(
                f"split {self.name!r} mixes the image shapes {sorted(shapes)}; bring all to one "
                "with Preprocessing.apply"
            )
        names = [o.name for o in self.unseen_out]
        if len(set(names)) < len(names):
            raise ValueError(
                f"out sets of {self.name!r} are named {names}; expected a name of its own for each"
            )

    def without_seen_out(self) -> "Split":
        """The same split with no out image in training: the whole difference between ODM and ML."""
        return replace(self, seen_out=())
