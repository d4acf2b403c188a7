"""What /openapi.json says of bodies and answers, from the columns of ``predict``."""

from knowbound.values import JsonObject
from knowbound.workflows.predict import COLUMNS, NUMBERS

Schema = JsonObject


def _of(schema: Schema, kind: str = "application/json") -> Schema:
    return {"content": {kind: {"schema": schema}}}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


_TEXT: Schema = {"type": "string"}
_ROW = _object(
    **{
        column: {"type": ["number" if column in NUMBERS else "string", "null"]}
        for column in COLUMNS
    }
)
_ROW["properties"]["verdict"] = {"enum": ["known", "novelty", "anomaly", None]}
_MODEL = _object(name=_TEXT, version=_TEXT, classes={"type": "array", "items": _TEXT})
_ERROR = _of(_object(error=_TEXT))
_FILE: Schema = {"type": "string", "format": "binary"}
ANSWER: Schema = {
    "description": "A row for each picture, in order, with the columns of `knowbound predict`. A "
    "threshold without bound is null. A picture that cannot be read has an error instead of a "
    "verdict; where none can be read the answer is 422.",
    **_of(_object(model=_TEXT, version=_TEXT, verdicts={"type": "array", "items": _ROW})),
}
MODELS: Schema = {
    "description": "Names, versions and classes of the models, the first being asked where none is "
    "named, and the limits of a request.",
    **_of(_object(models={"type": "array", "items": _MODEL}, limits={"type": "object"})),
}
BODY: Schema = {
    "required": True,
    "description": "One picture as it is, or several as the files of a form.",
    "content": {
        "multipart/form-data": {
            "schema": _object(file={"type": "array", "items": _FILE}),
        },
        "image/*": {"schema": _FILE},
        "application/octet-stream": {"schema": _FILE},
    },
}


def _query(name: str, meaning: str) -> Schema:
    return {"name": name, "in": "query", "description": meaning, "schema": _TEXT}


MODEL_PARAMETER = _query("model", "Name of the model; the first where it is left out.")
NAME_PARAMETER = _query("name", "Of a picture that is the whole body, for its row.")
STATUSES: dict[int | str, Schema] = {
    status: {"description": meaning, **_ERROR}
    for status, meaning in (
        (400, "The form or the request is not whole, or holds no picture."),
        (401, "The token is missing or wrong."),
        (403, "The page of another site sent it."),
        (404, "There is no such model."),
        (408, "The body did not arrive in time."),
        (413, "Too many bytes or pictures."),
        (415, "A body of another type."),
        (422, "No picture in it can be read."),
        (503, "Busy: ask again after the seconds of Retry-After."),
    )
}
