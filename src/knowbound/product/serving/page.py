"""The pages in the browser, which need no network but the service itself."""

import base64
import hashlib
import re
from html import escape
from importlib.resources import files

from knowbound.values import JsonMapping

PAGE = (files("knowbound.product.serving") / "page.html").read_text(encoding="utf-8")
"""To drop pictures on."""


def _hashes(page: str, tag: str) -> str:
    inside = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = (hashlib.sha256(one.encode()).digest() for one in inside)
    return " ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in digests)


PAGE_POLICY = (
    f"default-src 'none'; script-src {_hashes(PAGE, 'script')}; style-src {_hashes(PAGE, 'style')}; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What the browser lets these pages do: run their own script and style, ask the service."""
_STYLE = re.findall(r"<style>.*?</style>", PAGE, re.DOTALL)[0]


def reference_page(openapi: JsonMapping) -> str:
    """The paths of the service as one page, without a script.

    Args:
        openapi: as /openapi.json gives it.

    Returns:
        HTML.
    """
    parts = [
        _operation(path, method, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    title = f"{openapi['info']['title']} {openapi['info']['version']}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: requests</title>{_STYLE}</head><body><main>"
        f"<h1>{escape(title)}</h1><p>{escape(openapi['info']['description'])} The same for "
        'programs: <a href="/openapi.json">/openapi.json</a>. <a href="/">Drop pictures</a>.</p>'
        f"{''.join(parts)}</main></body></html>"
    )


def _operation(path: str, method: str, operation: JsonMapping) -> str:
    given = [
        (one["name"], f"in the {one['in']}. {one['description']}")
        for one in operation.get("parameters", ())
    ]
    body = operation.get("requestBody")
    if body:
        given.append(("body", f"{body['description']} Types: {', '.join(body['content'])}."))
    answers = [(status, said["description"]) for status, said in operation["responses"].items()]
    return (
        f"<section><h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('summary', ''))}</p>"
        f"{_table('Takes', given)}{_table('Answers', answers)}</section>"
    )


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(meaning)}</td></tr>'
        for name, meaning in rows
    )
    return f'<div class="wide"><table><caption>{title}</caption>{lines}</table></div>'
