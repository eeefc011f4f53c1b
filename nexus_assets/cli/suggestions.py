"""A click group that proposes the command somebody may have meant."""

from difflib import get_close_matches

import click


class SuggestingGroup(click.Group):
    """Name near commands when one is not known."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if not args or args[0].startswith("-"):
                raise
            near = get_close_matches(args[0], self.list_commands(ctx), 2)
            advice = (
                f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(self.list_commands(ctx))}."
            )
            raise click.UsageError(f"there is no command {args[0]!r}; {advice}", ctx) from error
