"""A Management API made from docs/management-api.openapi.json: it checks every request against the file and answers
an example of the schema. It listens on loopback, for real.

``answer_next`` queues an answer that comes before the next one, ``requests`` records what came.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator

from scripts.api_types import load

KEY = "management-key"
TIMES = re.compile(r"now|[-+]?\d+[smhdwM]")


def document():
    """The file, with what the reference adds to it: the keystore, and time_zone wherever there is a time to look at."""
    found = load()
    key = {"$ref": "#/components/schemas/EncryptedKeyDocument"}
    blank = {"in": "path", "name": "keyId", "required": True, "schema": {"type": "string"}}
    moment = {"type": "string", "format": "date-time"}
    times = [
        {"in": "query", "name": name, "required": False, "schema": schema}
        for name, schema in (("from", moment), ("to", moment), ("type", {"type": "string"}))
    ]
    found["paths"]["/~/keystore"] = {
        "post": operation("create", "201", key, body={"$ref": "#/components/schemas/object"}),
        "get": operation("read", "200", {"type": "array", "items": key}, *times),
    }
    found["paths"]["/~/keystore/{keyId}"] = {"get": operation("read", "200", key, blank)}
    return found


def operation(scope, status, answer, *parameters, body=None):
    found = {"parameters": list(parameters), "responses": {status: {"content": content(answer)}}}
    found["security"] = [{"managementAPIToken": [f"{scope}:encrypted_keys"]}]
    return found | ({"requestBody": {"required": True, "content": content(body)}} if body else {})


def content(schema):
    return {"application/json": {"schema": schema}}


def operations(source=None):
    """Yield (verb, path, operation) for each operation of the file."""
    for path, verbs in (source or document())["paths"].items():
        for verb, found in verbs.items():
            yield verb.upper(), path, found


def schema_of(message):
    return ((message.get("content") or {}).get("application/json") or {}).get("schema")


class Examples:
    """Examples of schemas, and whether a document fits one."""

    def __init__(self, source):
        self.components = source["components"]

    def example(self, schema):
        if reference := schema.get("$ref"):
            return self.example(self.components["schemas"][reference.rpartition("/")[2]])
        if "anyOf" in schema:
            return self.example(schema["anyOf"][0])
        if "enum" in schema:
            return schema["enum"][0]
        match schema.get("type"):
            case "array":
                return [self.example(schema["items"])]
            case "object":
                values = schema.get("additionalProperties")
                found = {name: self.example(value) for name, value in schema.get("properties", {}).items()}
                return found | ({"name": self.example(values)} if values else {})
            case "string":
                return "2024-02-06T04:45:42.914Z" if schema.get("format") == "date-time" else "text"
            case "integer" | "number":
                return 7
            case "boolean":
                return True
        raise AssertionError(schema)

    def errors(self, schema, value):
        validator = Draft202012Validator({**schema, "components": self.components})
        return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(value)]


@dataclass
class Seen:
    verb: str
    path: str
    query: list
    body: object
    headers: dict


@dataclass
class Canned:
    status: int
    body: bytes = b"{}"
    headers: dict = field(default_factory=dict)


class Stub:
    def __init__(self, prefix="/v1"):
        self.source = document()
        self.examples = Examples(self.source)
        self.prefix = prefix
        self.requests = []
        self.canned = deque()
        self.routes = [
            (re.compile(re.sub(r"\\{\w+\\}", "([^/]+)", re.escape(path))), verb, path, found)
            for verb, path, found in operations(self.source)
        ]
        # What has no blank wins over what has one.
        self.routes.sort(key=lambda route: route[2].count("{"))

    def answer_next(self, status, body=b"{}", **headers):
        self.canned.append(Canned(status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    def answer(self, seen):
        if self.canned:
            canned = self.canned.popleft()
            return canned.status, canned.body, canned.headers
        if seen.headers.get("authorization") != f"Bearer {KEY}":
            return self.refuse(401, "Unauthorized: the key is missing the scope read:events")
        if not seen.path.startswith(self.prefix):
            return self.refuse(404, f"no such path: {seen.path}")
        path = seen.path.removeprefix(self.prefix)
        matching = [route for route in self.routes if route[0].fullmatch(path)]
        if not matching:
            return self.refuse(404, f"no such path: {path}")
        fitting = [route for route in matching if route[1] == seen.verb]
        return self.serve(fitting[0][3], seen) if fitting else self.refuse(405, f"no {seen.verb} there")

    def refuse(self, status, message):
        return status, json.dumps({"error": {"message": message}}).encode(), {"x-request-id": "request-1"}

    def serve(self, found, seen):
        wrong = [*self.wrong_query(found, seen.query), *self.wrong_body(found, seen.body)]
        if wrong:
            return self.refuse(400, "; ".join(wrong))
        status, described = next(iter(found["responses"].items()))
        schema = schema_of(described)
        body = b"" if schema is None or status == "204" else json.dumps(self.examples.example(schema)).encode()
        return int(status), body, {"content-type": "application/json"}

    def wrong_query(self, found, query):
        known = {item["name"]: item for item in found["parameters"] if item["in"] == "query"}
        given = [name for name, _ in query]
        yield from (f"{name} is required" for name, item in known.items() if item["required"] and name not in given)
        for name, value in query:
            if name == "time_zone" and "from" in known:
                continue
            if name not in known:
                yield f"{name} is not a parameter"
            elif not fits(known[name]["schema"], value):
                yield f"{name}={value} is no {known[name]['schema']}"

    def wrong_body(self, found, body):
        schema = schema_of(found.get("requestBody") or {})
        if schema is None:
            return [] if body is None else ["takes no body"]
        if body is None:
            return ["a body is required"]
        if found.get("operationId") == "batchCreateSubscriptions":  # the file forgot that a batch is an array
            schema = {"type": "array", "items": schema}
        return self.examples.errors(schema, body)


def fits(schema, value):
    match schema.get("type"):
        case "integer":
            return value.isdigit()
        case "boolean":
            return value in {"true", "false"}
    if schema.get("format") != "date-time" or TIMES.fullmatch(value):
        return True
    try:
        return bool(datetime.fromisoformat(value))
    except ValueError:
        return False


@contextmanager
def serving(stub):
    """Yield the stub and the base URL where threads serve it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self):
            url = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            raw = gzip.decompress(raw) if self.headers.get("content-encoding") == "gzip" else raw
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = parse_qsl(url.query, keep_blank_values=True)
            seen = Seen(self.command, url.path, query, json.loads(raw) if raw else None, headers)
            stub.requests.append(seen)
            status, body, more = stub.answer(seen)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = handle_one  # noqa: N815  # the names http.server looks for

        def log_message(self, *args):
            """Tests are silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


__all__ = ["KEY", "Canned", "Stub", "document", "operations", "schema_of", "serving"]
