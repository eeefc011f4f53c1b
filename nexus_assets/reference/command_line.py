"""The commands of ``nexus``, their arguments and options, as a Markdown page."""

from collections.abc import Iterator

import click

_INTRODUCTION = """# The command line

Written by `make docs` from the commands themselves; `--help` of each says the same. Exit code 0: all was done; 2: a
usage or input error, with one sentence on standard error; 1: anything else; 130: stopped.
"""


def command_line_page() -> str:
    """Return a section a command.

    :return: Markdown, ending in a newline.
    """
    from nexus_assets.cli.main import cli

    context = click.Context(cli, info_name="nexus")
    parts = [_INTRODUCTION, f"{cli.help}\n", _parameters(cli)]
    parts += [part for command in _commands(cli, context) for part in _section(*command)]
    return "\n".join(parts)


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, parent=context, info_name=name)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)
        else:
            yield command, inner


def _section(command: click.Command, context: click.Context) -> list[str]:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = (command.help or "").replace("\b\n", "").replace("\f", "").strip()
    parts = [f"## `{context.command_path}`\n", f"    {usage}\n", f"{text}\n", _parameters(command)]
    if command.epilog:
        parts.append(f"{command.epilog.strip()}\n")
    return parts


def _parameters(command: click.Command) -> str:
    rows = []
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            shown = (
                ""
                if parameter.is_flag or parameter.default in (None, ()) or not parameter.show_default
                else (f" Default: `{parameter.default}`.")
            )
            rows.append(f"| {names} | {_cell(parameter.help or '')}{shown} |")
    return "\n".join(["| option | meaning |", "|---|---|", *rows, ""]) if rows else ""


def _cell(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|")
