"""The OpenAPI 3.1 document of the API, made of its operations: it says what they check."""

from collections.abc import Iterable, Iterator, Mapping
from inspect import getdoc
from typing import Any, Literal

from pydantic import TypeAdapter

from streamsr.core.version import version_of_streamsr
from streamsr.serve.api.operations import BODY_TYPES, ApiOperation
from streamsr.serve.api.problems import PROBLEM_TYPE, Problem

__all__ = ["document"]

Json = dict[str, Any]
Kind = tuple[str, Literal["validation", "serialization"], TypeAdapter[Any]]

REFERENCE = "#/components/schemas/{model}"
TITLE = "streamsr"
ABOUT = (
    "Steers and watches a node's cameras. What changes something takes a token of the role "
    "`control`. Whatever goes wrong is answered as RFC 9457 has it."
)
FAULTS = {
    400: "The request cannot be read",
    401: "A token is needed",
    403: "The token is for viewing alone, or the request came from another site",
    404: "There is no such thing",
    409: "It cannot be done as things stand",
    413: "The body is too large",
    415: "The body is of another type",
    422: "A value is not allowed",
    429: "Too many requests, or wrong tokens",
}
ALWAYS = (401, 403, 429)


def document(operations: Iterable[ApiOperation]) -> Json:
    """Returns the document; the addresses in it are relative to its own."""
    found = list(operations)
    kinds: list[Kind] = [("problem", "validation", TypeAdapter(Problem))]
    for operation in found:
        kinds += _kinds_of(operation)
    refs, shared = TypeAdapter.json_schemas(kinds, ref_template=REFERENCE)
    models = shared.get("$defs", {})
    schemas = {key: ref for (key, _), ref in refs.items()}
    for operation in found:
        if operation.query is not None:
            query = models.pop(operation.query.__name__)["properties"]
            schemas |= {f"{operation.name} ?{name}": schema for name, schema in query.items()}
    paths: dict[str, Json] = {}
    for operation in found:
        described = _described(operation, schemas)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": version_of_streamsr(), "description": ABOUT},
        "servers": [{"url": "."}],
        "security": [{"bearer": []}, {"basic": []}, {}],
        "paths": paths,
        "components": {
            "schemas": models,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _kinds_of(operation: ApiOperation) -> Iterator[Kind]:
    """The types that an operation takes and gives, each under a key of its own."""
    for name in operation.in_path:
        yield f"{operation.name} {name}", "validation", TypeAdapter(operation.hints[name])
    if operation.query is not None:
        yield f"{operation.name} ?", "validation", TypeAdapter(operation.query)
    if operation.body is not None:
        yield f"{operation.name} body", "validation", TypeAdapter(operation.body)
    if operation.answer is not None:
        yield f"{operation.name} answer", "serialization", TypeAdapter(operation.answer)


def _described(operation: ApiOperation, schemas: Mapping[str, Json]) -> Json:
    """One operation's part of the document."""
    summary = (getdoc(operation.handler) or "").partition("\n")[0].removesuffix(".")
    parts: Json = {"operationId": operation.name, "summary": summary}
    if operation.control:
        parts["description"] = "It takes a token of the role `control`."
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": schemas[f"{operation.name} {name}"],
        }
        for name in operation.in_path
    ]
    for name in operation.query.model_fields if operation.query is not None else ():
        schema = schemas[f"{operation.name} ?{name}"]
        parameters.append({"name": name, "in": "query", "required": False, "schema": schema})
    if parameters:
        parts["parameters"] = parameters
    if operation.body is not None:
        content = {"schema": schemas[f"{operation.name} body"]}
        types = BODY_TYPES[operation.method]
        parts["requestBody"] = {"required": True, "content": dict.fromkeys(types, content)}
    answer: Json = {"description": summary}
    if operation.media:
        schema = schemas.get(f"{operation.name} answer", {})
        answer["content"] = {operation.media: {"schema": schema}}
    fault = {"content": {PROBLEM_TYPE: {"schema": schemas["problem"]}}}
    parts["responses"] = {
        str(operation.status): answer,
        **{str(status): {"description": text} for status, text in operation.others.items()},
        **{str(status): {"description": FAULTS[status]} | fault for status in _faults(operation)},
        "default": {"description": "Whatever else went wrong"} | fault,
    }
    return parts


def _faults(operation: ApiOperation) -> Iterator[int]:
    """The statuses by which an operation may refuse."""
    bodies = (400, 413, 415) if operation.body is not None else ()
    queries = (422,) if operation.query is not None or operation.body is not None else ()
    missing = (404,) if operation.in_path else ()
    yield from sorted({*ALWAYS, *bodies, *queries, *missing, *((409,) * operation.control)})
