"""Text of others in the web UI: Markdown shows it as it is, links lead to http and https, plots can be drawn."""

import re
from html import unescape
from typing import Any

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from nexus_assets.kept_plots import bar_plot
from nexus_assets.markdown_text import markdown_link, markdown_list, markdown_program, markdown_text, web_link
from nexus_assets.plots import shares
from nexus_assets.policy import check_result
from nexus_assets.report_metadata import place, table
from omics_datastore.shown_text import masked, printable

RENDER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = [
    "[x](javascript:alert(1))",
    "![x](https://evil.example/p.png)",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "a | b\n---|---\n1 | 2",
    "```\n</code><b>",
    "`a` *b* _c_ ~~d~~ # e\n===\n- f\n1. g\n> h\n    i",
    "&lt;b&gt; &#106;avascript: &amp;",
    "<https://evil.example> [a]: javascript:x\n[a]",
    "ends in a backslash \\",
    "\\[x](javascript:alert(1))",
    "\u202egnp.exe\x1b[31m",
]
PIECES = st.sampled_from([*"[]()<>!*_`~#|\\&;:+-.=\"'\n\t ", "javascript:", "http://a.b", "<b>", "1.", "    "])
TEXTS = st.one_of(st.text(), st.lists(st.one_of(PIECES, st.characters()), max_size=12).map("".join))


def shown(markdown: str) -> str:
    """Return the text that a renderer of Markdown makes of one paragraph or list item; nothing else may be in it."""
    html = RENDER.render(markdown)
    found = re.fullmatch(r"(?:<p>|<ul>\n<li>)(.*?)(?:</p>|</li>\n</ul>)\n?", html, re.DOTALL)
    assert found or not html, html
    inner = found[1] if found else ""
    assert "<" not in inner, html
    return unescape(inner)


@settings(max_examples=60)
@given(TEXTS)
def test_markdown_shows_a_text_as_it_is(text: str) -> None:
    expected = printable(masked(" ".join(text.split())))
    assert shown(markdown_text(text)) == expected
    if expected:
        assert shown(markdown_list([text])) == expected


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text(text: str) -> None:
    assert shown(markdown_text(text)) == printable(" ".join(text.split()))
    assert shown(markdown_link(text, "javascript:alert(1)")) == printable(" ".join(text.split()))
    cells = table([{text: text}]).value
    assert cells.records[0].data[text] == printable(text)
    result = check_result("rows", ["warehouse", "cell_info"], passed=False, reason=text)
    assert result.metadata["reason"].value == printable(text)


@settings(max_examples=40)
@given(TEXTS)
def test_a_program_stays_in_its_block(source: str) -> None:
    source = source.replace("\r", "")
    tokens = RENDER.parse(markdown_program(source, "python"))
    assert [token.type for token in tokens] == ["fence"]


@settings(max_examples=40)
@given(TEXTS, TEXTS)
def test_links_lead_to_the_web(label: str, address: str) -> None:
    for given_address in (address, f"https://host/{address}", f"javascript://{address}"):
        link = web_link(given_address)
        if link is None:
            continue
        assert re.match(r"https?://[^\s<>()]+$", link, re.IGNORECASE)
        html = RENDER.renderInline(markdown_link(label, given_address))
        assert re.fullmatch(r'<a href="https?://[^"<>]*">[^<>]*</a>', html, re.IGNORECASE), html


def test_which_links_there_are() -> None:
    for address in (
        "javascript:alert(1)",
        "data:text/html,x",
        "javascript://a/%0Aalert(1)",
        "//host",
        "http://",
        "ftp://h",
    ):
        assert web_link(address) is None
        assert place(address).value == address
        assert not isinstance(place(address), dg.UrlMetadataValue)
    assert web_link("https://u:p@h/a b?token=1") == "https://***@h/a%20b?token=***"
    link = place("gs://bucket/inbox/[a](javascript:1)<b>.h5ad")
    assert isinstance(link, dg.UrlMetadataValue)
    assert link.value == (
        "https://console.cloud.google.com/storage/browser/_details/bucket/inbox/%5Ba%5D%28javascript%3A1%29%3Cb%3E.h5ad"
    )


NAMES = ["$\\frac$", "$", "a $x_1$ and $\\badcommand{$", "_hidden", "x" * 500, "\x1b[2J", "肺", "%s {0}", ""]


def test_plots_of_any_names() -> None:
    assert bar_plot("Cells", NAMES, [1.0] * len(NAMES)).whole.startswith(b"\x89PNG")
    rows: dict[str, Any] = {"all cells": [1.0] * len(NAMES)}
    assert shares("Cells", rows, NAMES).startswith(b"\x89PNG")
