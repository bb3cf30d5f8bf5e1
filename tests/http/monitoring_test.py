#!/usr/bin/env python3
"""monitoring_test.py ISSUERD SYSTEMD: what SYSTEMD/ says of the metrics is what a started server has.

Each metric of /metrics, with its labels, is in the table of MONITORING.md, and no other; the alerts and the
dashboard name no metric and no label that there is not; promtool finds the rules sound, and they fire when
alerts_test.yml says.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from server import Server  # noqa: E402

HISTOGRAM = "_bucket", "_sum", "_count"
NAME = re.compile(r"\bissuerd_\w+")
SELECTOR = re.compile(r"\b(issuerd_\w+)(?:\{([^}]*)\})?")
ADDED = {"instance", "job"}  # by Prometheus

problems = []


def check(holds, problem):
    if not holds:
        problems.append(problem)
    return holds


def metrics_of(text):
    """{metric: labels}, of a histogram its own name, and {series: labels} as they are scraped."""
    histograms = set(re.findall(r"^# TYPE (\w+) histogram$", text, re.M))
    metrics, series = {}, {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.M):
        names = set(re.findall(r'(\w+)="', labels))
        series.setdefault(name, set()).update(names)
        whole = next((h for h in histograms if name in [h + end for end in HISTOGRAM]), name)
        metrics.setdefault(whole, set()).update(names - {"le"})
    return metrics, series


def check_table(text, metrics):
    rows = {name: set(filter(None, (labels or "").split(",")))
            for name, labels in re.findall(r"^\| `(issuerd_\w+)(?:\{([\w,]+)\})?` \|", text, re.M)}
    for name in rows.keys() ^ metrics.keys():
        check(False, f"{name}: in one of table and /metrics alone")
    for name in rows.keys() & metrics.keys():
        check(rows[name] == metrics[name], f"{name}: has the labels {sorted(metrics[name])}")


def check_queries(where, text, series):
    check(NAME.search(text), f"{where}: no query")
    for name, matchers in SELECTOR.findall(text):
        if check(name in series, f"{where}: {name} is not in /metrics"):
            for label in re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", matchers):
                check(label in series[name] | ADDED, f"{where}: {name} has no label {label}")


def queries_of(dashboard):
    for panel in dashboard["panels"]:
        check(panel.get("title"), "a panel without a title")
        for target in panel.get("targets", []):
            yield target["expr"]


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    check(done.returncode == 0, f"{' '.join(map(str, command[:3]))}: {done.stdout}{done.stderr}")


def check_rules(rules, metrics_text, directory):
    run("promtool", "check", "rules", rules)
    run("promtool", "check", "metrics", input=metrics_text)
    tests = pathlib.Path(__file__).with_name("alerts_test.yml").read_text()
    place = pathlib.Path(directory, "alerts_test.yml")
    place.write_text(tests.replace("RULES", str(rules)))
    run("promtool", "test", "rules", place)


def main():
    program, place = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    rules = place / "issuerd.rules.yml"
    dashboard = json.loads((place / "grafana-dashboard.json").read_text())
    with tempfile.TemporaryDirectory() as directory, Server(program, directory) as server:
        text = server.ask("admin", "GET", "/metrics")[2].decode()
        metrics, series = metrics_of(text)
        check_table((place / "MONITORING.md").read_text(), metrics)
        check_queries("rules", "\n".join(line for line in rules.read_text().splitlines()
                                         if not re.match(r"\s*(#|summary:|description:)", line)), series)
        for query in queries_of(dashboard):
            check_queries("dashboard", query, series)
        check_rules(rules, text, directory)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
