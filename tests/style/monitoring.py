#!/usr/bin/env python3
"""monitoring.py TABLE DIRECTORY...: holds the table of events against the sources' log_event() and log_error()."""
import collections
import pathlib
import re
import sys

CALL = re.compile(r"\blog_(event|error)\((LOG_LEVEL_\w+|[^\";]*?),\s*\"([a-z_]+(?:\.[a-z_]+)+)\"(.*?)\);", re.S)
ANY_CALL = re.compile(r"\blog_(?:event|error)\((?!enum)")
FORMAT = re.compile(r'\s*,\s*(?:&?\w+,\s*)?((?:"(?:[^"\\]|\\.)*"|PRI\w\d+|\s)+)')
TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
ROW = re.compile(r"^\| `([a-z_.]+)` \| ([a-z, ]+) \| ([a-z_, ]*)\| (.+) \|$", re.M)


def fields_of(arguments):
    """Of the format, or of what stands for it behind "%s"."""
    text = "".join(TEXT.findall(FORMAT.match(arguments).group(1)))
    if text == "%s":
        text = " ".join(TEXT.findall(arguments))
    return set(re.findall(r"(?:^|\s)([a-z_]+)=", text))


def events_of(directories):
    """{event: (levels, fields)}, a field that only some of its lines have among them."""
    events = collections.defaultdict(lambda: (set(), set()))
    for directory in directories:
        for file in sorted(pathlib.Path(directory).rglob("*.c")):
            source = file.read_text()
            calls = list(CALL.finditer(source))
            if file.name != "log.c" and len(calls) != len(ANY_CALL.findall(source)):
                sys.exit(f"{file}: a call of log_event() or log_error() is not read right")
            for call in calls:
                kind, level, name, arguments = call.groups()
                levels, fields = events[name]
                levels.update(l.lower() for l in re.findall(r"LOG_LEVEL_(\w+)", level))
                fields.update(fields_of(arguments))
                fields.update({"error"} if kind == "error" else set())
    return events


def words(text):
    return {word for word in re.split(r"[, ]+", text) if word}


def main():
    table, *directories = sys.argv[1:]
    rows = {name: (words(levels), words(fields))
            for name, levels, fields, _ in ROW.findall(pathlib.Path(table).read_text())}
    events = events_of(directories)
    wrong = [f"{name}: in the table, and nothing logs it" for name in rows.keys() - events.keys()]
    wrong += [f"{name}: logged, and not in the table" for name in events.keys() - rows.keys()]
    for name in rows.keys() & events.keys():
        for what, told, real in zip(("levels", "fields"), rows[name], events[name]):
            if told != real and (real or what == "fields"):  # a level may be a variable
                wrong.append(f"{name}: has the {what} {', '.join(sorted(real))}, not {', '.join(sorted(told))}")
    for line in sorted(wrong):
        print(f"{table}: {line}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


main()
