"""YAML that people write, read with limits: no code, no repeated keys, nothing that unfolds to more than it seems."""

from typing import Any

import yaml

MOST_BYTES = 2**20
"""What a file that somebody wrote may have."""
_DEEPEST = 64
_MOST_UNFOLDED = 8
"""How many times the bytes of a file its content may have once every alias is replaced by what it stands for."""
_PER_NODE = 8
_FAILURES = (yaml.YAMLError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)
"""What PyYAML raises over text; of numbers and dates that cannot be, for example, something that is no YAMLError."""


def load_yaml(text: str | bytes, most_bytes: int = MOST_BYTES) -> Any:
    """Read one YAML document of plain values.

    :param text: The YAML; bytes are UTF-8, or UTF-16 with a byte order mark.
    :param most_bytes: How many bytes it may have.
    :return: Mappings, lists, text, numbers, booleans, dates and ``None``.
    :raise ValueError: When it cannot be read or is too large; the message continues a sentence that begins with the
        name of the file.
    """
    if len(text) > most_bytes:
        raise ValueError(f"has {len(text)} bytes, more than the {most_bytes} that are read; write less into it")
    try:
        loader = _Loader(text, most_bytes)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except _FAILURES as error:
        raise ValueError(f"is not YAML: {' '.join(str(error).split()).rstrip('.')}") from error


class _Loader(yaml.SafeLoader):
    """Compose nodes with an eye on depth, on repeated keys and on what aliases unfold to."""

    def __init__(self, text: str | bytes, most_bytes: int) -> None:
        super().__init__(text)
        self._most = _MOST_UNFOLDED * max(most_bytes, MOST_BYTES)
        self._depth = 0
        self._unfolded = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        before = self._unfolded
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        is_alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"it nests more than {_DEEPEST} levels deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias:
            if id(node) not in self._sizes:
                raise yaml.composer.ComposerError(None, None, "an alias stands for what it is in", mark)
            self._unfolded += self._sizes[id(node)]
        else:
            self._unfolded += _PER_NODE + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
            self._sizes[id(node)] = self._unfolded - before
            if isinstance(node, yaml.ScalarNode) and any("\ud800" <= char <= "\udfff" for char in node.value):
                raise yaml.composer.ComposerError(None, None, "a text holds half of a character", mark)
        if self._unfolded > self._most:
            raise yaml.composer.ComposerError(None, None, "its aliases unfold to too much", mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.composer.ComposerError(
                        None, None, f"the key {key.value!r} is there twice", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node
