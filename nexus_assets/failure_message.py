"""What people are told of a failed run: a message for a webhook that takes Slack's JSON."""

from collections.abc import Mapping

import dagster as dg

from nexus_assets.batches import RANGE_END, RANGE_START
from nexus_assets.markdown_text import web_link
from nexus_assets.policy import PARTITION, PIPELINE_LINK, REQUESTED_BY
from omics_datastore.shown_text import masked

_LONGEST = 2_500
"""Slack refuses a text block of more than 3,000 characters."""


def failure_message(
    run: dg.DagsterRun, failed_steps: Mapping[str, str], message: str, web_address: str
) -> dict[str, object]:
    """Write the message.

    :param run: The run.
    :param failed_steps: What each failed step said, with the last lines of its task, by step.
    :param message: What the run said, for one that failed outside of a step.
    :param web_address: Address of the web UI; none when empty.
    :return: A JSON object with ``text``, and ``blocks`` for who shows more than text.
    """
    partition = run.tags.get(PARTITION) or "…".join(
        run.tags[tag] for tag in (RANGE_START, RANGE_END) if tag in run.tags
    )
    title = f"{run.job_name} failed" + (f" for {partition}" if partition else "")
    facts = [f"asked for by {_escaped(run.tags.get(REQUESTED_BY, 'somebody'))}"]
    if web := web_link(web_address):
        facts.append(f"<{_escaped(web.rstrip('/'))}/runs/{run.run_id}|run {run.run_id[:8]}>")
    link = run.tags.get(PIPELINE_LINK, "")
    if link.startswith("https://") and (page := web_link(link)):
        facts.append(f"<{_escaped(page)}|pipeline job>")
    elif link:
        facts.append(f"log {_escaped(link)}")
    said = [f"*{_escaped(step)}*\n```{_escaped(_shortened(text))}```" for step, text in failed_steps.items()]
    blocks = [_section(f"*{_escaped(title)}*")]
    blocks += [_section(text) for text in said[:5] or [f"```{_escaped(_shortened(message))}```"]]
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": " · ".join(facts)}]})
    first = next(iter(failed_steps.values()), message).strip().partition("\n")[0]
    return {"text": _escaped(f"{title}: {first[:300]}"), "blocks": blocks}


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _shortened(text: str) -> str:
    """Keep the beginning, which says what is wrong, and the end, which has the last lines of the task."""
    text = text.strip()
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}\n…\n{text[-half:]}"


def _escaped(text: str) -> str:
    # The three characters that Slack gives a meaning; a backtick would end the block of code.
    return masked(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("```", "'''")
