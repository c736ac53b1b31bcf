"""The command line: `python -m dagstorm_local up|down|status|logs|part|configure|scale`.

Exit codes: 0 well, 1 a part is failed or a change did not succeed, 2 usage, 4 the stack could not be started.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import fields
from typing import Any

from dagstorm_local import contract
from dagstorm_local.stack import catalog, control, follow, lifecycle, status
from dagstorm_local.stack.files import Request, read_stack
from dagstorm_local.stack.paths import Paths

DEFAULT_FOLDER = ".stack"
PORT_DAGSTER = 3000
PORT_AWS = 4566
HELP = {
    "scale": "every op's duration is multiplied by it",
    "seed": "op durations are drawn from it",
    "forget_every": "a worker drops the record of every n-th step that it completes; 0: none",
    "idempotency": "off: the workers ignore claims, duplicates can really happen",
    "heartbeat": "off: a step longer than the visibility time-out is delivered again",
    "visibility_timeout": "of the steps' queue, seconds",
    "workers": "worker tasks at start",
    "schedule": "Dagster's ten-minute schedule, from the next start of the daemon on",
}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options, Paths.of(options.dir))
    except control.NotRunning as error:
        print(f"{error}; start it with `python -m dagstorm_local up`", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dagstorm_local", description="The local stack of dagstorm.")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    def verb(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text)
        made.add_argument("--dir", default=DEFAULT_FOLDER, help="the stack's folder (default: %(default)s)")
        made.set_defaults(run=run)
        return made

    up = verb("up", _up, "start the stack, show the progress, return when it is healthy")
    up.add_argument("--port-dagster", type=int, default=PORT_DAGSTER, help="a free one is found if it is taken")
    up.add_argument("--port-aws", type=int, default=PORT_AWS, help="a free one is found if it is taken")
    up.add_argument("--parts", default=",".join(catalog.NAMES), help="start only these (comma-separated)")
    up.add_argument("--services", default="", help="module:function that tells which ECS services to deploy")
    _add_settings(up)
    down = verb("down", _down, "stop everything; works after a crash too")
    down.add_argument("--wipe", action="store_true", help="remove the folder, the database with it")
    show = verb("status", _status, "what runs; exit code 1 if a part is failed")
    show.add_argument("-o", "--output", choices=("table", "json"), default="table")
    logs = verb("logs", _logs, "show the logs of a part, or of all; tasks by the start of their name")
    logs.add_argument("part", nargs="?", default="")
    logs.add_argument("-f", "--follow", action="store_true")
    part = verb("part", _part, "stop or start one part, to try its absence")
    part.add_argument("action", choices=("stop", "start"))
    part.add_argument("name", choices=catalog.NAMES)
    _add_settings(verb("configure", _configure, "change settings of the running stack, wait until it is steady"))
    scale = verb("scale", _scale, "set the number of worker tasks, wait until they listen")
    scale.add_argument("workers", type=int)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    for field in fields(contract.Settings):
        kind = type(field.default)
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=f"setting_{field.name}",
            type=_switch if kind is bool else kind,
            metavar="on|off" if kind is bool else kind.__name__,
            help=f"{HELP.get(field.name, 'see contract.Settings')} (at first: {_say(field.default)})",
        )


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise argparse.ArgumentTypeError("say on or off")
    return text == "on"


def _say(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given, and no others."""
    given = {name[8:]: value for name, value in vars(options).items() if name.startswith("setting_")}
    return {name: value for name, value in given.items() if value is not None}


def _up(options: argparse.Namespace, paths: Paths) -> int:
    settings = contract.Settings(**_settings(options))
    names = tuple(name for name in options.parts.split(",") if name)
    unknown = set(names) - set(catalog.NAMES)
    if unknown:
        print(f"there is no part {unknown.pop()!r}; there are {', '.join(catalog.NAMES)}", file=sys.stderr)
        return 2
    request = Request(settings, options.port_dagster, options.port_aws, names, options.services)
    return lifecycle.up(paths, request)


def _down(options: argparse.Namespace, paths: Paths) -> int:
    return lifecycle.down(paths, options.wipe)


def _status(options: argparse.Namespace, paths: Paths) -> int:
    found = status.look(read_stack(paths))
    print(json.dumps(found, indent=2) if options.output == "json" else status.table(found))
    return 0 if found["healthy"] else 1


def _logs(options: argparse.Namespace, paths: Paths) -> int:
    return follow.show(paths, options.part, options.follow)


def _part(options: argparse.Namespace, paths: Paths) -> int:
    return _ask(paths, {"verb": "part", "action": options.action, "name": options.name})


def _configure(options: argparse.Namespace, paths: Paths) -> int:
    changes = _settings(options)
    if not changes:
        print("nothing to change: name a setting, see --help", file=sys.stderr)
        return 2
    return _ask(paths, {"verb": "configure", "settings": changes})


def _scale(options: argparse.Namespace, paths: Paths) -> int:
    return _ask(paths, {"verb": "scale", "workers": options.workers})


def _ask(paths: Paths, request: dict[str, Any]) -> int:
    code = 1
    for line in control.ask(paths.control_socket, request):
        if "say" in line:
            print(line["say"], flush=True)
        if "end" in line:
            code = int(line["end"])
            if line.get("error"):
                print(line["error"], file=sys.stderr)
    return code
