"""A trained network on disk, until the model that it is a part of is whole."""

import json
from pathlib import Path

from knowbound.backbones import Backbone
from knowbound.files import replace_file
from knowbound.values import JsonMapping, JsonObject


def load_network(path: Path, backbone: Backbone, settings: JsonMapping) -> JsonObject | None:
    """Give a network the weights that were kept.

    Args:
        path: of the file.
        backbone: to be loaded, in place.
        settings: what the note must agree with, as JSON values.

    Returns:
        The note that was kept with it; None without a file, or with one of other settings.
    """
    from safetensors import safe_open

    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        note: JsonObject = json.loads(file.metadata()["note"])
        if {name: note.get(name) for name in settings} != json.loads(json.dumps(settings)):
            return None  # of other settings
        names = list(file.keys())
        backbone.load_state_dict({name: file.get_tensor(name) for name in names})
    return note


def keep_network(path: Path, backbone: Backbone, note: JsonMapping) -> None:
    """Write a network's weights and a note, replacing the file whole.

    Args:
        path: of the file.
        backbone: trained.
        note: as JSON values.

    Raises:
        UserError: the place cannot be written.
    """
    from safetensors.torch import save

    tensors = {name: value.contiguous() for name, value in backbone.state_dict().items()}
    replace_file(path, save(tensors, {"note": json.dumps(note)}))
