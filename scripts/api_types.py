"""Write moesif_middleware/api/types.py from docs/management-api.openapi.json: one TypedDict per schema.

``python -m scripts.api_types`` writes the file, ``--check`` fails when it differs from what would be written.
``load`` gives the document with the slips of the published file put right, each by a rule below.
"""

from __future__ import annotations

import argparse
import json
import keyword
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs" / "management-api.openapi.json"
TARGET = ROOT / "moesif_middleware" / "api" / "types.py"

# Type names that leaked from the server's own language into the published file.
LEAKED: dict[str, dict[str, Any]] = {
    "array[string]": {"type": "array", "items": {"type": "string"}},
    "collection.immutable.map[string,string]": {"type": "object", "additionalProperties": {"type": "string"}},
    "collection.immutable.map[string,scala.double]": {"type": "object", "additionalProperties": {"type": "number"}},
    "util.either[scala.long,string]": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    "double": {"type": "number"},
}
# Schemas that are referred to under a name that the file does not define.
EMAIL_TEMPLATE = "com.moesif.docdb.emailtemplates.EmailTemplateDocument"
STRINGS = ("_id", "org_id", "app_id", "created_at", "modified_at")
# The keystore stands in the reference alone ("Keystore").
ENCRYPTED_KEY = ("_id", "org_id", "app_id", "type", "month", "from", "to", "encrypted_key", "created_at", "modified_at")
SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}

HEAD = '''"""The documents of the Management API as TypedDicts (reference, "Management API v1", the schemas).

Generated from docs/management-api.openapi.json by ``python -m scripts.api_types``; do not edit.
Fields that the schema does not require are NotRequired. Date-times are ISO 8601 strings.
"""

from typing import Any, NotRequired, TypedDict
'''


def load(path: Path = SOURCE) -> dict[str, Any]:
    """Return the OpenAPI document with leaked types, lost schemas and malformed contents put right."""
    document: dict[str, Any] = json.loads(path.read_text())
    schemas = document["components"]["schemas"]
    schemas["object"] = {"type": "object"}
    for name in [name for name in schemas if name.startswith("search")]:
        for lost in [key for key in schemas[name] if key.endswith("_response_d_t_o")]:
            schemas[lost.partition("_")[0] + "ResponseDTO"] = schemas[name].pop(lost)
    template = json.loads(json.dumps(schemas["EmailTemplateCreateItem"]))
    template["properties"] = {name: {"type": "string"} for name in STRINGS} | template["properties"]
    schemas[EMAIL_TEMPLATE] = template
    schemas["EncryptedKeyDocument"] = {"properties": {name: {"type": "string"} for name in ENCRYPTED_KEY}}
    for operations in document["paths"].values():
        for operation in operations.values():
            _repair(operation)
    repaired: dict[str, Any] = _typed(document)
    return repaired


def _repair(operation: dict[str, Any]) -> None:
    # The organisation is the ``~`` of the path, so orgId has no place of its own; some names kept their backticks.
    operation["parameters"] = [
        item | {"name": item["name"].strip("`")} for item in operation.get("parameters", []) if item["name"] != "orgId"
    ]
    for answer in operation["responses"].values():
        if not isinstance(answer.get("content"), dict):
            answer.pop("content", None)


def _typed(node: Any) -> Any:
    if isinstance(node, list):
        return [_typed(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(kind := node.get("type"), str) and kind in LEAKED:
        node = {key: value for key, value in node.items() if key != "type"} | LEAKED[kind]
    if "properties" in node and "type" not in node:
        node = node | {"type": "object"}
    if "$ref" in node:
        node = {"$ref": node["$ref"]}
    return {key: _typed(value) for key, value in node.items()}


def class_name(schema: str) -> str:
    """Return the TypedDict's name for a schema's: CapWords, without the package it came from."""
    words = re.split(r"[^0-9A-Za-z]+", schema.rpartition(".")[2])
    return "".join(word[:1].upper() + word[1:] for word in words).replace("Searchcompanys", "SearchCompanies")


class Writer:
    """Collects classes in an order in which each stands after those that it names."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self.schemas = schemas
        self.written: dict[str, str] = {}
        self.origin = {class_name(name): f"Schema ``{name}``." for name in schemas}

    def schema(self, name: str) -> str:
        """Write a named schema, once, and return its type expression."""
        if name == "object":
            return "dict[str, Any]"
        if (own := class_name(name)) not in self.written:
            self.typed_dict(own, self.schemas[name])
        return own

    def expression(self, schema: dict[str, Any], name: str) -> str:
        """Return the type expression of a schema; ``name`` is what an inline object would be called."""
        if reference := schema.get("$ref"):
            return self.schema(reference.rpartition("/")[2])
        if "anyOf" in schema:
            return " | ".join(self.expression(item, name) for item in schema["anyOf"])
        if schema.get("type") == "array":
            return f"list[{self.expression(schema['items'], name)}]"
        if schema.get("properties"):
            return self.typed_dict(name, schema)
        if schema.get("type") == "object":
            values = schema.get("additionalProperties")
            return f"dict[str, {self.expression(values, name) if values else 'Any'}]"
        return SCALARS[schema["type"]]

    def typed_dict(self, name: str, schema: dict[str, Any]) -> str:
        """Write one class, in the call form when a key is no Python name."""
        required = set(schema.get("required", ()))
        fields = {}
        for key, value in schema["properties"].items():
            kind = self.expression(value, name + class_name(key))
            fields[key] = kind if key in required else f"NotRequired[{kind}]"
        if any(keyword.iskeyword(key) for key in fields):
            body = "".join(f'        "{key}": {kind},\n' for key, kind in fields.items())
            self.written[name] = f'{name} = TypedDict(\n    "{name}",\n    {{\n{body}    }},\n)'
        else:
            body = "".join(f"    {key}: {kind}\n" for key, kind in fields.items())
            note = self.origin.get(name, "An object inside another.")
            self.written[name] = f'class {name}(TypedDict):\n    """{note}"""\n\n{body}'
        return name


def render(document: dict[str, Any]) -> str:
    """Return the text of types.py for a document of ``load``."""
    writer = Writer(document["components"]["schemas"])
    for name in sorted(writer.schemas, key=str.lower):
        writer.schema(name)
    names = ", ".join(f'"{name}"' for name in sorted(writer.written))
    text = "\n\n".join([HEAD, *writer.written.values(), f"__all__ = [{names}]\n"])
    return formatted(text)


def formatted(text: str) -> str:
    """Return Python source as ``ruff format`` writes it."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Write the file or, with ``--check``, say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    text = render(load())
    if parser.parse_args().check:
        same = TARGET.exists() and TARGET.read_text() == text
        print(f"{TARGET.relative_to(ROOT)} is {'up to date' if same else 'stale: run python -m scripts.api_types'}")
        return 0 if same else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
