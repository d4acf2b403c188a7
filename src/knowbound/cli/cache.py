"""What is kept on disk so that the same need not be computed twice."""

from typing import Annotated

import typer

from knowbound.cli.console import console


def cache(
    empty: Annotated[bool, typer.Option("--empty", help="Remove everything that is kept.")] = False,
) -> None:
    """Show what is kept on disk, features of frozen networks, trials of networks and fine-tuned
    networks, or remove it. Removing it costs only time.

    **Examples**

        knowbound cache

        knowbound cache --empty
    """
    from knowbound.building.kept_tunings import empty_tunings, kept_tunings
    from knowbound.data.feature_cache import FeatureCache
    from knowbound.workflows.audition.kept_trials import empty_trials, kept_trials

    kept, shown = FeatureCache(), console()
    if empty:
        freed = kept.empty() + empty_trials() + empty_tunings()
        shown.print(f"{freed / 1e6:,.1f} MB removed from {kept.folder.parent}.", markup=False)
        return
    usage = kept.usage()
    total = sum(one.size for one in usage)
    for one in usage:
        shown.print(
            f"{one.size / 1e6:8,.1f} MB  {one.rows:9,} pictures  {one.network}", markup=False
        )
    trials, tuned = len(kept_trials()), [path.stat().st_size for path in kept_tunings()]
    shown.print(
        f"{total / 1e6:,.1f} MB of features of {len(usage)} "
        f"{'network' if len(usage) == 1 else 'networks'} and {trials} "
        f"{'trial' if trials == 1 else 'trials'} of auditions in {kept.folder.parent}; at most "
        f"{kept.limit / 1e9:,.1f} GB are kept, then the features used least recently are removed."
        + (f" {len(tuned)} fine-tuned take {sum(tuned) / 1e6:,.1f} MB." if tuned else ""),
        markup=False,
    )
