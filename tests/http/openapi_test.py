#!/usr/bin/env python3
"""openapi_test.py ISSUERD ROUTES.C ANSWERS: the API's document is true.

It is sound OpenAPI 3.1 and says of tokens what token.openapi.json, the contract, says; every route of
ROUTES.C is in it and it has no other, and a started server agrees; and every answer in the directory
ANSWERS, kept by the tests before this one (tests/support/answers.h), is one that it lists. Requests
that http_request() cannot make, such as those of http.framing, are not among them.
"""
import collections
import datetime
import http.client
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse

import jsonschema

CONTRACT = pathlib.Path(__file__).with_name("token.openapi.json")
CONF = """
[issuer]
url = https://issuer.example
environment = development
[public]
listen = 127.0.0.1:0
[admin]
listen = 127.0.0.1:0
client_secret_file = {dir}/secret
[store]
url = sqlite:{dir}/issuerd.db
[signer main]
uri = file:{dir}/key.pem
"""
NO_ROUTE = 10007
BEFORE_ROUTES = {400, 403, 408, 431, 503}  # head and connection are judged before path and method
WITHOUT_BODY = {304}
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
FORMATS = jsonschema.FormatChecker()
ANNOTATIONS = {"double"}  # formats that say nothing which could be checked

problems = []


def check(holds, problem):
    if not holds:
        problems.append(problem)
    return holds


# ---- formats: jsonschema passes over those whose library is not installed ----


@FORMATS.checks("date-time", raises=ValueError)
def is_date_time(value):
    if not isinstance(value, str):
        return True
    if not re.fullmatch(r"[0-9-]{10}T[0-9:]{8}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})", value):
        return False
    return datetime.datetime.fromisoformat(value) is not None


@FORMATS.checks("uri", raises=ValueError)
def is_uri(value):
    if not isinstance(value, str):
        return True
    parts = urllib.parse.urlsplit(value)
    return parts.scheme != "" and parts.hostname is not None and " " not in value


# ---- a server ----


class Server:
    """issuerd with a key in a file."""

    def __init__(self, program, directory):
        subprocess.run(
            ["openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-out", f"{directory}/key.pem"], check=True)
        pathlib.Path(directory, "secret").write_text("a secret of sixteen or more\n")
        for name in "key.pem", "secret":
            pathlib.Path(directory, name).chmod(0o600)
        conf = pathlib.Path(directory, "issuerd.conf")
        conf.write_text(CONF.format(dir=directory))
        self.process = subprocess.Popen([program, "--config", conf], stdout=subprocess.PIPE,
                                        text=True)
        ready = self.process.stdout.readline()
        ports = re.findall(r"127\.0\.0\.1:(\d+)", ready)
        if len(ports) != 2:
            sys.exit(f"issuerd did not start: {ready}")
        self.ports = dict(zip(("public", "admin"), map(int, ports)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        check(self.process.wait(timeout=60) == 0, "the server did not end well")

    def ask(self, listener, method, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[listener], timeout=60)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, json.loads(body)


# ---- the document in itself ----


def nodes(value, place="#"):
    yield place, value
    items = value.items() if isinstance(value, dict) else enumerate(
        value) if isinstance(value, list) else ()
    for name, child in items:
        yield from nodes(child, f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}")


def resolve(document, reference):
    value = document
    for name in reference[2:].split("/"):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def check_references(document):
    used = set()
    for place, value in nodes(document):
        if isinstance(value, dict) and "$ref" in value:
            used.add(value["$ref"])
            check(resolve(document, value["$ref"]) is not None,
                  f"{place}: {value['$ref']} is not there")
    for kind in set(document["components"]) - {"securitySchemes"}:
        for name in document["components"][kind]:
            check(f"#/components/{kind}/{name}" in used, f"components: nothing uses {kind}/{name}")


def check_formats(document):
    for place, value in nodes(document["components"]["schemas"], "schemas"):
        if isinstance(value, dict) and isinstance(value.get("format"), str):
            check(value["format"] in FORMATS.checkers.keys() | ANNOTATIONS,
                  f"{place}: nobody checks the format {value['format']}")


def check_operation(document, path, method, operation):
    place = f"{method.upper()} {path}"
    tags = {tag["name"] for tag in document["tags"]}
    parameters = [resolve(document, p["$ref"]) if "$ref" in p else p
                  for p in operation.get("parameters", [])]
    check(method in METHODS, f"{place}: no method of OpenAPI")
    check(operation.get("operationId") and operation.get("summary"), f"{place}: has no name")
    check(operation.get("tags") and set(operation["tags"]) <= tags, f"{place}: wrong tags")
    check({p["name"] for p in parameters if p["in"] == "path" and p["required"]}
          == set(re.findall(r"{(\w+)}", path)), f"{place}: parameters that are not the path's")
    check(any(status.startswith("2") for status in operation["responses"]),
          f"{place}: no success")
    for status in operation["responses"]:
        check(re.fullmatch(r"[1-5]\d\d", status), f"{place}: {status} is no status")
        response = response_of(document, operation, status)
        check(response.get("description"), f"{place}: {status} is not described")
        check(bool(response.get("content")) != (int(status) in WITHOUT_BODY),
              f"{place}: {status} has no content, or should have none")
    for scheme in operation.get("security", []):
        check(set(scheme) <= set(document["components"]["securitySchemes"]),
              f"{place}: unknown security scheme")


def check_structure(document):
    check(re.fullmatch(r"3\.1\.\d+", document["openapi"]), "not OpenAPI 3.1")
    check(document["info"].get("title") and document["info"].get("version"), "info is not complete")
    check_references(document)
    check_formats(document)
    for path, method, operation in operations(document):
        check(path.startswith("/"), f"{path}: no path")
        check_operation(document, path, method, operation)
    names = [operation["operationId"] for _, _, operation in operations(document)]
    check(len(names) == len(set(names)), "two operations have the same operationId")
    for name, schema in document["components"]["schemas"].items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as err:
            check(False, f"schemas/{name}: {err.message}")


def check_aliases(document):
    for path, _, operation in operations(document):
        newer = operation.get("x-stands-for")
        check((newer is not None) == operation.get("deprecated", False),
              f"{path}: deprecated, and nothing replaces it, or the contrary")
        check(newer is None or newer in document["paths"], f"{path}: {newer} is not there")


# ---- the contract ----


def without_words(value):
    if isinstance(value, dict):
        return {name: without_words(child) for name, child in value.items()
                if name != "description" or isinstance(child, dict)}
    return value


def check_contract(document):
    contract = json.loads(CONTRACT.read_text())
    for name, schema in contract["components"]["schemas"].items():
        check(without_words(document["components"]["schemas"].get(name)) == without_words(schema),
              f"schemas/{name} is not the contract's")
    for path, method, operation in operations(contract):
        ours = document["paths"].get(path, {}).get(method, {})
        check(ours.get("operationId") == operation["operationId"],
              f"{path} has not the contract's operationId")
        check(set(operation["responses"]) <= set(ours.get("responses", {})),
              f"{path} has not the contract's statuses")


# ---- the routes ----


def routes_of(source):
    """{(path, method): listeners} of the table in routes.c."""
    rows = re.findall(r'\.roles = ([\w |]+),\s*\.method = "(\w+)",\s*\.path = "([^"]+)"', source)
    if not rows or len(rows) != source.count(".endpoint = "):
        sys.exit("the table of routes is not read right")
    return {(path, method.lower()): {role.strip()[3:].lower() for role in roles.split("|")}
            for roles, method, path in rows}


def check_routes(document, source, server):
    routes = routes_of(source)
    listed = {(path, method): set(operation["tags"])
              for path, method, operation in operations(document)}
    for path, method in routes.keys() ^ listed.keys():
        check(False, f"{method.upper()} {path}: in one of table and document alone")
    for key in routes.keys() & listed.keys():
        check(routes[key] == listed[key], f"{key}: on other listeners than the document says")
    for (path, method), listeners in listed.items():
        for listener in server.ports:
            probe(server, listener, path.replace("{id}", "1"), method, listener in listeners)


def probe(server, listener, path, method, is_there):
    status, headers, body = server.ask(listener, "DELETE", path)
    allow = "GET, HEAD" if method == "get" else method.upper()
    if is_there:
        check(status == 405 and headers["Allow"] == allow, f"DELETE {path}: {status}, not 405")
    else:
        check(status == 404 and body["code"] == NO_ROUTE, f"{path} is on the {listener} listener")


# ---- the answers ----


def response_of(document, operation, status):
    response = operation["responses"][status]
    return resolve(document, response["$ref"]) if "$ref" in response else response


def unique(pairs):
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a member comes twice")
    return dict(pairs)


class Judge:
    """Holds answers against the document, and counts them by operation and status."""

    def __init__(self, document):
        self.document = document
        self.counts = collections.Counter()
        self.patterns = [
            (re.compile(re.sub(r"\\{\w+\\}", "[^/]{1,63}", re.escape(path))), path)
            for path in document["paths"]
        ]

    def find(self, listener, method, path):
        """The path's template and its operation, either may be None."""
        for pattern, template in self.patterns:
            if pattern.fullmatch(path):
                item = self.document["paths"][template]
                if any(listener in operation["tags"] for operation in item.values()):
                    wanted = "get" if method == "HEAD" else method.lower()
                    return template, item.get(wanted) if method.isupper() else None
        return None, None

    def judge(self, listener, answer):
        path = answer["target"].split("?")[0]
        template, operation = self.find(listener, answer["method"], path)
        status = answer["status"]
        what = f"{answer['method']} {template or path} on {listener}: {status}"
        if operation is not None:
            self.counts[operation["operationId"], status] += 1
            if check(str(status) in operation["responses"], f"{what}: not listed"):
                self.judge_response(what, answer,
                                    response_of(self.document, operation, str(status)))
            return
        self.counts["another path" if template is None else "another method", status] += 1
        wanted = 404 if template is None else 405
        check(status == wanted or status in BEFORE_ROUTES, f"{what}: not {wanted}")
        check(status != 405 or answer["Allow"], f"{what}: without Allow")
        self.judge_response(what, answer, self.document["components"]["responses"]["BadRequest"])

    def judge_response(self, what, answer, response):
        for name in response.get("headers", {}):
            check(answer[name], f"{what}: without {name}")
        check(answer["status"] != 503 or answer["Retry-After"].isdigit(),
              f"{what}: without Retry-After")
        if answer["method"] == "HEAD" or answer["status"] in WITHOUT_BODY:
            check(answer["body"] == "", f"{what}: with a body")
            return
        if check(answer["Content-Type"] in response["content"],
                 f"{what}: {answer['Content-Type']!r} is not listed"):
            self.judge_body(what, answer, response["content"][answer["Content-Type"]]["schema"])

    def judge_body(self, what, answer, schema):
        try:
            text = answer["body"].encode("latin-1").decode()
            is_json = "json" in answer["Content-Type"]
            body = json.loads(text, object_pairs_hook=unique) if is_json else text
        except ValueError as err:
            check(False, f"{what}: {err}")
            return
        with_components = {**schema, "components": self.document["components"]}
        validator = jsonschema.Draft202012Validator(
            with_components, format_checker=FORMATS)
        for err in validator.iter_errors(body):
            check(False, f"{what}: {err.json_path}: {err.message}")
        if answer["status"] >= 400 and isinstance(body, dict):
            check(body.get("statusCode") == body.get("httpCode") == answer["status"],
                  f"{what}: another status in the body")

    def print_counts(self):
        names = [operation["operationId"] for _, _, operation in operations(self.document)]
        for name in names + ["another path", "another method"]:
            statuses = sorted((s, n) for (o, s), n in self.counts.items() if o == name)
            print(f"{sum(n for _, n in statuses):6} {name:34}",
                  " ".join(f"{status}:{count}" for status, count in statuses))
        print(f"{sum(self.counts.values()):6} answers")


def judge_file(judge, file):
    listeners = {}
    for line in file.read_text().splitlines():
        answer = json.loads(line)
        if "public" in answer:
            listeners.update({answer["public"]: "public", answer["admin"]: "admin"})
        elif check(answer["port"] in listeners, f"{file.name}: a port of no server"):
            judge.judge(listeners[answer["port"]], answer)


def check_answers(document, directory):
    judge = Judge(document)
    for file in sorted(pathlib.Path(directory).glob("*.jsonl")):
        judge_file(judge, file)
    judge.print_counts()
    check(judge.counts, "no answer was kept: the http tests run first")


def main():
    program, routes, answers = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory, Server(program, directory) as server:
        _, _, document = server.ask("public", "GET", "/openapi.json")
        check(document == server.ask("admin", "GET", "/openapi.json")[2],
              "the listeners have different documents")
        check_structure(document)
        check_aliases(document)
        check_contract(document)
        check_routes(document, pathlib.Path(routes).read_text(), server)
        check_answers(document, answers)
    for problem, count in collections.Counter(problems).most_common(50):
        print(problem if count == 1 else f"{problem} ({count} times)", file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
