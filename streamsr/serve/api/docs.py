"""The page of the API's document: plain HTML, without scripts or anything from elsewhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

__all__ = ["STYLE", "page_of"]

Json = Mapping[str, Any]

STYLE = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .25rem; overflow-wrap: anywhere; }
h2 b { display: inline-block; min-width: 4.5rem; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid #8888; padding: .25rem .75rem .25rem 0; vertical-align: top; }
td:first-child { width: 14rem; overflow-wrap: anywhere; }
details { margin: .25rem 0; }
summary { cursor: pointer; }
a { color: inherit; }
"""


def page_of(document: Json) -> str:
    """Returns a page that shows an OpenAPI document."""
    info, schemas = document["info"], document["components"]["schemas"]
    body = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}: its API</h1>",
        f"<p>{_text(info['description'])} The document: "
        '<a href="openapi.json">openapi.json</a>, OpenAPI 3.1.</p>',
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body += _operation(method, path, operation)
    body.append("<h1>What is sent and answered</h1>")
    for name, schema in schemas.items():
        body += _schema(name, schema)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(info["title"])}: API</title><link rel="stylesheet" href="docs.css">'
        "</head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _operation(method: str, path: str, operation: Json) -> Iterator[str]:
    name = escape(operation["operationId"])
    yield f'<h2 id="{name}"><b>{method.upper()}</b> <code>{escape(path)}</code></h2>'
    about = f"{operation['summary']}. {operation.get('description', '')}"
    yield f"<p>{_text(about)}</p>"
    rows = [
        (f"{p['name']}, in the {p['in']}", _kind(p["schema"]))
        for p in operation.get("parameters", [])
    ]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        rows.append((f"body, {kind}", _kind(content["schema"])))
    yield _table(rows)
    answers = []
    for status, answer in operation["responses"].items():
        kinds = [
            f"{escape(media)} {_kind(content['schema'])}"
            for media, content in answer.get("content", {}).items()
        ]
        answers.append((status, f"{_text(answer['description'])}: {', '.join(kinds)}"))
    yield f"<details><summary>Answers</summary>{_table(answers)}</details>"


def _schema(name: str, schema: Json) -> Iterator[str]:
    yield f'<h2 id="{escape(name)}"><code>{escape(name)}</code></h2>'
    yield f"<p>{_text(schema.get('description', ''))}</p>"
    needed = schema.get("required", ())
    rows = [
        (key + (" (needed)" if key in needed else ""), _kind(value))
        for key, value in schema.get("properties", {}).items()
    ]
    yield _table(rows) if rows else f"<p>{_kind(schema)}</p>"


def _kind(schema: Json) -> str:
    """A schema in a few words, as HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}"><code>{name}</code></a>'
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in values)
    words = [escape(str(schema.get("type", "anything")))]
    if "items" in schema:
        words.append(f"of {_kind(schema['items'])}")
    keys = ("pattern", "format", "minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength")
    words += [f"{key} <code>{escape(str(schema[key]))}</code>" for key in keys if key in schema]
    if schema.get("default") is not None:
        words.append(f"default <code>{escape(str(schema['default']))}</code>")
    return ", ".join(words)


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{escape(key)}</td><td>{value}</td></tr>" for key, value in rows)
    return f"<table>{cells}</table>" if rows else ""


def _text(text: str) -> str:
    """A sentence as HTML, `code` in it."""
    parts = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if n % 2 else p for n, p in enumerate(parts))
