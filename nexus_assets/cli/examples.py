"""Examples below the help of a command."""


def examples(*lines: str) -> str:
    """Write an epilog whose lines stay as they are.

    :param lines: Commands as somebody would type them.
    :return: What click takes for an epilog.
    """
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
