"""Parts judged by Ray Data: on all cores of this machine, or on those of a cluster."""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from knowbound.data.pictures.parts import Part
from knowbound.errors import UserError
from knowbound.memory import keep_freed_memory
from knowbound.product.any_model import load_model
from knowbound.values import JsonMapping, JsonObject
from knowbound.workflows.kept_parts import KeptParts, write_part

LOCAL = "local"
"""The address of a cluster that is started on this machine and ends with the run."""
BLOCKS = 10_000
"""At most so many tasks; beyond it one takes several parts."""
ANSWER = 10.0
"""Seconds in which a cluster must answer."""
STORE = 256 * 1024**2
"""Bytes of shared memory of a local cluster: only names and numbers of parts pass through it."""


def judge_parts(
    model: Path,
    parts: Sequence[Part],
    kept: KeptParts,
    *,
    address: str = LOCAL,
    on_part: Callable[[int], None] | None = None,
) -> None:
    """Judge the parts that are not finished yet, each by one worker, which writes its table.

    Every worker loads the model once and has one core.  A worker that dies is started again and its
    parts are judged again; as a part has one place, it counts once.  The rows are those of one
    process: a part is judged alone, wherever that is.

    Model, pictures and the folder of the parts must be at the same paths on every machine of the
    cluster, and this package installed there.

    Args:
        model: the folder or file of the model.
        parts: all parts of the run.
        kept: where they go.
        address: ``local``, ``auto``, or that of a running cluster.
        on_part: called in this process after every part with the number of its rows.

    Raises:
        UserError: Ray is not installed, the cluster cannot be reached, or a part cannot be written.
    """
    ray = _ray()
    missing = kept.missing()
    if not missing:
        return
    model, folder = Path(os.path.abspath(model)), kept.folder
    items = [
        {"part": parts[number], "path": str(folder / kept.path(number).name)} for number in missing
    ]
    with _cluster(ray, address):
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        blocks = min(len(items), BLOCKS)
        work = ray.data.from_items(items, override_num_blocks=blocks).map(
            _Worker,
            fn_constructor_kwargs={"model": str(model), "place": os.getcwd()},
            compute=ray.data.ActorPoolStrategy(size=min(cores, blocks)),
            num_cpus=1,
        )
        try:
            for done in work.iter_rows():
                if on_part:
                    on_part(int(done["rows"]))
        except Exception as error:  # Ray raises classes of its own around ours
            raise _own(ray, error) from error


class _Worker:
    """Judges parts in a process of Ray."""

    def __init__(self, model: str, place: str) -> None:
        keep_freed_memory()
        os.chdir(place)  # relative paths of pictures, and the rows that name them, stay as given
        self.judge = load_model(Path(model))

    def __call__(self, item: JsonMapping) -> JsonObject:
        """Write the table of one part, and say how many rows it has."""
        rows = write_part(self.judge, item["part"], Path(item["path"]), decoders=1)
        return {"rows": rows}


@contextmanager
def _cluster(ray: Any, address: str) -> Iterator[None]:
    """A block with Ray running; what was running before stays."""
    if ray.is_initialized():
        yield
        return
    _check_reachable(address)
    local = {"num_cpus": os.cpu_count(), "object_store_memory": STORE, "include_dashboard": False}
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="error",
            **(local if address == LOCAL else {}),
        )
    except Exception as error:  # its own classes, by what went wrong
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"no cluster of Ray at {address} ({reason}); check the address, or leave it out for "
            "one on this machine"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ask whether something answers at HOST:PORT, where Ray itself would ask for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"no cluster of Ray at {address} ({error.args[-1]}); check the address, or leave it out "
            "for one on this machine"
        ) from error


def _own(ray: Any, error: Exception) -> Exception:
    """What a worker raised, where it is a sentence for the user; else the error itself."""
    inside: BaseException | None = error
    while inside is not None:
        if isinstance(inside, ray.exceptions.RayTaskError) and isinstance(inside.cause, Exception):
            return _own(ray, inside.cause)
        if isinstance(inside, UserError):
            return UserError(str(inside))
        inside = inside.__cause__
    return error


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what it says goes to its own files
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError(
            "--ray needs Ray, which is not installed; pip install 'knowbound[ray]'"
        ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray
