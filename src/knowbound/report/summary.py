"""What an evaluation found, in plain words."""

from scipy.special import bdtr, bdtrc

from knowbound.evidence import Evidence, JudgedSet
from knowbound.judgement.acceptance_range import rounded_outwards
from knowbound.labels import Decision, Kind
from knowbound.report.decisions import class_accuracy, counted, decision_rows
from knowbound.report.what_if import three_way

RIGHT = {Kind.NOVELTY: "novelties", Kind.ANOMALY: "anomalies"}
WHAT = ("known pictures", "novelties", "anomalies")
CHANCE = 0.025
"""With which few test images look as if a promise were broken on one side."""
LOW = 5
"""Classes with the lowest acceptance that are named."""


def summary(evidence: Evidence) -> tuple[str, ...]:
    """One sentence on the known images, one on their classes, and one on each other set.

    Args:
        evidence: of one model.
    """
    sentences = [_known(evidence)]
    if len(evidence.class_names) > 1 and (evidence.in_set.labels >= 0).any():
        sentences.append(_classes(evidence))
    return (*sentences, *map(_unknown, evidence.out_sets))


def told_apart(evidence: Evidence) -> tuple[str, ...]:
    """How well novelties and anomalies are told apart: how often the word is right for each kind,
    and one sentence on each set of anomalies.

    Args:
        evidence: of one model; none where it was shown no anomalies or no novelties.
    """
    table = three_way(evidence, tuple(row.counts for row in decision_rows(evidence)))
    if len(table) < 3:
        return ()
    shares = [row[i] / sum(row) for i, row in enumerate(table.values()) if sum(row)]
    words = [f"{_percent(share)} of {name}" for share, name in zip(shares, WHAT, strict=False)]
    novelties = [out.name for out in evidence.out_sets if out.kind is Kind.NOVELTY]
    sentences = [f"The right word was said of {', '.join(words[:-1])} and {words[-1]}."]
    for row in evidence.results:
        if row.kind_auroc is not None and row.convention == evidence.results[0].convention:
            sentences.append(
                f"Of a picture of {' or '.join(novelties)} and one of {row.out_dist}, the second "
                f"looked less like what was taught in {_percent(row.kind_auroc)} of all pairs "
                "(AUROC, novelty against anomaly)."
            )
    return tuple(sentences)


def confusion_lines(evidence: Evidence) -> tuple[str, ...]:
    """The three-way confusion as lines of text.

    Args:
        evidence: of one model.

    Returns:
        A heading, then a line for the known images, the novelties and the anomalies, as far as
        there are any.
    """
    table = three_way(evidence, tuple(row.counts for row in decision_rows(evidence)))
    heading = f"{'':16}" + "".join(f"{f'said {said}':>14}" for said in map(str, Decision))
    names = dict(zip(map(str, Decision), WHAT, strict=True))
    lines = (
        f"{names[truth].capitalize():16}" + "".join(f"{count:>14,}" for count in row)
        for truth, row in table.items()
    )
    return (heading, *lines)


def acceptance_by_class(evidence: Evidence) -> list[tuple[str, int, float]]:
    """How many test images of each class are accepted.

    Args:
        evidence: of one model.

    Returns:
        (class, test images, share of them that is accepted), the least accepted class first.
    """
    labels = evidence.in_set.labels
    accepted = evidence.in_set.judgement.decision == 0
    rows = [
        (name, int((labels == label).sum()), float(accepted[labels == label].mean()))
        for label, name in enumerate(evidence.class_names)
        if (labels == label).any()
    ]
    return sorted(rows, key=lambda row: row[2])


def _known(evidence: Evidence) -> str:
    judged, (low, high) = evidence.in_set, evidence.promise["range"]
    count = int((judged.judgement.decision == 0).sum())
    accepted = count / max(1, len(judged))
    kept = _kept(count, len(judged), low, high)
    promised = f", {kept} ({' to '.join(rounded_outwards(low, high))})"
    overall, among_known = class_accuracy(evidence)
    text = (
        f"Of {len(judged):,} pictures of known classes {_percent(accepted)} were accepted"
        f"{promised if evidence.promise['images'] else ''}"
    )
    if among_known is not None and overall is not None:
        text += f"; {_percent(among_known)} of those got the right class"
    return f"{text}."


def _kept(accepted: int, images: int, low: float, high: float) -> str:
    """Whether so many of the images could be accepted by a model whose acceptance is in the
    range: few images scatter around it."""
    if bdtr(accepted, images, low) < CHANCE:
        return "fewer than promised"
    if accepted and bdtrc(accepted - 1, images, high) < CHANCE:
        return "more than promised"
    return "as promised"


def _classes(evidence: Evidence) -> str:
    rows = acceptance_by_class(evidence)[:LOW]
    named = ", ".join(f"{name} {_percent(share)} of {images:,}" for name, images, share in rows)
    return f"Least accepted classes: {named}."


def _unknown(judged: JudgedSet) -> str:
    counts = dict(zip(Decision, counted(judged), strict=True))
    total = len(judged)
    rejected = total - counts[Decision.KNOWN]
    kind = judged.kind or Kind.NOVELTY
    right = counts[Decision(str(kind))]
    text = f"Of {total:,} pictures of {judged.name} {rejected:,} were rejected"
    if rejected:
        text += f", {right:,} of them called {RIGHT[kind]} ({_percent(right / rejected)})"
    return f"{text}; {counts[Decision.KNOWN]:,} passed for known."


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def examples(evidence: Evidence, count: int = 10) -> list[tuple[str, str]]:
    """A few pictures and what was said of them, the sets taking turns.

    Args:
        evidence: of one model.
        count: how many.

    Returns:
        (what a picture is, what was said of it) of each.
    """
    sets, rows = (evidence.in_set, *evidence.out_sets), []
    for turn in range(count):
        judged = sets[turn % len(sets)]
        index = turn // len(sets) * max(1, len(judged) // count)
        if index < len(judged):
            rows.append((_truth(evidence, judged, index), _said(evidence, judged, index)))
    return rows


def _truth(evidence: Evidence, judged: JudgedSet, index: int) -> str:
    if judged.kind is None:
        return f"known class {evidence.class_names[judged.labels[index]]}"
    return f"{judged.kind}: {judged.name}"


def _said(evidence: Evidence, judged: JudgedSet, index: int) -> str:
    decision = str(judged.decisions[index])
    name = evidence.class_names[judged.judgement.nearest[index]]
    return f"{decision}, class {name}" if decision == str(Decision.KNOWN) else decision
