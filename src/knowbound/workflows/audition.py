"""Which network a folder gets, measured on its own images: held-out images of some classes, and
classes that are left out."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowbound._version import __version__
from knowbound.backbones import Backbone
from knowbound.boundary.batches import image_batches
from knowbound.building import Base
from knowbound.building.frozen import Embedded, FrozenNetwork
from knowbound.data.feature_cache import cache_folder
from knowbound.data.group_hold_out import hold_out_groups
from knowbound.data.groups import group_images
from knowbound.data.pictures.folder import FolderRead
from knowbound.data.pictures.picture_lists import Listing
from knowbound.data.source import Source
from knowbound.detectors.choice import make_detector
from knowbound.detectors.detector import Detector, class_means
from knowbound.errors import UserError
from knowbound.files import remove_kept, replace_file
from knowbound.metrics import auroc
from knowbound.outputs import Field
from knowbound.training import train
from knowbound.training.loop import Progress
from knowbound.values import JsonMapping, JsonObject

JUDGED = 600
"""Pictures that a frozen network is given at most, spread evenly over the classes."""
TRAINED = {False: 4000, True: 1000}
"""Pictures that a network is trained on at most: of large ones (True) fewer, as they are read for
it alone."""
LEFT_OUT = 1 / 3
"""Share of the classes that no candidate learns."""
HELD_OUT = 0.3
"""Share of each other class that the candidates are judged on."""
REST = 0.5
"""Share of the errors that a whole training takes away from one of no steps: the other steps of a
training that was tried for a fifth take away 0.4.  Measured in docs/photographs.md."""
VIEWS, BATCH = 100, 96
"""A trial shows each picture about so many times at most, in batches of so many pictures: more would
tell little of a small set."""
ENOUGH = 0.97
"""A mark of a survey at which nothing else is tried."""
IN_TURN = 20
"""Classes that a survey leaves out in turn at most."""
EACH_IN_TURN = "each class in turn"
"""What was left out in a survey."""


READ: tuple[Field, ...] = ("features",)
"""What the detector of a head reads."""


@dataclass(frozen=True)
class Head:
    """What is put on a frozen network.

    Attributes:
        pooling: of its features; None where it has one alone.
        detector: its name.
    """

    pooling: str | None
    detector: str

    def __str__(self) -> str:
        """In words, such as "relative_centre on features of the middle"."""
        return self.detector + pooling_words(self.pooling)


def pooling_words(pooling: str | None) -> str:
    """What a detector reads, to follow its name; nothing where there is no choice.

    Args:
        pooling: of the features.
    """
    if pooling is None:
        return ""
    return " on features of the middle" if pooling == "middle" else f" on {pooling} features"


@dataclass(frozen=True)
class Trial:
    """How a candidate did.

    Attributes:
        backbone: its name.
        pixels: side of the images it was given.
        how: what was done, such as "frozen" or "420 steps".
        accuracy: share of the held-out images of known classes that got their class.
        novelty_auroc: of held-out images of known classes against left-out classes; None where no
            class could be left out.
        seconds: that it took when it was measured.
        trained: share of its whole training that it had; 1 where nothing is trained.
        remembered: whether it was measured before, by the same command.
    """

    backbone: str
    pixels: int
    how: str
    accuracy: float
    novelty_auroc: float | None
    seconds: float
    trained: float = 1.0
    remembered: bool = False

    @property
    def expected(self) -> float:
        """The mark after the whole training: the other steps take away a share of the errors."""
        return 1 - (1 - self.mark) * (1 - REST * (1 - self.trained))

    @property
    def mark(self) -> float:
        """Mean of the two rates, or the one there is."""
        if self.novelty_auroc is None:
            return self.accuracy
        return (self.accuracy + self.novelty_auroc) / 2

    def __str__(self) -> str:
        """The numbers in percent."""
        novelty = "" if self.novelty_auroc is None else f", novelty AUROC {self.novelty_auroc:.1%}"
        before = " (measured before)" if self.remembered else f" ({self.seconds:.0f} s)"
        return (
            f"{self.backbone}, {self.pixels} pixels, {self.how}: accuracy {self.accuracy:.1%}"
            f"{novelty}{before}"
        )


@dataclass(frozen=True)
class Audition:
    """What was tried, what was chosen, and why.

    Attributes:
        chosen: name of the network.
        reason: a sentence.
        trials: in the order they were held; empty where nothing had to be measured.
        surveyed: heads on frozen networks, each class left out in turn.
        head: of the chosen network; None where it is trained, or nothing was surveyed.
        left_out: names of the classes that no candidate learned, or ``EACH_IN_TURN``.
        known, new: pictures of known and of left-out classes that the candidates were judged on.
    """

    chosen: str
    reason: str
    trials: tuple[Trial, ...] = ()
    left_out: tuple[str, ...] = ()
    known: int = 0
    new: int = 0
    surveyed: tuple[Trial, ...] = ()
    head: Head | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """For people: each trial in a line, and the choice."""
        if not self.trials:
            return (self.reason,) if self.reason else ()
        left = f" and {self.new} of {', '.join(self.left_out)}, left out" if self.left_out else ""
        if self.left_out == (EACH_IN_TURN,):
            left = f", {EACH_IN_TURN} left out"
        others = [trial for trial in self.surveyed if trial not in self.trials]
        return (
            *((f"Heads on frozen networks, {EACH_IN_TURN} left out:",) if others else ()),
            *(f"  {trial}" for trial in others),
            f"Audition on {self.known} held-out pictures{left}:",
            *(f"  {trial}" for trial in self.trials),
            self.reason,
        )

    def to_dict(self) -> JsonObject:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Stage:
    """The images of an audition: which are learned, and which are judged.

    small: as the trained network takes them, labels of all classes; large: some of them as the
    frozen network takes them; shared: (L,) which image of ``small`` each of ``large`` is;
    known: labels of the classes that are learned; judged: (L,) which of ``large`` are held out.
    """

    small: FolderRead
    large: FolderRead
    shared: NDArray[np.int64]
    groups: NDArray[np.int64]
    known: NDArray[np.int64]
    judged: NDArray[np.bool_]

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """(L,) which of ``large`` are of a learned class."""
        return np.isin(self.large.source.labels, self.known)

    @property
    def names(self) -> list[str]:
        """Of the learned classes."""
        return [self.large.source.class_names[label] for label in self.known]

    @property
    def learned_small(self) -> Source:
        """What the trained network learns: no image of a group that is judged."""
        judged = np.unique(self.groups[self.shared[self.judged & self.is_known]])
        free = ~np.isin(self.groups, judged)
        labels = self.small.source.labels
        mine = self.small.source.take(np.flatnonzero(free & np.isin(labels, self.known)))
        return mine.take_classes([self.small.source.class_names[label] for label in self.known])


def sample_listing(listing: Listing, most: int) -> Listing:
    """At most about ``most`` files of a listing, as many of each class as there are of it up to an
    equal share, evenly spaced.

    Args:
        listing: with classes.
        most: files.
    """
    classes = np.array(listing.classes)
    share = max(1, most // max(1, len(listing.class_names)))
    kept: list[int] = []
    for name in listing.class_names:
        own = np.flatnonzero(classes == name)
        spaced = np.linspace(0, len(own) - 1, min(share, len(own))).round().astype(int)
        kept += own[spaced].tolist() if len(own) else []
    kept.sort()
    return Listing(
        [listing.files[k] for k in kept],
        [listing.classes[k] for k in kept],
        list(listing.class_names),
    )


@dataclass(frozen=True, eq=False)
class Survey:
    """How a frozen network does on every class: what costs nothing once its features are there.

    accuracy: of held-out images, all classes learned; novelty_auroc: mean over the classes, each
    left out in turn (of many classes ``IN_TURN``), of its images against held-out images of the
    others; None for two classes; alike: (C,) the class whose mean is nearest to that of each; held:
    (L,) which images were held out.
    """

    accuracy: float
    novelty_auroc: float | None
    alike: NDArray[np.int64]
    held: NDArray[np.bool_]

    @property
    def is_enough(self) -> bool:
        """Whether nothing else need be tried: both rates were measured and are high on average."""
        novelty = self.novelty_auroc
        return novelty is not None and (self.accuracy + novelty) / 2 >= ENOUGH


def survey(
    vectors: Tensor,
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    make: Callable[[], Detector],
    seed: int,
) -> Survey | None:
    """What leaving out each class in turn shows; None where a class has too few images.

    Leaving out one draw of classes says little: where two classes are alike, all depends on whether
    one of them stays.

    Args:
        vectors: (L, R) what the detector reads of the images.
        labels: (L,) in 0..C-1.
        groups: (L,) of the images that belong together.
        make: makes a fresh detector.
        seed: of the draw of held-out images.
    """
    classes = int(labels.max(initial=-1)) + 1
    try:
        positions = hold_out_groups(labels, groups, HELD_OUT, np.random.default_rng([seed, 8]))
    except UserError:
        return None
    held = np.zeros(len(labels), dtype=bool)
    held[positions] = True
    whole = _taught(make(), vectors, labels, ~held)
    accuracy = float(np.mean(whole.classify(vectors[held]).numpy() == labels[held]))
    novelty = []
    drawn = np.random.default_rng([seed, 10]).permutation(classes)[:IN_TURN]
    for label in drawn.tolist() if classes > 2 else ():
        out = labels == label
        others = np.delete(np.arange(classes), label)
        detector = _taught(make(), vectors, np.searchsorted(others, labels), ~held & ~out)
        scores = detector.score(vectors).double().numpy()
        novelty.append(float(auroc(scores[held & ~out], scores[out])))
    rate = float(np.mean(novelty)) if novelty else None
    return Survey(accuracy, rate, _most_alike(vectors, labels), held)


def _most_alike(vectors: Tensor, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(C,) the class whose mean vector (C, R) is nearest to that of each; itself where it is
    alone."""
    means = class_means(vectors, torch.from_numpy(labels))
    apart = torch.cdist(means, means).fill_diagonal_(math.inf)
    nearest: NDArray[np.int64] = apart.argmin(dim=1).numpy()
    return nearest


def _taught(
    detector: Detector, vectors: Tensor, labels: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> Detector:
    names = [str(label) for label in range(int(labels[chosen].max()) + 1)]
    detector.learn(vectors[chosen], torch.from_numpy(labels[chosen]), names)
    return detector


def set_stage(
    small: FolderRead,
    large: FolderRead,
    group_by: str,
    seed: int,
    alike: NDArray[np.int64] | None = None,
) -> Stage | None:
    """Which classes are left out and which images are judged; None where a class has too few.

    A class is not left out together with the one that it is most alike: the classes that nobody
    taught are like those that somebody did.

    Args:
        small: as the trained network takes them.
        large: of the same files or some of them.
        group_by: as in ``group_images``.
        seed: of the draw.
        alike: (C,) the class that each is most alike; None: not known.
    """
    rng = np.random.default_rng([seed, 7])
    place = {path: index for index, path in enumerate(small.paths)}
    classes = len(large.source.class_names)
    same = small.source.class_names == large.source.class_names
    if classes < 2 or not same or set(large.paths) - set(place):
        return None
    shared = np.array([place[path] for path in large.paths], dtype=np.int64)
    groups = group_images(small.source, list(small.paths), group_by).ids
    left = left_out_classes(rng.permutation(classes), alike)
    known = np.setdiff1d(np.arange(classes), left)
    labels = large.source.labels
    inside = np.flatnonzero(np.isin(labels, known))
    relabelled = np.searchsorted(known, labels[inside])
    try:
        held = hold_out_groups(relabelled, groups[shared[inside]], HELD_OUT, rng)
    except UserError:
        return None
    judged = ~np.isin(labels, known)
    judged[inside[held]] = True
    return Stage(small, large, shared, groups, known, judged)


def left_out_classes(
    order: NDArray[np.int64], alike: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """The classes that no candidate learns: a share of them, none together with the one that it is
    most alike.

    Args:
        order: (C,) the classes, in the order in which they are asked.
        alike: (C,) the class that each is most alike; None: not known.
    """
    left: list[int] = []
    for label in order.tolist():
        if len(left) == int(LEFT_OUT * len(order)):
            break
        others = [] if alike is None else [int(alike[label]), *np.flatnonzero(alike == label)]
        if not set(others) & set(left):
            left.append(label)
    return np.array(left, dtype=np.int64)


def try_frozen(stage: Stage, frozen: FrozenNetwork, head: Head, embedded: Embedded) -> Trial:
    """How a frozen network does.

    Args:
        stage: the images.
        frozen: the network, with the head's pooling.
        head: that is put on it.
        embedded: what the network said of ``stage.large``.
    """
    detector = make_detector(head.detector, READ)
    start = time.monotonic()
    vectors = detector.read(embedded.outputs)
    learned = torch.from_numpy(stage.is_known & ~stage.judged)
    labels = torch.from_numpy(np.searchsorted(stage.known, stage.large.source.labels))
    detector.learn(vectors[learned], labels[learned], stage.names)
    accuracy, novelty = _judged(stage, detector, vectors)
    seconds = embedded.seconds + time.monotonic() - start
    return frozen_trial(frozen, head, accuracy, novelty, seconds, not embedded.computed)


def frozen_trial(
    frozen: FrozenNetwork,
    head: Head,
    accuracy: float,
    novelty: float | None,
    seconds: float,
    remembered: bool,
) -> Trial:
    """The trial of a frozen network.

    Args:
        frozen: the network.
        head: that was put on it.
        accuracy: on held-out images.
        novelty: the AUROC against left-out classes, or None.
        seconds: that it took.
        remembered: whether no image was embedded for it.
    """
    how = f"frozen, {head}"
    return Trial(frozen.name, frozen.side, how, accuracy, novelty, seconds, remembered=remembered)


def try_trained(
    stage: Stage,
    backbone_name: str,
    make: Callable[..., Backbone],
    base: Base,
    detector: Detector,
    share: float,
    on_step: Callable[[Progress], None] | None = None,
) -> Trial:
    """How a network that is trained from nothing does after a share of its usual training.

    What was measured is kept beside the cached features, so the same command does not train again.

    Args:
        stage: the images.
        backbone_name: of the network.
        make: from the heads' sizes, as keyword arguments, to a network with fresh weights.
        base: what it is trained with, on known images alone, with the steps of the whole training.
        detector: a fresh one.
        share: of the steps.
        on_step: called after every step.
    """
    assert base.training is not None
    learned = stage.learned_small
    training = replace(base.training, steps=trial_steps(base.training.steps, share, len(learned)))
    place = _memory_of(
        {
            "network": backbone_name,
            "training": asdict(training),
            "objective": base.objective.to_dict(),
            "learned": learned.sha256(),
            "judged": stage.large.sha256,
            "held": stage.judged.tolist(),
            "torch": torch.__version__,
            "version": __version__,
        }
    )
    kept = _remembered(place)
    if kept is not None:
        return kept
    start = time.monotonic()
    torch.manual_seed(training.seed)
    network = make(**base.objective.head_sizes(len(learned.class_names)))
    said = (lambda step: on_step(replace(step, stage="audition"))) if on_step else None
    train(network, learned, [], base.objective, training, on_step=said)
    detector.learn(
        _vectors(network, detector, learned),
        torch.from_numpy(learned.labels),
        learned.class_names,
    )
    shown = stage.small.source.take(stage.shared)
    accuracy, novelty = _judged(stage, detector, _vectors(network, detector, shown))
    trial = Trial(
        backbone_name,
        learned.image_shape[1],
        f"{training.steps} steps from nothing",
        accuracy,
        novelty,
        time.monotonic() - start,
        training.steps / base.training.steps,
    )
    _remember(place, trial)
    return trial


def trial_steps(steps: int, share: float, pictures: int) -> int:
    """Steps of a trial: a share of all, but no more than show each picture about ``VIEWS`` times.

    Args:
        steps: of the whole training.
        share: above 0, at most 1.
        pictures: that are learned.
    """
    return max(1, min(round(share * steps), math.ceil(VIEWS * pictures / BATCH)))


@torch.no_grad()
def _vectors(network: Backbone, detector: Detector, source: Source) -> Tensor:
    parts = [
        detector.read(network(images, stages=True).float()).cpu()
        for images in image_batches(network, source)
    ]
    return torch.cat(parts)


def _judged(stage: Stage, detector: Detector, vectors: Tensor) -> tuple[float, float | None]:
    """Accuracy and novelty AUROC on the judged images; vectors: (L, R) of all of ``large``."""
    known = stage.is_known & stage.judged
    labels = np.searchsorted(stage.known, stage.large.source.labels)
    said = detector.classify(vectors[torch.from_numpy(known)]).numpy()
    accuracy = float(np.mean(said == labels[known]))
    new = ~stage.is_known
    if not new.any():
        return accuracy, None
    scores = detector.score(vectors).double().numpy()
    return accuracy, float(auroc(scores[known], scores[new]))


def kept_trials() -> list[Path]:
    """The files of what trials gave."""
    return sorted(_trials().glob("*.json"))


def empty_trials() -> int:
    """Remove what trials gave; how many bytes that freed.

    Raises:
        UserError: a file cannot be removed.
    """
    return remove_kept(kept_trials())


def _trials() -> Path:
    return cache_folder() / "auditions"


def _memory_of(what: JsonMapping) -> Path:
    digest = sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()
    return _trials() / f"{digest}.json"


def _remembered(place: Path) -> Trial | None:
    """What was measured before; None where nothing was, or the file is damaged."""
    try:
        return replace(Trial(**json.loads(place.read_bytes())), remembered=True)
    except (OSError, ValueError, TypeError):
        return None


def _remember(place: Path, trial: Trial) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, json.dumps(asdict(trial)).encode())
    except (OSError, UserError):
        return  # it is measured again another time


def judged(
    stage: Stage, trials: Sequence[Trial], surveyed: Sequence[Trial] = (), head: Head | None = None
) -> Audition:
    """What came of an audition.

    Args:
        stage: its images.
        trials: of the frozen network, and of one that was trained.
        surveyed: heads on frozen networks.
        head: of the frozen network.
    """
    chosen, reason = choose(trials)
    names = stage.large.source.class_names
    return Audition(
        chosen,
        reason,
        tuple(trials),
        tuple(name for label, name in enumerate(names) if label not in stage.known),
        int((stage.judged & stage.is_known).sum()),
        int((~stage.is_known).sum()),
        tuple(surveyed),
        head if chosen == trials[0].backbone else None,
    )


def enough(
    trial: Trial, held: int, surveyed: Sequence[Trial] = (), head: Head | None = None
) -> Audition:
    """What came of a survey that left nothing to be tried.

    Args:
        trial: of the frozen network, each class left out in turn.
        held: pictures held out.
        surveyed: heads on frozen networks, the chosen one too.
        head: of the frozen network.
    """
    return Audition(
        trial.backbone,
        f"Network: {trial.backbone}; with {trial.mark:.1%} on average little is left to win by a "
        "training, so none was tried.",
        (trial,),
        (EACH_IN_TURN,),
        held,
        surveyed=tuple(surveyed),
        head=head,
    )


def choose(trials: Sequence[Trial]) -> tuple[str, str]:
    """The name of the network of the best expected mark, and why.

    Args:
        trials: of the frozen network, and of one that was trained.
    """
    frozen, other = trials
    name = frozen.backbone if frozen.mark >= other.expected else other.backbone
    return name, (
        f"Network: {name}; {frozen.backbone} has {frozen.mark:.1%} on average, {other.backbone} "
        f"{other.mark:.1%} and about {other.expected:.1%} expected of its whole training."
    )
